"""Integer index expressions: build, simplify, bounds, strides.

An index expression is a `Dim`: a polynomial over symbols.  A symbol's payload says what it stands for:

- None: a symbolic dimension of the Program, with a value when it runs;
- a Dim: a loop variable (`loop_variable`), and the payload is the loop's extent;
- an Expr: an index that comes from data (`of_scalar`), and the payload computes it.

Bounds in a symbol are ints.  Where an extent is symbolic they say nothing above, so this file also proves
`0 <= x` by putting the extreme values of loop variables and remainders in their place (`is_nonnegative`);
`divide` and `compare` use it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from covector._engine.ir import scalar
from covector._engine.ir.scalar import BOOL, Expr, Iteration, const
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim, Factor, Monomial, Polynomial, division_factor

__all__ = [
    "Index",
    "both",
    "clamp",
    "coefficient",
    "compare",
    "constant",
    "depends",
    "depends_on_any",
    "divide",
    "flatten",
    "inside",
    "is_nonnegative",
    "known_index",
    "loop_variable",
    "of_scalar",
    "rejoin",
    "renamed",
    "signed",
    "suffix_products",
    "to_scalar",
    "unflatten",
]  # fmt: skip

Index = tuple[Dim, ...]

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


# ------------------------------------------------------------------------------------------------ symbols


def loop_variable(name: str, extent: Dim) -> Polynomial:
    """The variable of a loop over `extent` values from 0; the extent is its payload."""
    upper = dims.bounds(extent)[1]
    return dims.symbol(name, 0, None if upper is None else max(upper - 1, 0), extent)


def of_scalar(e: Expr, lower: Dim, upper: Dim) -> Dim:
    """An integer scalar as an index, for which the caller promises lower <= e <= upper.

    The same Expr gives the same symbol.  A constant gives an int, and the value of an index gives that index back.
    """
    known = known_index(e)
    if known is not None:
        return known
    return dims.symbol(f"%{_number(e):08}", dims.bounds(lower)[0], dims.bounds(upper)[1], e)


def renamed(factor: Factor, e: Expr) -> Dim:
    """The index of the same value and bounds, computed by another Expr."""
    return dims.symbol(f"%{_number(e):08}", factor.lower, factor.upper, e)


_count = itertools.count()


@lru_cache(maxsize=4096)
def _number(e: Expr) -> int:
    """A number for an Expr, later ones larger: so the order of terms, and code, is the same in every process."""
    return next(_count)


def known_index(e: Expr) -> Dim | None:
    """The index that the scalar is the value of, if it shows."""
    if e.op == "const":
        return int(e.attr)  # type: ignore[call-overload]
    if e.op == "index" and _fits(e.attr, e.dtype):  # type: ignore[arg-type]
        return e.attr  # type: ignore[return-value]
    return None


def clamp(e: Expr, lower: Dim, upper: Dim) -> Dim:
    """The index max(lower, min(e, upper)), whatever integer dtype e has.  `lower` is not negative."""
    known = known_index(e)
    if known is not None:
        return dims.maximum(lower, dims.minimum(known, upper))
    if lower == upper:
        return lower
    wide = signed(e, upper)
    low, high = to_scalar(lower, wide.dtype), to_scalar(upper, wide.dtype)
    return of_scalar(scalar.maximum(scalar.minimum(wide, high), low), lower, upper)


def signed(e: Expr, upper: Dim) -> Expr:
    """The integer as int32 or int64, whichever holds `upper` and the values of its dtype; uint64 saturates."""
    if e.dtype == np.uint64:
        return scalar.convert(scalar.minimum(e, np.iinfo(INT64).max), INT64)
    narrow = dtypes.iinfo(e.dtype).max <= dtypes.iinfo(INT32).max and _fits(upper, INT32)
    return scalar.convert(e, INT32 if narrow else INT64)


def to_scalar(d: Dim, dtype: np.dtype) -> Expr:
    """The value of an index as a scalar of a real dtype; wraps in a narrow integer dtype."""
    if isinstance(d, int):
        if dtype.kind in "iu":
            d = d % (
                1 << (8 * dtype.itemsize)
            )  # two's complement, as the conversion of a wide value does
            if d > np.iinfo(dtype).max:
                d -= 1 << (8 * dtype.itemsize)
        return const(d, dtype)
    if dtype.kind not in "iu":
        return scalar.convert(to_scalar(d, _holding(d)), dtype)
    factor = _single(d)
    if factor is not None and isinstance(factor.payload, Expr):
        return scalar.convert(factor.payload, dtype)
    return Expr("index", (), dtype, d)


def _single(d: Polynomial) -> Factor | None:
    """The factor, if the expression is just that."""
    if len(d.terms) == 1 and d.terms[0][1] == 1 and len(d.terms[0][0]) == 1:
        return d.terms[0][0][0]
    return None


def _fits(d: Dim, dtype: np.dtype) -> bool:
    low, high = dims.bounds(d)
    info = np.iinfo(dtype)
    return low is not None and high is not None and info.min <= low and high <= info.max


def _holding(*ds: Dim) -> np.dtype:
    """int32 if it surely holds all of them, else int64."""
    return INT32 if all(_fits(d, INT32) for d in ds) else INT64


# --------------------------------------------------------------------------------------------- conditions


def constant(e: Expr) -> bool | None:
    """The value of a condition that is decided; else None."""
    return bool(e.attr) if e.op == "const" else None


TRUE, FALSE = const(True, BOOL), const(False, BOOL)

_NEGATIONS = {"lt": "ge", "ge": "lt", "le": "gt", "gt": "le", "eq": "ne", "ne": "eq"}


def compare(op: str, x: Dim, y: Dim) -> Expr:
    """The condition `x op y` (eq, ne, lt, le, gt, ge), a constant where bounds decide it."""
    if _holds(op, x, y):
        return TRUE
    if _holds(_NEGATIONS[op], x, y):
        return FALSE
    if isinstance(x, Polynomial):  # constants to the right: i - 3 < n becomes i < n + 3
        shift = dict(x.terms).get((), 0)
        x, y = x - shift, y - shift
    dtype = _holding(x, y)
    return scalar.apply(op, to_scalar(x, dtype), to_scalar(y, dtype))


def _holds(op: str, x: Dim, y: Dim) -> bool:
    """Whether `x op y` is proved."""
    difference = x - y
    match op:
        case "lt":
            return is_nonnegative(-difference - 1)
        case "le":
            return is_nonnegative(-difference)
        case "gt":
            return is_nonnegative(difference - 1)
        case "ge":
            return is_nonnegative(difference)
        case "eq":
            return difference == 0
        case _:
            return is_nonnegative(-difference - 1) or is_nonnegative(difference - 1)


def both(*conditions: Expr) -> Expr:
    """All of the conditions; constants fold away."""
    result = TRUE
    for e in conditions:
        known = constant(e)
        if known is False:
            return FALSE
        if known is None:
            result = e if result is TRUE else result & e
    return result


def inside(x: Dim, size: Dim) -> Expr:
    """The condition 0 <= x < size."""
    return both(compare("ge", x, 0), compare("lt", x, size))


def is_nonnegative(x: Dim) -> bool:
    """Whether 0 <= x is proved, by integer bounds or by the extreme values of loop variables and remainders."""
    for _ in range(16):
        low, _ = dims.bounds(x)
        if low is not None and low >= 0:
            return True
        if isinstance(x, int):
            return False
        smaller = _at_extreme(x)
        if smaller is None:
            return False
        x = smaller
    return False


def _at_extreme(x: Polynomial) -> Dim | None:
    """A lower bound of x without one of its bounded factors, first those with a symbolic limit; None without any."""
    candidates = {
        factor for monomial, _ in x.terms for factor in monomial if _limit(factor) is not None
    }
    for factor in sorted(candidates, key=lambda a: (isinstance(_limit(a), int), a.key)):
        slope = _slope(x, factor)
        if slope is None:
            continue
        low, high = dims.bounds(slope)
        if low is not None and low >= 0:
            return x - slope * _value(factor)
        if high is not None and high <= 0:
            limit = _limit(factor)
            assert limit is not None
            return x + slope * (limit - 1 - _value(factor))
    return None


def _limit(factor: Factor) -> Dim | None:
    """What a factor that is not negative stays below: a loop's extent, a divisor."""
    if factor.op == "symbol" and isinstance(factor.payload, int | Polynomial):
        return factor.payload
    return factor.args[1] if factor.op == "mod" else None


def _value(factor: Factor) -> Polynomial:
    return Polynomial((((factor,), 1),))


def _slope(x: Polynomial, factor: Factor) -> Dim | None:
    """The coefficient of a factor in which x is affine; None if x is not."""
    slope: Dim = 0
    for monomial, c in x.terms:
        count = monomial.count(factor)
        if count > 1 or (
            count == 0 and any(factor in dims.factors(a) for other in monomial for a in other.args)
        ):
            return None
        if count:
            rest: Monomial = tuple(a for a in monomial if a != factor)
            slope = slope + (Polynomial(((rest, c),)) if rest else c)
    return slope


# --------------------------------------------------------------------------------------- offsets and strides


def suffix_products(shape: Sequence[Dim]) -> list[Dim]:
    """The row-major strides of a shape, in elements."""
    strides: list[Dim] = []
    step: Dim = 1
    for d in reversed(shape):
        strides.append(step)
        step = d * step
    return strides[::-1]


def flatten(index: Sequence[Dim], shape: Sequence[Dim]) -> Dim:
    """The row-major offset of an index; along an axis of size 1 that counts as 0."""
    offset: Dim = 0
    for i, d, step in zip(index, shape, suffix_products(shape), strict=True):
        if d != 1:
            offset = offset + i * step
    return offset


def unflatten(offset: Dim, shape: Sequence[Dim]) -> Index:
    """The index at a row-major offset that lies inside the shape; any index if that is empty."""
    if 0 in shape:
        return (0,) * len(shape)
    index: list[Dim] = []
    for step in suffix_products(shape)[:-1]:
        i, offset = divide(offset, step)
        index.append(i)
    return (*index, offset) if shape else ()


def rejoin(index: Dim) -> Dim:
    """The index with n * (x // n) + x % n put together to x, which collapsed loops give rise to."""
    if isinstance(index, int) or not any(a.op == "mod" for m, _ in index.terms for a in m):
        return index
    table = dict(index.terms)
    for monomial, c in index.terms:
        if len(monomial) != 1 or monomial[0].op != "mod" or monomial not in table:
            continue
        x, n = monomial[0].args
        quotient = division_factor(x, n)
        if quotient is None or not isinstance(n, int):
            continue
        if table.get((quotient,), 0) == c * n:
            rest = index - Polynomial(((monomial, c),)) - Polynomial((((quotient,), c * n),))
            return rejoin(rest + x * c)
    return index


def divide(x: Dim, y: Dim) -> tuple[Dim, Dim]:
    """(quotient rounded down, remainder) for a positive y, simplified by bounds, also symbolic ones."""
    if isinstance(y, int):
        return dims.floordiv(x, y), dims.mod(x, y)
    whole, remainder = _long_division(x, y)
    if is_nonnegative(remainder) and is_nonnegative(y - 1 - remainder):
        return whole, remainder
    return dims.floordiv(x, y), dims.mod(x, y)


def _long_division(x: Dim, y: Polynomial) -> tuple[Dim, Dim]:
    """(q, r) with x == q * y + r, where y's leading term divides no term of r: division of polynomials."""
    lead, factor = max(y.terms, key=_degree)
    whole: Dim = 0
    for _ in range(64):
        step: Dim = 0
        for monomial, c in (
            sorted(x.terms, key=_degree, reverse=True) if isinstance(x, Polynomial) else ()
        ):
            rest = _without(monomial, lead)
            if rest is not None and c % factor == 0:
                step = Polynomial(((rest, c // factor),)) if rest else c // factor
                break
        if step == 0:
            break
        whole, x = whole + step, x - step * y
    return whole, x


def _degree(term: tuple[Monomial, int]) -> tuple[int, list[str]]:
    """The order of terms in a division: by degree, then by name."""
    return len(term[0]), [a.key for a in term[0]]


def _without(monomial: Monomial, part: Monomial) -> Monomial | None:
    """monomial / part, or None if it does not divide."""
    rest = list(monomial)
    for factor in part:
        if factor not in rest:
            return None
        rest.remove(factor)
    return tuple(rest)


def coefficient(d: Dim, var: str) -> Dim | None:
    """The stride c where d is c * var + (something without var); 0 if var does not occur.

    None if var is inside a quotient, a data-dependent index, or a product with itself.
    """
    if isinstance(d, int):
        return 0
    slope: Dim = 0
    for monomial, c in d.terms:
        count = sum(a.op == "symbol" and a.key == var for a in monomial)
        others = tuple(a for a in monomial if not (a.op == "symbol" and a.key == var))
        if count > 1 or any(_depends(a, _names(var)) for a in others):
            return None
        if count:
            slope = slope + (Polynomial(((others, c),)) if others else c)
    return slope


def depends(d: Dim, var: str) -> bool:
    """Whether var occurs in d: in quotients and in the scalars of data-dependent indices too.

    A named local of a scalar may hold anything, so it counts as a dependence.
    """
    return _depends(d, _names(var))


_Test = Callable[[Factor], bool]


def _names(var: str) -> _Test:
    return lambda factor: factor.key == var


def _depends(x: object, test: _Test) -> bool:
    """Whether a factor that passes the test occurs in an index, a scalar, a factor, or a tuple of these.

    Without recursion: an index may come from data that comes from data, as often as the Program says.
    """
    stack, seen = [x], set[int]()
    while stack:
        match x := stack.pop():
            case Polynomial():
                stack += [a for monomial, _ in x.terms for a in monomial]
            case Factor():
                if x.op == "symbol" and test(x):
                    return True
                stack += (
                    (x.payload,) if x.op == "symbol" and isinstance(x.payload, Expr) else x.args
                )
            case Expr():
                if id(x) in seen:
                    continue
                seen.add(id(x))
                if x.op == "local":
                    if isinstance(x.attr, str):
                        return True
                    continue
                stack += (x.attr, *x.args)
            case Iteration():
                stack += (x.condition, *x.step)
            case tuple():
                stack += x
            case _:
                pass
    return False


def depends_on_any(d: Dim, variables: Iterable[str]) -> bool:
    """Whether one of the variables occurs in d, as in `depends`."""
    names = frozenset(variables)
    return _depends(d, lambda factor: factor.key in names)
