"""`Composite`: an operation that is a function of other operations, with rules of its own where it has any.

Applied, it is an `Expanded`: the equation that holds its Program, asks the composite for the rules that it defines,
and takes those of the Program for the others.  Compiled, it is its Program.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

from covector._engine.base import errors
from covector._engine.base.caches import forgotten_by
from covector._engine.base.locks import guard
from covector._engine.base.record import record
from covector._engine.control.call import Call, Called, reference
from covector._engine.core import trace
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import Tracer, typeof
from covector._engine.ir.program import Program
from covector._engine.transforms.programs import stage_closed
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Body = tuple[
    Program, tuple[Any, ...]
]  # with the values of its constants, which are its last inputs

# Bodies by composite, types, and what else tracing depends on; the last used last.
_bodies: OrderedDict[Any, Body] = OrderedDict()
_most_bodies = 1024
_lock = guard(threading.RLock())
forgotten_by(_bodies.clear)


class Composite(Primitive):
    """A family: `compute` gives the results, by operations on the operands.

    It may have any rule (`type`, `reference`, `jvp`, `transpose`, `batch`); those that it has not are the function's.

    >>> import covector
    >>> import covector.numpy as np
    >>> from covector import extend
    >>> @extend.record
    ... class LogOnePlusExp(extend.Composite):
    ...     name = "log_one_plus_exp"
    ...     def compute(self, x):
    ...         return np.log(1 + np.exp(x))
    ...     def jvp(self, primals, tangents):
    ...         (x,), (t,) = primals, tangents
    ...         return self(x), t / (1 + np.exp(-x))
    >>> print(covector.grad(LogOnePlusExp())(100.0))
    1.0
    """

    def compute(self, *xs: Any) -> Any:
        """The result, or a tuple of results, by operations on the operands."""
        raise self._missing("compute")

    def __call__(self, *args: Any) -> Any:
        program, constants = self.body([typeof(x) for x in args])
        outs = Expanded(self, program, len(args))(*args, *constants)
        return outs if self.multiple else outs[0]

    def body(self, avals: Sequence[ShapedArray]) -> Body:
        """The Program of `compute` for operands of these types, with values of its constants."""
        key = (self, tuple(avals), trace.context())
        with _lock:
            if key in _bodies:
                _bodies.move_to_end(key)
                return _bodies[key]

        def run(*xs: Any) -> Sequence[Any]:
            out = self.compute(*xs)
            return tuple(out) if self.multiple else (out,)

        made = stage_closed(run, avals, self.name)
        # What closes over traced values, or calls users' functions, must not outlive them.
        if not any(isinstance(c, Tracer) for c in made[1]) and not made[0].effects:
            with _lock:
                _bodies[key] = made
                if len(_bodies) > _most_bodies:
                    _bodies.popitem(last=False)
        return made

    @property
    def asks_axis(self) -> bool:
        return type(self).batch_named is not Primitive.batch_named

    def called(self, args: Sequence[Any]) -> tuple[Call, tuple[Any, ...]]:
        """The call of its Program, and the values of its constants."""
        program, constants = self.body(
            [x.aval if isinstance(x, Linear) else typeof(x) for x in args]
        )
        return Call(program), constants

    def type(self, *avals: ShapedArray) -> ShapedArray | tuple[ShapedArray, ...]:
        types = self.body(avals)[0].out_avals
        return types if self.multiple else types[0]

    def reference(self, *xs: Any) -> Any:
        program, constants = self.body([typeof(x) for x in xs])
        outs = tuple(reference(program, (*xs, *constants)))
        return outs if self.multiple else outs[0]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        call, constants = self.called(primals)
        zeros = [Zero(c) for c in constants]
        return self._given(*call.jvp((*primals, *constants), (*tangents, *zeros)))

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        call, constants = self.called(args)
        return call.transpose(ct if self.multiple else (ct,), *args, *constants)[: len(args)]

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        call, constants = self.called(_elements(args, dims))
        axes = (*dims, *(None,) * len(constants))
        return self._given(*call.batch_named((*args, *constants), axes, size, None))

    def _given(self, outs: Any, more: Any) -> tuple[Any, Any]:
        return (outs, more) if self.multiple else (outs[0], more[0])

    def has(self, rule: str) -> bool:
        """Whether it has a rule of its own."""
        return getattr(type(self), rule) is not getattr(Composite, rule)


def _elements(args: Sequence[Any], dims: Sequence[int | None]) -> list[Any]:
    """Operands as one element of the batch sees them, known by type."""
    found: list[Any] = []
    for x, d in zip(args, dims, strict=True):
        aval = typeof(x)
        shape = aval.shape if d is None else (*aval.shape[:d], *aval.shape[d + 1 :])
        found.append(Linear(aval.with_shape(shape)))
    return found


@record
class Expanded(Called):
    """A composite on its operands, `count` of them, then on constants of its Program."""

    composite: Composite
    program: Program
    count: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.composite.name

    @property
    def transparent(self) -> bool:  # type: ignore[override]
        return not any(map(self.composite.has, ("jvp", "linearize", "transpose", "batch")))

    @property
    def users_slope(self) -> bool:  # type: ignore[override]
        return not self.transparent

    @property
    def asks_axis(self) -> bool:
        return self.composite.asks_axis

    @property
    def users_batch(self) -> bool:  # type: ignore[override]
        return self.composite.has("batch")

    def text(self) -> str:
        return self.composite.text()

    def _alone(self, rule: str, touched: Sequence[bool]) -> bool:
        """Whether a rule is the composite's own; ClosedOverError if it would not see what a constant brings."""
        if not self.composite.has(rule):
            return False
        if any(touched[self.count :]):
            raise errors.ClosedOverError(errors.closed_over(rule, self.name))
        return True

    def _tuples(self, outs: Any, more: Any) -> tuple[Any, Any]:
        return (outs, more) if self.composite.multiple else ((outs,), (more,))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        if self._alone("jvp", [not is_zero(t) for t in tangents]):
            n = self.count
            return self._tuples(*self.composite.jvp(primals[:n], tangents[:n]))
        return Call(self.program).jvp(primals, tangents)

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        if self._alone("linearize", [not is_zero(t) for t in tangents]):
            n = self.count
            return self._tuples(*self.composite.linearize(primals[:n], tangents[:n]))
        if self.composite.has("jvp"):
            return self.jvp(primals, tangents)
        return Call(self.program).linearize(primals, tangents)

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        if self._alone("transpose", [isinstance(x, Linear) for x in args]):
            found = self.composite.transpose(
                ct if self.composite.multiple else ct[0], *args[: self.count]
            )
            return (*found, *(None,) * (len(args) - self.count))
        return Call(self.program).transpose(ct, *args)

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        if self._alone("batch", [d is not None for d in dims]):
            n = self.count
            return self._tuples(*self.composite.batch_named(args[:n], dims[:n], size, axis_name))
        return Call(self.program).batch_named(args, dims, size, axis_name)
