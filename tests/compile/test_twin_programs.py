"""Random programs mean what NumPy does, to the bit: of all dtypes and layouts, eager, compiled, batched, donated."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

import numpy as np
import pytest
from tests.amount import TIMES
from tests.compile.twin_operations import Inexact, narrow
from tests.compile.twin_programs import OF_ANY_SIZE, SHAPE, Program, laid_out, program

import covector as cv
from covector import lax
from covector._engine.core import trace
from covector._engine.runtime.executable import Executable
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray

SIZES = (7, 64, 5, 600, 7, 3000)
WAYS = ("jit", "eager", "donated", "batched", "mapped", "shared")


def assert_same(found: Any, wanted: Any) -> None:
    for y, w in zip(found, wanted, strict=True):
        y = np.asarray(y)
        assert (y.shape, y.dtype) == (w.shape, w.dtype)
        wide = [z.astype(np.float64) if narrow(z.dtype) else z for z in (y, w)]
        np.testing.assert_array_equal(*wide)


def batched(made: Program, way: str, seed: int) -> None:
    """Beside other numbers, or the same ones where sums of others would not be exact."""
    others = [np.roll(x, 1) for x in made.inputs]
    try:
        rows = [made.inputs, others]
        wanted = [made.wanted(xs) for xs in rows]
    except Inexact:
        rows = [made.inputs, made.inputs]
        wanted = [made.wanted(made.inputs)] * 2
    random = Random(seed)
    axes = [random.randint(0, x.ndim) if way == "batched" else 0 for x in made.inputs]
    stacked = [np.stack(x, a) for x, a in zip(zip(*rows, strict=True), axes, strict=True)]
    if way == "batched":
        found = cv.jit(cv.vmap(made, tuple(axes)))(*stacked)
    else:
        found = cv.jit(lambda *xs: lax.map(lambda row: made(*row), xs))(*stacked)
    for k, each in enumerate(wanted):
        assert_same([y[k] for y in found], each)


def donated(made: Program, seed: int) -> None:
    """Twice, with arrays of their own; what was not given away is unchanged."""
    random = Random(seed)
    given_away = tuple([i for i in range(len(made.inputs)) if random.random() < 0.6])
    run = cv.jit(made, donate_argnums=given_away)
    for _ in range(2):
        given = [cv.numpy.array(x) for x in made.inputs]
        assert_same(run(*given), made.wanted(made.inputs))
        kept = [i for i, x in enumerate(given) if not x.is_deleted()]
        assert {*range(len(given))} - {*kept} <= {*given_away}
        assert_same([given[i] for i in kept], [made.inputs[i] for i in kept])


def shared(made: Program) -> None:
    """One buffer for every argument like it, and NumPy's own memory, which no run changes."""
    like = {(x.shape, x.dtype): x for x in made.inputs}
    theirs = [like[x.shape, x.dtype] for x in made.inputs]
    try:
        wanted = made.wanted(theirs)
    except Inexact:
        theirs, wanted = list(made.inputs), made.wanted(made.inputs)
    before = [x.copy() for x in theirs]
    ours = {id(x): cv.numpy.asarray(x) for x in theirs}
    run = cv.jit(made)
    for given in ([ours[id(x)] for x in theirs], theirs):
        assert_same(run(*given), wanted)
        assert_same(theirs, before)
        assert_same(given, before)


@pytest.mark.filterwarnings("ignore:.*some donated arguments cannot be used")
@pytest.mark.parametrize("seed", range(60 * TIMES))
def test_programs(seed: int) -> None:
    check(many(seed))


def many(seed: int) -> int:
    """A number of the same way and size, never the same one in `make fuzz`."""
    return seed if TIMES == 1 else seed + Random().randrange(2**40) * len(WAYS) * len(SIZES)


def check(seed: int) -> None:
    made = program(seed, SIZES[seed // len(WAYS) % len(SIZES)])
    way = WAYS[seed % len(WAYS)]
    try:
        if way in ("batched", "mapped"):
            batched(made, way, seed)
        elif way == "donated":
            donated(made, seed)
        elif way == "shared":
            shared(made)
        else:
            random = Random(seed)
            given = [laid_out(x, random) for x in made.inputs]
            found = (cv.jit(made) if way == "jit" else made)(*[_ours(x, way) for x in given])
            assert_same(found, made.wanted(made.inputs))
    except BaseException as error:
        error.add_note(f"seed {seed}, {way} of\n{made}")
        raise


@pytest.mark.parametrize("seed", range(20 * TIMES))
def test_symbolic_sizes(seed: int) -> None:
    """One Program for all sizes, drawn for some."""
    check_symbolic(many(seed))


def check_symbolic(seed: int) -> None:
    made = program(seed, 64, OF_ANY_SIZE)
    names = dict(zip(SHAPE, (dims.symbol("n", 0), dims.symbol("m", 0)), strict=True))
    avals = [ShapedArray([names[n] for n in x.shape], x.dtype) for x in made.inputs]
    try:
        executable = Executable(trace.stage(made, avals))
        for sizes in ((7, 11), (1, 1), (3, 40), (1, 300)):
            of = dict(zip(SHAPE, sizes, strict=True))
            xs = [np.resize(x, [of[n] for n in x.shape]) for x in made.inputs]
            with suppress(Inexact):
                assert_same(executable([cv.numpy.asarray(x) for x in xs]), made.wanted(xs))
    except BaseException as error:
        error.add_note(f"seed {seed}, symbolic sizes of\n{made}")
        raise


def _ours(x: Any, way: str) -> Any:
    """Outside of `jit` slices and operators of NumPy arrays are NumPy's."""
    return cv.numpy.asarray(x) if way == "eager" else x
