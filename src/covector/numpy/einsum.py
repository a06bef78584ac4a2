"""Einstein summation: parsed into labels, then contracted pair by pair."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim
from covector.numpy import elementwise as el
from covector.numpy.linear import contract
from covector.numpy.matrices import diagonal
from covector.numpy.operands import converted, refuse_out, together
from covector.numpy.precision import check_precision
from covector.numpy.promotion import Shape, cast, lift, spread
from covector.numpy.reduce import sum as total
from covector.numpy.shape import moveaxis, transpose

__all__ = ["einsum", "einsum_path"]

Labels = str  # one character an axis


class Formula(NamedTuple):
    """The labels of the operands' axes and of the result's; those of an ellipsis are capital letters of Greek."""

    inputs: tuple[Labels, ...]
    output: Labels


class _Term:
    """An array under way, with a label for each axis."""

    __slots__ = ("array", "labels")

    def __init__(self, array: Any, labels: Labels):
        self.array, self.labels = array, labels


_ELLIPSIS = "".join(map(chr, range(0x391, 0x3AA)))


def _problem(text: str) -> ValueError:
    return ValueError(f"einsum: {text}{errors.at_user_line()}")


def parse(subscripts: str, ranks: Sequence[int]) -> Formula:
    """The formula that subscripts mean for operands of these ranks; ValueError if they do not fit."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise _problem(f"{subscripts!r} is for {len(terms)} operands, got {len(ranks)}")
    longest = 0
    inputs: list[Labels] = []
    for term, rank in zip(terms, ranks, strict=True):
        labels, hidden = _expand(subscripts, term, rank)
        longest = max(longest, hidden)
        inputs.append(labels)
    everything = "".join(inputs)
    if arrow:
        output = right.replace("...", _ELLIPSIS[:longest][::-1])
        bad = [c for c in output if c not in everything or not c.isalpha()]
        if bad or len(set(output)) != len(output):
            raise _problem(
                f"the output {right!r} of {subscripts!r} must be made of different labels of the operands"
            )
        return Formula(tuple(inputs), output)
    counts = Counter(everything)
    named = sorted(c for c, n in counts.items() if n == 1 and c not in _ELLIPSIS)
    return Formula(tuple(inputs), _ELLIPSIS[:longest][::-1] + "".join(named))


def _expand(subscripts: str, term: str, rank: int) -> tuple[Labels, int]:
    """The labels of one operand, and how many axes its ellipsis stands for; they are aligned at the last."""
    named = term.replace("...", "", 1)
    if not named.isalpha() and named:
        raise _problem(
            f"{term!r} in {subscripts!r} must be made of letters, with at most one '...'"
        )
    hidden = rank - len(named)
    if hidden < 0 or (hidden and "..." not in term):
        raise _problem(
            f"{term!r} in {subscripts!r} names {len(named)} axes, but the operand has {rank}"
        )
    return term.replace("...", _ELLIPSIS[:hidden][::-1]), hidden


def _interleaved(args: Sequence[Any]) -> tuple[str, list[Any]]:
    """The other form, einsum(x, [0, 1], y, [1, 2], [0, 2]), as subscripts and operands."""
    letters = "".join(map(chr, (*range(97, 123), *range(65, 91))))

    def text(sublist: Sequence[Any]) -> str:
        return "".join("..." if i is Ellipsis else letters[operator.index(i)] for i in sublist)

    pairs = len(args) // 2
    arrays, lists = list(args[0 : 2 * pairs : 2]), [text(s) for s in args[1 : 2 * pairs : 2]]
    return ",".join(lists) + (f"->{text(args[-1])}" if len(args) % 2 else ""), arrays


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    _dot_general: Callable[..., Any] | None = None,
    out_sharding: Any = None,
) -> Any:
    """Sums of products of elements, as subscripts say: a letter for each axis, one that is left out is summed over.

    `...` stands for further axes, which broadcast.  Several operands are contracted in pairs, in the order that
    needs the fewest multiplications, or in the one that `optimize` lists (see `einsum_path`).  ValueError if the
    subscripts do not fit the operands, or the order does not.  Libraries may give a function that computes the
    products of pairs, called as `lax.dot_general` is.

    >>> from covector import numpy as cnp
    >>> cnp.einsum("ij,jk->ik", cnp.ones((2, 3)), cnp.ones((3, 4))).shape
    (2, 4)
    """
    check_precision("einsum", precision)
    refuse_out("einsum", out)
    if not isinstance(subscripts, str):
        subscripts, operands = _interleaved((subscripts, *operands))  # type: ignore[assignment]
    arrays = together("einsum", "any", *operands)
    formula = parse(subscripts, [x.ndim for x in arrays])
    sizes = _sizes(subscripts, formula, arrays)
    terms = [
        _simplified(x, labels, sizes) for x, labels in zip(arrays, formula.inputs, strict=True)
    ]
    given = _given_order(optimize, len(terms))
    for i, j in _order(formula, terms, sizes) if given is None else given:
        second, first = terms.pop(j), terms.pop(i)
        needed = set(formula.output).union(*[t.labels for t in terms])
        product = _Product(precision, preferred_element_type, _dot_general)
        terms.append(_multiply(first, second, needed, product))
    (term,) = terms
    term = _summed(term, set(formula.output))
    present = [c for c in formula.output if c in term.labels]
    result = transpose(term.array, [term.labels.index(c) for c in present])
    result = spread(
        prims.expand_dims(result, [i for i, c in enumerate(formula.output) if c not in present]),
        tuple([sizes[c] for c in formula.output]),
    )
    return (
        result
        if preferred_element_type is None
        else cast(result, dtypes.as_dtype(preferred_element_type))
    )


def _sizes(subscripts: str, formula: Formula, arrays: Sequence[Any]) -> dict[str, Dim]:
    """The length of each label; ValueError if two axes with one label have different ones."""
    sizes: dict[str, Dim] = {}
    for x, labels in zip(arrays, formula.inputs, strict=True):
        for c, n in zip(labels, x.shape, strict=True):
            known = sizes.get(c, 1)
            if known not in (1, n) and n != 1:
                raise _problem(
                    f"label {c!r} of {subscripts!r} stands for axes of lengths {known} and {n}"
                )
            sizes[c] = n if known == 1 else known
    return sizes


def _simplified(x: Any, labels: Labels, sizes: dict[str, Dim]) -> _Term:
    """Each label once: diagonals taken, and axes of length 1 left out where others are longer."""
    gone = [i for i, c in enumerate(labels) if x.shape[i] == 1 and sizes[c] != 1]
    x, labels = prims.squeeze(x, gone), "".join(c for i, c in enumerate(labels) if i not in gone)
    while len(set(labels)) != len(labels):
        c = next(c for c in labels if labels.count(c) > 1)
        i, j = labels.index(c), labels.rindex(c)
        x = moveaxis(diagonal(x, 0, i, j), -1, i)
        labels = labels[:j] + labels[j + 1 :]
    return _Term(x, labels)


def _summed(term: _Term, needed: set[str]) -> _Term:
    axes = tuple([i for i, c in enumerate(term.labels) if c not in needed])
    if not axes:
        return term
    if term.array.dtype == dtypes.bool_:
        return _Term(prims.Any_(axes)(term.array), _without(term.labels, axes))
    found = total(term.array, axes, promote_integers=False)
    found = converted(found, found.dtype, term.array.weak_type)
    return _Term(found, _without(term.labels, axes))


def _without(labels: Labels, axes: Sequence[int]) -> Labels:
    return "".join(c for i, c in enumerate(labels) if i not in axes)


class _Product(NamedTuple):
    """How the product of two terms is computed, where it is one of matrices."""

    precision: Any
    preferred: Any
    function: Callable[..., Any] | None

    def __call__(self, a: Any, b: Any, inner: Any, batch: Any) -> Any:
        if self.function is None:
            return contract(a, b, inner, batch, self.preferred)
        given = {"precision": self.precision, "preferred_element_type": self.preferred}
        return self.function(a, b, (inner, batch), **given)


def _multiply(a: _Term, b: _Term, needed: set[str], product: _Product) -> _Term:
    """The product of two terms, summed over the labels that nothing else needs."""
    a, b = _summed(a, needed | set(b.labels)), _summed(b, needed | set(a.labels))
    shared = [c for c in a.labels if c in b.labels]
    batch, inner = [c for c in shared if c in needed], [c for c in shared if c not in needed]
    free_a, free_b = ([c for c in t.labels if c not in shared] for t in (a, b))
    labels = "".join((*batch, *free_a, *free_b))
    if not inner and not (free_a and free_b):
        return _scale(a, b, labels)

    def axes(of: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple([a.labels.index(c) for c in of]), tuple([b.labels.index(c) for c in of])

    return _Term(product(a.array, b.array, axes(inner), axes(batch)), labels)


def _scale(a: _Term, b: _Term, labels: Labels) -> _Term:
    """A product without a sum, where one term has all the axes: elementwise."""
    big, small = (a, b) if len(a.labels) >= len(b.labels) else (b, a)
    order = [small.labels.index(c) for c in big.labels if c in small.labels]
    missing = [i for i, c in enumerate(big.labels) if c not in small.labels]
    aligned = spread(prims.expand_dims(transpose(small.array, order), missing), big.array.shape)
    pair = (big.array, aligned) if big is a else (aligned, big.array)
    return _Term(el.multiply(*pair), big.labels)


def _order(
    formula: Formula, terms: Sequence[_Term], sizes: dict[str, Dim]
) -> list[tuple[int, int]]:
    """Which two terms are multiplied at each step; the product goes to the end."""
    n = len(terms)
    if n <= 2:
        return [(0, 1)] if n == 2 else []
    output = "".join(c for c in formula.output if any(c in t.labels for t in terms))
    letters = {
        c: chr(ord("A") + i) if i < 26 else chr(ord("a") + i - 26) for i, c in enumerate(sizes)
    }
    if len(letters) > 52:
        return [(0, 1)] + [(0, n - 2 - k) for k in range(n - 2)]
    spec = ",".join("".join(letters[c] for c in t.labels) for t in terms)
    spec += "->" + "".join(letters[c] for c in output)
    shapes = [_guess(t.array.shape) for t in terms]
    dummies = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
    path, _ = np.einsum_path(spec, *dummies, optimize="optimal" if n <= 4 else "greedy")
    return _pairs([tuple(sorted(step)) for step in path[1:]], n)


def _given_order(optimize: Any, n: int) -> list[tuple[int, int]] | None:
    """The steps that a caller lists, as `einsum_path` gives them; None where the order is left to us."""
    if not isinstance(optimize, list | tuple):
        return None
    steps = [tuple(sorted(s)) for s in optimize if not isinstance(s, str)]
    left = n
    for step in steps:
        if not step or len(set(step)) != len(step) or not 0 <= step[0] <= step[-1] < left:
            raise _problem(
                f"optimize={optimize!r} has the step {step} where there are {left} operands"
            )
        left -= len(step) - 1
    if left != 1:
        raise _problem(f"optimize={optimize!r} leaves {left} operands")
    return _pairs(steps, n)


def _guess(shape: Shape) -> tuple[int, ...]:
    """The shape with a number in place of symbolic sizes."""
    return tuple([n if isinstance(n, int) else 128 for n in shape])


def _pairs(path: list[tuple[int, ...]], n: int) -> list[tuple[int, int]]:
    """The path's steps as pairs; a step of more than two terms becomes several."""
    result: list[tuple[int, int]] = []
    for step in path:
        rest = list(step)
        if len(rest) < 2:
            continue
        result.append((rest[0], rest[1]))
        n -= 1
        left = [i - 2 for i in rest[2:]]
        while left:
            result.append((left.pop(0), n - 1))
            left = [i - 1 for i in left]
            n -= 1
    return result


def einsum_path(
    subscripts: Any, /, *operands: Any, optimize: Any = "auto"
) -> tuple[list[Any], Any]:
    """The order of contraction that NumPy suggests for operands of these shapes, and a text about its cost.

    The order is a list of which operands are multiplied in each step, as `einsum` takes it for `optimize`: their
    product goes to the end.  ValueError for what `einsum` would not take.

    >>> from covector import numpy as cnp
    >>> cnp.einsum_path('ij,jk,kl', cnp.ones((2, 3)), cnp.ones((3, 4)), cnp.ones((4, 5)))[0]
    [(1, 2), (0, 1)]
    """
    dummies = [np.broadcast_to(np.float32(0), lift("einsum_path", x).shape) for x in operands]
    way = "greedy" if optimize == "auto" else optimize
    path, cost = np.einsum_path(subscripts, *dummies, optimize=way)
    return path[1:], cost
