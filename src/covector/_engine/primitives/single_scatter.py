"""The routine of scatters, and those of numbers at single indices into a vector in the form that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.primitive import MadeBy, Types
from covector._engine.core.routine import (
    ByRoutine,
    Called,
    RoutineCall,
    RuntimeRoutine,
    as_primitive,
    runtime_routine,
)
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir import program as ir
from covector._engine.primitives.scatter import (
    MOST_COMPONENTS,
    Combination,
    ScatterDimensionNumbers,
)
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["SingleScatter", "scatter_call", "single_scatter", "takes_routine"]

COMBINATIONS: tuple[Combination, ...] = (
    "set",
    "add",
    "mul",
    "min",
    "max",
)  # by the routine's numbers
_MODES: Mapping[int, Any] = {0: "fill", 1: "clip"}  # the routine's numbers

# What a negative index stands for.
Negative = Literal["outside", "from the end", "first"]
NEGATIVE: Mapping[int, Negative] = {
    0: "outside",
    2: "from the end",
    3: "first",
}  # the routine's numbers
_SINGLES = ScatterDimensionNumbers((), (0,), (0,))


@record
class SingleScatter(ByRoutine):
    """A vector with numbers combined into its elements.  Operands: it, the indices, and one update for each or for all.

    Indices out of bounds are left out; negative ones are so too, or count from the end, or are 0.  What a Scatter
    computes with indices and updates made for it, which were as long as the updates and made for nothing else.
    """

    combine: Combination
    negative: Negative = "outside"
    name: ClassVar[str] = "single_scatter"
    begins_as: ClassVar[tuple[int | None, ...]] = (0,)

    def type(self, x: ShapedArray, indices: ShapedArray, updates: ShapedArray) -> ShapedArray:
        if x.ndim != 1 or updates.shape not in ((), indices.shape):
            texts = [x.text(), indices.text(), updates.text()]
            raise errors.ShapeError(errors.shape_mismatch(self.name, texts))
        scatter, vectors = self._scatter(), indices.with_shape((*indices.shape, 1))
        return scatter.type(x, vectors, updates.with_shape(indices.shape))

    def _scatter(self) -> Any:
        return prims.Scatter(_SINGLES, "fill", self.combine)

    def _vectors(self, n: Any, indices: Any) -> Any:
        """The index vectors of the scatter into n elements."""
        aval, dtype = typeof(indices), typeof(indices).dtype
        size, zero = dtype.type(n), dtype.type(0)
        if self.negative == "first":
            indices = prims.maximum(indices, zero)
        elif self.negative == "from the end":
            counted = prims.add(indices, size)
            indices = prims.select(prims.lt(indices, zero), counted, indices)
        return prims.expand_dims(indices, (aval.ndim,))

    def reference(self, x: Any, indices: Any, updates: Any) -> Any:
        at = prims.as_int64(indices)
        if self.negative != "outside":
            at = np.where(at < 0, at + x.shape[0] if self.negative == "from the end" else 0, at)
        updates = np.broadcast_to(updates, at.shape)
        return self._scatter().reference(x, at[..., None], updates)

    def call(self, avals: Types) -> RoutineCall:
        x, indices, updates = avals
        outside = next(n for n, negative in NEGATIVE.items() if negative == self.negative)
        one = updates.ndim == 0
        call = scatter_call(x, indices.dtype, self.combine, outside, one, indices.size, 1, 1)
        assert call is not None, "a scatter that the routine does not take"
        return call

    # -- rules: those of the scatter -----------------------------------------------------------------

    def _spread(self, update: Any, indices: Any) -> Any:
        shape = typeof(indices).shape
        if typeof(update).shape == shape:
            return update
        return prims.Broadcast(shape, tuple(range(len(shape))))(update)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, indices, update), (t, s, u) = primals, tangents
        many = self._spread(update, indices)
        slope = Zero(many) if is_zero(u) else self._spread(u, indices)
        vectors = self._vectors(typeof(x).shape[0], indices)
        return self._scatter().jvp((x, vectors, many), (t, s, slope))

    def transpose(self, ct: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        one = updates.aval if isinstance(updates, Linear) else typeof(updates)
        shape = typeof(indices).shape
        if isinstance(updates, Linear):
            many: Any = Linear(one.with_shape(shape))
        else:
            many = self._spread(updates, indices)
        vectors = self._vectors(typeof(ct).shape[0], indices)
        to_x, _, back = self._scatter().transpose(ct, x, vectors, many)
        if back is not None and one.shape != shape:
            back = prims.Sum(tuple(range(len(shape))))(back)
        return to_x, None, back

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        x, indices, updates = (
            prims.batch_to_front(a, d, size) for a, d in zip(args, dims, strict=True)
        )
        vectors, shape = self._vectors(typeof(x).shape[1], indices), typeof(indices).shape
        if typeof(updates).shape != shape:
            updates = prims.Broadcast(shape, tuple(range(1, len(shape))))(updates)
        numbers = ScatterDimensionNumbers((), (1,), (1,), (0,), (0,))
        return prims.Scatter(numbers, "fill", self.combine)(x, vectors, updates), 0


def single_scatter(eqn: ir.Eqn, made_by: MadeBy) -> ir.Eqn | None:
    """A scatter of the routine's without the passes that made its indices or updates, if there are such."""
    scatter: Any = eqn.primitive
    x, vectors, updates = eqn.inputs
    made = made_by(vectors)
    if scatter.mode != "fill" or x.aval.ndim != 1 or dtypes.is_complex(x.aval.dtype):
        return None
    if made is None or made.inputs[0].aval.shape != vectors.aval.shape[:-1]:
        return None
    negative, indices = _taken_back(made.inputs[0], x.aval.shape[0], made_by)
    filled = made_by(updates)
    one = filled is not None and isinstance(filled.primitive, prims.Broadcast)
    one = one and filled.inputs[0].aval.ndim == 0  # type: ignore[union-attr]
    if negative == "outside" and not one:
        return None
    update = filled.inputs[0] if one else updates  # type: ignore[union-attr]
    single = SingleScatter(scatter.combine, negative)
    return ir.Eqn(single, (x, indices, update), eqn.outputs, eqn.source)


def _taken_back(indices: ir.Atom, size: Dim, made_by: MadeBy) -> tuple[Negative, ir.Atom]:
    """What was done to negative indices, and the indices before that."""
    made = made_by(indices)
    if made is None:
        return "outside", indices
    if made.primitive is prims.maximum and _is(made.inputs[1], 0):
        return "first", made.inputs[0]
    if made.primitive is prims.select:
        asked, counted = made_by(made.inputs[0]), made_by(made.inputs[1])
        if asked is None or counted is None or asked.primitive is not prims.lt:
            return "outside", indices
        plain = made.inputs[2]
        same = asked.inputs[0] is plain and counted.inputs[0] is plain
        sum_ = counted.primitive is prims.add and _is(counted.inputs[1], size)
        if same and sum_ and _is(asked.inputs[1], 0):
            return "from the end", plain
    return "outside", indices


def _is(a: ir.Atom, value: Dim) -> bool:
    return isinstance(a, ir.Literal) and bool(a.value == value)


# -- the routine ---------------------------------------------------------------------------------------


def takes_routine(dtype: np.dtype, combine: Combination) -> bool:
    """Whether many elements of this dtype are combined by the routine."""
    return _routine_code(dtype, combine) is not None


def _routine_code(dtype: np.dtype, combine: Combination) -> tuple[int, int] | None:
    """How many elements of the routine's one of this dtype is, and the code of these; None if it takes none such."""
    if combine == "set":
        bits = {4: (1, dtypes.uint32), 8: (1, dtypes.uint64), 16: (2, dtypes.uint64)}
        found = bits.get(dtype.itemsize)
    elif combine == "add" and dtypes.is_complex(dtype):
        found = 2, dtypes.real_of(dtype)
    else:
        found = 1, dtype
    if found is None or found[1] not in _ROUTINE_DTYPES:
        return None
    return found[0], dtypes.CODES[found[1]]


def scatter_call(
    x: ShapedArray,
    indices: np.dtype,
    combine: Combination,
    outside: int,
    one: bool,
    count: Dim,
    width: Dim,
    components: int,
) -> RoutineCall | None:
    """The call for so many vectors of so many components and rows so wide; None for a dtype that it does not take.

    `outside` says what becomes of indices out of bounds, in the routine's numbers; `one`, whether one row is for all.
    """
    code = _routine_code(x.dtype, combine)
    if code is None:
        return None
    parts, dtype_code = code
    sizes = (*x.shape[:components], *[1] * (MOST_COMPONENTS - components))
    how = dtype_code, COMBINATIONS.index(combine), outside, int(one), indices.itemsize
    parameters = *how, count, width * parts, components, *sizes
    return RoutineCall(ROUTINE, parameters, work=count * width)


def _into_rows(
    code: int,
    operation: int,
    outside: int,
    one: int,
    bytes_: int,
    count: int,
    width: int,
    k: int,
    *sizes: int,
) -> Called:
    front, dtype, combine = tuple(range(k)), dtypes.ALL[code], COMBINATIONS[operation]
    if one or outside not in _MODES:
        single = SingleScatter(combine, NEGATIVE[outside])
        indices = ShapedArray((count,), np.dtype(f"i{bytes_}"))
        updates = ShapedArray(() if one else (count,), dtype)
        return Called(single, (ShapedArray((sizes[0],), dtype), indices, updates))
    numbers = ScatterDimensionNumbers((1,), front, front)
    scatter = prims.Scatter(numbers, _MODES[outside], combine)
    vectors = ShapedArray((count, k), np.dtype(f"i{bytes_}"))
    rows = ShapedArray((*sizes[:k], width), dtype), ShapedArray((count, width), dtype)
    return Called(scatter, (rows[0], vectors, rows[1]))


ROUTINE = runtime_routine(RuntimeRoutine("scatter", "moved", as_primitive(_into_rows)))

_ROUTINE_DTYPES = (
    dtypes.int32,
    dtypes.int64,
    dtypes.uint32,
    dtypes.uint64,
    dtypes.float32,
    dtypes.float64,
)
