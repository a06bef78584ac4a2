"""Scalar expressions: what happens to one element, in the closed set of operations a backend implements.

An expression is an immutable graph; sharing is by identity, so a node that is used twice is computed
once.  Everything that is not in `SCALAR_OPS` (exp, erf, ...) is a `call` of a named function, which
`compile/functions` defines in these operations, once for all backends.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from covector._engine.base.record import record
from covector._engine.types import dims, dtypes

Kind = Literal["same", "compare", "select", "convert", "bitcast"]


@record
class ScalarOp:
    """One row of the closed set: how many operands, how the result is typed, the NumPy meaning."""

    arity: int
    kind: Kind
    text: str


SCALAR_OPS: dict[str, ScalarOp] = {
    # Arithmetic.  Integers wrap; `div` and `rem` truncate and need a non-zero divisor that does not overflow.
    "add": ScalarOp(2, "same", "x + y"),
    "sub": ScalarOp(2, "same", "x - y"),
    "mul": ScalarOp(2, "same", "x * y"),
    "div": ScalarOp(2, "same", "x / y (integers: truncated)"),
    "rem": ScalarOp(2, "same", "x - y * trunc(x / y), sign of x"),
    "neg": ScalarOp(1, "same", "-x, also the sign of a zero or NaN"),
    "fma": ScalarOp(3, "same", "x * y + z, rounded once (floats)"),
    "abs": ScalarOp(1, "same", "|x|"),
    "min": ScalarOp(2, "same", "the smaller; NaN if either is"),
    "max": ScalarOp(2, "same", "the larger; NaN if either is"),
    "sqrt": ScalarOp(1, "same", "correctly rounded square root"),
    "floor": ScalarOp(1, "same", "towards minus infinity (floats)"),
    "ceil": ScalarOp(1, "same", "towards infinity (floats)"),
    "trunc": ScalarOp(1, "same", "towards zero (floats)"),
    "rint": ScalarOp(1, "same", "to nearest, ties to even (floats)"),
    "copysign": ScalarOp(2, "same", "magnitude of x, sign of y (floats)"),
    # Bits (integers and bool).  Shift counts are below the width.
    "and": ScalarOp(2, "same", "x & y"),
    "or": ScalarOp(2, "same", "x | y"),
    "xor": ScalarOp(2, "same", "x ^ y"),
    "not": ScalarOp(1, "same", "~x; logical for bool"),
    "shl": ScalarOp(2, "same", "x << y"),
    "shr": ScalarOp(2, "same", "x >> y, zeros shifted in"),
    "sar": ScalarOp(2, "same", "x >> y, the sign bit shifted in"),
    "clz": ScalarOp(1, "same", "leading zero bits; the width for 0"),
    "popcount": ScalarOp(1, "same", "set bits"),
    "mulhi": ScalarOp(2, "same", "high half of the double-width product"),
    # Comparisons give bool.  Ordered: false on NaN, but `ne` is true on NaN.
    "eq": ScalarOp(2, "compare", "x == y"),
    "ne": ScalarOp(2, "compare", "x != y"),
    "lt": ScalarOp(2, "compare", "x < y"),
    "le": ScalarOp(2, "compare", "x <= y"),
    "gt": ScalarOp(2, "compare", "x > y"),
    "ge": ScalarOp(2, "compare", "x >= y"),
    # Choice and types.
    "select": ScalarOp(3, "select", "y if x else z"),
    "convert": ScalarOp(
        1, "convert", "value in another dtype; float to int saturates, NaN gives 0"
    ),
    "bitcast": ScalarOp(1, "bitcast", "the same bits as another dtype of the same width"),
}

# Nodes that are not operations: leaves, calls of named functions, and masked iteration.
#   const    attr: a NumPy scalar
#   load     attr: (Buffer, index)          one element of a buffer
#   index    attr: an index expression      the value of an index
#   local    attr: name                     a value bound by a Let, an accumulator, or an iteration slot
#   call     attr: name of a function
#   iterate  attr: Iteration                args: the initial state; the state after the loop
#   project  attr: position                 args: an iterate node
BOOL = np.dtype(np.bool_)
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}


class Expr:
    """One node of a scalar expression: an operation, its operands, its dtype."""

    __slots__ = ("args", "attr", "dtype", "op")

    def __init__(self, op: str, args: tuple[Expr, ...], dtype: np.dtype, attr: object = None):
        self.op, self.args, self.dtype, self.attr = op, args, dtype, attr

    def __repr__(self) -> str:
        return show(self)

    def __add__(self, other: ScalarLike) -> Expr:
        return _binary("add", self, other)

    def __radd__(self, other: ScalarLike) -> Expr:
        return _binary("add", self, other, swap=True)

    def __sub__(self, other: ScalarLike) -> Expr:
        return _binary("sub", self, other)

    def __rsub__(self, other: ScalarLike) -> Expr:
        return _binary("sub", self, other, swap=True)

    def __mul__(self, other: ScalarLike) -> Expr:
        return _binary("mul", self, other)

    def __rmul__(self, other: ScalarLike) -> Expr:
        return _binary("mul", self, other, swap=True)

    def __truediv__(self, other: ScalarLike) -> Expr:
        return _binary("div", self, other)

    def __rtruediv__(self, other: ScalarLike) -> Expr:
        return _binary("div", self, other, swap=True)

    def __neg__(self) -> Expr:
        return apply("neg", self)

    def __and__(self, other: ScalarLike) -> Expr:
        return _binary("and", self, other)

    def __or__(self, other: ScalarLike) -> Expr:
        return _binary("or", self, other)

    def __xor__(self, other: ScalarLike) -> Expr:
        return _binary("xor", self, other)

    def __invert__(self) -> Expr:
        return apply("not", self)

    def __lshift__(self, other: ScalarLike) -> Expr:
        return _binary("shl", self, other)

    def __rshift__(self, other: ScalarLike) -> Expr:
        """Logical shift of unsigned, arithmetic shift of signed integers."""
        return _binary("shr" if dtypes.kind(self.dtype) == "u" else "sar", self, other)

    def __lt__(self, other: ScalarLike) -> Expr:
        return _binary("lt", self, other)

    def __le__(self, other: ScalarLike) -> Expr:
        return _binary("le", self, other)

    def __gt__(self, other: ScalarLike) -> Expr:
        return _binary("gt", self, other)

    def __ge__(self, other: ScalarLike) -> Expr:
        return _binary("ge", self, other)

    # `==` stays identity: expressions are keys of tables.  Use equal() and differ().


ScalarLike = Expr | int | float | bool


def const(value: object, dtype: np.dtype | type) -> Expr:
    """A constant of `dtype`."""
    dtype = np.dtype(dtype)
    with np.errstate(over="ignore"):
        return Expr("const", (), dtype, np.asarray(value).astype(dtype)[()])


def apply(op: str, *args: Expr) -> Expr:
    """One operation of the closed set on operands of one dtype."""
    row = SCALAR_OPS[op]
    assert len(args) == row.arity, (op, args)
    if row.kind == "select":
        assert args[0].dtype == BOOL and args[1].dtype == args[2].dtype, [a.dtype for a in args]
        if args[0].op == "const":
            return args[1] if args[0].attr else args[2]
        return Expr(op, args, args[1].dtype)
    assert all(a.dtype == args[0].dtype for a in args), (op, [a.dtype for a in args])
    if row.kind == "compare" and args[0].op == args[1].op == "const":
        # A divisor that is known is not compared with 0: division by a constant is multiplication.
        return const(_COMPARISONS[op](args[0].attr, args[1].attr), BOOL)
    if op in ("and", "or") and args[0].dtype == BOOL:
        for x, other in (args, args[::-1]):
            if x.op == "const":
                return other if bool(x.attr) == (op == "and") else x
    return Expr(op, args, BOOL if row.kind == "compare" else args[0].dtype)


def _binary(op: str, x: Expr, other: ScalarLike, swap: bool = False) -> Expr:
    y = other if isinstance(other, Expr) else const(other, x.dtype)
    return apply(op, y, x) if swap else apply(op, x, y)


def _operand(value: ScalarLike, like: Expr) -> Expr:
    return value if isinstance(value, Expr) else const(value, like.dtype)


def equal(x: Expr, y: ScalarLike) -> Expr:
    """x == y, element by element."""
    return _binary("eq", x, y)


def differ(x: Expr, y: ScalarLike) -> Expr:
    """x != y; true where either is NaN."""
    return _binary("ne", x, y)


def fma(x: Expr, y: ScalarLike, z: ScalarLike) -> Expr:
    """x * y + z with one rounding."""
    return apply("fma", x, _operand(y, x), _operand(z, x))


def minimum(x: Expr, y: ScalarLike) -> Expr:
    """The smaller; NaN if either is."""
    return _binary("min", x, y)


def maximum(x: Expr, y: ScalarLike) -> Expr:
    """The larger; NaN if either is."""
    return _binary("max", x, y)


def select(condition: Expr, yes: ScalarLike, no: ScalarLike) -> Expr:
    """`yes` where the condition holds, else `no`; both are computed.  One of the two is an Expr."""
    like = yes if isinstance(yes, Expr) else no
    assert isinstance(like, Expr)
    return apply("select", condition, _operand(yes, like), _operand(no, like))


def convert(x: Expr, dtype: np.dtype | type) -> Expr:
    """The value in another dtype."""
    dtype = np.dtype(dtype)
    return x if x.dtype == dtype else Expr("convert", (x,), dtype)


def bitcast(x: Expr, dtype: np.dtype | type) -> Expr:
    """The same bits, read as another dtype of the same width."""
    dtype = np.dtype(dtype)
    assert dtypes.bits(dtype) == dtypes.bits(x.dtype), (x.dtype, dtype)
    return x if x.dtype == dtype else Expr("bitcast", (x,), dtype)


def call(function: str, *args: Expr, dtype: np.dtype | None = None) -> Expr:
    """A named function of `compile/functions`; its result has the first operand's dtype."""
    return Expr("call", args, args[0].dtype if dtype is None else dtype, function)


# Functions of complex elements, on pairs (real, imaginary): `compile/functions` fills it, like the table of calls.
Pair = tuple[Expr, Expr]
Scalar = Expr | Pair  # one element; complex ones are pairs
COMPLEX: dict[str, Callable[..., Pair]] = {}


def combined(operation: str, old: Scalar, new: Scalar) -> Scalar:
    """The element that an operation (add, mul, min, max) makes of two; of bool, the logical one."""
    if isinstance(old, tuple) and isinstance(new, tuple):
        if operation == "add":
            return old[0] + new[0], old[1] + new[1]
        return COMPLEX[operation](old, new)
    assert isinstance(old, Expr) and isinstance(new, Expr)
    if old.dtype == BOOL:
        operation = {"add": "or", "max": "or", "mul": "and", "min": "and"}.get(operation, operation)
    return apply(operation, old, new)


@record(eq=False)
class Iteration:
    """A loop on one element's state: while `condition`, state := step.  Lanes that are done keep theirs."""

    slots: tuple[Expr, ...]
    condition: Expr
    step: tuple[Expr, ...]


def iterate(
    condition: Callable[..., Expr], step: Callable[..., Sequence[Expr]], init: Sequence[Expr]
) -> tuple[Expr, ...]:
    """The state after `while condition(*state): state = step(*state)`, per element.

    The condition must become false by itself (bound the number of steps with a counter in the state).
    """
    init = tuple(init)
    slots = tuple(Expr("local", (), e.dtype, object()) for e in init)
    body = Iteration(slots, condition(*slots), tuple(step(*slots)))
    assert body.condition.dtype == BOOL
    assert [e.dtype for e in body.step] == [e.dtype for e in init]
    node = Expr("iterate", init, init[0].dtype, body)
    return tuple(Expr("project", (node,), e.dtype, i) for i, e in enumerate(init))


def show_index(index: Any) -> str:
    """An index as text; what comes from data is written out."""
    text = str(index)
    for factor in dims.factors(index):
        if isinstance(factor.payload, Expr):
            text = text.replace(factor.key, show(factor.payload))
    return text


_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^", "shl": "<<"} | {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="
}  # fmt: skip


def show(e: Expr) -> str:
    """The expression as text, in the notation of ordinary arithmetic."""
    args = [show(a) for a in e.args]
    match e.op:
        case "const":
            return str(e.attr)
        case "local":
            return e.attr if isinstance(e.attr, str) else f"slot{id(e.attr) % 1000}"
        case "load":
            buffer, index = e.attr  # type: ignore[misc]
            return f"{buffer.name}[{show_index(index)}]"
        case "index":
            return f"({show_index(e.attr)})"
        case "call":
            return f"{e.attr}({', '.join(args)})"
        case "convert" | "bitcast":
            return f"{e.op}<{e.dtype}>({args[0]})"
        case "iterate":
            body = e.attr
            assert isinstance(body, Iteration)
            return f"iterate({', '.join(args)}; while {show(body.condition)}; {', '.join(map(show, body.step))})"
        case "project":
            return f"{args[0]}.{e.attr}"
        case op if op in _INFIX:
            return f"({args[0]} {_INFIX[op]} {args[1]})"
        case op:
            return f"{op}({', '.join(args)})"
