"""When things are computed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from covector._engine.base.public import boundary
from covector._engine.core.primitive import Online, Primitive
from covector._engine.core.trace import EVAL, Trace, Tracer, current, using


class FoldingTrace(Trace):
    """What is known is computed, at once; operations on traced values are for the trace around."""

    __slots__ = ("around",)

    def __init__(self, around: Trace):
        super().__init__(around, False)
        self.around = around

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        if any(isinstance(x, Tracer) for x in args):
            with using(self.around):
                return self.around.process(primitive, args)
        if primitive.online:
            return cast("Online", primitive).run(*args)
        return EVAL.process(primitive, args)


@boundary
@contextmanager
def ensure_compile_time_eval() -> Generator[None]:
    """Compute what is in the block now, also inside `jit`: its values are constants of what is compiled.

    Operations on traced values are recorded as elsewhere.

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
    with using(FoldingTrace(current())):
        yield
