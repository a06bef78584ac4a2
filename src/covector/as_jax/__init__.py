"""Programs and libraries that are written for JAX, run by Covector.

`python -m covector.as_jax script.py` runs a script whose `import jax` finds Covector; `install()` does the same for
what a process imports from then on.  Which libraries work so is in docs/libraries.md.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType

from covector._engine.base.config import config
from covector._engine.base.public import publish
from covector.as_jax.served import Finder, forget, genuine

__all__ = ["Installed", "install"]


_FLAGS = ("enable_x64", "callback_errors", "logger")  # that are others meanwhile
_ON = ("1", "on", "t", "true", "y", "yes")


class Installed:
    """What `install` gives: `undo()` takes it back, and so does the end of a `with` block.

    >>> from covector import as_jax
    >>> installed = as_jax.install()
    >>> installed.undo()
    """

    def __init__(self) -> None:
        self._finder: Finder | None = Finder()
        self._before = {name: getattr(config, name) for name in _FLAGS}
        config.update("enable_x64", os.environ.get("JAX_ENABLE_X64", "").lower() in _ON)
        config.update("callback_errors", "runtime")
        config.update("logger", "jax")
        sys.meta_path.insert(0, self._finder)

    def undo(self) -> None:
        """Let `import jax` find what it found before.  What was imported meanwhile stays with its importers.

        >>> from covector import as_jax
        >>> as_jax.install().undo()
        """
        if self._finder is not None:
            sys.meta_path.remove(self._finder)
            self._finder = None
            for name, value in self._before.items():
                config.update(name, value)
            forget()

    def __enter__(self) -> Installed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo()


def install() -> Installed:
    """Serve `jax` and `jaxlib` from Covector to whatever is imported from now on.

    `enable_x64` is False meanwhile, as in JAX: types of 64 bits become 32, unless JAX_ENABLE_X64 is set or the flag is
    (`jax.config.update("jax_enable_x64", True)`).  What a callback raises reaches its caller as a RuntimeError
    (the flag `callback_errors`), which libraries catch.  What is logged (`log_compiles`) is of the logger `jax`.
    RuntimeError if the real JAX has been imported, or if it is served already.

    >>> import covector
    >>> with covector.as_jax.install():
    ...     import jax.numpy
    ...     same = jax.numpy is covector.numpy
    >>> same
    True
    """
    if found := genuine():
        where = sys.modules[found[0]].__file__
        raise RuntimeError(
            f"as_jax.install: the real {' and '.join(found)} is imported already, from {where}; call install() before "
            "anything imports it, or run `python -m covector.as_jax`"
        )
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        raise RuntimeError("as_jax.install: it is installed already; undo() that first")
    return Installed()


publish(__name__)
