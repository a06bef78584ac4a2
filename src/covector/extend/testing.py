"""Conformance tests of a primitive: each of its rules against its reference, for each row of operands.

`checks` makes them, for a test runner of your choice; `check` runs them.  The primitives of Covector itself are tested
by these functions.

    @pytest.mark.parametrize("check", testing.checks(testing.over_dtypes(Hypotenuse(), [(3,), (3,)])), ids=str)
    def test_hypotenuse(check):
        check()
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.jit import jit
from covector._engine.base.public import publish
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear, Zero
from covector._engine.core.trace import typeof
from covector._engine.transforms.forward import linearize_flat
from covector._engine.transforms.transpose import pull
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

__all__ = ["CHECKS", "Check", "Sample", "check", "checks", "over_dtypes", "random"]

Maker = Callable[[np.random.Generator, ShapedArray], Any]


@dataclass(frozen=True)
class Sample:
    """A primitive on operands of these types.

    `linear` names the groups of operands that it is linear in together.  `makers` make particular operands'
    values; the others are random.  `fixed` operands have no derivative.  `slopes`: the derivative is compared with
    finite differences in float64.

    >>> import numpy
    >>> from covector import extend
    >>> from covector.extend import testing
    >>> @extend.record
    ... class Cube(extend.Composite):
    ...     name = "cube"
    ...     def compute(self, x):
    ...         return x * x * x
    >>> print(testing.Sample(Cube(), (extend.ShapedArray((3,), numpy.dtype("float64")),)))
    cube float64[3]
    """

    primitive: Primitive
    avals: tuple[ShapedArray, ...]
    linear: tuple[tuple[int, ...], ...] = ()
    makers: dict[int, Maker] = field(default_factory=dict, hash=False)
    slopes: bool = True
    fixed: tuple[int, ...] = ()

    def make(self, rng: np.random.Generator) -> list[Any]:
        """Values of the operands.

        >>> import numpy
        >>> from covector import extend
        >>> from covector.extend import testing
        >>> halved = testing.Sample(extend.Composite(), (extend.ShapedArray((2,), numpy.dtype("int32")),))
        >>> [x.tolist() for x in halved.make(numpy.random.default_rng(0))]
        [[7, 3]]
        """
        return [self.makers.get(i, random)(rng, aval) for i, aval in enumerate(self.avals)]

    def __str__(self) -> str:
        return f"{self.primitive.text()} {' '.join(a.text() for a in self.avals)}"


def random(rng: np.random.Generator, aval: ShapedArray) -> Any:
    """Values of a type: small, so that sums are exact or nearly so.

    >>> import numpy
    >>> from covector import extend
    >>> from covector.extend import testing
    >>> testing.random(numpy.random.default_rng(0), extend.ShapedArray((3,), numpy.dtype("int32"))).tolist()
    [7, 3, 0]
    """
    shape, dtype = prims.sizes(aval.shape), aval.dtype
    if dtype == dtypes.bool_:
        return np.asarray(rng.random(shape) < 0.5)
    if dtypes.is_integer(dtype):
        low = 0 if dtype in dtypes.UNSIGNED else -9
        return np.asarray(rng.integers(low, 10, shape)).astype(dtype)
    if dtypes.is_complex(dtype):
        return np.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    return np.asarray(rng.normal(size=shape)).astype(dtype)


def operands(sample: Sample, salt: int = 0) -> list[Any]:
    """Values of the operands: the same for the same sample and salt."""
    return sample.make(np.random.default_rng(zlib.crc32(str(sample).encode()) + salt))


def results(sample: Sample, out: Any) -> tuple[Any, ...]:
    """The results of the primitive as a tuple."""
    return out if sample.primitive.multiple else (out,)


def doubles(sample: Sample) -> list[int]:
    """The operands in float64 or complex128."""
    wide = (dtypes.float64, dtypes.complex128)
    return [i for i, aval in enumerate(sample.avals) if aval.dtype in wide]


def moving(sample: Sample) -> list[int]:
    """Those of them that have a derivative."""
    return [i for i in doubles(sample) if i not in sample.fixed]


def groups(sample: Sample) -> list[tuple[int, ...]]:
    """The operands in double precision that it is linear in together."""
    return [g for g in sample.linear if all(i in doubles(sample) for i in g)]


def floating(sample: Sample) -> list[int]:
    """The operands that have tangents and a derivative."""
    found = [i for i, aval in enumerate(sample.avals) if aval.differentiable()]
    return [i for i in found if i not in sample.fixed]


def _tolerance(dtype: np.dtype) -> float:
    if not dtypes.is_inexact(dtype):
        return 0
    return {2: 2e-2, 4: 3e-5, 8: 1e-10}[dtypes.real_of(dtype).itemsize]


def assert_close(actual: Any, wanted: Any, rtol: float | None = None) -> None:
    """Of one shape and dtype, and equal up to rounding."""
    actual, wanted = np.asarray(actual), np.asarray(wanted)
    assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype)
    rtol = _tolerance(wanted.dtype) if rtol is None else rtol
    wide = np.complex128 if dtypes.is_complex(wanted.dtype) else np.float64
    if dtypes.is_inexact(wanted.dtype):
        np.testing.assert_allclose(actual.astype(wide), wanted.astype(wide), rtol=rtol, atol=rtol)
    else:
        np.testing.assert_array_equal(actual, wanted)


# ------------------------------------------------------------------------------------------------ type, compiled


def check_key(sample: Sample) -> None:
    """The primitive is a key: equal to itself, with a hash, and its text begins with its name."""
    assert sample.primitive == sample.primitive
    assert hash(sample.primitive) == hash(sample.primitive)
    assert sample.primitive.text().startswith(sample.primitive.name)


def check_type(sample: Sample) -> None:
    """The type rule says what the reference gives."""
    types: Any = sample.primitive.type(*sample.avals)
    found = results(sample, sample.primitive.reference(*operands(sample)))
    assert len(results(sample, types)) == len(found)
    for aval, x in zip(results(sample, types), map(np.asarray, found), strict=True):
        assert (aval.shape, aval.dtype) == (x.shape, x.dtype), (aval.text(), x.shape, x.dtype)


def check_compiled(sample: Sample) -> None:
    """What is compiled, alone and among other operations, is the reference."""
    xs, multiple = operands(sample), sample.primitive.multiple
    wanted = results(sample, sample.primitive.reference(*xs))

    def among(*args: Any) -> Any:
        out = sample.primitive(*args)
        again = sample.primitive(*args)
        return [
            [x, y[None]] for x, y in zip(results(sample, out), results(sample, again), strict=True)
        ]

    alone: Any = jit(sample.primitive.__call__)(*xs)
    for x, (y, z), expected in zip(
        alone if multiple else (alone,), jit(among)(*xs), wanted, strict=True
    ):
        assert_close(x, expected)
        assert_close(y, expected)
        assert_close(z, np.asarray(expected)[None])


# --------------------------------------------------------------------------------------------------------- batch


def _batchings(sample: Sample) -> Iterator[list[int | None]]:
    """Which operands are batched, and where: all subsets with the axis in front, and some with it elsewhere."""
    ranks = [aval.ndim for aval in sample.avals]
    for first in itertools.product((True, False), repeat=min(len(ranks), 4)):
        chosen = (*first, *[False] * (len(ranks) - len(first)))
        if any(chosen):
            yield [0 if c else None for c in chosen]
            if any(ranks):
                yield [r if c else None for c, r in zip(chosen, ranks, strict=True)]
    if any(ranks):
        yield [min(1, r) if i else r for i, r in enumerate(ranks)]


def check_batch(sample: Sample) -> None:
    """The batch rule does what a loop over the elements does, whichever operands are mapped, along whichever axis."""
    for n, dims in enumerate(_batchings(sample)):
        for size in (3,) if n else (3, 1, 0):
            _check_batch(sample, dims, size)


def _check_batch(sample: Sample, dims: Sequence[int | None], size: int) -> None:
    items = [operands(sample, salt) for salt in range(max(size, 1))]
    args = [
        x if d is None else _stacked([xs[i] for xs in items], d, size)
        for i, (x, d) in enumerate(zip(items[0], dims, strict=True))
    ]
    outs, places = sample.primitive.batch_named(args, dims, size, None)
    each: list[Sequence[Any]] = []
    for xs in items:
        mine = [
            items[0][i] if d is None else x for i, (x, d) in enumerate(zip(xs, dims, strict=True))
        ]
        each.append(results(sample, sample.primitive(*mine)))
    for j, (out, place) in enumerate(
        zip(results(sample, outs), results(sample, places), strict=True)
    ):
        rows = [np.asarray(e[j]) for e in each]
        assert_close(out, rows[0] if place is None else _stacked(rows, place, size))


def _stacked(rows: Sequence[Any], axis: int, size: int) -> np.ndarray:
    """The first rows of these along a new axis."""
    return np.take(np.stack(rows, axis), range(size), axis)


# --------------------------------------------------------------------------------------------------- derivatives


def random_like(rng: np.random.Generator, x: Any) -> Any:
    """A direction from a value."""
    t = rng.normal(size=np.shape(x))
    complex_ = dtypes.is_complex(x.dtype)
    return np.asarray(t + 1j * rng.normal(size=np.shape(x)) if complex_ else t).astype(x.dtype)


def directions(xs: Sequence[Any], moving: Sequence[int]) -> list[Any]:
    """Random tangents of the chosen operands, Zero for the others."""
    rng = np.random.default_rng(1)
    return [random_like(rng, x) if i in moving else Zero(typeof(x)) for i, x in enumerate(xs)]


def _difference(sample: Sample, k: int, xs: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The slope of a result along the tangents: a central difference of order four."""

    def at(h: float) -> Any:
        moved = [
            x if type(t) is Zero else (x + h * t).astype(x.dtype)
            for x, t in zip(xs, tangents, strict=True)
        ]
        return np.asarray(results(sample, sample.primitive(*moved))[k])

    h = 1e-4
    with np.errstate(all="ignore"):
        return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def check_jvp(sample: Sample) -> None:
    """The jvp rule gives the result, and its slope, for all operands together and each alone."""
    xs = operands(sample)
    moved = moving(sample)
    wanted = results(sample, sample.primitive(*xs))
    for chosen in [moved, *([[i] for i in moved] if len(moved) > 1 else [])]:
        tangents = directions(xs, chosen)
        outs, slopes = sample.primitive.jvp(xs, tangents)
        triples = zip(results(sample, outs), results(sample, slopes), wanted, strict=True)
        for k, (out, slope, expected) in enumerate(triples):
            assert_close(out, expected)
            of = slope.aval if type(slope) is Zero else typeof(slope)
            assert (of.shape, of.dtype) == (out.shape, out.dtype)
            if sample.slopes and dtypes.is_inexact(out.dtype):
                actual = np.zeros(out.shape, out.dtype) if type(slope) is Zero else slope
                assert_close(actual, _difference(sample, k, xs, tangents), 2e-6)


def check_jvp_types(sample: Sample) -> None:
    """Tangents of results have the results' types."""
    xs = operands(sample)
    types: Any = sample.primitive.type(*sample.avals)
    _, slopes = sample.primitive.jvp(xs, directions(xs, floating(sample)[:1]))
    for slope, aval in zip(results(sample, slopes), results(sample, types), strict=True):
        found = slope.aval if isinstance(slope, Zero) else typeof(slope)
        assert (found.shape, found.dtype) == (aval.shape, aval.dtype)


def check_linearize(sample: Sample) -> None:
    """<J t, w> = <t, Jᵀ w>: what is recorded of the derivative pushes tangents forward, and runs backwards."""
    xs, moved = operands(sample), moving(sample)
    rng = np.random.default_rng(3)
    nonzero = [i in moved for i in range(len(xs))]
    tangents = [random_like(rng, xs[i]) for i in moved]

    def run(*args: Any) -> Sequence[Any]:
        return results(sample, sample.primitive(*args))

    outs, tape = linearize_flat(run, xs, nonzero)
    pushed = tape.push(tangents)
    cotangents: list[Any] = []
    forward: Any = 0.0
    for out, t in zip(outs, pushed, strict=True):
        if t is None:
            cotangents.append(Zero(typeof(out)))
        else:
            w = random_like(rng, out)
            cotangents.append(w)
            forward = forward + np.sum(np.asarray(t) * w)
    backward: Any = 0.0
    for t, ct in zip(tangents, pull(tape, cotangents), strict=True):
        if type(ct) is not Zero:
            assert (ct.shape, ct.dtype) == (t.shape, t.dtype)
            backward = backward + np.sum(np.asarray(ct) * t)
    rtol = max([1e-9, *[_tolerance(typeof(out).dtype) for out in outs]])
    # Derivatives are linear over the reals.
    np.testing.assert_allclose(np.real(backward), np.real(forward), rtol=rtol, atol=rtol)


def check_transpose(sample: Sample) -> None:
    """<f(v), w> = <v, transpose(w)>, for each group of operands that it is linear in."""
    rng = np.random.default_rng(2)
    xs = operands(sample)
    for group in groups(sample):
        moved = [random_like(rng, x) if i in group else x for i, x in enumerate(xs)]
        still = [np.zeros_like(x) if i in group else x for i, x in enumerate(xs)]
        outs, ws = list[Any](), list[Any]()
        ends = (results(sample, sample.primitive(*args)) for args in (moved, still))
        for x, y in zip(*ends, strict=True):
            outs.append(np.asarray(x) - np.asarray(y))
            ws.append(random_like(rng, outs[-1]))
        args = [Linear(typeof(x)) if i in group else x for i, x in enumerate(xs)]
        back = sample.primitive.transpose(ws if sample.primitive.multiple else ws[0], *args)
        assert len(back) == len(xs)
        total: Any = 0
        for i, x in enumerate(xs):
            if i not in group:
                assert back[i] is None
                continue
            assert (back[i].shape, back[i].dtype) == (x.shape, x.dtype)
            total = total + np.sum(np.asarray(back[i]) * moved[i])
        wanted: Any = sum(np.sum(out * w) for out, w in zip(outs, ws, strict=True))
        # A real operand or a real result: linear over the reals.
        if np.isrealobj(total) or np.isrealobj(wanted):
            total, wanted = np.real(total), np.real(wanted)
        np.testing.assert_allclose(total, wanted, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------------------------------------------- together


def _always(sample: Sample) -> bool:
    return True


def _sloped(sample: Sample) -> bool:
    return sample.primitive.not_differentiable is None and bool(moving(sample))


def _moved(sample: Sample) -> bool:
    """Whether there is a direction to move into: of no elements, the slope of a maximum is 0 / 0."""
    return (
        _sloped(sample)
        and sample.slopes
        and not any(0 in sample.avals[i].shape for i in moving(sample))
    )


# Which samples each check is for, and the check.
CHECKS: dict[str, tuple[Callable[[Sample], object], Callable[[Sample], None]]] = {
    "key": (_always, check_key),
    "type": (_always, check_type),
    "compiled": (_always, check_compiled),
    "batch": (_always, check_batch),
    "jvp": (_sloped, check_jvp),
    "jvp_types": (
        lambda s: s.primitive.not_differentiable is None and floating(s),
        check_jvp_types,
    ),
    "linearize": (_moved, check_linearize),
    "transpose": (groups, check_transpose),
}


@dataclass(frozen=True)
class Check:
    """One rule of a primitive on one row of operands: call it, and it raises AssertionError if the rule is wrong.

    >>> from covector import extend
    >>> from covector.extend import testing
    >>> @extend.record
    ... class Halved(extend.Composite):
    ...     name = "halved"
    ...     def compute(self, x):
    ...         return x / 2
    >>> testing.Check("jvp", testing.over_dtypes(Halved(), [(3,)], ["float64"])[0])()
    """

    name: str
    sample: Sample

    def __call__(self) -> None:
        CHECKS[self.name][1](self.sample)

    def __str__(self) -> str:
        return f"{self.name} {self.sample}"


def checks(samples: Iterable[Sample], *names: str) -> list[Check]:
    """The tests of all rules (or of those named) for all samples.

    >>> from covector import extend
    >>> from covector.extend import testing
    >>> @extend.record
    ... class Cube(extend.Composite):
    ...     name = "cube"
    ...     def compute(self, x):
    ...         return x * x * x
    >>> found = testing.checks(testing.over_dtypes(Cube(), [(3,)], ["float32", "float64"]))
    >>> for check in found:
    ...     check()
    >>> print(found[2])
    compiled cube float32[3]
    """
    return [
        Check(name, sample)
        for sample in samples
        for name, (wanted, _) in CHECKS.items()
        if (not names or name in names) and wanted(sample)
    ]


def over_dtypes(
    primitive: Primitive,
    shapes: Sequence[tuple[int, ...]],
    names: Sequence[Any] = ("float16", "bfloat16", "float32", "float64"),
    **kwargs: Any,
) -> list[Sample]:
    """Samples of a primitive on operands of these shapes, all of one dtype, for each of several dtypes.

    Other arguments are those of `Sample`.

    >>> from covector import extend
    >>> from covector.extend import testing
    >>> @extend.record
    ... class Cube(extend.Composite):
    ...     name = "cube"
    ...     def compute(self, x):
    ...         return x * x * x
    >>> print(*testing.over_dtypes(Cube(), [(2,)], ["float32", "complex64"]), sep=", ")
    cube float32[2], cube complex64[2]
    """
    found = [dtypes.named_dtype(name) for name in names]
    return [
        Sample(primitive, tuple([ShapedArray(tuple(s), d) for s in shapes]), **kwargs)
        for d in found
    ]


def check(*samples: Sample) -> None:
    """Run all tests of all rules on these samples.

    >>> from covector import extend
    >>> from covector.extend import testing
    >>> @extend.record
    ... class Cube(extend.Composite):
    ...     name = "cube"
    ...     def compute(self, x):
    ...         return x * x * x
    >>> testing.check(*testing.over_dtypes(Cube(), [(2,)], ["float64"]))
    """
    for one in checks(samples):
        one()


publish(__name__)
