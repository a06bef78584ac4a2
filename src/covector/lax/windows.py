"""Reductions by any function: of axes, and of windows that slide over all axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.arguments import flatten
from covector._engine.api.transforms import vmap
from covector._engine.base import errors, tree
from covector._engine.core.numbers import NUMBERS, SCALARS
from covector._engine.core.trace import Tracer, typeof
from covector._engine.primitives.slide import Slide, window_under
from covector._engine.transforms.programs import stage_closed
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim
from covector.lax.control_flow import scan
from covector.lax.operands import array
from covector.lax.padding import Padding, numbers_of, padding_of, sizes_of
from covector.numpy.operands import converted
from covector.numpy.promotion import axes_of

__all__ = ["reduce", "reduce_window", "reduce_window_shape_tuple"]

Computation = Callable[[Any, Any], Any]

# What a computation of one operation is: the fold of axes, that of windows.
_FOLDS: dict[
    prims.ElementwiseBase,
    tuple[Callable[[tuple[int, ...]], prims.ScalarReduction], type[prims.WindowFold]],
] = {
    prims.add: (prims.Sum, prims.WindowSum),
    prims.mul: (prims.Prod, prims.WindowProd),
    prims.maximum: (prims.Max, prims.WindowMax),
    prims.minimum: (prims.Min, prims.WindowMin),
    prims.and_: (prims.All, prims.WindowAll),
    prims.or_: (prims.Any_, prims.WindowAny),
    prims.xor: (prims.Xor, prims.WindowXor),
}

UNROLLED_PLACES = 16  # of windows whose computation is no fold that is known: the others are a loop


class _Reduced:
    """The operands of a reduction and where it begins, flat; and what combines two of their elements."""

    def __init__(self, name: str, operands: Any, init_values: Any, computation: Computation):
        self.name = name
        leaves, self.structure = flatten(operands)
        starts, other = flatten(init_values)
        self.operands = [array(name, x) for x in leaves]
        if not callable(computation):
            raise TypeError(
                f"{name}: the computation must be a function, got {computation!r}{errors.at_user_line()}"
            )
        if not self.operands or len(starts) != len(self.operands):
            raise errors.ShapeError(
                f"{name} needs operands, and an initial value for each, got {self.structure} and {other}"
                f"{errors.at_user_line()}"
            )
        self.computation = computation
        self.starts = [self._start(x, s) for x, s in zip(self.operands, starts, strict=True)]
        self.weak = [
            typeof(x).weak_type and (type(s) in NUMBERS or getattr(s, "weak_type", False))
            for x, s in zip(self.operands, starts, strict=True)
        ]
        shapes = {x.shape for x in self.operands}
        if len(shapes) > 1:
            raise errors.ShapeError(
                errors.shape_mismatch(name, [typeof(x).text() for x in self.operands])
            )

    def _start(self, x: Any, start: Any) -> Any:
        """An initial value: a scalar of the operand's dtype."""
        if type(start) in SCALARS:
            return prims.convert_number(start, x.dtype)
        value = array(self.name, start)
        if value.shape or value.dtype != x.dtype:
            raise TypeError(
                f"{self.name} of {typeof(x).text()} needs a scalar of its dtype to begin with, got "
                f"{typeof(value).text()}{errors.at_user_line()}"
            )
        return value

    def both(self, xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
        """The computation of two scalars of each operand; TypeError if it gives others."""
        trees = [tree.unflatten(self.structure, list(v)) for v in (xs, ys)]
        out, structure = flatten(self.computation(*trees))
        found = [array(self.name, x) for x in out]
        wanted = [(x.dtype, ()) for x in self.operands]
        if structure != self.structure or [(x.dtype, x.shape) for x in found] != wanted:
            raise TypeError(
                f"{self.name}: the computation of two elements must give one of the same types, "
                f"{', '.join(d.name for d, _ in wanted)}; it gives {', '.join(typeof(x).text() for x in found)}"
                f"{errors.at_user_line()}"
            )
        return found

    def of_arrays(self, xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
        """The computation, element by element."""
        shape = typeof(xs[0]).shape
        flat = [[prims.Reshape((typeof(v).size,))(v) for v in vs] for vs in (xs, ys)]
        return [prims.Reshape(shape)(v) for v in vmap(self.both)(*flat)]

    def operation(self) -> prims.ElementwiseBase | None:
        """The operation that the computation is, if it is one that is known."""
        if len(self.operands) != 1:
            return None
        scalar = ShapedArray((), self.operands[0].dtype)
        program, _ = stage_closed(lambda x, y: self.both([x], [y]), [scalar, scalar], self.name)
        if len(program.eqns) != 1:
            return None
        (eqn,) = program.eqns
        takes_both = len(eqn.inputs) == 2 and set(eqn.inputs) == set(program.inputs)
        found = eqn.primitive if takes_both and program.outputs == eqn.outputs else None
        return found if found in _FOLDS else None  # type: ignore[return-value]

    def begun(self, operation: prims.ElementwiseBase, x: Any, identity: Any) -> Any:
        """A result of a known fold, with the initial value taken in, unless it changes nothing."""
        if _is_nothing(self.starts[0], identity):
            return x
        return operation(_everywhere(self.starts[0], typeof(x).shape), x)

    def given(self, results: Sequence[Any]) -> Any:
        """The results as the operands came."""
        return tree.unflatten(self.structure, list(results))

    def as_weak(self, results: Sequence[Any]) -> list[Any]:
        """The results, weak where an operand and its initial value are."""
        return [converted(x, x.dtype, weak) for x, weak in zip(results, self.weak, strict=True)]


def _everywhere(x: Any, shape: tuple[Dim, ...]) -> Any:
    """A scalar at each place of a shape."""
    return prims.Broadcast(shape, tuple(range(len(shape))))(x) if shape else x


def reduce(
    operands: Any,
    init_values: Any,
    computation: Computation,
    dimensions: Sequence[int],
    out_sharding: Any = None,
) -> Any:
    """The elements along axes combined with each other, and with `init_values`, by a function of two scalars.

    It may be any function that is associative; the initial value is one that changes nothing (another is taken in
    once, which XLA does not do along axes of one element), and along no axes is not taken in, whatever it is.  Operands
    may be a pytree of arrays of one shape: then the function takes and gives two such trees of scalars.
    TypeError or ValueError if these do not fit each other.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.reduce(x, 0, lax.add, (0,))
    Array([4, 6], dtype=int32)
    >>> lax.reduce((x, x), (0, 1), lambda a, b: (a[0] + b[0], a[1] * b[1]), (0, 1))
    (Array(10, dtype=int32), Array(24, dtype=int32))
    """
    reduced = _Reduced("reduce", operands, init_values, computation)
    ndim = reduced.operands[0].ndim
    axes = tuple(sorted(axes_of(tuple(dimensions), ndim, "dimensions")))
    operation = reduced.operation()
    if not axes:
        return reduced.given(reduced.as_weak(reduced.operands))
    if operation is not None:
        fold, x = _FOLDS[operation][0](axes), reduced.operands[0]
        out = reduced.begun(operation, fold(x), type(fold).identity(x.dtype))
        return reduced.given(reduced.as_weak([out]))
    kept = tuple([a for a in range(ndim) if a not in axes])
    xs: list[Any] = []
    for x in reduced.operands:
        shape = tuple([x.shape[a] for a in kept])
        front = prims.Transpose((*axes, *kept))(x)
        count = int(np.prod([x.shape[a] for a in axes]))
        xs.append(prims.Reshape((count, *shape))(front))
    return reduced.given(reduced.as_weak(_folded(reduced, xs)))


def _folded(reduced: _Reduced, xs: Sequence[Any]) -> list[Any]:
    """Arrays without their first axes: neighbours are combined, again and again, then with the initial values."""
    shape = typeof(xs[0]).shape[1:]
    starts = [_everywhere(s, shape) for s in reduced.starts]
    while (n := typeof(xs[0]).shape[0]) > 1:
        even = n - n % 2
        pairs = [[_steps(x, start, even, 2) for x in xs] for start in (0, 1)]
        found = reduced.of_arrays(*pairs)
        rest = [_steps(x, even, n, 1) for x in xs]
        xs = (
            [prims.Concatenate(0)(a, b) for a, b in zip(found, rest, strict=True)]
            if n % 2
            else found
        )
    if n == 0:
        return starts
    return reduced.of_arrays(starts, [prims.squeeze(x, (0,)) for x in xs])


def _steps(x: Any, start: Dim, stop: Dim, step: int) -> Any:
    """Elements along the first axis."""
    shape = typeof(x).shape
    none = (0,) * (len(shape) - 1)
    return prims.Slice((start, *none), (stop, *shape[1:]), (step, *[1] * len(none)))(x)


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Computation,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """What lies under a window, wherever it is, combined by a function of two scalars, beginning with `init_value`.

    The window slides over all axes by `window_strides`.  Where it lies on no element nothing is taken in.  Padding is
    a name, as of `conv_general_dilated`, or (low, high) for each axis.  `base_dilation` is how far apart the elements
    are, `window_dilation` leaves elements out.  Operands may be a pytree of arrays of one shape, as in `reduce`.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([1.0, 5.0, 2.0, 4.0])
    >>> lax.reduce_window(x, -cnp.inf, lax.max, (2,), (2,))
    Array([5., 4.], dtype=float32)
    >>> lax.reduce_window(x, 0.0, lax.add, (3,), padding="SAME")
    Array([ 6.,  8., 11.,  6.], dtype=float32)
    """
    name = "reduce_window"
    reduced = _Reduced(name, operand, init_value, computation)
    window = numbers_of(name, "window_dimensions", window_dimensions)
    parameters = _parameters(
        name,
        reduced.operands[0].shape,
        window,
        window_strides,
        padding,
        base_dilation,
        window_dilation,
    )
    operation = reduced.operation()
    if operation is not None:
        primitive = _FOLDS[operation][1](*parameters)
        x = primitive(reduced.operands[0])
        return reduced.given([reduced.begun(operation, x, type(primitive.fold).identity(x.dtype))])
    prims.WindowSum(*parameters).counts(typeof(reduced.operands[0]))
    slides = prims.WindowSum(*parameters).slides(reduced.operands[0].shape)
    return reduced.given(_under_windows(reduced, slides))


def _is_nothing(start: Any, identity: Any) -> bool:
    """Whether an initial value is known to be the one that changes nothing."""
    return not isinstance(start, Tracer) and bool(np.asarray(start) == identity)


def _under_windows(reduced: _Reduced, slides: Sequence[Slide]) -> list[Any]:
    """The places of the windows taken in one after the other, as far as there are elements under them."""
    shape = reduced.operands[0].shape
    own = prims.full(shape, True, dtypes.bool_)
    under = [
        prims.squeeze(window_under(prims.expand_dims(x, (0,)), slides, 1), (0,))
        for x in (own, *reduced.operands)
    ]
    places, *counts = typeof(under[0]).shape
    state = [_everywhere(s, tuple(counts)) for s in reduced.starts]

    def take(state: Sequence[Any], here: Sequence[Any]) -> list[Any]:
        own, *xs = here
        found = reduced.of_arrays(state, xs)
        return [prims.select(own, new, old) for new, old in zip(found, state, strict=True)]

    if places > UNROLLED_PLACES:
        return list(scan(lambda s, x: (take(s, x), None), state, under)[0])
    for n in range(places):
        state = take(state, [prims.squeeze(_steps(x, n, n + 1, 1), (0,)) for x in under])
    return state


def _parameters(
    name: str,
    shape: Sequence[Any],
    window: tuple[int, ...],
    strides: Sequence[int] | None,
    padding: Padding,
    base: Sequence[int] | None,
    spread: Sequence[int] | None,
) -> tuple[Any, ...]:
    """The parameters of windows, those that were left out filled in."""
    ones = (1,) * len(window)
    steps = ones if strides is None else numbers_of(name, "window_strides", strides)
    apart = ones if base is None else numbers_of(name, "base_dilation", base)
    wide = ones if spread is None else numbers_of(name, "window_dilation", spread)
    if not len(shape) == len(window) == len(steps) == len(apart) == len(wide):
        raise errors.ShapeError(
            f"{name} needs window_dimensions, window_strides and dilations for each of {len(shape)} axes, got "
            f"{window}, {steps}, {apart} and {wide}{errors.at_user_line()}"
        )
    extents = [prims.dilated(n, d - 1) for n, d in zip(window, wide, strict=True)]
    return window, steps, padding_of(name, padding, shape, extents, steps), apart, wide


def reduce_window_shape_tuple(
    operand_shape: Sequence[int],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """The shape of `reduce_window`.

    >>> from covector import lax
    >>> lax.reduce_window_shape_tuple((8, 8), (2, 2), (2, 2), [(0, 0), (1, 1)])
    (4, 5)
    """
    name = "reduce_window_shape_tuple"
    window = numbers_of(name, "window_dimensions", window_dimensions)
    parameters = _parameters(
        name,
        sizes_of(operand_shape),
        window,
        window_strides,
        padding,
        base_dilation,
        window_dilation,
    )
    shape = ShapedArray(sizes_of(operand_shape), np.dtype(np.float32))
    return prims.WindowSum(*parameters).counts(shape)  # type: ignore[return-value]
