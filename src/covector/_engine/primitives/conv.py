"""Convolution: products of a kernel with what lies under it as it slides over an array, summed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, NamedTuple

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.core.families import View
from covector._engine.core.primitive import MadeBy, Primitive
from covector._engine.core.routine import (
    Read,
    RoutineMeaning,
    RuntimeRoutine,
    Write,
    dense,
    runtime_routine,
)
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir import index as ix, scalar
from covector._engine.ir.builder import Builder, Operand, Place, Result, StoredElements
from covector._engine.ir.index import Index
from covector._engine.ir.program import Eqn
from covector._engine.ir.scalar import Expr, Scalar, const
from covector._engine.primitives import laws
from covector._engine.primitives.slide import Slide
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["Conv", "ConvDimensionNumbers"]

Axes = tuple[int, ...]
Shape = tuple[Dim, ...]


def _meaning(dtype: np.dtype, made: np.dtype) -> RoutineMeaning:
    """A convolution of strided arrays: the numbers are those of `Convolution` in the native core."""

    def run(parameters: Sequence[int], read: Read, write: Write) -> None:
        features, batches, batch, taken, each = parameters[:5]
        axes = [parameters[5 + 10 * n : 15 + 10 * n] for n in range(AXES)]
        size, window, count, stride, low, base, spread, *steps = map(tuple, zip(*axes, strict=True))
        slides = [
            Slide(n, w, s, before, 0, b, k)
            for n, w, s, before, b, k in zip(size, window, stride, low, base, spread, strict=True)
        ]
        around = [(s.low, s.high_for(m)) for s, m in zip(slides, count, strict=True)]
        plain = ConvDimensionNumbers(*[tuple(range(2 + AXES))] * 3)
        conv = Conv(stride, tuple(around), base, spread, plain, features, batches, made)
        shapes = (
            (batch * batches, taken * features, *size),
            (each * features * batches, taken, *window),
            (batch, each * features * batches, *count),
        )
        lhs, rhs, out = [
            dense(shape, (*parameters[n : n + 2], *far))
            for shape, n, far in zip(shapes, (35, 37, 39), steps, strict=True)
        ]
        write(2, out, conv.reference(read(0, lhs, dtype), read(1, rhs, dtype)))

    return run


# By the operands' dtype and the result's.
ROUTINES = {
    key: runtime_routine(RuntimeRoutine(name, "multiplied", _meaning(*key), "as a table"))
    for key, name in (
        ((dtypes.float32, dtypes.float32), "sconv"),
        ((dtypes.float64, dtypes.float64), "dconv"),
        ((dtypes.bfloat16, dtypes.float32), "bconv"),
    )
}
AXES = 3  # spatial ones that the routine takes
FEW_FEATURES = 4  # in a group: fewer leave its vectors empty
FEW_GROUPS = 8  # features of such groups, side by side: fewer leave half of a vector empty


class ConvDimensionNumbers(NamedTuple):
    """What the axes of a convolution's operands and result are.

    Of `lhs_spec` and `out_spec` the first is the batch axis and the second the feature axis; of `rhs_spec`, the
    kernel, these are the axes of the result's and of the operand's features.  The others are spatial, in one order.

    >>> from covector import lax
    >>> lax.conv_dimension_numbers((1, 8, 8, 3), (3, 3, 3, 4), ("NHWC", "HWIO", "NHWC")).rhs_spec
    (3, 2, 0, 1)
    """

    lhs_spec: Axes
    rhs_spec: Axes
    out_spec: Axes


@record
class Conv(Primitive):
    """Slide a kernel over the spatial axes of an operand: lhs and the kernel rhs, of one dtype.

    An element of the result is the sum over a group's features, and over the places of the kernel, of the products
    with what lies under them.  With `feature_group_count` the features are in groups, each with kernels of its own;
    with `batch_group_count` the batch is.  The dtype is `preferred_element_type`, or the operands'; 16-bit floats
    accumulate in float32.
    """

    window_strides: Axes
    padding: tuple[tuple[Dim, Dim], ...]
    lhs_dilation: Axes
    rhs_dilation: Axes
    dimension_numbers: ConvDimensionNumbers
    feature_group_count: int = 1
    batch_group_count: int = 1
    preferred_element_type: np.dtype | None = None
    name: ClassVar[str] = "conv_general_dilated"

    # -- structure ---------------------------------------------------------------------------------

    def slides(self, lhs: Sequence[Dim], rhs: Sequence[Dim]) -> tuple[Slide, ...]:
        """How the kernel slides along each spatial axis, for operands of these shapes."""
        numbers = self.dimension_numbers
        return tuple(
            [
                Slide(lhs[a], rhs[k], stride, low, high, base, spread)
                for a, k, stride, (low, high), base, spread in zip(
                    numbers.lhs_spec[2:],
                    numbers.rhs_spec[2:],
                    self.window_strides,
                    self.padding,
                    self.lhs_dilation,
                    self.rhs_dilation,
                    strict=True,
                )
            ]
        )

    @property
    def groups(self) -> int:
        """How many groups of features, or of the batch, there are."""
        return self.feature_group_count * self.batch_group_count

    def result_dtype(self, dtype: np.dtype) -> np.dtype:
        """The result's dtype, for operands of this one."""
        return self.preferred_element_type or dtype

    def accumulator(self, dtype: np.dtype) -> np.dtype:
        """The dtype that products are summed in, for operands of this dtype."""
        wanted = self.result_dtype(dtype)
        return dtypes.int32 if wanted == dtypes.bool_ else dtypes.computed_in(wanted)

    def type(self, lhs: ShapedArray, rhs: ShapedArray) -> ShapedArray:
        self._check(lhs, rhs)
        numbers, shape = self.dimension_numbers, list(lhs.shape)
        slides = self.slides(lhs.shape, rhs.shape)
        prims.check_slides(self.name, slides)
        shape[numbers.out_spec[0]] = sizes.floordiv(
            lhs.shape[numbers.lhs_spec[0]], self.batch_group_count
        )
        shape[numbers.out_spec[1]] = rhs.shape[numbers.rhs_spec[0]]
        for axis, s in zip(numbers.out_spec[2:], slides, strict=True):
            shape[axis] = s.count
        weak = lhs.weak_type and rhs.weak_type and self.preferred_element_type is None
        return ShapedArray(tuple(shape), self.result_dtype(lhs.dtype), weak)

    def _check(self, lhs: ShapedArray, rhs: ShapedArray) -> None:
        """TypeError or ValueError if the operands do not fit each other."""
        numbers, what = self.dimension_numbers, f"of {lhs.text()} and {rhs.text()}"
        if lhs.dtype != rhs.dtype:
            raise TypeError(f"{self.name} {what}{errors.at_user_line()}: both must have one dtype")
        if lhs.ndim != rhs.ndim or lhs.ndim < 2:
            raise TypeError(
                f"{self.name} {what}{errors.at_user_line()}: both need one number of axes, at least two"
            )
        for spec in numbers:
            if sorted(spec) != list(range(lhs.ndim)):
                raise errors.ShapeError(
                    f"{self.name} {what}{errors.at_user_line()}: {spec} are not all axes, each once"
                )
        for field in ("window_strides", "padding", "lhs_dilation", "rhs_dilation"):
            if len(getattr(self, field)) != lhs.ndim - 2:
                raise errors.ShapeError(
                    f"{self.name} {what} needs {field} for each of the {lhs.ndim - 2} spatial axes, got "
                    f"{getattr(self, field)}{errors.at_user_line()}"
                )
        batch, features = (lhs.shape[a] for a in numbers.lhs_spec[:2])
        made, taken = (rhs.shape[a] for a in numbers.rhs_spec[:2])
        if (
            self.feature_group_count < 1
            or self.batch_group_count < 1
            or (self.feature_group_count > 1 and self.batch_group_count > 1)
        ):
            raise errors.ShapeError(
                f"{self.name} needs group counts of at least 1, of which one is 1, got "
                f"feature_group_count={self.feature_group_count} and batch_group_count={self.batch_group_count}"
                f"{errors.at_user_line()}"
            )
        if features != taken * self.feature_group_count:
            raise errors.ShapeError(
                f"{self.name} {what} with feature_group_count={self.feature_group_count}{errors.at_user_line()}: "
                f"lhs has {features} features, and the kernel takes {taken} in each group"
            )
        for count, n, whose in (
            (self.feature_group_count, made, "the kernel's output features"),
            (self.batch_group_count, made, "the kernel's output features"),
            (self.batch_group_count, batch, "the batch"),
        ):
            if dims_differ(sizes.mod(n, count), 0):
                raise errors.ShapeError(
                    f"{self.name} {what}{errors.at_user_line()}: {n}, {whose}, is no multiple of the {count} groups"
                )

    # -- meaning -----------------------------------------------------------------------------------

    def reference(self, lhs: Any, rhs: Any) -> Any:
        out = self.type(typeof(lhs), typeof(rhs))
        wide, numbers = self.accumulator(lhs.dtype), self.dimension_numbers
        slides = self.slides(lhs.shape, rhs.shape)
        x = np.transpose(lhs.astype(wide), numbers.lhs_spec)
        w = np.transpose(rhs.astype(wide), numbers.rhs_spec)
        pad = prims.padded_for(slides)
        pad = prims.Pad((0, 0, *pad.low), (0, 0, *pad.high), (0, 0, *pad.interior))
        counts = [s.count for s in slides]
        spatial = "".join(chr(ord("A") + n) for n in range(len(slides)))
        total = np.zeros((x.shape[0] // self.batch_group_count, w.shape[0], *counts), wide)
        if total.size and x.size and w.size:
            x = pad.reference(x, np.zeros((), wide)[()])
            x = x.reshape(
                self.batch_group_count, -1, self.feature_group_count, w.shape[1], *x.shape[2:]
            )
            w = w.reshape(self.batch_group_count, self.feature_group_count, -1, *w.shape[1:])
            for place in np.ndindex(*w.shape[4:]):
                under = tuple(
                    [
                        slice(k * s.spread, k * s.spread + (s.count - 1) * s.stride + 1, s.stride)
                        for k, s in zip(place, slides, strict=True)
                    ]
                )
                with np.errstate(all="ignore"):
                    total += np.einsum(
                        f"bnfc{spatial},bfoc->nbfo{spatial}",
                        x[(..., *under)],
                        w[(..., *place)],
                    ).reshape(total.shape)
        result = np.transpose(total, prims.inverse_permutation(numbers.out_spec))
        return result.astype(out.dtype)

    # -- derivatives, batching -----------------------------------------------------------------------

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, w), (t, u) = primals, tangents
        out = self(x, w)
        terms = ([] if is_zero(t) else [self(t, w)]) + ([] if is_zero(u) else [self(x, u)])
        if not terms:
            return out, Zero(out)
        return out, terms[0] if len(terms) == 1 else prims.add(*terms)

    def transpose(self, ct: Any, lhs: Any, rhs: Any) -> Sequence[Any]:
        assert isinstance(lhs, Linear) != isinstance(rhs, Linear)
        wanted = lhs.aval if isinstance(lhs, Linear) else rhs.aval
        dtype = typeof(ct).dtype
        if sizes.is_true(lambda: sizes.product((*typeof(ct).shape, *wanted.shape)) == 0):
            found = prims.zeros(wanted)
        elif isinstance(lhs, Linear):
            found = self._to_lhs(ct, lhs.aval, prims.convert(rhs, dtype))
        else:
            found = self._to_rhs(ct, prims.convert(lhs, dtype), rhs.aval)
        found = prims.convert(found, wanted.dtype)
        return (found, None) if isinstance(lhs, Linear) else (None, found)

    def _to_lhs(self, ct: Any, lhs: ShapedArray, rhs: Any) -> Any:
        """The cotangent of lhs: the kernel, backwards, slides over that of the result."""
        numbers, groups = self.dimension_numbers, self.groups
        made, taken, *places = numbers.rhs_spec
        slides = self.slides(lhs.shape, typeof(rhs).shape)
        if groups > 1:  # the features that a group makes are those that it takes now
            rhs = _axis_into(_axis_out_of(rhs, made, groups), made, taken)
        padding = [s.around for s in slides]
        conv = Conv(
            self.lhs_dilation,
            tuple(padding),
            self.window_strides,
            self.rhs_dilation,
            ConvDimensionNumbers(numbers.out_spec, (taken, made, *places), numbers.lhs_spec),
            groups,
        )
        found = conv(ct, prims.Reverse(tuple(places))(rhs) if places else rhs)
        if self.batch_group_count > 1:  # the groups are among the features: they were in the batch
            batch, features = numbers.lhs_spec[:2]
            found = _axis_into(_axis_out_of(found, features, groups), features, batch)
        return found

    def _to_rhs(self, ct: Any, lhs: Any, rhs: ShapedArray) -> Any:
        """The cotangent of the kernel: that of the result slides over lhs, which both have the batch as features."""
        numbers = self.dimension_numbers
        padding: list[tuple[Dim, Dim]] = []
        for s in self.slides(typeof(lhs).shape, rhs.shape):
            around = prims.dilated(s.count, s.stride - 1) - prims.dilated(s.size, s.base - 1)
            padding.append((s.low, around + prims.dilated(s.window, s.spread - 1) - s.low - 1))
        conv = Conv(
            self.rhs_dilation,
            tuple(padding),
            self.lhs_dilation,
            self.window_strides,
            ConvDimensionNumbers(
                *map(_exchanged, (numbers.lhs_spec, numbers.out_spec, numbers.rhs_spec))
            ),
            self.batch_group_count,
            self.feature_group_count,
        )
        return conv(lhs, ct)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (lhs, rhs), (d, e) = args, dims
        numbers, groups = self.dimension_numbers, self.groups
        (batch, features, *_), (made, _, *_), (out_batch, out_features, *_) = numbers
        if size == 0:  # which can be no count of groups
            one = self.type(*[_without(typeof(x), at) for x, at in zip(args, dims, strict=True)])
            return prims.zeros(one.with_shape((0, *one.shape))), 0
        if d is not None and e is not None:
            # Each element of the batch is a group of features, or of the batch.
            assert isinstance(size, int), "a batch of kernels has a size that is known"
            by_batch = self.batch_group_count > 1
            field = "batch_group_count" if by_batch else "feature_group_count"
            grown = replace(self, **{field: size * groups})
            out = grown(
                _axis_into(lhs, d, batch if by_batch else features), _axis_into(rhs, e, made)
            )
            return _axis_out_of(out, out_features, size), out_features
        if d is not None:
            # Side by side in the batch, within each of its groups.
            lhs = prims.move_axis(lhs, d, 0)
            if self.batch_group_count > 1:
                lhs = _axis_out_of(lhs, batch + 1, groups)
                lhs = _axis_into(lhs, 0, batch + 1)
                lhs = _axis_into(lhs, batch, batch)
            else:
                lhs = _axis_into(lhs, 0, batch)
            return _axis_out_of(self(lhs, rhs), out_batch, size), out_batch
        assert e is not None
        # More features, within each group.
        rhs = prims.move_axis(rhs, e, 0)
        if groups == 1:
            out = self(lhs, _axis_into(rhs, 0, made))
            return _axis_out_of(out, out_features, size), out_features
        rhs = _axis_out_of(rhs, made + 1, groups)
        rhs = _axis_into(_axis_into(rhs, 0, made + 1), made, made)
        out = _axis_out_of(
            _axis_out_of(self(lhs, rhs), out_features, groups), out_features + 1, size
        )
        return _axis_into(out, out_features, out_features + 1), out_features

    # -- loops -------------------------------------------------------------------------------------

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Sequence[Eqn] | None:
        """Of what is summed in a wider type, by the routine for that: 16-bit floats as float32."""
        (lhs, rhs), (out,) = eqn.inputs, eqn.outputs
        wide = self.accumulator(lhs.aval.dtype)
        if lhs.aval.dtype == out.aval.dtype == wide:
            return None
        if lhs.aval.dtype == dtypes.bfloat16 and self._has_pairs(lhs.aval.shape, rhs.aval.shape):
            if out.aval.dtype == wide:
                return None
            steps = laws.Rewriting(eqn)
            found = steps(replace(self, preferred_element_type=wide), lhs, rhs)
            return steps.end(prims.Convert(out.aval.dtype), found)
        wider = replace(self, preferred_element_type=None)
        avals = [ShapedArray(x.aval.shape, wide) for x in (lhs, rhs)]
        if not wider._by_routine(*avals):
            return None
        return laws.converted(eqn, wider, wide)

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """A routine for real floats; else for each element of the result a loop over all that meets there."""
        (lhs, rhs), (out,) = operands, results
        if sizes.is_true(lambda: out.aval.size == 0):
            return
        if self._by_routine(lhs.aval, rhs.aval):
            places = [(lhs.place, lhs.aval), (rhs.place, rhs.aval), (out.place, out.aval)]
            numbers = self._numbers(lhs.aval.shape, rhs.aval.shape, out.aval.shape)
            work = out.aval.size * sizes.floordiv(
                rhs.aval.size, rhs.aval.shape[self.dimension_numbers.rhs_spec[0]]
            )
            routine = ROUTINES[lhs.aval.dtype, out.aval.dtype]
            b.routine(routine, places, numbers, (2,), work=work)
        else:
            self._lower_to_loops(b, lhs, rhs, out)

    def _by_routine(self, lhs: ShapedArray, rhs: ShapedArray) -> bool:
        """Whether the runtime's routine computes it: it has vectors of features, and up to three spatial axes.

        The vectors are of features of one group, or of groups that have one feature each.
        """
        made = sizes.floordiv(rhs.shape[self.dimension_numbers.rhs_spec[0]], self.groups)
        if (lhs.dtype, self.result_dtype(lhs.dtype)) not in ROUTINES or lhs.ndim > 2 + AXES:
            return False
        if lhs.dtype == dtypes.bfloat16:
            return self._has_pairs(lhs.shape, rhs.shape)
        taken = rhs.shape[self.dimension_numbers.rhs_spec[1]]
        return (
            sizes.is_true(lambda: made >= FEW_FEATURES)
            or self._is_depthwise(rhs.shape, made)
            or (self.groups == 1 and sizes.is_true(lambda: taken >= FEW_FEATURES))
        )

    def _has_pairs(self, lhs: Shape, rhs: Shape) -> bool:
        """Whether the features that are multiplied lie in pairs, and sums do not run along a kernel that is long."""
        numbers, last = self.dimension_numbers, len(lhs) - 1
        made, taken = rhs[numbers.rhs_spec[0]], rhs[numbers.rhs_spec[1]]
        if numbers.lhs_spec[1] != last or not 2 <= last <= 1 + AXES:
            return False
        windows, counts = zip(*[(s.window, s.count) for s in self.slides(lhs, rhs)], strict=True)
        fits = sizes.is_true(lambda: taken % 2 == 0 and made >= self.groups * FEW_FEATURES)
        return fits and sizes.is_true(lambda: sizes.product(windows) <= 2 * sizes.product(counts))

    def _is_depthwise(self, kernel: Shape, made: Dim) -> bool:
        """Whether results are made of a feature each, or pairs of a pair, and all features lie side by side."""
        numbers, groups = self.dimension_numbers, self.feature_group_count
        last = len(kernel) - 1
        if numbers.lhs_spec[1] != last or numbers.out_spec[1] != last:
            return False
        if any(n != 1 for n in self.lhs_dilation):
            return False
        taken = kernel[numbers.rhs_spec[1]]
        return sizes.is_true(
            lambda: (taken == 1 or made == taken == 2) and groups * made >= FEW_GROUPS
        )

    def _numbers(self, lhs: Shape, rhs: Shape, out: Shape) -> list[Dim]:
        """The routine's parameters, in the order of `Convolution` in the native core."""
        specs = self.dimension_numbers
        strides = [ix.suffix_products(shape) for shape in (lhs, rhs, out)]
        (batch, feature, *_), (made, taken, *_), (out_batch, out_feature, *_) = specs
        numbers: list[Dim] = [
            self.feature_group_count,
            self.batch_group_count,
            out[out_batch],
            rhs[taken],
            sizes.floordiv(rhs[made], self.groups),
        ]
        slides = self.slides(lhs, rhs)
        numbers += [1, 1, 1, 1, 0, 1, 1, 0, 0, 0] * (AXES - len(slides))
        for s, *axes in zip(slides, *[spec[2:] for spec in specs], strict=True):
            numbers += [s.size, s.window, s.count, s.stride, s.low, s.base, s.spread]
            numbers += [steps[a] for steps, a in zip(strides, axes, strict=True)]
        for steps, axes in zip(
            strides, ((batch, feature), (made, taken), (out_batch, out_feature)), strict=True
        ):
            numbers += [steps[a] for a in axes]
        return numbers

    def _lower_to_loops(self, b: Builder, lhs: Operand, rhs: Operand, out: Result) -> None:
        numbers = self.dimension_numbers
        slides = self.slides(lhs.aval.shape, rhs.aval.shape)
        x = self._padded(b, lhs, slides)
        slides = tuple([s if s.plain else s.padded() for s in slides])
        index, loops, group = self._result_loops(b, out.aval.shape)
        taken = b.variable("c", rhs.aval.shape[numbers.rhs_spec[1]])
        places = [b.variable("k", s.window) for s in slides]
        inner = [
            (taken, rhs.aval.shape[numbers.rhs_spec[1]]),
            *zip(places, [s.window for s in slides], strict=True),
        ]
        under = [
            s.at(index[a], k)[0]
            for s, a, k in zip(slides, numbers.out_spec[2:], places, strict=True)
        ]
        feature, batch = taken, index[numbers.out_spec[0]]
        if self.feature_group_count > 1:
            feature = group * rhs.aval.shape[numbers.rhs_spec[1]] + taken
        if self.batch_group_count > 1:
            batch = group * out.aval.shape[numbers.out_spec[0]] + batch
        at = _placed(numbers.lhs_spec, (batch, feature, *under))
        kernel_at = _placed(numbers.rhs_spec, (index[numbers.out_spec[1]], taken, *places))
        wide = self.accumulator(lhs.aval.dtype)
        with ExitStack() as stack:
            for variable, extent in loops:
                stack.enter_context(b.loop(variable, extent, free=True))
            zero = const(0, dtypes.real_of(wide))
            total = [b.local(zero) for _ in range(2 if dtypes.is_complex(wide) else 1)]
            with ExitStack() as folded:
                for variable, extent in inner:
                    folded.enter_context(b.loop(variable, extent))
                product = _product(x.at(at), rhs.at(kernel_at), wide)
                b.assign(
                    total, [scalar.apply("add", s, p) for s, p in zip(total, product, strict=True)]
                )
            b.store(out.place, out.aval.shape, index, _finished(total, out.aval.dtype))

    def _padded(
        self, b: Builder, lhs: Operand, slides: Sequence[Slide]
    ) -> Operand | StoredElements:
        """lhs with what its windows read around it, stored, unless they read nothing."""
        if all(s.plain for s in slides):
            return lhs
        rank = lhs.aval.ndim
        low: list[Dim] = [0] * rank
        high: list[Dim] = [0] * rank
        interior = [0] * rank
        inner = prims.padded_for(slides)
        for n, axis in enumerate(self.dimension_numbers.lhs_spec[2:]):
            low[axis], high[axis], interior[axis] = inner.low[n], inner.high[n], inner.interior[n]
        pad = prims.Pad(tuple(low), tuple(high), tuple(interior))
        aval = pad.type(lhs.aval, ShapedArray((), lhs.aval.dtype))
        place: Place = b.temp_like(aval, "padded")
        zero = const(0, dtypes.real_of(aval.dtype))
        nothing = View(
            ShapedArray((), aval.dtype),
            lambda index: (zero, zero) if dtypes.is_complex(aval.dtype) else zero,
        )
        index = tuple([b.variable("p", n) for n in aval.shape])
        with ExitStack() as stack:
            for variable, extent in zip(index, aval.shape, strict=True):
                stack.enter_context(b.loop(variable, extent, free=True))
            element = pad.element(index, View(lhs.aval, lhs.at, lhs.guarded), nothing)
            b.store(place, aval.shape, index, element)
        return StoredElements(place, aval)

    def _result_loops(
        self, b: Builder, shape: Sequence[Dim]
    ) -> tuple[Index, list[tuple[Dim, Dim]], Dim]:
        """The index of the result's element, the loops around it, outermost first, and the group that it is in."""
        index: list[Dim] = []
        loops: list[tuple[Dim, Dim]] = []
        group: Dim = 0
        for axis, extent in enumerate(shape):
            if axis == self.dimension_numbers.out_spec[1] and self.groups > 1:
                each = sizes.floordiv(extent, self.groups)
                group, variable = b.variable("g", self.groups), b.variable("o", each)
                loops += [(group, self.groups), (variable, each)]
                index.append(group * each + variable)
            else:
                index.append(b.variable("o", extent))
                loops.append((index[-1], extent))
        return tuple(index), loops, group


def dims_differ(x: Dim, y: Dim) -> bool:
    """Whether two sizes are known to differ."""
    return sizes.is_true(lambda: x != y)


def _placed(spec: Axes, values: Sequence[Dim]) -> Index:
    """The index that has these values on these axes."""
    index: list[Dim] = [0] * len(spec)
    for axis, value in zip(spec, values, strict=True):
        index[axis] = value
    return tuple(index)


def _product(x: Scalar, y: Scalar, wide: np.dtype) -> Iterator[Expr]:
    """The product in this dtype: the real scalars."""
    real = dtypes.real_of(wide)
    if isinstance(x, tuple) and isinstance(y, tuple):
        (a, c), (s, t) = ([scalar.convert(part, real) for part in z] for z in (x, y))
        return iter((a * s - c * t, a * t + c * s))
    assert isinstance(x, Expr) and isinstance(y, Expr)
    product = scalar.convert(x, real) * scalar.convert(y, real)
    return iter((product, const(0, real)) if dtypes.is_complex(wide) else (product,))


def _finished(total: Sequence[Expr], dtype: np.dtype) -> Scalar:
    if len(total) == 2:
        return total[0], total[1]
    return scalar.convert(total[0], dtype)


def _exchanged(spec: Axes) -> Axes:
    """Batch and features in each other's place."""
    first, second, *rest = spec
    return second, first, *rest


def _without(aval: ShapedArray, axis: int | None) -> ShapedArray:
    """The type of one row along an axis."""
    shape = aval.shape
    return aval if axis is None else aval.with_shape((*shape[:axis], *shape[axis + 1 :]))


def _axis_out_of(x: Any, axis: int, count: Dim) -> Any:
    """The array with an axis in two: `count` parts, which stand at its place, and what is in one."""
    shape = typeof(x).shape
    return prims.Reshape(
        (*shape[:axis], count, sizes.floordiv(shape[axis], count), *shape[axis + 1 :])
    )(x)


def _axis_into(x: Any, source: int, target: int) -> Any:
    """The array with one axis put into another, which has this number without it: as its outer part."""
    x = prims.move_axis(x, source, target)
    shape = typeof(x).shape
    return prims.Reshape(
        (*shape[:target], shape[target] * shape[target + 1], *shape[target + 2 :])
    )(x)
