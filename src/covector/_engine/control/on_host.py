"""`OnHost`: what Python computes, on NumPy arrays, also where compiled code asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import _native
from covector._engine.base import errors
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import EVAL, set_current, typeof
from covector._engine.ir.builder import Builder, Operand, Result
from covector._engine.ir.effects import CALLS_OUT, Effect
from covector._engine.types.avals import ShapedArray

PURE = frozenset({CALLS_OUT})


class OnHost(Primitive):
    """A family: `reference`, which takes and gives NumPy arrays, is what computes it.

    Compiled code calls it on the thread of its caller.  It runs as often as its results are needed, not at all if
    nobody reads them; one that does something says so in `effects`.

    >>> import numpy
    >>> import covector.numpy as np
    >>> from covector import extend
    >>> @extend.record
    ... class Unwrap(extend.OnHost):
    ...     name = "unwrap"
    ...     def type(self, x):
    ...         return x
    ...     def reference(self, x):
    ...         return numpy.unwrap(x).astype(x.dtype)
    >>> print(Unwrap()(np.array([0.0, 6.25])).round(2))
    [ 0.   -0.03]
    """

    effects: ClassVar[frozenset[Effect]] = PURE

    def results_on(self, *arrays: Any) -> Sequence[Any]:
        """The results of the function on Arrays, of the types that the type rule says."""
        found = self.reference(*map(np.asarray, arrays))
        found = found if self.multiple else (found,)
        types = self.type(*map(typeof, arrays))
        types = types if isinstance(types, tuple) else (types,)
        if len(found) != len(types):
            raise TypeError(
                f"{self.name} returned {len(found)} results; by its type rule it has {len(types)}"
            )
        return [self._checked(x, aval) for x, aval in zip(found, types, strict=True)]

    def _checked(self, x: Any, aval: ShapedArray) -> Any:
        value = np.asarray(x)
        if value.dtype != aval.dtype or value.shape != aval.shape:
            raise TypeError(
                f"{self.name} returned {value.dtype.name}{list(value.shape)}; by its type rule that is {aval.text()}"
            )
        return _native.array_from(value, weak_type=aval.weak_type)

    def run(self, *arrays: Any) -> Sequence[Any]:
        """Call the function, as if no transformation were in progress; its results as Arrays."""
        before = set_current(EVAL)
        try:
            return self.results_on(*arrays)
        finally:
            set_current(before)

    def on_host(self, arrays: Sequence[Any]) -> Any:
        found = errors.noting(self.run, self.name, errors.user_source())(*arrays)
        return tuple(found) if self.multiple else found[0]

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        given = [(x.place, x.aval) for x in operands]
        b.callback(self, self.run, given, [(r.place, r.aval) for r in results])
