"""The proof of memory plans: wrong ones are refused, with the buffers and the statements named."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from covector import lax, numpy as cnp
from covector._engine.backends.base import Job, Target
from covector._engine.backends.reference.kernels import run
from covector._engine.base.errors import KernelError, VerificationError
from covector._engine.base.record import replace
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.core import trace
from covector._engine.ir import index as ix, sharing
from covector._engine.ir.access import Access, apart
from covector._engine.ir.check import verify
from covector._engine.ir.kernel import Buffer, Copy, Kernel, Loop, Note, Routine, Statement
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray

F32 = np.dtype("f")


def planned(
    f: Callable[..., Any], *shapes: tuple[int, ...], donated: tuple[int, ...] = ()
) -> Kernel:
    """The Kernel of a function of float32 arrays, its memory planned."""
    run = lambda *xs: out if isinstance(out := f(*xs), (tuple, list)) else (out,)  # noqa: E731
    program = trace.stage(run, [ShapedArray(shape, F32) for shape in shapes])
    kernel = run_passes(program, TO_KERNEL, Job(Target("model", 256, 2), donated))["memory"]
    assert isinstance(kernel, Kernel)
    return kernel


def buffers(kernel: Kernel) -> dict[str, Buffer]:
    all_ = (*kernel.inputs, *kernel.outputs, *kernel.offsets, *kernel.shares)
    return {b.name: b for b in all_}


def refused(kernel: Kernel, *words: str) -> None:
    with pytest.raises(VerificationError) as caught:
        verify(kernel, "memory")
    message = str(caught.value).split("\n", maxsplit=1)[0]
    assert all(w in message for w in words), message


def chain(x: Any) -> Any:
    a = cnp.cumsum(x)
    b = cnp.cumsum(-a)
    return cnp.cumsum(a[::-1] + b)


def test_temps_that_are_needed_together() -> None:
    kernel = planned(chain, (999,))
    verify(kernel, "memory")
    a, b, c = (buffers(kernel)[name] for name in ("t0", "t1", "t2"))
    refused(replace(kernel, offsets={**kernel.offsets, b: kernel.offsets[a]}), "t0", "t1", "neg")
    refused(replace(kernel, shares={**kernel.shares, c: a}), "t0", "t2", "t3")
    partly = {**kernel.offsets, b: kernel.offsets[a] + 512}
    refused(replace(kernel, offsets=partly, arena=99999), "t0", "t1")


def test_places_outside_the_arena() -> None:
    kernel = planned(chain, (999,))
    a, *_ = kernel.offsets
    refused(replace(kernel, arena=64), "outside the arena")
    refused(replace(kernel, offsets={**kernel.offsets, a: 4}, arena=99999), "multiple of 64")
    refused(replace(kernel, offsets={}), "no place in the arena")


def test_results_on_arguments_that_are_read_later() -> None:
    kernel = planned(lambda x, y: (x * 2, cnp.cumsum(x), y), (99,), (99,))
    x = kernel.inputs[0]
    refused(replace(kernel, aliases=((0, 0),)), str(x), "out0")
    refused(replace(kernel, aliases=((0, 0), (1, 0))), "shares memory twice")
    rows = planned(lambda x: x[::-1] * 2, (99,), donated=(0,))
    refused(replace(rows, aliases=((0, 0),)), "out0", "in0")
    sums = planned(lambda x: x.reshape(9, 11) + x.reshape(9, 11).sum(0), (99,), donated=(0,))
    verify(sums, "memory")


def test_carries_that_are_read_after() -> None:
    def run(x: Any) -> Any:
        return lax.scan(lambda c, _: (c[::-1] + c, None), x, None, 4)[0]

    kernel = planned(run, (999,))
    named = buffers(kernel)
    shares = {**kernel.shares, named["next0"]: named["carry0"]}
    refused(replace(kernel, shares=shares), "carry0", "next0", "reads")

    # Arrays of two lengths cannot go point by point, for which no buffers are needed.
    def pair(x: Any, y: Any, z: Any) -> Any:
        step = lambda c, _: ((c[1], c[0] * 2, c[2] * 2), None)  # noqa: E731
        return lax.scan(step, (x, y, z), None, 4)[0]

    kernel = planned(pair, (999,), (999,), (99,))
    named = buffers(kernel)
    assert named["next0"] in kernel.shares  # one of the two can be in place
    second = {named["next1"]: named["carry1"]}
    refused(replace(kernel, shares={**kernel.shares, **second}), "carry1", "next1", "reads")
    wrong = {**kernel.shares, named["next1"]: named["carry0"]}
    refused(replace(kernel, shares=wrong), "carry0", "next1")


def test_results_that_are_overwritten() -> None:
    kernel = planned(lambda x: (x * 2, cnp.cumsum(cnp.sort(x))), (999,))
    (temp,) = [*kernel.offsets, *kernel.shares]
    refused(replace(kernel, shares={temp: kernel.outputs[0]}), "the result out0 is overwritten")


def test_what_reads_while_it_writes_does_not_write_where_it_reads() -> None:
    """The value is not read any more after such a statement, and yet it must not lie where the statement writes."""
    x, out = Buffer("x", F32, 8, "input"), Buffer("out", F32, 8, "output")
    a, b = Buffer("a", F32, 8, "temp"), Buffer("b", F32, 8, "temp")
    product = (0, 0, 2, 2, 2, 2, 2, 2)
    whole = Copy((b, 0), (a, 0), 8)
    begin, end = Copy((a, 0), (x, 0), 8), Copy((out, 0), (b, 0), 8)
    values = np.arange(8, dtype=np.float32)

    def kernel(s: Statement, place: int) -> Kernel:
        return Kernel("k", (x,), (out,), (), (begin, s, end), (), {a: 0, b: place}, 128)

    for s in (
        Copy((b, 1), (a, 0), 7),
        Copy((b, 0), (a, 1), 7),
        Routine("sgemm", ((a, 0), (a, 4), (b, 0)), product, (2,)),
        Routine("sgemm", ((a, 4), (a, 0), (b, 4)), product, (2,)),
    ):
        verify(kernel(s, 64), "memory")
        refused(kernel(s, 0), "reads a, but its value is gone", "has written b")
        with pytest.raises(KernelError, match=r"overlap|writes b where it reads a"):
            run(kernel(s, 0), [values])
    verify(kernel(whole, 0), "memory")  # there is nothing to do
    np.testing.assert_array_equal(run(kernel(whole, 0), [values])[0], values)


# ------------------------------------------------------------------------------------------ places apart


def places(place: Any, loops: list[Loop], fixed: dict[str, int]) -> list[int]:
    """All places of an access, by running the loops."""
    if not loops:
        return [int(dims.substitute(place, fixed))]
    extent = dims.substitute(loops[0].extent, fixed)
    names = ({**fixed, loops[0].name: n} for n in range(int(extent)))
    return [p for values in names for p in places(place, loops[1:], values)]


def test_places_proved_to_be_apart_are_apart() -> None:
    """By looking at all of them; and rows, columns and tiles are found to be apart."""
    rng = random.Random(0)
    buffer, proved = Buffer("b", F32, 10_000, "temp"), 0
    for _ in range(3000):
        loops: list[Loop] = []
        for n in range(rng.randint(1, 3)):
            extent: Any = rng.randint(1, 4)
            if n and rng.random() < 0.3:
                extent = dims.minimum(extent, 6 - 2 * loops[0].variable)
            bound = rng.choice([extent, 2]) if isinstance(extent, int) else extent
            loops.append(Loop(ix.loop_variable(f"i{n}", bound), extent, (Note(""),)))
        inner = [rng.randint(0, len(loops)) for _ in range(2)]
        found = []
        for depth in inner:
            around = tuple(loops[: max(depth, 1)])
            place: Any = rng.randint(0, 2)
            for loop in around:
                place = place + loop.variable * rng.choice([0, 1, 1, 2, 3, 4, 8, -1])
            found.append(Access(buffer, place, True, Note(""), around))
        p, q = found
        if not apart(p, q, loops[0]):
            continue
        proved += 1
        extent = loops[0].extent
        for a, b in itertools.permutations(range(int(extent)), 2):
            first = places(p.place, list(p.around[1:]), {loops[0].name: a})
            second = places(q.place, list(q.around[1:]), {loops[0].name: b})
            assert not set(first) & set(second)
    assert proved > 200


def test_symbolic_rows_are_apart() -> None:
    n, m = dims.symbol("n", 0), dims.symbol("m", 0)
    i, j = ix.loop_variable("i", n), ix.loop_variable("j", m)
    outer, inner = Loop(i, n, (Note(""),)), Loop(j, m, (Note(""),))
    access = Access(Buffer("b", F32, n * m, "temp"), i * m + j, True, Note(""), (outer, inner))
    assert apart(access, access, outer)
    assert apart(access, access, inner)
    other = replace(access, place=i * m + j * 2)
    assert not apart(other, other, outer)


# ----------------------------------------------------------------------------------------------- nested loops


def nested(depth: int) -> Any:
    """A loop in a loop in a loop ..., around what needs two buffers."""

    def run(x: Any, level: int = depth) -> Any:
        if level == 0:
            return cnp.sort(x)
        return lax.scan(lambda c, _: (run(c, level - 1), None), x, None, 2)[0]

    return run


def bodies_gone_through(depth: int, monkeypatch: pytest.MonkeyPatch) -> int:
    kernel = planned(nested(depth), (99,))
    count, body = 0, sharing.Proof.body

    def counted(self: Any, statements: Any, state: Any) -> None:
        nonlocal count
        count += 1
        body(self, statements, state)

    with monkeypatch.context() as patched:
        patched.setattr(sharing.Proof, "body", counted)
        verify(kernel, "memory")
    return count


def test_nested_loops_take_no_exponential_time(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (bodies_gone_through(depth, monkeypatch) for depth in (4, 8))
    assert many <= 6 * few
