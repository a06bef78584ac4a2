"""Reading and writing references as operations, which say when it is done.

What runs on the way back of a custom rule is staged before it runs, apart from the function that is differentiated: so
it cannot be said there what a reference from outside will hold.  Who runs the Program puts values in the place of these
operations (`control/touching.py`): no compiler ever sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from covector._engine.base import errors, ref_errors
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive
from covector._engine.core.refs import Later
from covector._engine.core.trace import StagingTrace, using
from covector._engine.ir.builder import Builder, Operand, Result
from covector._engine.ir.effects import TOUCHING, Effect
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


class Touch(Primitive):
    """A family: something is done to a reference."""

    cell: Any
    effects: ClassVar[frozenset[Effect]] = frozenset({TOUCHING})

    def text(self) -> str:
        return f"{self.name}[{self.cell._inner.text()}]"

    # It must have become a value before:

    def reference(self, *xs: Any) -> Any:
        raise errors.OutsideRefError(ref_errors.from_outside("what is compiled"))

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        raise errors.OutsideRefError(ref_errors.from_outside("what is compiled"))


@record
class ReadRef(Touch):
    """The value of a reference."""

    cell: Any
    name: ClassVar[str] = "get"
    no_slope: ClassVar[str | None] = "it has no operands"

    def type(self, *avals: ShapedArray) -> ShapedArray:
        return self.cell._inner  # type: ignore[no-any-return]


@record
class WriteRef(Touch):
    """A reference gets a value, which may depend on no tangent, and be another for no element of a batch."""

    cell: Any
    name: ClassVar[str] = "swap"
    multiple: ClassVar[bool] = True

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        return ()

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        raise TypeError(ref_errors.of_a_tangent())

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        raise ValueError(ref_errors.written_in_vmap())


class Deferred:
    """What a reference holds, in the place of `Held`: it is read and written by operations."""

    __slots__ = ("_cell", "_frame", "written")

    def __init__(self, cell: Any, frame: StagingTrace):
        self._cell, self._frame, self.written = cell, frame, False

    @property
    def value(self) -> Any:
        """Its value."""
        with using(self._frame):
            return ReadRef(self._cell)()

    @value.setter
    def value(self, value: Any) -> None:
        with using(self._frame):
            WriteRef(self._cell)(value)


Later.deferred = Deferred
