"""Random numbers from explicit keys: names, meanings and numbers are those of `jax.random`.

A key is made from a seed (`key`) and split into others (`split`); a function of a key always gives the same numbers.
The generator is threefry2x32, as in JAX with its default flags.
"""

from covector.random.choices import *
from covector.random.keys import (
    Key as Key,
)
from covector.random.keys import (
    PRNGKey as PRNGKey,
)
from covector.random.keys import (
    clone as clone,
)
from covector.random.keys import (
    fold_in as fold_in,
)
from covector.random.keys import (
    key as key,
)
from covector.random.keys import (
    key_data as key_data,
)
from covector.random.keys import (
    key_impl as key_impl,
)
from covector.random.keys import (
    split as split,
)
from covector.random.keys import (
    wrap_key_data as wrap_key_data,
)
from covector.random.samplers import *
