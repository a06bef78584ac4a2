"""A dimension: an int, or a symbolic expression with bounds.

An expression is a polynomial with integer coefficients over factors: symbols, and quotients, remainders,
maxima and minima of expressions.  It is kept in one canonical form, so equal polynomials are equal
values; an expression without factors is a plain int.  Index expressions (`ir/index.py`) are the same
thing over loop variables, which is why simplification by bounds lives here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from math import gcd

from covector._engine.base.errors import InconclusiveDimensionOperation

Monomial = tuple["Factor", ...]  # sorted by key, repeated for powers


class Factor:
    """Something a polynomial is over: a symbol, or an operation on expressions that is not a polynomial.

    What was found out from the bounds of one must not be said of another one: two are equal if all that is known of
    them is.  Variables of loops of other lengths are others, though they have the same name.
    """

    __slots__ = ("args", "key", "lower", "op", "payload", "upper")

    def __init__(
        self,
        op: str,
        args: tuple[Dim, ...],
        key: str,
        lower: int | None,
        upper: int | None,
        payload: object = None,
    ):
        self.op, self.args, self.key, self.lower, self.upper, self.payload = (
            op,
            args,
            key,
            lower,
            upper,
            payload,
        )

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Factor)
            and self.key == other.key
            and self.lower == other.lower
            and self.upper == other.upper
            and self.payload == other.payload
            and self.args == other.args
        )

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return self.key


class Polynomial:
    """A symbolic expression; immutable.  Build with `symbol` and arithmetic."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]):
        self.terms = terms  # sorted by monomial keys, no zero coefficients
        self._hash = hash(terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Polynomial)
            and self._hash == other._hash
            and self.terms == other.terms
        )

    def __repr__(self) -> str:
        return show(self)

    def __add__(self, other: Dim) -> Dim:
        return _sum(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return _sum(self, other, -1)

    def __rsub__(self, other: Dim) -> Dim:
        return _sum(other, self, -1)

    def __neg__(self) -> Dim:
        return self * -1

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            if other == 0:
                return 0
            return self if other == 1 else Polynomial(tuple((m, c * other) for m, c in self.terms))
        table: dict[Monomial, int] = {}
        for m, c in self.terms:
            for n, d in other.terms:
                key = tuple(sorted(m + n, key=_key)) if m and n else m or n
                table[key] = table.get(key, 0) + c * d
        return _from_table(table)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other)

    def __rfloordiv__(self, other: int) -> Dim:
        return floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return mod(self, other)

    def __rmod__(self, other: int) -> Dim:
        return mod(other, self)

    def __lt__(self, other: Dim) -> bool:
        return _decide(other - self - 1, f"{self} < {other}")

    def __le__(self, other: Dim) -> bool:
        return _decide(other - self, f"{self} <= {other}")

    def __gt__(self, other: Dim) -> bool:
        return _decide(self - other - 1, f"{self} > {other}")

    def __ge__(self, other: Dim) -> bool:
        return _decide(self - other, f"{self} >= {other}")

    def __int__(self) -> int:
        raise InconclusiveDimensionOperation(
            f"the dimension {self} has no value yet: it is symbolic"
        )

    __index__ = __int__


Dim = int | Polynomial


def _key(factor: Factor) -> str:
    return factor.key


def _monomial_key(term: tuple[Monomial, int]) -> tuple[str, ...]:
    return tuple(a.key for a in term[0])


def _from_table(table: dict[Monomial, int]) -> Dim:
    terms = [(m, c) for m, c in table.items() if c]
    if not terms:
        return 0
    if len(terms) == 1 and not terms[0][0]:
        return terms[0][1]
    terms.sort(key=_monomial_key)
    return Polynomial(tuple(terms))


def _sum(x: Dim, y: Dim, sign: int) -> Dim:
    table: dict[Monomial, int] = {(): x} if isinstance(x, int) else dict(x.terms)
    if isinstance(y, int):
        table[()] = table.get((), 0) + sign * y
    else:
        for m, c in y.terms:
            table[m] = table.get(m, 0) + sign * c
    return _from_table(table)


def symbol(
    name: str, lower: int | None = 0, upper: int | None = None, payload: object = None
) -> Polynomial:
    """A symbol with inclusive bounds; it is equal to every other of the same name, bounds and payload."""
    return Polynomial((((Factor("symbol", (), name, lower, upper, payload),), 1),))


def _atom(op: str, args: tuple[Dim, ...], lower: int | None, upper: int | None) -> Polynomial:
    key = f"{op}({', '.join(show(a) for a in args)})"
    return Polynomial((((Factor(op, args, key, lower, upper),), 1),))


def _divisible(x: Dim, n: int) -> tuple[Dim, Dim]:
    """(q, r) with x == n * q + r, q taking every term whose coefficient n divides."""
    if isinstance(x, int):
        return x // n, x % n
    whole = {m: c // n for m, c in x.terms if c % n == 0}
    rest = {m: c for m, c in x.terms if c % n}
    return _from_table(whole), _from_table(rest)


def floordiv(x: Dim, y: Dim) -> Dim:
    """The quotient rounded down, simplified by divisibility and bounds."""
    if isinstance(x, int) and isinstance(y, int):
        return x // y
    if y == 1:
        return x
    if x == y:
        return 1
    if isinstance(y, int) and y > 0 and not isinstance(x, int):
        q, r = _divisible(x, y)
        lo, hi = bounds(r)
        if lo is not None and hi is not None and lo // y == hi // y:
            return q + lo // y
        if q != 0:
            return q + floordiv(r, y)
        g = reduce(gcd, (c for m, c in x.terms if m), y)
        if g > 1:  # (g a + c) // (g b) == (a + c // g) // b
            constant = dict(x.terms).get((), 0)
            return floordiv(_divisible(x - constant, g)[0] + constant // g, y // g)
    if isinstance(y, Polynomial) and (quotient := exact_quotient(x, y)) is not None:
        return quotient
    if isinstance(y, Polynomial):
        split = _split_symbolic(x, y)
        if split is not None:
            return split[0]
    lo, hi = _quotient_bounds(x, y)
    return _atom("floordiv", (x, y), lo, hi)


def mod(x: Dim, y: Dim) -> Dim:
    """The remainder with the divisor's sign, simplified by divisibility and bounds."""
    if isinstance(x, int) and isinstance(y, int):
        return x % y
    if y == 1 or x == y:
        return 0
    if isinstance(y, int) and y > 0:
        _, r = _divisible(x, y)
        lo, hi = bounds(r)
        if lo is not None and hi is not None and lo // y == hi // y:
            return r - (lo // y) * y
        if r != x:
            return mod(r, y)
    if isinstance(y, Polynomial):
        if exact_quotient(x, y) is not None:
            return 0
        split = _split_symbolic(x, y)
        if split is not None:
            return split[1]
    upper = y - 1 if isinstance(y, int) and y > 0 else None
    return _atom("mod", (x, y), 0, upper)


def _split_symbolic(x: Dim, y: Polynomial) -> tuple[Dim, Dim] | None:
    """(q, r) with x == y*q + r and provably 0 <= r < y, for a divisor that is one monomial; else None."""
    if isinstance(x, int) or len(y.terms) != 1:
        if isinstance(x, int) and x >= 0 and is_true(lambda: y - 1 - x >= 0):
            return 0, x
        return None
    whole, rest = {}, {}
    monomial, coefficient = y.terms[0]
    for m, c in x.terms:
        quotient = _divide_monomial(m, monomial)
        if quotient is not None and c % coefficient == 0:
            whole[quotient] = whole.get(quotient, 0) + c // coefficient
        else:
            rest[m] = c
    r = _from_table(rest)
    if is_true(lambda: r >= 0) and is_true(lambda: y - 1 - r >= 0):
        return _from_table(whole), r
    return None


def _divide_monomial(m: Monomial, n: Monomial) -> Monomial | None:
    rest = list(m)
    for factor in n:
        if factor not in rest:
            return None
        rest.remove(factor)
    return tuple(rest)


def exact_quotient(x: Dim, y: Dim) -> Dim | None:
    """x / y if the division leaves nothing for all values of the symbols that y's first monomial shows; else None."""
    if isinstance(y, int):
        if y == 0:
            return None
        if isinstance(x, int):
            return x // y if x % y == 0 else None
        q, r = _divisible(x, y)
        return q if r == 0 else None
    if isinstance(x, int):
        return 0 if x == 0 else None
    quotient: Dim = 0
    rest: Dim = x
    lead, coefficient = y.terms[-1]
    for _ in range(len(x.terms) + len(y.terms)):
        if rest == 0:
            return quotient
        if isinstance(rest, int):
            return None
        for m, c in rest.terms:
            found = _divide_monomial(m, lead)
            if found is not None and c % coefficient == 0:
                step = _from_table({found: c // coefficient})
                quotient, rest = quotient + step, rest - step * y
                break
        else:
            return None
    return quotient if rest == 0 else None


def maximum(x: Dim, y: Dim) -> Dim:
    """The larger, decided now if the bounds allow."""
    if is_true(lambda: x >= y):
        return x
    if is_true(lambda: y >= x):
        return y
    (a, b), (c, d) = bounds(x), bounds(y)
    lower = max((v for v in (a, c) if v is not None), default=None)
    return _atom("max", (x, y), lower, None if b is None or d is None else max(b, d))


def minimum(x: Dim, y: Dim) -> Dim:
    """The smaller, decided now if the bounds allow."""
    if is_true(lambda: x <= y):
        return x
    if is_true(lambda: y <= x):
        return y
    (a, b), (c, d) = bounds(x), bounds(y)
    upper = min((v for v in (b, d) if v is not None), default=None)
    return _atom("min", (x, y), None if a is None or c is None else min(a, c), upper)


def bounds(x: Dim) -> tuple[int | None, int | None]:
    """Inclusive bounds from the factors' bounds; None where there is none."""
    if isinstance(x, int):
        return x, x
    low: int | None = 0
    high: int | None = 0
    for monomial, c in x.terms:
        lo, hi = _monomial_bounds(monomial)
        if c < 0:
            lo, hi = hi, lo
        low = None if low is None or lo is None else low + c * lo
        high = None if high is None or hi is None else high + c * hi
    return low, high


def _unit() -> tuple[int | None, int | None]:
    return 1, 1


def _monomial_bounds(monomial: Monomial) -> tuple[int | None, int | None]:
    lo, hi = _unit()
    for factor in monomial:
        a, b = factor.lower, factor.upper
        if lo is not None and lo >= 0 and a is not None and a >= 0:
            lo, hi = lo * a, None if hi is None or b is None else hi * b
        elif None in (lo, hi, a, b):
            return None, None
        else:
            products = [p * q for p in (lo, hi) for q in (a, b)]  # type: ignore[operator]
            lo, hi = min(products), max(products)
    return lo, hi


def _quotient_bounds(x: Dim, y: Dim) -> tuple[int | None, int | None]:
    (a, b), (c, d) = bounds(x), bounds(y)
    if c is None or c <= 0 or a is None or a < 0:
        return None, None
    return (0 if d is None else a // d), (None if b is None else b // c)


def least(x: Dim) -> int:
    """The lower bound of a dimension, 0 if none is known."""
    return bounds(x)[0] or 0


def is_true(claim: Callable[[], bool]) -> bool:
    """Whether the comparison holds for all values; False if it cannot be decided."""
    try:
        return bool(claim())
    except InconclusiveDimensionOperation:
        return False


def _decide(difference: Dim, text: str) -> bool:
    lo, hi = bounds(difference)
    if lo is not None and lo >= 0:
        return True
    if hi is not None and hi < 0:
        return False
    raise InconclusiveDimensionOperation(
        f"'{text}' cannot be decided for all values of the symbolic dimensions; "
        "give the symbol bounds, or make the dimension a constant"
    )


def is_constant(shape: Iterable[Dim]) -> bool:
    """Whether all dimensions are plain ints."""
    return all(type(d) is int for d in shape)


def product(shape: Iterable[Dim]) -> Dim:
    """The number of elements of a shape."""
    result: Dim = 1
    for d in shape:
        result = d * result
    return result


def factors(x: Dim) -> Iterable[Factor]:
    """The factors of an expression, those inside quotients and the like included."""
    if not isinstance(x, int):
        for monomial, _ in x.terms:
            for factor in monomial:
                yield factor
                for arg in factor.args:
                    yield from factors(arg)


def substitute(x: Dim, values: Mapping[str, Dim]) -> Dim:
    """The expression with symbols replaced; an int if all are."""
    if isinstance(x, int):
        return x
    result: Dim = 0
    for monomial, c in x.terms:
        term: Dim = c
        for factor in monomial:
            term = _substitute_factor(factor, values) * term
        result = result + term
    return result


def _substitute_factor(factor: Factor, values: Mapping[str, Dim]) -> Dim:
    if factor.op == "symbol":
        return values[factor.key] if factor.key in values else Polynomial((((factor,), 1),))
    x, y = (substitute(a, values) for a in factor.args)
    return {"floordiv": floordiv, "mod": mod, "max": maximum, "min": minimum}[factor.op](x, y)


def show(x: Dim) -> str:
    """The expression in ordinary notation."""
    if isinstance(x, int):
        return str(x)
    parts: list[str] = []
    for monomial, c in reversed(x.terms):
        name = "*".join(a.key for a in monomial)
        sign = "-" if c < 0 else "+"
        text = name if abs(c) == 1 and name else f"{abs(c)}*{name}" if name else str(abs(c))
        parts.append(f" {sign} {text}" if parts else text if c > 0 else f"-{text}")
    return "".join(parts)


def division_factor(x: Dim, n: Dim) -> Factor | None:
    """The factor of x // n, where that does not simplify; None if it does."""
    quotient = floordiv(x, n)
    if isinstance(quotient, int) or len(quotient.terms) != 1 or quotient.terms[0][1] != 1:
        return None
    monomial = quotient.terms[0][0]
    return monomial[0] if len(monomial) == 1 and monomial[0].op == "floordiv" else None
