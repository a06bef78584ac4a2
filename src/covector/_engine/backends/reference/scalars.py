"""The slow interpreter of scalar expressions: what every operation means, in NumPy.

`evaluate(e, {leaf: array})` is the living definition that compiled code is tested against.  Leaves (loads,
indices, locals) are looked up in the environment; lanes are array elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from covector._engine.compile import functions
from covector._engine.ir.scalar import SCALAR_OPS, Expr, Iteration
from covector._engine.types import dtypes
from covector._engine.types.conversion import convert
from covector._engine.types.dtypes import SMALL_FLOATS as SMALL, is_float

Array = np.ndarray


# What a leaf is, given its operands; None: there is no such leaf.
Leaf = Callable[[Expr, Sequence[Array]], Array | None]


def _unknown(e: Expr, args: Sequence[Array]) -> None:
    return None


def evaluate(e: Expr, env: Mapping[Expr, Array], leaf: Leaf = _unknown) -> Array:
    """The value of an expression, lane by lane; without recursion along chains of operands."""
    return evaluate_into(dict(env), e, leaf)


def evaluate_into(values: dict[Expr, Array], e: Expr, leaf: Leaf = _unknown) -> Array:
    """The value of an expression; those of the nodes below it, locals excepted, are added to `values`."""
    locals_: list[Expr] = []
    with np.errstate(all="ignore"):
        try:
            return _evaluate(e, values, leaf, locals_)
        finally:
            for local in locals_:
                del values[local]


def _evaluate(e: Expr, values: dict[Expr, Array], leaf: Leaf, locals_: list[Expr]) -> Array:
    states: dict[Expr, tuple[Array, ...]] = {}
    stack = [e]
    while stack:
        node = stack[-1]
        missing = () if node in values else [a for a in node.args if a not in values]
        if missing:
            stack += reversed(missing)
            continue
        stack.pop()
        if node in values:
            continue
        args = [values[a] for a in node.args]
        match node.op:
            case "const":
                values[node] = np.asarray(node.attr, node.dtype)
            case "call":
                values[node] = _call(node, args)
            case "iterate":
                states[node] = _iterate(node, args, values, leaf)
                values[node] = states[node][0]
            case "project":
                assert isinstance(node.attr, int)
                loop = node.args[0]
                if loop not in states:  # computed before, of which only the first part was kept
                    states[loop] = _iterate(loop, [values[a] for a in loop.args], values, leaf)
                values[node] = states[loop][node.attr]
            case "convert":
                values[node] = convert(args[0], node.dtype)
            case "bitcast":
                values[node] = _bitcast(args[0], node.dtype)
            case "select":
                values[node] = np.where(args[0], args[1], args[2])
            case op if op in SCALAR_OPS:
                result = np.asarray(_operate(op, args))
                assert result.dtype == node.dtype, (op, result.dtype, node.dtype)
                values[node] = result
            case op:
                found = leaf(node, args)
                if found is None:
                    raise KeyError(f"the environment has no value for the leaf {op} {node.attr!r}")
                values[node] = found
                if op == "local":
                    locals_.append(node)
    return values[e]


def _operate(op: str, args: list[Array]) -> Array:
    """An operation of the closed set; of narrow types in the wider one, rounded or wrapped."""
    dtype = args[0].dtype
    if not dtypes.is_narrow(dtype):
        return OPERATIONS[op](*args)
    if op in _OF_BITS:
        return _OF_BITS[op](dtype, *[x.astype(np.int64) for x in args]).astype(dtype)
    result = OPERATIONS[op](*[x.astype(dtypes.computed_in(dtype)) for x in args])
    return result if SCALAR_OPS[op].kind == "compare" else result.astype(dtype)


def _low_bits(dtype: np.dtype, x: Array) -> Array:
    return x & ((1 << dtypes.bits(dtype)) - 1)


# Operations on integers of fewer bits than a byte that see how many there are.
_OF_BITS: dict[str, Callable[..., Array]] = {
    "shr": lambda dtype, x, y: _low_bits(dtype, x) >> y,
    "clz": lambda dtype, x: dtypes.bits(dtype) - np.ceil(np.log2(_low_bits(dtype, x) + 1)),
    "popcount": lambda dtype, x: np.bitwise_count(_low_bits(dtype, x)).astype(np.int64),
    "mulhi": lambda dtype, x, y: (x * y) >> dtypes.bits(dtype),
}


def _call(node: Expr, args: list[Array]) -> Array:
    """A named function through its definition; 16-bit floats in float32, rounded once."""
    assert isinstance(node.attr, str)
    narrow = () if functions.FUNCTIONS[node.attr].any_float else SMALL
    wide = [a.astype(np.float32) if a.dtype in narrow else a for a in args]
    function = functions.definition(node.attr, tuple(a.dtype for a in wide))
    result = evaluate(function.result, dict(zip(function.parameters, wide, strict=True)))
    return convert(result, node.dtype)


def _iterate(
    node: Expr, init: list[Array], values: dict[Expr, Array], leaf: Leaf
) -> tuple[Array, ...]:
    """The state after the loop: lanes whose condition is false keep theirs."""
    body = node.attr
    assert isinstance(body, Iteration)
    state = tuple(np.array(a) for a in np.broadcast_arrays(*init))
    while True:
        env = dict(values)
        env.update(zip(body.slots, state, strict=True))
        active = evaluate(body.condition, env, leaf)
        if not np.any(active):
            return state
        step = [evaluate(s, env, leaf) for s in body.step]
        state = tuple(np.where(active, new, old) for new, old in zip(step, state, strict=True))


def _bitcast(x: Array, dtype: np.dtype) -> Array:
    if dtype == np.bool_:
        return x != x.dtype.type(0)
    return (
        np.ascontiguousarray(x).reshape(np.shape(x)).view(dtype)
        if x.ndim
        else x[None].view(dtype)[0]
    )


def _unsigned(x: Array) -> Array:
    return x.view(f"u{x.dtype.itemsize}")


def _div(x: Array, y: Array) -> Array:
    if is_float(x.dtype):
        return x / y
    return np.floor_divide(x - np.fmod(x, y), y)


def fma(x: Array, y: Array, z: Array) -> Array:
    """x * y + z rounded once: exactly, in rational numbers, where error-free float sums do not do."""
    if x.dtype in SMALL:
        wide = fma(*(v.astype(np.float32) for v in (x, y, z)))
        return wide.astype(x.dtype)
    if x.dtype == np.float32:
        product, c = x.astype(np.float64) * y.astype(np.float64), z.astype(np.float64)
        return np.asarray(_sum_to_odd(product, c)).astype(np.float32)
    x, y, z = np.broadcast_arrays(x, y, z)
    result = np.asarray(x * y + z)
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    flat = result.reshape(-1)
    for i in np.flatnonzero(finite):
        exact = Fraction(float(x.flat[i])) * Fraction(float(y.flat[i])) + Fraction(float(z.flat[i]))
        if exact:
            try:
                flat[i] = float(exact)
            except OverflowError:
                flat[i] = np.inf if exact > 0 else -np.inf
    return flat.reshape(result.shape)


def _sum_to_odd(a: Array, b: Array) -> Array:
    """a + b in float64, rounded to odd."""
    total = np.asarray(a + b)
    part = total - a
    error = (a - (total - part)) + (b - part)
    bits = total.view(np.int64)
    inexact = np.isfinite(total) & (error != 0) & (bits & 1 == 0)
    away = (error > 0) == (total > 0)
    return np.where(inexact, bits + np.where(away, 1, -1), bits).view(np.float64)


def _extreme(x: Array, y: Array, smaller: bool) -> Array:
    """min or max: NaN if either is, -0 below +0."""
    if not is_float(x.dtype):
        return np.minimum(x, y) if smaller else np.maximum(x, y)
    first = np.where(x == y, np.signbit(x) == smaller, (x < y) == smaller)
    return np.where(np.isnan(x), x, np.where(np.isnan(y), y, np.where(first, x, y)))


def _neg(x: Array) -> Array:
    return -x if is_float(x.dtype) else np.asarray(x.dtype.type(0) - x)


def _clz(x: Array) -> Array:
    bits = 8 * x.dtype.itemsize
    rest, count = _unsigned(np.atleast_1d(x)), np.full(np.atleast_1d(x).shape, bits, x.dtype)
    for k in range(bits):
        count = np.where(rest >> rest.dtype.type(k) != 0, x.dtype.type(bits - 1 - k), count)
    return count.reshape(np.shape(x))


def _mulhi(x: Array, y: Array) -> Array:
    shift = 8 * x.dtype.itemsize
    return ((x.astype(object) * y.astype(object)) >> shift).astype(x.dtype)


def _shift(x: Array, y: Array, kind: str) -> Array:
    if kind == "shl":
        return np.left_shift(x, y)
    view = _unsigned(x) if kind == "shr" else x.view(f"i{x.dtype.itemsize}")
    return np.right_shift(view, y.view(view.dtype)).view(x.dtype)


def _integral(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: function(x) if is_float(x.dtype) else x


OPERATIONS: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _div,
    "rem": np.fmod,
    "neg": _neg,
    "fma": fma,
    "abs": np.abs,
    "min": lambda x, y: _extreme(x, y, True),
    "max": lambda x, y: _extreme(x, y, False),
    "sqrt": np.sqrt,
    "floor": _integral(np.floor),
    "ceil": _integral(np.ceil),
    "trunc": _integral(np.trunc),
    "rint": _integral(np.rint),
    "copysign": np.copysign,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "shl": lambda x, y: _shift(x, y, "shl"),
    "shr": lambda x, y: _shift(x, y, "shr"),
    "sar": lambda x, y: _shift(x, y, "sar"),
    "clz": _clz,
    "popcount": lambda x: np.bitwise_count(_unsigned(x)).astype(x.dtype),
    "mulhi": _mulhi,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
