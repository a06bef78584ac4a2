"""Small optimizers and layers, as JAX has them for examples; some libraries build on them."""

import typing as _typing

from covector._engine.base.locks import import_late as _import_late
from covector._engine.base.public import publish as _publish

if _typing.TYPE_CHECKING:
    from covector.example_libraries import optimizers as optimizers, stax as stax

_LATER = ("optimizers", "stax")


def _load(name: str) -> _typing.Any:
    return _import_late(f"covector.example_libraries.{name}")


_publish(__name__, later=_LATER, load=_load)
