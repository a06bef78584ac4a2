"""When things are computed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from covector._engine.base.public import boundary
from covector._engine.core.trace import EVAL, using


@boundary
@contextmanager
def ensure_compile_time_eval() -> Generator[None]:
    """Compute what is in the block now, also inside `jit`: its values are constants of what is compiled.

    Traced values cannot be used in it.

    >>> import covector
    >>> import covector.numpy as np
    >>> @covector.jit
    ... def f(x):
    ...     with covector.ensure_compile_time_eval():
    ...         n = int(np.sum(np.arange(3)))
    ...     return x * n
    >>> print(f(2))
    6
    """
    with using(EVAL):
        yield
