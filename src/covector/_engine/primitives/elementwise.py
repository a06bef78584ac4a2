"""Elementwise operations: mathematics, a row an operation.

A row gives the NumPy meaning, how a tangent of each operand is pushed forward, and the meaning of one element.
The family owns everything else.  Operands have one shape; one of shape () goes with every element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.core.families import Mapped, View
from covector._engine.core.inside import Fault
from covector._engine.core.numbers import SCALARS, number
from covector._engine.core.primitive import MadeBy
from covector._engine.core.symbolic import (
    NO_SLOPE,
    Linear,
    NoSlope,
    NotDifferentiable,
    Zero,
    is_zero,
)
from covector._engine.core.trace import typeof
from covector._engine.ir import scalar
from covector._engine.ir.index import Index
from covector._engine.ir.program import Atom, Eqn
from covector._engine.ir.scalar import Expr, Scalar, const, select as choose
from covector._engine.primitives import laws
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "Elementwise",
    "ElementwiseBase",
    "PartialRule",
    "Select",
    "abs_",
    "add",
    "add_any",
    "ceil",
    "div",
    "floor",
    "maximum",
    "minimum",
    "mul",
    "neg",
    "one_minus_square",
    "rem",
    "round_half_away",
    "round_half_even",
    "scalar_op",
    "select",
    "sign",
    "sqrt",
    "square",
    "stop_gradient",
    "sub",
    "trunc",
]

# (tangent, result, *operands) -> tangent of the result; linear in the first, or Zero for operands of some dtypes.
Push = Callable[..., Any]
PartialRule = Push | NoSlope | NotDifferentiable


def common_shape(name: str, avals: Sequence[ShapedArray]) -> tuple[Dim, ...]:
    """The one shape of the operands that are not scalars; TypeError if there are several."""
    shape: tuple[Dim, ...] = ()
    for aval in avals:
        if aval.shape and aval.shape != shape:
            if shape:
                raise errors.ShapeError(errors.shape_mismatch(name, [a.text() for a in avals]))
            shape = aval.shape
    return shape


class ElementwiseBase(Mapped):
    """What all elementwise primitives share: shape rule, batching, pushing tangents forward, transposition."""

    def element_operands(self, count: int) -> Sequence[int]:
        return range(count)

    def dtype_of(self, avals: Sequence[ShapedArray]) -> np.dtype:
        """The result's dtype; TypeError if the operands' do not fit."""
        raise NotImplementedError

    def pushes(self) -> tuple[PartialRule, ...]:
        """How a tangent of each operand is pushed forward; NO_SLOPE: it is lost; or why there is no way."""
        raise NotImplementedError

    def on_elements(self, avals: Sequence[ShapedArray], *xs: Scalar) -> Scalar:
        """The result's element from the operands' elements."""
        raise NotImplementedError

    def __call__(self, *args: Any) -> Any:
        for i, x in enumerate(args):
            if type(x) in SCALARS:
                args = self._with_literals(args, i)
                break
        return super().__call__(*args)

    def _with_literals(self, args: tuple[Any, ...], first: int) -> tuple[Any, ...]:
        """Python scalars take the dtype of the first operand that is not one."""
        for x in args:
            if type(x) not in SCALARS:
                return tuple(number(a, x) if type(a) in SCALARS else a for a in args)
        dtype, _ = dtypes.promote(*((typeof(a).dtype, True) for a in args))
        return tuple(np.asarray(a).astype(dtype)[()] for a in args)

    def type(self, *avals: ShapedArray) -> ShapedArray:
        if len(avals) == 1:
            (x,) = avals
            return ShapedArray(x.shape, self.dtype_of(avals), x.weak_type)
        shape = avals[0].shape
        weak = True
        for aval in avals:
            weak = weak and aval.weak_type
            if aval.shape != shape:
                shape = common_shape(self.name, avals)
        return ShapedArray(shape, self.dtype_of(avals), weak)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = self(*primals)
        total = None
        for push, t in zip(self.pushes(), tangents, strict=True):
            if type(t) is Zero or type(push) is NoSlope:
                continue
            if isinstance(push, NotDifferentiable):
                raise push.error(self.name)
            term = push(t, out, *primals)  # type: ignore[operator]
            if type(term) is not Zero:
                total = term if total is None else add(total, term)
        if total is None:
            return out, Zero(typeof(out))
        if len(primals) > 1 and total.shape != out.shape:
            total = prims.Broadcast(out.shape, tuple(range(len(out.shape))))(total)
        return out, total

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        result: list[Any] = []
        for push, a in zip(self.pushes(), args, strict=True):
            if not isinstance(a, Linear):
                result.append(None)
                continue
            if not callable(push):
                raise TypeError(errors.not_linear())
            back = push(ct, Linear(a.aval), *args)
            if not a.aval.shape and back.shape:
                back = prims.Sum(tuple(range(len(back.shape))))(back)
            result.append(back)
        return result

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        if len(args) == 1:
            return self(args[0]), dims[0]
        ranks = [
            len(x.shape) - (d is not None) if hasattr(x, "shape") else 0
            for x, d in zip(args, dims, strict=True)
        ]
        rank = max(ranks)
        axes = {d for d, r in zip(dims, ranks, strict=True) if d is not None and r == rank}
        mixed = any(
            (d is None and r == rank > 0) or (d is not None and r < rank)
            for d, r in zip(dims, ranks, strict=True)
        )
        if len(axes) == 1 and not mixed:
            return self(*args), axes.pop()
        x, d = next((x, d) for x, d, r in zip(args, dims, ranks, strict=True) if r == rank)
        shape = tuple([n for i, n in enumerate(typeof(x).shape) if i != d])
        front = [prims.batch_to_front(x, d, size, shape) for x, d in zip(args, dims, strict=True)]
        return self(*front), 0

    def element(self, index: Index, *xs: View) -> Scalar:
        avals = [x.aval for x in xs]
        return self.on_elements(avals, *[x(index if x.aval.shape else ()) for x in xs])


@record(eq=False)
class Elementwise(ElementwiseBase):
    """A parameter-free elementwise primitive: one row, one singleton."""

    name: str  # type: ignore[misc]
    numpy: Callable[..., Any]
    push: tuple[PartialRule, ...]
    on_element: Callable[..., Expr] | None  # element of the result from elements (not complex)
    kinds: str = "iufc"  # which kinds of dtype the operands may have
    result: Literal["same", "bool", "real", "complex"] = "same"
    on_complex: Callable[..., Any] | None = None  # the same from pairs (real, imaginary)
    widen: bool = False  # the NumPy meaning of 16-bit floats is that of float32, rounded
    of_format: bool = False  # narrow floats are not widened for NumPy: it depends on the format
    law: Callable[[Eqn, MadeBy], Atom | Eqn | Sequence[Eqn] | None] | None = None  # a simpler way
    fault: Fault | None = None  # what can go wrong

    def faults(self, *avals: ShapedArray) -> Sequence[Fault]:
        return () if self.fault is None else (self.fault,)

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Atom | Eqn | Sequence[Eqn] | None:
        return None if self.law is None else self.law(eqn, made_by)

    def dtype_of(self, avals: Sequence[ShapedArray]) -> np.dtype:
        if len(avals) != len(self.push):
            raise TypeError(
                f"{self.name} takes {len(self.push)} operands, got {len(avals)}{errors.at_user_line()}"
            )
        dtype = avals[0].dtype
        for aval in avals:
            if aval.dtype != dtype:
                raise TypeError(
                    f"{self.name} got operands of different dtypes: {' and '.join(a.text() for a in avals)}"
                    f"{errors.at_user_line()}; convert one (covector.lax.convert_element_type), or use the "
                    "covector.numpy function, which promotes"
                )
        if dtypes.kind(dtype) not in self.kinds:
            allowed = [d.name for d in dtypes.ALL if dtypes.kind(d) in self.kinds]
            raise TypeError(
                f"{self.name} does not take {dtype.name}{errors.at_user_line()}; it takes {', '.join(allowed)}"
            )
        if self.result == "same":
            return dtype
        if self.result == "bool":
            return dtypes.bool_
        return dtypes.real_of(dtype) if self.result == "real" else dtypes.complex_of(dtype)

    def pushes(self) -> tuple[PartialRule, ...]:
        return self.push

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out, tangent = super().jvp(primals, tangents)
        if self.result == "bool" and not is_zero(tangent):
            return out, Zero(typeof(out))
        return out, tangent

    def reference(self, *xs: Any) -> Any:
        dtype = self.dtype_of([typeof(np.asarray(x)) for x in xs])
        arrays = [np.asarray(x) for x in xs]
        own = arrays[0].dtype
        wider = not self.of_format if dtypes.is_narrow(own) else self.widen
        if wider and dtypes.is_small_float(own):
            arrays = [x.astype(np.float32) for x in arrays]
        with np.errstate(all="ignore"):
            return np.asarray(self.numpy(*arrays)).astype(dtype)

    def on_elements(self, avals: Sequence[ShapedArray], *xs: Scalar) -> Scalar:
        if dtypes.is_complex(avals[0].dtype):
            if self.on_complex is None:
                raise self._missing("complex element")
            return self.on_complex(*xs)
        if self.on_element is None:
            raise self._missing("element")
        return self.on_element(*xs)

    def text(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name


# ------------------------------------------------------------------------------------------------ arithmetic


def _pairs(op: str) -> Callable[..., Any]:
    """The operation on real and imaginary parts apart."""
    return lambda *ps: (
        scalar.apply(op, *[p[0] for p in ps]),
        scalar.apply(op, *[p[1] for p in ps]),
    )


def _complex(name: str) -> Callable[..., Any]:
    """A function of the table of complex functions, looked up when it is used."""
    return lambda *ps: scalar.COMPLEX[name](*ps)


def scalar_op(name: str) -> Callable[..., Expr]:
    """The operation of this name on elements, as a row's meaning of one element."""
    return lambda *xs: scalar.apply(name, *xs)


def _integer_div(x: Expr, y: Expr) -> Expr:
    """Truncated; by zero gives -1 (all bits set), and the one overflow wraps, as in XLA."""
    if dtypes.is_float(x.dtype):
        return x / y
    zero = scalar.equal(y, 0)
    if dtypes.kind(x.dtype) == "u":
        return choose(zero, const(dtypes.highest(x.dtype), x.dtype), x / choose(zero, 1, y))
    minus = scalar.equal(y, -1)
    safe = choose(zero | minus, 1, y)
    return choose(zero, const(-1, x.dtype), choose(minus, -x, x / safe))


def _integer_rem(x: Expr, y: Expr) -> Expr:
    """Sign of x; by zero gives x."""
    if dtypes.is_float(x.dtype):
        return scalar.apply("rem", x, y)
    zero = scalar.equal(y, 0)
    if dtypes.kind(x.dtype) == "u":
        return choose(zero, x, scalar.apply("rem", x, choose(zero, 1, y)))
    minus = scalar.equal(y, -1)
    rest = scalar.apply("rem", x, choose(zero | minus, 1, y))
    return choose(zero, x, choose(minus, const(0, x.dtype), rest))


def _numpy_div(x: Any, y: Any) -> Any:
    if dtypes.is_inexact(x.dtype):
        return np.divide(x, y)
    safe = np.where(y == 0, 1, y).astype(y.dtype)
    big = x.astype(object), safe.astype(object)
    quotient = (np.abs(big[0]) // np.abs(big[1])) * np.sign(big[0]) * np.sign(big[1])
    wrapped = (
        np.asarray(quotient % (1 << (8 * x.dtype.itemsize)), object)
        .astype(np.uint64)
        .astype(x.dtype)
    )
    return np.where(y == 0, np.asarray(-1).astype(x.dtype), wrapped)


def _numpy_rem(x: Any, y: Any) -> Any:
    if dtypes.is_inexact(x.dtype):
        return np.fmod(x, y)
    return np.where(y == 0, x, np.fmod(x, np.where(y == 0, 1, y).astype(y.dtype)))


def _share(t: Any, mine: Any, other: Any, wins: Callable[[Any, Any], Any]) -> Any:
    """Of the larger (smaller) operand all, of equal ones half."""
    half = select(prims.eq(mine, other), number(0.5, t), number(1, t))
    return select(wins(mine, other), mul(t, half), 0)


def _same(t: Any, *_: Any) -> Any:
    return t


add = Elementwise(
    "add",
    np.add,
    (_same, _same),
    scalar_op("add"),
    on_complex=_pairs("add"),
    law=laws.sum_with_zero,
)
# The sum of two cotangents: of a part of an array that is nothing but that part, added in place.
add_any = replace(add, name="add_any", law=laws.sum_of_cotangents)
sub = Elementwise(
    "sub",
    np.subtract,
    (_same, lambda t, *_: neg(t)),
    scalar_op("sub"),
    on_complex=_pairs("sub"),
    law=laws.difference_with_zero,
)
mul = Elementwise(
    "mul",
    np.multiply,
    (lambda t, z, x, y: mul(t, y), lambda t, z, x, y: mul(x, t)),
    scalar_op("mul"),
    on_complex=_complex("mul"),
    law=laws.product_with_one,
)
div = Elementwise(
    "div",
    _numpy_div,
    (lambda t, z, x, y: div(t, y), lambda t, z, x, y: neg(div(mul(t, z), y))),
    _integer_div,
    on_complex=_complex("div"),
    law=laws.quotient,
    fault=prims.division_by_zero(),
)
rem = Elementwise(
    "rem",
    _numpy_rem,
    (_same, lambda t, z, x, y: mul(neg(t), prims.trunc(div(x, y)))),
    _integer_rem,
    kinds="iuf",
)
neg = Elementwise(
    "neg",
    np.negative,
    (lambda t, *_: neg(t),),
    scalar_op("neg"),
    on_complex=_pairs("neg"),
    law=laws.negative_of_negative,
)
maximum = Elementwise(
    "max",
    np.maximum,
    (lambda t, z, x, y: _share(t, x, y, prims.ge), lambda t, z, x, y: _share(t, y, x, prims.ge)),
    lambda x, y: x | y if x.dtype == scalar.BOOL else scalar.maximum(x, y),
    kinds="biuf",
)
minimum = Elementwise(
    "min",
    np.minimum,
    (lambda t, z, x, y: _share(t, x, y, prims.le), lambda t, z, x, y: _share(t, y, x, prims.le)),
    lambda x, y: x & y if x.dtype == scalar.BOOL else scalar.minimum(x, y),
    kinds="biuf",
)
square = Elementwise(
    "square",
    np.square,
    (lambda t, z, x: mul(t, mul(x, 2)),),
    lambda x: x * x,
    on_complex=lambda p: scalar.COMPLEX["mul"](p, p),
)
one_minus_square = Elementwise(
    "one_minus_square",
    lambda x: (1 + x) * (1 - x),
    (lambda t, z, x: mul(t, mul(x, -2)),),
    lambda x: (x + 1) * (const(1, x.dtype) - x),
    on_complex=lambda p: scalar.COMPLEX["mul"](
        (const(1, p[0].dtype) + p[0], p[1]), (const(1, p[0].dtype) - p[0], -p[1])
    ),
)
sqrt = Elementwise(
    "sqrt",
    np.sqrt,
    (lambda t, z, x: div(mul(t, 0.5), z),),
    scalar_op("sqrt"),
    "fc",
    on_complex=_complex("sqrt"),
    widen=True,
)


def _abs_push(t: Any, z: Any, x: Any) -> Any:
    if not dtypes.is_complex(x.dtype):  # 1 at 0, so that the second derivative of |x|² is right
        return mul(t, select(prims.ge(x, 0), number(1, x), number(-1, x)))
    return div(prims.real(mul(t, prims.conj(x))), select(prims.eq(z, 0), 1, z))


def _sign_push(t: Any, z: Any, x: Any) -> Any:
    """Constant on the reals but at 0; of complex numbers the direction, which turns with the argument."""
    if not dtypes.is_complex(x.dtype):
        return Zero(x)
    size = abs_(x)
    turn = div(prims.imag(mul(prims.conj(z), t)), select(prims.eq(size, 0), 1, size))
    return mul(z, prims.complex_(0.0, turn))


def _sign(x: Expr) -> Expr:
    if dtypes.kind(x.dtype) == "u":
        return choose(scalar.equal(x, 0), const(0, x.dtype), const(1, x.dtype))
    one = choose(x < 0, const(-1, x.dtype), const(1, x.dtype))
    if dtypes.is_float(x.dtype):
        return choose(scalar.equal(x, 0) | scalar.differ(x, x), x, one)
    return choose(scalar.equal(x, 0), x, one)


abs_ = Elementwise(
    "abs",
    np.abs,
    (_abs_push,),
    lambda x: x if dtypes.kind(x.dtype) == "u" else scalar.apply("abs", x),
    result="real",
    on_complex=_complex("abs"),
)


def _numpy_sign(x: Any) -> Any:
    """As NumPy's, with the sign of a zero; of complex numbers z / |z|, and an infinity on an axis has a direction."""
    if not dtypes.is_complex(x.dtype):
        return np.where(x == 0, x, np.sign(x)).astype(x.dtype)
    parts = np.stack([x.real, x.imag]).astype(np.longdouble)
    axis = np.isfinite(parts).any(0) & np.isinf(parts).any(0)
    parts = np.where(axis, np.copysign(np.isinf(parts), parts), parts)
    parts = (parts / np.where(x == 0, 1, np.hypot(*parts))).astype(x.real.dtype)
    return np.stack([*parts], -1).view(x.dtype)[..., 0]


sign = Elementwise("sign", _numpy_sign, (_sign_push,), _sign, on_complex=_complex("sign"))


def _rounding(name: str, numpy: Callable[..., Any], op: str) -> Elementwise:
    return Elementwise(name, numpy, (NO_SLOPE,), scalar_op(op), "f", widen=True)


def _half_away(x: Expr) -> Expr:
    t = scalar.apply("trunc", x)
    return choose(
        scalar.apply("abs", x - t) >= 0.5, t + scalar.apply("copysign", const(1, x.dtype), x), t
    )


def _numpy_half_away(x: Any) -> Any:
    t = np.trunc(x)
    return np.where(np.abs(x - t) >= 0.5, t + np.copysign(1, x), t).astype(x.dtype)


floor = _rounding("floor", np.floor, "floor")
ceil = _rounding("ceil", np.ceil, "ceil")
round_half_even = _rounding("round_half_even", np.rint, "rint")
trunc = _rounding("trunc", np.trunc, "trunc")
round_half_away = Elementwise(
    "round_half_away", _numpy_half_away, (NO_SLOPE,), _half_away, "f", widen=True
)


class _StopGradient(Elementwise):
    """Its derivative is zero; as a function it is the identity, and so is its transpose."""

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        return [ct]


stop_gradient = _StopGradient(
    "stop_gradient",
    lambda x: x,
    (NO_SLOPE,),
    lambda x: x,
    "biufc",
    on_complex=lambda p: p,
    law=laws.the_operand,
)


# --------------------------------------------------------------------------------------- with parameters


@record
class Select(ElementwiseBase):
    """Elements of `yes` where the condition holds, else of `no`.  Operands: condition, yes, no."""

    name: ClassVar[str] = "select"
    makes_nan: ClassVar[bool] = False
    simplified = laws.one_choice

    def __call__(self, condition: Any, yes: Any, no: Any) -> Any:
        if type(yes) in SCALARS or type(no) in SCALARS:
            _, yes, no = self._with_literals((condition, yes, no), 1)
        return Mapped.__call__(self, condition, yes, no)

    def _with_literals(self, args: tuple[Any, ...], first: int) -> tuple[Any, ...]:
        condition, yes, no = args
        return (condition, *super()._with_literals((yes, no), 0))

    def dtype_of(self, avals: Sequence[ShapedArray]) -> np.dtype:
        if avals[0].dtype != dtypes.bool_ or avals[1].dtype != avals[2].dtype:
            raise TypeError(
                f"select takes a bool and two operands of one dtype, got {', '.join(a.text() for a in avals)}"
                f"{errors.at_user_line()}"
            )
        return avals[1].dtype

    def type(self, *avals: ShapedArray) -> ShapedArray:
        weak = avals[1].weak_type and avals[2].weak_type
        return ShapedArray(common_shape(self.name, avals), self.dtype_of(avals), weak)

    def reference(self, condition: Any, yes: Any, no: Any) -> Any:
        return np.where(condition, yes, no).astype(np.asarray(yes).dtype)

    def pushes(self) -> tuple[PartialRule, ...]:
        return (
            NO_SLOPE,
            lambda t, z, c, x, y: select(c, t, 0),
            lambda t, z, c, x, y: select(c, 0, t),
        )

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        condition, yes, no = primals
        out = self(condition, yes, no)
        _, t, s = tangents
        if is_zero(t) and is_zero(s):
            return out, Zero(typeof(out))
        tangent = self(condition, 0 if is_zero(t) else t, 0 if is_zero(s) else s)
        if tangent.shape != out.shape:
            tangent = prims.Broadcast(out.shape, tuple(range(len(out.shape))))(tangent)
        return out, tangent

    def transpose(self, ct: Any, condition: Any, yes: Any, no: Any) -> Sequence[Any]:
        result: list[Any] = [None]
        for operand, back in ((yes, (ct, 0)), (no, (0, ct))):
            if not isinstance(operand, Linear):
                result.append(None)
                continue
            back = self(condition, *back)
            if not operand.aval.shape and back.shape:
                back = prims.Sum(tuple(range(len(back.shape))))(back)
            result.append(back)
        return result

    def on_elements(self, avals: Sequence[ShapedArray], *xs: Scalar) -> Scalar:
        condition, yes, no = xs
        assert isinstance(condition, Expr)
        if isinstance(yes, tuple):
            assert isinstance(no, tuple)
            return choose(condition, yes[0], no[0]), choose(condition, yes[1], no[1])
        return choose(condition, yes, no)  # type: ignore[arg-type]


select = Select()
