"""Memory plans: what shares memory does so rightly, and what could share does."""

from __future__ import annotations

import fnmatch
import random
import re
from typing import Any

import numpy as np
import pytest
from tests.counts import calls, steps

import covector as cv
from covector import lax, numpy as cnp
from covector._engine.compile.arena import Life, first_fit
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import Buffer, Kernel, Loop, Schedule, Store
from covector._engine.ir.lives import Times
from covector._engine.ir.scalar import Expr
from covector._engine.types import dtypes


def kernel_of(f: Any, *args: Any, donate: Any = ()) -> str:
    return cv.jit(f, donate_argnums=donate).lower(*args).compile().as_text()


USELESS = pytest.mark.filterwarnings("ignore:.*some donated arguments cannot be used")


def donated_is_kept(f: Any, *args: np.ndarray, donate: Any) -> None:
    """Results with donated arguments are those without."""
    given = [cnp.asarray(x) for x in args]
    wanted = cv.tree.leaves(cv.jit(f)(*given))
    found = cv.tree.leaves(cv.jit(f, donate_argnums=donate)(*given))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


# ------------------------------------------------------------------------------------------------- donation


def test_a_donated_array_that_a_routine_in_a_loop_reads() -> None:
    x = np.random.default_rng(0).standard_normal(500).astype("f")
    ordered = lambda x: lax.scan(lambda c, t: (c, cnp.sort(x)[t]), 0, cnp.arange(500))[1]  # noqa: E731
    donated_is_kept(ordered, x, donate=0)


@USELESS
def test_a_donated_array_that_a_product_in_a_loop_reads() -> None:
    def h(x: Any, w: Any) -> Any:
        def body(c: Any, _: Any) -> Any:
            c = cnp.tanh(c @ w)
            return c, c[0, 0]

        return lax.scan(body, x, None, length=64 * 64)[1].reshape(64, 64)

    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((64, 64)).astype("f") * s for s in (1, 0.1))
    donated_is_kept(h, x, w, donate=1)
    donated_is_kept(h, x, w, donate=(0, 1))


def test_a_donated_array_that_a_copy_in_a_loop_reads() -> None:
    f = lambda x: lax.scan(lambda c, _: (c, x), 0, None, 1)[1].reshape(2000)  # noqa: E731
    donated_is_kept(f, np.arange(2000, dtype="f"), donate=0)
    g = lambda x: lax.scan(lambda c, _: (x, c[::-1]), x * 2, None, 3)  # noqa: E731
    donated_is_kept(g, np.arange(2000, dtype="f"), donate=0)


RNG = np.random.default_rng(0)
SQUARE = RNG.standard_normal((65, 65)).astype("f") / 9
KERNEL = RNG.standard_normal((16, 16, 3, 3)).astype("f") / 12
CONVOLVED = RNG.standard_normal((2, 16, 9, 9)).astype("f")
VECTOR = RNG.standard_normal(300).astype("f")
# What a routine, a callback or a copy computes of an array of the same type, and that array.
WHILE_IT_READS: dict[str, tuple[Any, np.ndarray]] = {
    "product": (lambda x: x @ SQUARE, SQUARE),
    "product from the left": (lambda x: SQUARE @ x, SQUARE),
    "product with a vector": (lambda x: cnp.resize(SQUARE, (300, 300)) @ x / 9, VECTOR),
    "convolution": (
        lambda x: lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME"),
        CONVOLVED,
    ),
    "transform": (lambda x: cnp.fft.fft(x) / 17, VECTOR.astype(np.complex64)),
    "the largest": (lambda x: lax.top_k(-x, 300)[0], VECTOR),
    "factors": (lambda x: cnp.linalg.qr(x)[0] + 0.1, SQUARE),
    "eigenvectors": (lambda x: cnp.linalg.eigh(x)[1], SQUARE),
    "a callback": (
        lambda x: cv.pure_callback(lambda v: np.asarray(v)[::-1] / 2, x, x),
        VECTOR,
    ),
    "a copy": (lambda x: cnp.concatenate([x[7:], x[:7]]), VECTOR),
}


@pytest.mark.parametrize("name", WHILE_IT_READS)
def test_what_reads_while_it_writes_has_another_place_for_its_result(name: str) -> None:
    """As the carry of a loop and as a donated argument: `c @ w` was written where it was still read."""
    f, x = WHILE_IT_READS[name]
    once = cv.jit(f)
    loop = cv.jit(lambda x: lax.fori_loop(0, 3, lambda _, c: f(c), x))
    np.testing.assert_allclose(loop(x), once(once(once(x))), rtol=1e-4, atol=1e-5)
    donated_is_kept(f, x, donate=0)
    donated_is_kept(lambda x: lax.scan(lambda c, _: (f(c), None), x, None, 3)[0], x, donate=0)


def update(x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda i, x: x.at[i].set(1.0), x)


@pytest.mark.parametrize(
    "f",
    [
        update,
        lambda x: x.at[3].set(1.0),
        lambda x: lax.scan(lambda c, v: (c.at[3].add(v), None), x, cnp.arange(2.0))[0],
        lambda x: lax.fori_loop(0, 2, lambda _, x: update(x), x),
        cv.vmap(lambda x: x.at[1].set(2.0)),
        cv.vmap(update),
    ],
)
def test_a_donated_array_is_updated_in_place(f: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """No copy is left, and the arena has no room for one."""
    x = cnp.ones((1000, 1000))
    with cv.config.override(explain="copy"):
        compiled = cv.jit(f, donate_argnums=0).lower(x).compile()
    assert "in0 -> out0: in place" in capsys.readouterr().err
    assert compiled.memory_analysis().temp_size_in_bytes < 100_000
    copies = [line for line in compiled.as_text().splitlines() if "(1000000)" in line]
    assert all("nothing to do" in line or "in0" in line for line in copies)
    donated_is_kept(f, np.ones((1000, 1000), "f"), donate=0)


def test_one_element_of_a_donated_array_is_set_without_a_copy() -> None:
    f = cv.jit(update, donate_argnums=0)
    x = cnp.zeros(4_000_000)
    lines = f.lower(x).compile().as_text("kernels").splitlines()
    whole = [line.strip() for line in lines if line.endswith("(4000000)")]
    assert whole == ["out0[0:] := in0[0:] (4000000)"]  # which is one place
    place = x.unsafe_buffer_pointer()
    for _ in range(3):
        x = f(x)
    assert x.unsafe_buffer_pointer() == place


def test_rows_that_are_read_then_written_share_memory() -> None:
    x = np.random.default_rng(0).standard_normal((50, 40)).astype("f")
    for f in (cv.nn.softmax, lambda x: x - x.mean(axis=1, keepdims=True)):
        assert "out0 may lie on in0" in kernel_of(f, x, donate=0)
        donated_is_kept(f, x, donate=0)
    assert "may lie" not in kernel_of(lambda x: x[::-1] * 2, x, donate=0)


def test_a_reason_for_each_copy_that_stays(capsys: pytest.CaptureFixture[str]) -> None:
    with cv.config.override(explain="copy"):
        kernel_of(lambda x: lax.scan(lambda c, _: (c[::-1] * 2, c.sum()), x, None, 4), np.ones(99))
        with pytest.warns(UserWarning, match="no result, or no other one, of their size"):
            kernel_of(lambda x: x[:5] * 2, np.ones(9), donate=0)
    text = capsys.readouterr().err
    where = r"float64\[99\] of scan \(at .*test_memory.py:\d+ \(<lambda>\)\)"
    for line in (
        rf"carry carry0, {where}: the old value is read while the new one is written",
        rf"copy carry0 -> out0, {where}: carry0 takes turns with another buffer",
        rf"copy in0 -> carry0, {where}: the argument stays as it is",
    ):
        assert re.search(line, text), text


def one_that_reads_the_old(i: Any, a: Any) -> Any:
    return a.at[i].set(1.0) + a[::-1]


def one_that_takes_turns(i: Any, c: Any) -> Any:
    a, b = c
    return lax.cond(i % 2 == 0, lambda: (b, a), lambda: (a.at[i].set(2.0), b))


def own_choice(yes: Any, no: Any) -> Any:
    f = cv.vmap(lambda p, a, b: lax.cond(p, yes, no, a, b))
    return lambda a: f(np.array([True, False]), cnp.stack([a, a]), cnp.stack([a, 2 * a]))


def slope_of_a_loop(a: Any) -> Any:
    def step(c: Any) -> Any:
        return c[0] + 1, c[1].at[c[0]].mul(c[1][0])

    return cv.grad(lambda a: cnp.sum(lax.while_loop(lambda c: c[0] < 5, step, (0, a))[1]))(a)


def seen(a: Any, b: Any) -> Any:
    cv.debug.callback(lambda x: None, a[0])
    return a.at[0].set(1.0)


def slope_of_a_nest(a: Any) -> Any:
    """Each step of the inner loop reads all of the array."""

    def inner(j: Any, a: Any) -> Any:
        return a.at[j].set(cnp.sum(cnp.sin(a)))

    def outer(i: Any, a: Any) -> Any:
        return lax.fori_loop(0, i, inner, a)

    return cv.grad(lambda a: cnp.sum(lax.fori_loop(0, 5, outer, a)))(a)


CHOICE = "selected as a whole, result 0, float64[99] of a choice for each element"
COPIES = {
    "read": (
        lambda a: lax.fori_loop(0, 5, one_that_reads_the_old, a),
        "float64[99] of scatter (at *): carry1 takes turns with another buffer",
    ),
    "turns": (
        lambda a: lax.fori_loop(0, 5, one_that_takes_turns, (a, 2 * a)),
        "float64[99] of cond (at *): carry1 takes turns with another buffer",
    ),
    "other": (
        own_choice(lambda a, b: a.at[0].set(1.0), lambda a, b: b),
        f"{CHOICE} (at *): branches change other operands",
    ),
    "anew": (
        own_choice(lambda a, b: a.at[0].set(1.0), lambda a, b: cnp.sin(a)),
        f"{CHOICE} (at *): a branch makes it anew, by sin (at *)",
    ),
    "twice": (
        own_choice(lambda a, b: (b, a, a.at[0].set(1.0)), lambda a, b: (b, a, a)),
        f"{CHOICE.replace('result 0', 'result 2')} (at *): another result is the same operand",
    ),
    "effects": (
        own_choice(seen, lambda a, b: a),
        "copied for each element, float64[99] of cond (at *): they choose one after the other, as*",
    ),
    "kept": (
        slope_of_a_loop,
        "kept as it begins, float64[99] of while (at *): the loop runs again for its gradient*",
    ),
    "nest": (
        slope_of_a_nest,
        "kept as they begin in each step, 792 bytes of large arrays that loops in scan (at *) take: as one loop*",
    ),
}


@pytest.mark.parametrize("which", COPIES)
def test_a_copy_tells_of_which_array_it_is_and_where_and_why(
    which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    f, wanted = COPIES[which]
    with cv.config.override(explain="copy"):
        cv.jit(f).lower(np.ones(99)).compile()
    lines = capsys.readouterr().err.splitlines()
    pattern = wanted.replace("[", "[[]").replace("(at *)", "(at *test_memory.py:* (*))")
    assert fnmatch.filter(lines, f"*{pattern}"), lines


def test_many_donated_arrays() -> None:
    """Each is updated in place, by work that grows with their number and not with its square."""

    def work(n: int) -> int:
        def step(params: list[Any]) -> list[Any]:
            return [p * 0.5 + 1 for p in params]

        given = [cnp.ones(2 + k % 7) for k in range(n)]
        jitted = cv.jit(step, donate_argnums=0)
        taken, compiled = calls(lambda: jitted.lower(given).compile())
        found = compiled.memory_analysis()
        assert found.alias_size_in_bytes == found.output_size_in_bytes
        return taken

    with cv.config.override(verify=False, cache=False):
        assert work(400) < 4.5 * work(100)


# --------------------------------------------------------------------------------------------------- arena


def states_of_room(f: Any, steps: int) -> float:
    """The arena of a scan over a square matrix, in matrices."""
    x = np.ones((32, 32), np.float32)
    run = lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=steps)[0].sum()  # noqa: E731
    found = [cv.jit(g).lower(x).compile().memory_analysis() for g in (run, cv.grad(run))]
    forward, backward = [m.temp_size_in_bytes / x.nbytes for m in found]
    assert forward <= 3.1, "what a step needs one after the other lies in one place"
    return backward


@pytest.mark.parametrize("kept", [5, 1])
def test_loops_use_memory_again_in_each_step(kept: int) -> None:
    """A scan keeps what its gradient needs of each step, of a checkpointed body the carry; the rest does not grow."""

    def layers(x: Any) -> Any:
        for _ in range(4):
            x = cnp.tanh(x @ x)
        return x

    body = layers if kept == 5 else cv.checkpoint(layers)
    few, many = [states_of_room(body, steps) for steps in (8, 24)]
    assert many - few == pytest.approx(kept * 16, abs=0.1)
    assert few <= kept * 8 + 10


def test_what_threads_do_side_by_side_lies_apart() -> None:
    """Temps of a loop's body share room from statement to statement, but for loops whose runs are in no order."""
    i = ix.loop_variable("i", 8)
    x = Buffer("x", dtypes.float32, 8, "input")
    y = Buffer("y", dtypes.float32, 8, "output")
    first, second = [Buffer(name, dtypes.float32, 8, "temp") for name in ("first", "second")]
    load = lambda b: Expr("load", (), b.dtype, (b, i))  # noqa: E731
    body = tuple([s for b in (first, second) for s in (Store(b, i, load(x)), Store(y, i, load(b)))])
    for parallel in (False, True):
        loop = Loop(i, 8, body, Schedule(parallel=parallel), free=True)
        lives = Times(Kernel("f", (x,), (y,), (), (loop,))).lives()
        assert (lives[first].last < lives[second].first) is not parallel


def naive(lives: list[Life]) -> int:
    """First fit, looking at everything that is live: what the fast one must equal."""
    placed: list[tuple[int, int, Life]] = []
    for life in sorted(lives, key=lambda x: (x.first, -x.size)):
        offset = 0
        for o, size in sorted((o, x.size) for o, _, x in placed if x.last >= life.first):
            if offset + life.size <= o:
                break
            offset = max(offset, o + size)
        placed.append((offset, life.size, life))
    return max((o + n for o, n, _ in placed), default=0)


def lives_of(rng: random.Random, count: int) -> list[Life]:
    found = []
    for _ in range(count):
        first = rng.randrange(3 * count)
        found.append(Life(first, first + rng.choice([0, 1, 3, count]), 64 * rng.randint(0, 9)))
    return found


@pytest.mark.parametrize("count", [1, 3, 10, 100, 400])
def test_the_arena_is_first_fit(count: int) -> None:
    rng = random.Random(count)
    for _ in range(200 // count + 3):
        lives = lives_of(rng, count)
        offsets, end = first_fit(lives)
        assert end == naive(lives)
        spans = sorted(zip(lives, offsets, strict=True))
        for n, (a, at) in enumerate(spans):
            for b, other in spans[n + 1 :]:
                if b.first > a.last:
                    continue
                assert at + a.size <= other or other + b.size <= at
        times = {x.first for x in lives}
        least = max(sum(x.size for x in lives if x.first <= t <= x.last) for t in times)
        assert least <= end <= 1.7 * least + 64 * 9


def test_large_arenas_take_no_quadratic_work() -> None:
    def work(count: int) -> int:
        lives = lives_of(random.Random(0), count)
        return steps(lambda: first_fit(lives))[0]

    assert work(8000) < 10 * work(1000)
