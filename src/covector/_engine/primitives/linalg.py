"""The family of routines on stacks of matrices, and what their rules share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.locks import import_late
from covector._engine.core.primitive import Types
from covector._engine.core.routine import (
    ByRoutine,
    Called,
    RoutineCall,
    RuntimeRoutine,
    as_primitive,
    runtime_routine,
)
from covector._engine.core.trace import typeof
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "MATRIX_TYPES",
    "OfMatrices",
    "adjoint",
    "identity_like",
    "matmul",
    "matrix_transpose",
    "oracle",
    "put_diagonal",
    "take_diagonal",
    "take_rows",
    "triangle",
]

Shape = tuple[Dim, ...]

# LAPACK's types, by the number that routines take.
MATRIX_TYPES = (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128)


class OfMatrices(ByRoutine):
    """A function of a stack of matrices, which a routine of the runtime takes at once.

    Operands have the same axes in front; behind these, operand i has `cores[i]` axes of its own, which are what the
    function is of.  A member gives the types of the results for one element of the stack (`single`), how it is called
    (`numbers`), and its meaning in NumPy (`meaning`), also for one.
    """

    cores: ClassVar[tuple[int, ...]] = (2,)
    routine: ClassVar[str]  # its name in the runtime

    def __init_subclass__(cls) -> None:
        if "routine" in vars(cls):
            meaning = as_primitive(cls._of_call)
            runtime_routine(RuntimeRoutine(cls.routine, "eliminated", meaning))

    @classmethod
    def _of_call(cls, code: int, count: int, *numbers: int) -> Called:
        primitive, cores = cls.called(*numbers)
        dtype = MATRIX_TYPES[code]
        stacks = [ShapedArray((count, *core), dtype) for core in cores]
        return Called(primitive, tuple(stacks), primitive.order)

    @property
    def order(self) -> tuple[int, ...] | None:
        """In which the routine takes the places, if not as they come; its first operand, for one that it has not."""
        return None

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        """The types of the results; an exception if the operands do not fit."""
        raise self._missing("single")

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        """The routine's parameters behind the type and the count, and the multiplications that it does."""
        raise self._missing("numbers")

    @classmethod
    def called(cls, *numbers: int) -> tuple[OfMatrices, tuple[tuple[int, ...], ...]]:
        """What a call with these `numbers` computes: the primitive, and the shapes of its operands."""
        raise NotImplementedError

    def meaning(self, *xs: Any) -> Sequence[Any]:
        """The results in NumPy."""
        raise self._missing("meaning")

    # -- rules of all -----------------------------------------------------------------------------

    def type(self, *avals: ShapedArray) -> Any:
        self._check_axes(avals)
        front = self._front(avals)
        cores = [a.with_shape(a.shape[len(front) :]) for a in avals]
        single = self.single(*cores)
        self._check_dtypes(avals)
        weak = all(a.weak_type for a in avals)
        found = [ShapedArray((*front, *o.shape), o.dtype, weak) for o in single]
        return tuple(found) if self.multiple else found[0]

    def _front(self, avals: Types) -> Shape:
        return avals[0].shape[: avals[0].ndim - self.cores[0]]

    def _check_dtypes(self, avals: Types) -> None:
        texts = [a.text() for a in avals]
        if any(a.dtype not in MATRIX_TYPES for a in avals):
            raise TypeError(
                f"{self.name} of {' and '.join(texts)}{errors.at_user_line()}: matrices are of "
                f"{', '.join(d.name for d in MATRIX_TYPES)}"
            )

    def _check_axes(self, avals: Types) -> None:
        texts = [a.text() for a in avals]
        if any(a.ndim < core for a, core in zip(avals, self.cores, strict=True)):
            least = " and ".join(map(str, self.cores))
            raise errors.ShapeError(
                f"{self.name} of {' and '.join(texts)}{errors.at_user_line()}: needs at least {least} axes"
            )
        fronts = {a.shape[: a.ndim - core] for a, core in zip(avals, self.cores, strict=True)}
        if len({a.dtype for a in avals}) > 1 or len(fronts) > 1:
            raise TypeError(
                f"{self.name} of {' and '.join(texts)}{errors.at_user_line()}: operands must have one dtype, and "
                "the same axes in front of those of one matrix"
            )

    def square(self, x: ShapedArray) -> None:
        """ShapeError unless the matrix is square."""
        if x.shape[-1] != x.shape[-2]:
            raise errors.ShapeError(
                f"{self.name} of matrices of shape {prims.show_shape(x.shape[-2:])}{errors.at_user_line()}: "
                "they must be square"
            )

    def reference(self, *xs: Any) -> Any:
        types: Any = self.type(*[ShapedArray(x.shape, x.dtype) for x in xs])
        types = types if self.multiple else (types,)
        outs = [np.empty(prims.sizes(a.shape), a.dtype) for a in types]
        front = xs[0].shape[: xs[0].ndim - self.cores[0]]
        with np.errstate(all="ignore"):
            for at in np.ndindex(front):
                for out, value in zip(outs, self.meaning(*[x[at] for x in xs]), strict=True):
                    out[at] = value
        return tuple(outs) if self.multiple else outs[0]

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        out = self(*[prims.batch_to_front(x, d, size) for x, d in zip(args, dims, strict=True)])
        return out, (0,) * len(out) if self.multiple else 0

    def call(self, avals: Types) -> RoutineCall:
        front = self._front(avals)
        count = sizes.product(front)
        parameters, work = self.numbers(*[a.shape[len(front) :] for a in avals])
        code = MATRIX_TYPES.index(avals[0].dtype)
        numbers = (code, count, *parameters)
        return RoutineCall(self.routine, numbers, work=count * work, order=self.order)


def oracle() -> Any:
    """SciPy's linear algebra: the oracle of the tests, which is its only use."""
    return import_late("scipy.linalg")


# ------------------------------------------------------------------------------------- what rules are made of


def matmul(x: Any, y: Any) -> Any:
    """The products of two stacks of matrices."""
    n = typeof(x).ndim
    front = tuple(range(n - 2))
    return prims.DotGeneral((n - 1,), (n - 2,), front, front)(x, y)


def matrix_transpose(x: Any) -> Any:
    """Each matrix with its axes exchanged."""
    n = typeof(x).ndim
    return prims.Transpose((*range(n - 2), n - 1, n - 2))(x)


def adjoint(x: Any) -> Any:
    """The transposed conjugate of each matrix."""
    flipped = matrix_transpose(x)
    return prims.conj(flipped) if dtypes.is_complex(typeof(x).dtype) else flipped


def _places(aval: ShapedArray) -> tuple[Any, Any]:
    """The row and the column of each element."""
    return tuple([prims.Iota(aval.shape, dtypes.int32, aval.ndim - a)() for a in (2, 1)])  # type: ignore[return-value]


def triangle(x: Any, lower: bool, strict: bool = False) -> Any:
    """The lower or upper triangle of each matrix, zeros elsewhere; without the diagonal if `strict`."""
    rows, columns = _places(typeof(x))
    compare = prims.gt if strict else prims.ge
    inside = compare(rows, columns) if lower else compare(columns, rows)
    return prims.select(inside, x, prims.zeros(typeof(x)))


def identity_like(x: Any) -> Any:
    """Ones on the diagonals of matrices like x, zeros elsewhere."""
    aval = typeof(x)
    rows, columns = _places(aval)
    return prims.convert(prims.eq(rows, columns), aval.dtype)


def take_diagonal(x: Any) -> Any:
    """The diagonal of each square matrix, as its last axis."""
    aval = typeof(x)
    rows, columns = _places(aval)
    return prims.Sum((aval.ndim - 2,))(prims.select(prims.eq(rows, columns), x, prims.zeros(aval)))


def columns(x: Any, start: Dim, stop: Dim) -> Any:
    """Some columns of matrices."""
    shape = typeof(x).shape
    first = (0,) * (len(shape) - 1)
    return prims.Slice((*first, start), (*shape[:-1], stop), (1,) * len(shape))(x)


def put_diagonal(d: Any) -> Any:
    """Diagonal matrices: of vectors along the last axis."""
    aval = typeof(d)
    shape = (*aval.shape, aval.shape[-1])
    spread = prims.Broadcast(shape, (aval.ndim,))(d)
    rows, columns = _places(ShapedArray(shape, aval.dtype))
    return prims.select(prims.eq(rows, columns), spread, prims.zeros(typeof(spread)))


def take_rows(x: Any, rows: Any) -> Any:
    """The rows of each matrix in this order: row i of the result is row rows[i]."""
    aval = typeof(x)
    n = aval.ndim
    if 0 in aval.shape:
        return x
    front = tuple(range(n - 2))
    numbers = prims.GatherDimensionNumbers((n - 1,), (n - 2,), (n - 2,), front, front)
    indices = prims.expand_dims(rows, (typeof(rows).ndim,))
    return prims.Gather(numbers, (*[1] * (n - 1), aval.shape[-1]), "promise_in_bounds")(x, indices)
