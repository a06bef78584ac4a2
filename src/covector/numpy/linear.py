"""Products of vectors and matrices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.fused import compiled, fused
from covector.numpy.matrices import diagonal
from covector.numpy.operands import refuse_out, together
from covector.numpy.precision import check_precision
from covector.numpy.promotion import Shape, axes_of, cast, integer_of, lift, spread
from covector.numpy.reduce import strong, sum as total
from covector.numpy.shape import broadcast_shapes, moveaxis, ravel, reshape, transpose

__all__ = [
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "matvec",
    "outer",
    "tensordot",
    "trace",
    "vdot",
    "vecdot",
    "vecmat",
]

Axes = tuple[int, ...]


def _operands(name: str, a: Any, b: Any) -> list[Any]:
    return together(name, "any", a, b)


def contract(
    x: Any,
    y: Any,
    contracted: tuple[Axes, Axes],
    batch: tuple[Axes, Axes] = ((), ()),
    preferred: Any = None,
) -> Any:
    """The sum of products over contracted axes; of bool whether one product holds.

    Operands may have two dtypes: the result's is `preferred`, or the higher one.  Products are of the dtype that holds
    both, and of `preferred`, if that is above.  TypeError for a `preferred` that drops bits of integers or complex
    numbers, or their imaginary parts.
    """
    plain = x.dtype != dtypes.bool_ and not dtypes.is_narrow(x.dtype)
    if x.dtype == y.dtype and preferred is None and plain:
        return prims.DotGeneral(*contracted, *batch)(x, y)
    out = _product_dtype(x, y, preferred)
    wide = dtypes.promote(*[(_summed_in(v.dtype), False) for v in (x, y)])[0]
    above = not dtypes.is_narrow(out) and dtypes.promote((wide, False), (out, False))[0] == out
    pairs = prims.DotGeneral(*contracted, *batch, out).by_pairs(typeof(x), typeof(y))
    if above and out in prims.GEMM and not pairs:
        wide = out  # for which there is a routine
    dot = prims.DotGeneral(*contracted, *batch, out if above and out != wide else None)
    result = dot(cast(x, wide), cast(y, wide))
    return cast(result, out)


def _summed_in(dtype: np.dtype) -> np.dtype:
    """The dtype in which products are made: of narrow types and bool one that is wide enough for sums."""
    if dtypes.is_narrow(dtype):
        return dtypes.float32 if dtypes.is_float(dtype) else dtypes.int32
    return dtypes.int32 if dtype == dtypes.bool_ else dtype


def _product_dtype(x: Any, y: Any, preferred: Any) -> np.dtype:
    """The dtype of a product: what is preferred, or the higher one of the operands'."""
    higher = max(x.dtype, y.dtype, key=_height)
    if preferred is None:
        return higher
    wanted = dtypes.as_dtype(preferred)
    narrow = not dtypes.is_float(higher) and wanted.itemsize < higher.itemsize
    truth = wanted == dtypes.bool_ and dtypes.kind(higher) in "iu"
    if narrow or truth or (dtypes.is_complex(higher) and not dtypes.is_complex(wanted)):
        raise TypeError(
            f"dot_general of {typeof(x).text()} and {typeof(y).text()} cannot give preferred_element_type="
            f"{wanted.name}{errors.at_user_line()}, which holds less than {higher.name}"
        )
    return wanted


def _height(dtype: np.dtype) -> tuple[int, ...]:
    """Complex numbers are above floats, floats above integers; of these, more bits, and then those with a sign."""
    real = dtypes.real_of(dtype) if dtypes.is_complex(dtype) else dtype
    digits = (
        (dtypes.finfo(real).maxexp, dtypes.finfo(real).nmant) if dtypes.is_float(real) else (-1, -1)
    )
    kind = dtypes.kind(dtype)
    return int(kind == "c"), *digits, kind != "b", dtype.itemsize, kind != "u"


def _mismatch(name: str, a: Any, b: Any, what: str, kind: type[Exception] = TypeError) -> Exception:
    return kind(f"{name} got shapes {a.shape} and {b.shape}{errors.at_user_line()}: {what}")


@compiled("a", "b")
def dot(
    a: Any,
    b: Any,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The product of two arrays: over the last axis of `a` and the last but one (or only) axis of `b`.

    Vectors give a scalar, matrices the matrix product; with a scalar it is multiplication.
    TypeError if the two axes differ in length.

    >>> from covector import numpy as cnp
    >>> cnp.dot(cnp.array([[1, 2], [3, 4]]), cnp.array([1, 1]))
    Array([3, 7], dtype=int32)
    """
    check_precision("dot", precision)
    a, b = _operands("dot", a, b)
    if a.ndim == 0 or b.ndim == 0:
        result = el.multiply(a, b)
        return (
            result
            if preferred_element_type is None
            else cast(result, dtypes.as_dtype(preferred_element_type))
        )
    axis = max(0, b.ndim - 2)
    if a.shape[-1] != b.shape[axis]:
        raise _mismatch(
            "dot",
            a,
            b,
            f"axis {a.ndim - 1} of the first and axis {axis} of the second must be equal",
        )
    return contract(a, b, ((a.ndim - 1,), (axis,)), preferred=preferred_element_type)


@compiled("a", "b")
def matmul(
    a: Any,
    b: Any,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The matrix product over the last two axes; the axes before them broadcast.  What `a @ b` does.

    A vector on the left is a row, on the right a column, and that axis is gone from the result.
    ValueError for scalars, TypeError if the sizes do not fit.

    >>> from covector import numpy as cnp
    >>> cnp.matmul(cnp.ones((2, 3)), cnp.ones((3, 4))).shape
    (2, 4)
    """
    check_precision("matmul", precision)
    a, b = _operands("matmul", a, b)
    return _matmul(a, b, preferred_element_type)


@fused("preferred")
def _matmul(a: Any, b: Any, preferred: Any) -> Any:
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(
            f"matmul needs arrays with at least one axis, got shapes {a.shape} and {b.shape}{errors.at_user_line()}; "
            "use multiply"
        )
    row, column = a.ndim == 1, b.ndim == 1
    if a.shape[-1] != b.shape[-1 if column else -2]:
        raise _mismatch(
            "matmul",
            a,
            b,
            "the last axis of the first must be as long as the last but one of the second",
        )
    if a.ndim <= 2 and b.ndim <= 2:
        return contract(a, b, ((a.ndim - 1,), (0,)), preferred=preferred)
    lead_a, lead_b = a.shape[: -1 if row else -2], b.shape[: -1 if column else -2]
    lead = broadcast_shapes(lead_a, lead_b)
    return _batched(a, b, lead, (lead_a, lead_b), (row, column), preferred)


def _batched(
    a: Any,
    b: Any,
    lead: Shape,
    leads: tuple[Shape, Shape],
    vectors: tuple[bool, bool],
    preferred: Any,
) -> Any:
    """A matrix product with leading axes: those that both have are batch axes, the others are free axes of one."""
    rank = len(lead)
    shared, free_a, free_b = [], [], []  # positions in `lead`
    for i in range(rank):
        in_a, in_b = (_long(own, i - rank) for own in leads)
        (shared if in_a == in_b else free_a if in_a else free_b).append(i)
    a = _drop(a, leads[0], [i - rank for i in (*shared, *free_a)])
    b = _drop(b, leads[1], [i - rank for i in (*shared, *free_b)])
    place_a, place_b = sorted((*shared, *free_a)), sorted((*shared, *free_b))
    batch = tuple([place_a.index(i) for i in shared]), tuple([place_b.index(i) for i in shared])
    inner = a.ndim - 1, b.ndim - (1 if vectors[1] else 2)
    out = contract(a, b, ((inner[0],), (inner[1],)), batch, preferred)
    # The result's axes: shared, free of a, rows, free of b, columns; they belong in the order of `lead`.
    rows, columns = (() if vectors[0] else (rank,)), (() if vectors[1] else (rank + 1,))
    labels = [*shared, *free_a, *rows, *free_b, *columns]
    return transpose(out, [labels.index(i) for i in sorted(labels)])


def _long(own: Shape, i: int) -> bool:
    """Whether the leading axes include one, counted from the end, that is not of length 1."""
    return -i <= len(own) and own[i] != 1


def _drop(x: Any, lead: Shape, keep: list[int]) -> Any:
    """Without the leading axes that are not to be kept; those to be kept that are missing or of length 1 go too."""
    gone = [i for i in range(len(lead)) if i - len(lead) not in keep]
    shape = [n for i, n in enumerate(x.shape) if i not in gone]
    missing = [i for i in keep if -i > len(lead)]
    return reshape(x, (*[1] * len(missing), *shape)) if gone or missing else x


@compiled("a", "b")
def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The sum of products of all elements, those of `a` conjugated.

    TypeError if the numbers of elements differ.

    >>> from covector import numpy as cnp
    >>> cnp.vdot(cnp.array([1j, 2]), cnp.array([1j, 2]))
    Array(5.+0.j, dtype=complex64)
    """
    check_precision("vdot", precision)
    a, b = _operands("vdot", a, b)
    return dot(ravel(el.conj(a)), ravel(b), preferred_element_type=preferred_element_type)


def vecdot(
    x1: Any,
    x2: Any,
    /,
    *,
    axis: int = -1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The sum of products along an axis, those of `x1` conjugated; the other axes broadcast.

    TypeError if the axis is no integer, ValueError if the lengths along it differ.

    >>> from covector import numpy as cnp
    >>> cnp.vecdot(cnp.array([[1, 2], [3, 4]]), cnp.array([1, 1]))
    Array([3, 7], dtype=int32)
    """
    check_precision("vecdot", precision)
    a, b = _operands("vecdot", x1, x2)
    axis = integer_of(axis, "axis of vecdot")
    a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
    if a.shape[-1] != b.shape[-1]:
        raise _mismatch("vecdot", a, b, f"axis {axis} must be of one length", ValueError)
    lead = broadcast_shapes(a.shape[:-1], b.shape[:-1])
    leads = a.shape[:-1], b.shape[:-1]
    return _batched(el.conj(a), b, lead, leads, (True, True), preferred_element_type)


def matvec(x1: Any, x2: Any, /) -> Any:
    """Matrices times vectors: (..., m, n) and (..., n) give (..., m).

    TypeError if n differs.  The axes in front broadcast.

    >>> from covector import numpy as cnp
    >>> cnp.matvec(cnp.array([[1, 2], [3, 4]]), cnp.array([1, 1]))
    Array([3, 7], dtype=int32)
    """
    return prims.squeeze(
        matmul(x1, reshape(lift("matvec", x2), (*np.shape(x2), 1))), (-1 % _rank(x1, x2),)
    )


def vecmat(x1: Any, x2: Any, /) -> Any:
    """Conjugated vectors times matrices: (..., n) and (..., n, m) give (..., m).

    TypeError if n differs.  The axes in front broadcast.

    >>> from covector import numpy as cnp
    >>> cnp.vecmat(cnp.array([1, 1]), cnp.array([[1, 2], [3, 4]]))
    Array([4, 6], dtype=int32)
    """
    x1 = el.conj(lift("vecmat", x1))
    return prims.squeeze(
        matmul(reshape(x1, (*x1.shape[:-1], 1, x1.shape[-1])), x2), (-2 % _rank(x2, x1),)
    )


def _rank(matrices: Any, vectors: Any) -> int:
    return max(np.ndim(matrices), np.ndim(vectors) + 1)


@compiled("a", "b")
def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The sum of products over the last axes; with a scalar it is multiplication.

    TypeError if the last axes differ in length.

    >>> from covector import numpy as cnp
    >>> cnp.inner(cnp.array([1, 2]), cnp.array([3, 4]))
    Array(11, dtype=int32)
    """
    check_precision("inner", precision)
    a, b = _operands("inner", a, b)
    if a.ndim == 0 or b.ndim == 0:
        return el.multiply(a, b)
    return tensordot(a, b, ((-1,), (-1,)), preferred_element_type=preferred_element_type)


@compiled("a", "b")
def outer(a: Any, b: Any, out: None = None) -> Any:
    """The products of each element of `a` with each of `b`: a matrix.

    Both are flattened first.

    >>> from covector import numpy as cnp
    >>> cnp.outer(cnp.array([1, 2]), cnp.array([3, 4]))
    Array([[3, 4],
           [6, 8]], dtype=int32)
    """
    refuse_out("outer", out)
    a, b = (ravel(x) for x in _operands("outer", a, b))
    shape = (a.shape[0], b.shape[0])
    return el.multiply(spread(reshape(a, (shape[0], 1)), shape), spread(b, shape))


def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The sum of products over axes of `a` and of `b`: as many last and first ones, or those in a pair of sequences.

    TypeError if the lengths of the axes differ.

    >>> from covector import numpy as cnp
    >>> cnp.tensordot(cnp.ones((2, 3)), cnp.ones((3, 2)), axes=1)
    Array([[3., 3.],
           [3., 3.]], dtype=float32)
    """
    check_precision("tensordot", precision)
    a, b = _operands("tensordot", a, b)
    if isinstance(axes, Iterable):
        pair = list(axes)
        if len(pair) != 2:
            raise TypeError(
                f"tensordot: axes is {axes!r}{errors.at_user_line()}; it is a number, or a pair of axes or of "
                "sequences of axes"
            )
        left, right = pair
        ours, theirs = axes_of(left, a.ndim), axes_of(right, b.ndim)
    else:
        n = integer_of(axes, "axes")
        if n < 0 or n > min(a.ndim, b.ndim):
            raise TypeError(
                f"tensordot over {n} axes of arrays of shapes {a.shape} and {b.shape}{errors.at_user_line()}"
            )
        ours, theirs = tuple(range(a.ndim - n, a.ndim)), tuple(range(n))
    if [a.shape[i] for i in ours] != [b.shape[i] for i in theirs]:
        raise _mismatch(
            "tensordot", a, b, f"axes {ours} of the first and {theirs} of the second must be equal"
        )
    return contract(a, b, (ours, theirs), preferred=preferred_element_type)


@compiled("a", "b")
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: each element of `a` times the whole of `b`, as blocks.

    Its shape is the product of the two shapes, axis by axis; its dtype the promoted one.

    >>> from covector import numpy as cnp
    >>> cnp.kron(cnp.array([1, 10]), cnp.array([1, 2]))
    Array([ 1,  2, 10, 20], dtype=int32)
    """
    a, b = _operands("kron", a, b)
    rank = max(a.ndim, b.ndim)
    one, two = (1,) * (rank - a.ndim) + a.shape, (1,) * (rank - b.ndim) + b.shape
    blocks = tuple([n for pair in zip(one, two, strict=True) for n in pair])
    left = spread(reshape(a, tuple([m for n in one for m in (n, 1)])), blocks)
    right = spread(reshape(b, tuple([m for n in two for m in (1, n)])), blocks)
    return reshape(el.multiply(left, right), tuple([n * m for n, m in zip(one, two, strict=True)]))


@compiled("a")
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Any:
    """The sum of the elements on a diagonal of two axes.

    In the dtype of `sum`.  ValueError for an array with fewer than two axes.

    >>> from covector import numpy as cnp
    >>> cnp.trace(cnp.array([[1, 2], [3, 4]]))
    Array(5, dtype=int32)
    """
    refuse_out("trace", out)
    return total(diagonal(a, offset, axis1, axis2), -1, dtype)


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The cross product of vectors of three elements (or two, which lie in the plane).

    The vectors lie along `axis`, or along an axis of its own in each array and the result; the others broadcast.
    ValueError for vectors of another length.

    >>> from covector import numpy as cnp
    >>> cnp.cross(cnp.array([1, 0, 0]), cnp.array([0, 1, 0]))
    Array([0, 0, 1], dtype=int32)
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _operands("cross", a, b)
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    sizes = a.shape[-1], b.shape[-1]
    if any(n not in (2, 3) for n in sizes):
        raise ValueError(
            f"cross takes vectors of 2 or 3 elements, got {sizes}{errors.at_user_line()}"
        )
    lead = broadcast_shapes(a.shape[:-1], b.shape[:-1])
    a, b = spread(a, (*lead, sizes[0])), spread(b, (*lead, sizes[1]))
    x, y = ([_component(v, i) for i in range(3)] for v in (a, b))

    def minor(i: int, j: int) -> Any:
        return el.subtract(el.multiply(x[i], y[j]), el.multiply(x[j], y[i]))

    if sizes == (2, 2):
        return minor(0, 1)
    parts = [prims.expand_dims(minor(i, j), (len(lead),)) for i, j in ((1, 2), (2, 0), (0, 1))]
    return moveaxis(strong(prims.Concatenate(len(lead))(*parts)), -1, axisc)


def _component(v: Any, i: int) -> Any:
    """The i-th element along the last axis; zero if there is none."""
    lead = v.shape[:-1]
    if i >= v.shape[-1]:
        return prims.full(lead, 0, v.dtype)
    starts, limits = (0,) * len(lead) + (i,), (*lead, i + 1)
    return prims.squeeze(prims.Slice(starts, limits, (1,) * len(limits))(v), (len(lead),))
