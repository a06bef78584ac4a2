"""Random numbers from explicit keys: names, meanings and numbers are those of `jax.random`.

A key is made from a seed (`key`) and split into others (`split`); a function of a key always gives the same numbers.
The generator is threefry2x32, as in JAX with its default flags.
"""

from covector._engine.base.public import publish as _publish
from covector.random import (
    key_functions as _key_functions,
    key_methods as _key_methods,
    key_refs as _key_refs,
)
from covector.random.choices import *
from covector.random.counts import *
from covector.random.distributions import *
from covector.random.gammas import *
from covector.random.keys import (
    Key as Key,
    PRNGKey as PRNGKey,
    clone as clone,
    fold_in as fold_in,
    key as key,
    key_data as key_data,
    key_dtype as key_dtype,
    key_impl as key_impl,
    split as split,
    wrap_key_data as wrap_key_data,
)
from covector.random.matrices import *
from covector.random.samplers import *

_key_functions.install()
_key_methods.install()
_key_refs.install()
_publish(__name__, arrays=(__name__,))
