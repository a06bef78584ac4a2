"""Sample applications of every primitive, for the checks that hold for all: a row is a primitive and its operands."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from tests.primitives.makers import (
    apart,
    array,
    bf16,
    bool_,
    c64,
    c128,
    definite,
    f16,
    f32,
    f64,
    i8,
    i32,
    i64,
    integers,
    some_zeros,
    ties,
    u8,
    u32,
    u64,
    uniform,
    unique_rows,
    words,
)

from covector._engine import primitives as prims
from covector._engine.core.symbolic import NotDifferentiable
from covector._engine.primitives import linalg_orthogonal, linalg_solve, linalg_spectral
from covector._engine.types import dtypes
from covector.extend.testing import Maker, Sample, random


def movements() -> Iterator[Sample]:
    first = ((0,),)
    for dtype in (f64, bool_, c128, bf16):
        yield Sample(prims.Broadcast((2, 3, 4), (1,)), (array((2, 4), dtype),), first)
    yield Sample(prims.Broadcast((2, 3, 4), (0, 2)), (array((3,)),), first)
    yield Sample(prims.Broadcast((2, 3), (0, 1)), (array(()),), first)
    yield Sample(prims.Broadcast((2, 3), ()), (array((2, 3)),), first)
    yield Sample(prims.Broadcast((0, 3), (0,)), (array((3,)),), first)
    for old, new in (
        ((6, 4), (2, 3, 4)), ((2, 3, 4), (6, 4)), ((2, 3, 4), (4, 3, 2)), ((1, 3, 1), (3,)), ((3,), (1, 3, 1, 1)),
        ((), (1, 1)), ((1,), ()), ((0, 3), (3, 0)), ((0,), (0, 5)), ((4, 6, 5), (2, 2, 6, 1, 5)), ((2, 6), (4, 3)),
    ):  # fmt: skip
        yield Sample(prims.Reshape(new), (array(old),), first)
    yield Sample(prims.Reshape((2, 2)), (array((4,), i32),))
    for permutation in ((0,), (1, 0), (2, 0, 1), (1, 3, 0, 2)):
        yield Sample(
            prims.Transpose(permutation), (array((2, 3, 1, 4)[: len(permutation)]),), first
        )
    yield Sample(prims.Transpose(()), (array(()),), first)
    yield Sample(prims.Reverse((0, 2)), (array((3, 2, 4)),), first)
    yield Sample(prims.Reverse(()), (array((3,)),), first)
    yield Sample(prims.Copy(), (array((3, 2)),), first)
    yield Sample(prims.Named("x"), (array((3, 2)),), first)
    barrier = prims.OptimizationBarrier()
    yield Sample(barrier, (array((3,)), array((2, 2))))
    yield Sample(barrier, (array((3,)), array((), i32)))
    yield Sample(prims.Scratch(array((2, 3))), ())
    yield Sample(prims.Scratch(array((2,), c64)), ())
    yield Sample(prims.Unfilled(array((2, 0)), 0), (array((3,)),))  # other elements are not known
    for n, start, stop, step in (
        (7, 1, 6, 1),
        (7, 1, 7, 3),
        (7, 0, 7, 2),
        (7, 3, 3, 2),
        (1, 0, 1, 1),
        (0, 0, 0, 1),
    ):
        yield Sample(prims.Slice((start, 0), (stop, 3), (step, 2)), (array((n, 3)),), first)
    pads = [
        ((1,), (2,), (0,)),
        ((0,), (0,), (2,)),
        ((-1,), (-2,), (0,)),
        ((-1,), (3,), (1,)),
        ((3,), (-6,), (2,)),
    ]
    pads.append(((), (), ()))
    for low, high, interior in pads:
        yield Sample(
            prims.Pad(low, high, interior),
            (array((5,) * len(low)), array(())),
            ((0, 1), (0,), (1,)),
        )
    yield Sample(prims.Pad((1, -1), (0, 2), (0, 1)), (array((2, 3), i32), array((), i32)))
    yield Sample(prims.Pad((2,), (1,), (3,)), (array((0,)), array(())), ((0, 1),))
    yield Sample(prims.Pad((1,), (1,), (0,)), (array((2,), c128), array((), c128)), ((0, 1),))
    for sizes in ((2,), (2, 3), (1, 0, 4), (0, 0), (3, 1, 1, 2)):
        operands = tuple(array((2, n)) for n in sizes)
        yield Sample(prims.Concatenate(1), operands, (tuple(range(len(sizes))),))
    yield Sample(prims.Concatenate(0), (array((2, 3), bf16), array((1, 3), bf16)))
    for dtype in (i32, u8, f32, bf16, c64):
        yield Sample(prims.Iota((2, 3), dtype, 1), ())


# ---------------------------------------------------------------------------------------------- reductions


def reductions() -> Iterator[Sample]:
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((5,), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((3, 2), ()), ((), ()), ((0, 3), (0,)), ((2, 1), (1,)),
    )  # fmt: skip
    for shape, axes in shapes:
        for dtype in (f64, f32, i32, c128):
            yield Sample(prims.Sum(axes), (array(shape, dtype),), ((0,),))
            yield Sample(prims.Prod(axes), (array(shape, dtype),), makers={0: some_zeros})
        finite = 0 not in shape  # of no elements it is infinite: the oracle takes differences
        for dtype in (f64, i8, u8):
            yield Sample(prims.Max(axes), (array(shape, dtype),), slopes=finite)
            yield Sample(prims.Min(axes), (array(shape, dtype),), slopes=finite)
    yield Sample(prims.Prod((0,)), (array((7,)),), makers={0: uniform(0.5, 2)})
    for dtype in (f16, bf16):
        yield Sample(prims.Sum((0,)), (array((40, 2), dtype),), ((0,),))
        yield Sample(prims.Max((0,)), (array((9, 2), dtype),), makers={0: ties})
    for make in (prims.Any_, prims.All, prims.Xor, prims.Max, prims.Min):
        yield Sample(make((0,)), (array((3, 4), bool_),))
        yield Sample(make((1,)), (array((3, 4), i32),))
    for make in (prims.Argmax, prims.Argmin):
        for dtype in (f32, bf16, i32, u8, bool_):
            values = {0: ties} if dtypes.is_float(dtype) else {0: random}
            yield Sample(make(1, i32), (array((6, 5, 2), dtype),), makers=values)
        yield Sample(make(0, i64), (array((1, 2)),))
        yield Sample(
            make(0, i32), (array((4,)),), makers={0: lambda rng, aval: np.full(aval.shape, np.inf)}
        )
        yield Sample(
            make(0, i32), (array((4,)),), makers={0: lambda rng, aval: np.full(aval.shape, -np.inf)}
        )


def cumulatives() -> Iterator[Sample]:
    classes = (prims.CumSum, prims.CumProd, prims.CumMax, prims.CumMin, prims.CumLogSumExp)
    shapes: tuple[tuple[tuple[int, ...], int], ...] = (
        ((5,), 0),
        ((2, 4, 3), 1),
        ((0, 2), 0),
        ((1,), 0),
    )
    for make, (shape, axis), reverse in itertools.product(classes, shapes, (False, True)):
        linear = ((0,),) if make is prims.CumSum else ()
        makers = {0: some_zeros} if make is prims.CumProd else {}
        yield Sample(make(axis, reverse), (array(shape),), linear, makers)
    for make, dtypes_ in (
        (prims.CumSum, (i32, bf16, c128)), (prims.CumProd, (i32, c128)), (prims.CumMax, (u8, bf16)),
    ):  # fmt: skip
        for dtype in dtypes_:
            yield Sample(make(0, False), (array((5, 2), dtype),))
    for dtype, reverse in itertools.product((f64, f32, bf16, i32, c128), (False, True)):
        yield Sample(prims.Recurrence(1, reverse), (array((2, 5), dtype),) * 2, ((1,),))


# --------------------------------------------------------------------------------------------- contractions


def contractions() -> Iterator[Sample]:
    both = ((0,), (1,))
    for dtype in (f64, f32, bf16, f16, i32, u8, c128):
        yield Sample(
            prims.DotGeneral((1,), (0,)), (array((2, 5), dtype), array((5, 3), dtype)), both
        )
    yield Sample(prims.DotGeneral((), ()), (array((2,)), array((3,))), both)
    yield Sample(prims.DotGeneral((0,), (0,)), (array((4,)), array((4,))), both)
    yield Sample(prims.DotGeneral((), ()), (array(()), array(())), both)
    yield Sample(
        prims.DotGeneral((2,), (1,), (0,), (0,)), (array((3, 2, 4)), array((3, 4, 5))), both
    )
    yield Sample(
        prims.DotGeneral((0, 3), (2, 1), (2,), (0,)),
        (array((2, 3, 4, 5)), array((4, 5, 2, 3))),
        both,
    )
    yield Sample(
        prims.DotGeneral((3, 0), (1, 2), (1, 2), (3, 0)),
        (array((2, 3, 4, 5)), array((4, 5, 2, 3))),
        both,
    )
    yield Sample(prims.DotGeneral((1,), (0,)), (array((2, 0)), array((0, 3))), both)
    yield Sample(
        prims.DotGeneral((1,), (0,), (), (), f32), (array((2, 5), bf16), array((5, 3), bf16)), both
    )
    yield Sample(prims.DotGeneral((1,), (0,), (), (), i32), (array((2, 5), i8), array((5, 3), i8)))
    yield Sample(
        prims.DotGeneral((1,), (0,), (), (), c128), (array((2, 5), c64), array((5, 3), c64)), both
    )
    yield Sample(
        prims.DotGeneral((1,), (0,), (), (), c64), (array((2, 5), f32), array((5, 3), f32))
    )


# Axes of operand, kernel and result; strides, padding, dilations, groups; shapes: every kind of each occurs.
CHANNELS_LAST = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
CONVOLUTIONS: tuple[tuple[Any, ...], ...] = (
    (((0, 1), (0, 1), (0, 1)), (), (), (), (), 1, 1, (2, 3), (4, 3)),
    (((0, 2, 1), (2, 1, 0), (1, 0, 2)), (2,), ((1, 2),), (1,), (1,), 1, 1, (2, 7, 3), (3, 3, 2)),
    (((1, 0, 2), (0, 1, 2), (0, 2, 1)), (1,), ((2, -1),), (3,), (2,), 1, 1, (2, 1, 4), (2, 2, 3)),
    (((0, 1, 2, 3),) * 3, (1, 2), ((1, 0), (0, 1)), (2, 1), (1, 2), 2, 1, (2, 4, 3, 5), (6, 2, 2, 2)),
    (CHANNELS_LAST, (1, 1), ((1, 1),) * 2, (1, 1), (1, 1), 3, 1, (1, 4, 5, 3), (3, 2, 1, 6)),
    (CHANNELS_LAST, (2, 1), ((0, 1), (1, 1)), (1, 1), (1, 1), 1, 2, (4, 4, 3, 2), (2, 2, 2, 4)),
    (
        ((0, 1, 2, 3, 4),) * 3, (1, 2, 1), ((1, 1), (0, 0), (0, 1)), (1, 1, 2), (1, 1, 1), 1, 1, (1, 2, 3, 4, 2),
        (2, 2, 2, 1, 2),
    ),
    (((0, 1, 2),) * 3, (1,), ((0, 0),), (1,), (1,), 1, 1, (1, 2, 2), (3, 2, 4)),
    (((0, 1, 2),) * 3, (1,), ((1, 1),), (1,), (1,), 1, 1, (2, 0, 3), (2, 0, 2)),
)  # fmt: skip


def convolutions() -> Iterator[Sample]:
    for numbers, strides, padding, base, spread, features, batches, lhs, rhs in CONVOLUTIONS:
        specs = prims.ConvDimensionNumbers(*numbers)
        conv = prims.Conv(strides, padding, base, spread, specs, features, batches)
        yield Sample(conv, (array(lhs), array(rhs)), ((0,), (1,)))
    plain = prims.ConvDimensionNumbers(*[(0, 1, 2)] * 3)
    for dtype, preferred in (
        (f32, None),
        (bf16, None),
        (bf16, f32),
        (i8, i32),
        (c128, None),
        (bool_, None),
    ):
        conv = prims.Conv((1,), ((1, 1),), (1,), (1,), plain, 1, 1, preferred)
        yield Sample(conv, (array((2, 3, 5), dtype), array((4, 3, 3), dtype)), ((0,), (1,)))


WINDOWS: tuple[tuple[Any, ...], ...] = (
    # window, strides, padding, dilations, shape
    ((2, 2), (2, 2), ((0, 0),) * 2, (1, 1), (1, 1), (4, 6)),
    ((1, 3, 2), (1, 2, 1), ((0, 0), (1, 1), (0, 1)), (1,) * 3, (1,) * 3, (2, 6, 3)),
    ((3,), (2,), ((2, 1),), (1,), (2,), (7,)),
    ((2,), (1,), ((1, 1),), (3,), (1,), (4,)),
    ((2, 1), (1, 3), ((-1, 2), (0, 0)), (1, 2), (2, 1), (5, 3)),
    ((3,), (1,), ((0, 0),), (1,), (1,), (2,)),
    ((), (), (), (), (), ()),
)
LONG_WINDOWS: tuple[tuple[Any, ...], ...] = (
    ((21,), (1,), ((20, 0),), (1,), (1,), (30,)),
    ((2, 19), (1, 20), ((0, 1), (3, 4)), (1, 1), (1, 1), (3, 61)),
    ((5, 4), (2, 1), ((1, 1), (0, 2)), (1, 1), (1, 2), (7, 8)),
)


def windows() -> Iterator[Sample]:
    for *parameters, shape in (*WINDOWS, *LONG_WINDOWS):
        yield Sample(prims.WindowSum(*parameters), (array(shape),), ((0,),))
        empty = any(b > w for w, b in zip(parameters[0], parameters[3], strict=True))
        yield Sample(prims.WindowMax(*parameters), (array(shape),), slopes=not empty)
    for *parameters, shape in WINDOWS:
        gather = prims.SelectAndGatherAdd(*parameters, "le")
        yield Sample(gather, (array(shape), array(shape)), ((0,),))
        source = array(gather.type(array(shape), array(shape)).shape)
        yield Sample(prims.SelectAndScatterAdd(*parameters, "ge"), (source, array(shape)), ((0,),))
        which = array(source.shape, i32)
        places = prims.ScatterToPlaces(*parameters, shape)
        numbers = integers(-1, places.places - 1)
        yield Sample(places, (source, which), ((0,),), {1: numbers})
    plain = (2, 3), (1, 2), ((1, 0), (0, 1)), (1, 1), (1, 1)
    yield Sample(prims.WindowProd(*plain), (array((3, 4)),), makers={0: some_zeros})
    yield Sample(prims.WindowMin(*plain), (array((3, 4)),))
    for dtype in (bf16, i32, c128):
        yield Sample(prims.WindowSum(*plain), (array((3, 4), dtype),), ((0,),))
    for make in (prims.WindowAll, prims.WindowAny, prims.WindowXor):
        yield Sample(make(*plain), (array((3, 4), bool_),))
        yield Sample(make(*plain), (array((3, 4), u8),))
    for dtype in (bool_, u8, bf16):
        values = {0: ties} if dtype == bf16 else {}
        yield Sample(prims.WindowMax(*plain), (array((3, 4), dtype),), makers=values)
        yield Sample(prims.WindowArg(*plain, "ge"), (array((3, 4), dtype),), makers=values)


# ------------------------------------------------------------------------------------------------- indexing

GATHERS: tuple[tuple[Any, ...], ...] = (
    # numbers, slice sizes, operand shape, indices shape
    (((), (0,), (0,)), (1,), (5,), (3, 1)),
    (((1,), (0,), (0,)), (1, 4), (5, 4), (3, 1)),
    (((0, 1), (), (0, 1)), (2, 2), (4, 3), (2,)),
    (((1, 2), (), (1, 0)), (2, 3), (4, 3), (2, 2)),
    (((0,), (1,), (1, 0)), (3, 1), (4, 3), (2, 3, 2)),
    (((2,), (), (0,), (1,), (0,)), (2, 1), (4, 3), (3, 2, 1)),
    (((), (1,), (1,), (0,), (0,)), (1, 1), (3, 5), (3, 1)),
    (((), (), ()), (), (), (2, 0)),
    (((0,), (), ()), (3,), (3,), (0,)),
    (((1,), (), (0,)), (0,), (4,), (2, 1)),
)


def gathers() -> Iterator[Sample]:
    for numbers, sizes, shape, index_shape in GATHERS:
        dimensions = prims.GatherDimensionNumbers(*numbers)
        for mode in ("clip", "fill", "promise_in_bounds"):
            indices = integers(-2, 6)
            gather = prims.Gather(dimensions, sizes, mode)
            operands = array(shape), array(index_shape, i32)
            yield Sample(
                gather, operands, ((0,),) * (mode == "clip"), {1: indices}, slopes=mode != "fill"
            )
        zero = prims.Gather(dimensions, sizes, "fill", 0)
        yield Sample(zero, (array(shape), array(index_shape, i64)), ((0,),), {1: integers(-2, 6)})
    rows = prims.GatherDimensionNumbers((1,), (0,), (0,))
    for dtype, index in ((i32, u8), (bool_, i8), (c64, u64), (u8, u32), (bf16, i32)):
        yield Sample(
            prims.Gather(rows, (1, 4), "fill"),
            (array((5, 4), dtype), array((6, 1), index)),
            (),
            {1: integers(0, 8)},
        )
    starts = array((), i32)
    yield Sample(
        prims.DynamicSlice((2, 3)), (array((4, 3)), starts, starts), ((0,),), {1: integers(-3, 6)}
    )
    yield Sample(
        prims.DynamicSlice((2,)), (array((4,), bf16), array((), u8)), (), {1: integers(0, 6)}
    )
    yield Sample(
        prims.DynamicSlice((1, 2)),
        (array((3, 3)), array((), i64), starts),
        ((0,),),
        {1: integers(0, 3)},
    )
    yield Sample(prims.DynamicSlice(()), (array(()),), ((0,),))


def scatters() -> Iterator[Sample]:
    for numbers, sizes, shape, index_shape in GATHERS:
        dimensions = prims.ScatterDimensionNumbers(*numbers)
        gather = prims.Gather(prims.GatherDimensionNumbers(*numbers), sizes)
        updates = array(gather.type(array(shape), array(index_shape, i32)).shape)
        for mode in ("clip", "fill"):
            for combine, linear in (
                ("set", ((0, 2), (0,), (2,))), ("add", ((0, 2), (0,), (2,))), ("mul", ((0,),)),
                ("min", ()), ("max", ()),
            ):  # fmt: skip
                scatter = prims.Scatter(dimensions, mode, combine)
                operands = array(shape), array(index_shape, i32), updates
                fixed = (2,) if combine == "mul" and not scatter.meets_nothing(updates) else ()
                yield Sample(scatter, operands, linear, {1: integers(-2, 6)}, fixed=fixed)
    points = prims.ScatterDimensionNumbers((), (0, 1), (0, 1))
    rows = {1: unique_rows((4, 3))}
    for combine in ("set", "mul"):
        unique = prims.Scatter(points, "fill", combine, True)
        yield Sample(unique, (array((4, 3)), array((5, 2), i32), array((5,))), ((0,),), rows)
    for dtype in (i32, bool_, c64, bf16):
        yield Sample(
            prims.Scatter(points),
            (array((4, 3), dtype), array((5, 2), u8), array((5,), dtype)),
            (),
            rows,
        )
    single, both = prims.SingleScatter("add", "from the end"), ((0, 2), (0,), (2,))
    avals = array((3,)), array((5,), i32), array(())
    yield Sample(single, avals, both, {1: integers(-4, 5)})
    starts = array((), i32)
    makers = {2: integers(-3, 6)}
    linear = ((0, 1), (0,), (1,))
    update = prims.DynamicUpdateSlice()
    yield Sample(update, (array((4, 3)), array((2, 3)), starts, starts), linear, makers)
    yield Sample(
        update, (array((4,), i32), array((1,), i32), array((), u8)), (), {2: integers(0, 6)}
    )
    yield Sample(update, (array(()), array(())), linear)


def bits() -> Iterator[Sample]:
    makers: dict[int, Maker] = dict.fromkeys(range(8), words)
    hashes = (prims.threefry, prims.threefry4, prims.philox2, prims.philox4)
    shapes = (((3, 2), (3, 2)), ((), (5,)), ((), ()), ((), (0,)))
    for hash_, pair in itertools.product(hashes, shapes):
        both = (array(s, u32) for s, n in zip(pair, hash_.sizes, strict=True) for _ in range(n))
        yield Sample(hash_, tuple(both), (), makers)
    for width in (8, 16, 32, 64):
        yield Sample(prims.RandomBits((3, 5), width), (array((2,), u32),), (), makers)
    yield Sample(prims.RandomBits((), 32), (array((2,), u32),), (), makers)
    yield Sample(prims.RandomBits((3,), 64), (array((4, 2), u32),), (), makers)


# ---------------------------------------------------------------------------------------------- elementwise

DOMAINS: dict[str, Maker] = {
    "acosh": uniform(1.2, 3),
    "zeta": uniform(1.5, 4),
    "polygamma": integers(1, 3),
    "expn": integers(1, 3),
}
# The oracle of the slope is rough, or there is none on purpose.
NO_SLOPES = {"igamma", "igammac", "igamma_grad_a", "random_gamma_grad", "stop_gradient"}


def elementwise() -> Iterator[Sample]:
    """Every singleton of the table on its dtypes, with operands inside the domains of all of them."""
    for row in sorted(
        {p for p in vars(prims).values() if isinstance(p, prims.Elementwise)}, key=lambda p: p.name
    ):
        arity, slopes = len(row.push), row.name not in NO_SLOPES
        fixed = tuple(i for i, p in enumerate(row.push) if isinstance(p, NotDifferentiable))
        for dtype in (bool_, i8, u32, bf16, f32, f64, c128):
            if dtypes.kind(dtype) not in row.kinds:
                continue
            for shape in ((), (3, 2), (0,)) if dtype == f64 else ((5,),):
                inside = uniform(0.15, 0.85) if dtypes.is_float(dtype) else random
                makers = dict.fromkeys(range(arity), DOMAINS.get(row.name, inside))
                yield Sample(row, (array(shape, dtype),) * arity, (), makers, slopes, fixed)
        if arity > 1 and "f" in row.kinds:
            makers = dict.fromkeys(range(arity), DOMAINS.get(row.name, uniform(0.15, 0.85)))
            yield Sample(
                row, (array(()), *[array((2, 3))] * (arity - 1)), (), makers, slopes, fixed
            )
            yield Sample(
                row, (array((2, 3)), *[array(())] * (arity - 1)), (), makers, slopes, fixed
            )


def parametrised() -> Iterator[Sample]:
    """Elementwise primitives that are not rows."""
    for shapes in (((3,), (3,), (3,)), ((), (2, 3), ()), ((2, 3), (), ()), ((), (), ())):
        operands = tuple(array(s, d) for s, d in zip(shapes, (bool_, f64, f64), strict=True))
        yield Sample(prims.select, operands, ((1, 2), (1,), (2,)))
        makers = {0: uniform(-0.9, -0.3), 2: uniform(0.3, 0.9)}
        yield Sample(prims.clamp, tuple(array(s) for s in shapes), (), makers)
    yield Sample(
        prims.select, (array((3,), bool_), array((3,), c128), array((3,), c128)), ((1, 2),)
    )
    for dtype, to in ((f64, c128), (c128, c128), (f64, f64)):
        yield Sample(prims.Convert(to), (array((3,), dtype),), ((0,),))
    for dtype, to in ((f32, i8), (i32, f32), (f32, bool_), (f64, bf16), (bool_, i32), (f32, u8)):
        yield Sample(prims.Convert(to), (array((3,), dtype),), slopes=False)
    for n in (0, 1, 2, 3, 7, -2):
        yield Sample(prims.IntegerPow(n), (array((4,)),))
    yield Sample(prims.BitcastConvert(i32), (array((3,), f32),))
    for dtype, bits in ((f32, (5, 10)), (f64, (8, 7)), (bf16, (5, 3))):
        yield Sample(prims.ReducePrecision(*bits), (array((5,), dtype),), slopes=False)
    for keys, values in ((f64, f64), (f32, i32), (i32, f64)):
        yield Sample(prims.SortPairs(), (array((3, 5), keys), array((3, 5), values)))
        yield Sample(prims.Sort(), (array((3, 5), keys),))
        yield Sample(prims.TopK(2), (array((3, 5), keys),))
        yield Sample(prims.SortOrder(), (array((2, 3, 5), keys),))
    yield Sample(prims.TopK(0), (array((3, 5), bf16),))
    for k, shape in ((3, (20,)), (30, (2, 20)), (0, (4,)), (2, (3, 0)), (9, (2, 3, 17))):
        yield Sample(prims.Places(k, i32 if k else i64), (array(shape, bool_),))
    for shape in ((0, 4), (2, 0), (0, 2, 3), (2, 0, 3)):
        yield Sample(prims.SortOrder(), (array(shape, f32),))


def transforms() -> Iterator[Sample]:
    first = ((0,),)
    for kind, dtype, shape, lengths, axes in (
        ("fft", c128, (2, 6, 3), (6,), (1,)),
        ("fft", c64, (4, 5), (5, 4), (1, 0)),
        ("ifft", c128, (3, 2, 4), (3, 4, 2), (0, 2, 1)),
        ("rfft", f64, (2, 5, 3), (5,), (1,)),
        ("rfft", f64, (3, 6), (3, 6), (0, 1)),
        ("irfft", c128, (2, 4, 2), (6,), (1,)),
        ("irfft", c128, (3, 4), (3, 7), (0, 1)),
        ("irfft", c64, (4, 3), (3, 6), (1, 0)),
        ("rfft", f32, (0, 4), (4,), (1,)),
    ):
        yield Sample(prims.Fft(kind, lengths, axes), (array(shape, dtype),), first)


def matrices() -> Iterator[Sample]:
    """Linear algebra: what is in lanes and what LAPACK computes, alone and in stacks."""
    for dtype in (f64, c128, f32, c64):
        for shape in ((3, 3), (2, 17, 17)) if dtype in (f64, c128) else ((5, 3, 3),):
            yield Sample(linalg_solve.Cholesky(), (array(shape, dtype),), makers={0: definite})
            yield Sample(linalg_solve.Lu(), (array(shape, dtype),))
    for shape in ((4, 2), (2, 3, 4), (0, 2), (2, 0, 0)):
        yield Sample(linalg_solve.Lu(), (array(shape),))
    yield Sample(linalg_solve.Cholesky(), (array((0, 2, 2)),), makers={0: definite})
    for flags in itertools.product((True, False), repeat=5):
        solve = linalg_solve.TriangularSolve(*flags)
        for dtype, n in ((f64, 3), (c128, 3)) if any(flags) else ((c128, 17), (f32, 3), (c64, 3)):
            right = (n, 2) if flags[0] else (2, n)
            operands = array((n, n), dtype), array(right, dtype)
            yield Sample(solve, operands, ((1,),), {0: definite})
    yield from undifferentiated(itertools.chain(_orthogonal(), _spectral()))
    pivots = integers(0, 4)
    for shape in ((3,), (2, 5), (0,)):
        of = linalg_solve.PivotsToPermutation(5)
        yield Sample(of, (array(shape, i32),), makers={0: pivots})


def _orthogonal() -> Iterator[Sample]:
    for dtype in (f64, c128):
        a = array((2, 4, 3), dtype)
        yield Sample(linalg_orthogonal.Qr(False), (a,))
        yield Sample(linalg_orthogonal.Qr(False, True), (a,))
        yield Sample(linalg_orthogonal.Qr(True), (array((3, 3), dtype),))
        yield Sample(linalg_orthogonal.Geqrf(), (a,))
        yield Sample(linalg_orthogonal.Geqrf(True), (array((3, 4), dtype),))
        scales = {1: uniform(0.3, 0.9)}
        product = linalg_orthogonal.HouseholderProduct()
        yield Sample(product, (a, array((2, 3), dtype)), makers=scales)
        for left, transposed in itertools.product((True, False), repeat=2):
            c = array((4, 2) if left else (2, 4), dtype)
            of = linalg_orthogonal.Ormqr(left, transposed)
            yield Sample(of, (array((4, 3), dtype), array((3,), dtype), c), makers=scales)
        wide = array((2, 4), dtype)
        yield Sample(linalg_orthogonal.Qr(True), (wide,))
        yield Sample(linalg_orthogonal.Qr(False, True), (wide,))
    yield Sample(linalg_orthogonal.Qr(False, True), (array((0, 2), f32),))
    yield Sample(linalg_orthogonal.Qr(True, True), (array((2, 0), f32),), fixed=(0,))


def _spectral() -> Iterator[Sample]:
    spectral = linalg_spectral
    for dtype in (f64, c128):
        # Complex vectors have a phase, which LAPACK chooses and the derivative leaves alone.
        a, real = array((3, 3), dtype), dtype == f64
        for lower, vectors in ((True, True), (False, True), (True, False)):
            yield Sample(
                spectral.Eigh(lower, vectors), (a,), makers={0: apart}, slopes=real or not vectors
            )
        yield Sample(spectral.Eigh(), (array((2, 2, 2), dtype),), makers={0: apart}, slopes=real)
        for shape in ((3, 2), (2, 3)):
            yield Sample(spectral.Svd(False), (array(shape, dtype),), slopes=real)
        yield Sample(spectral.Svd(True, False), (array((2, 3, 3), dtype),))
        yield Sample(spectral.Eig(False, False), (a,), makers={0: apart})
        yield Sample(spectral.Eig(True, True, True), (a,), makers={0: apart}, slopes=real)
        yield Sample(spectral.Hessenberg(), (a,))
        yield Sample(spectral.Tridiagonal(), (a,))
        yield Sample(spectral.Tridiagonal(False), (a,))
        yield Sample(spectral.CholeskyUpdate(), (a, array((3,), dtype)), makers={0: definite})
        bands = (array((2, 4), dtype),) * 3
        operands = (*bands, array((2, 4, 3), dtype))
        yield Sample(spectral.TridiagonalSolve(), operands, ((3,),), {1: uniform(3, 4)})
    yield Sample(spectral.Svd(True), (array((2, 3)),), slopes=False, fixed=(0,))
    yield Sample(spectral.Schur(), (array((3, 3)),), makers={0: apart})
    yield Sample(spectral.Schur(False), (array((2, 2, 2)),), makers={0: apart})


def undifferentiated(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Samples of primitives that say that they have no derivative, so that no operand moves."""
    for s in samples:
        none = s.primitive.not_differentiable is not None
        yield dataclasses.replace(s, fixed=tuple(range(len(s.avals)))) if none else s


def all_samples() -> list[Sample]:
    """Every row."""
    families = (
        movements,
        reductions,
        cumulatives,
        contractions,
        convolutions,
        windows,
        gathers,
        scatters,
        bits,
        elementwise,
        parametrised,
        transforms,
        matrices,
    )
    return [sample for family in families for sample in family()]
