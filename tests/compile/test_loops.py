"""What the emitted loops must get right, and what is shared among them."""

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp
from covector._engine.base.config import config


def test_private_rows_of_lanes_inside_another_loop() -> None:
    """The lanes of the second axis each have a row of their own, though the loop around them is plain."""
    x = np.random.default_rng(0).integers(0, 3, (2, 5, 5, 5)).astype(np.float64)
    index = np.arange(25, dtype=np.int32).reshape(5, 5, 1) % 5

    def least(x: Any) -> Any:
        return cnp.sum(
            cnp.min(cnp.take_along_axis(x, index, 2), axis=(0, 2)) * cnp.arange(1.0, 6.0)
        )

    gradient = covector.grad(least)
    together = np.asarray(covector.jit(covector.vmap(gradient))(x))
    np.testing.assert_allclose(together, [np.asarray(gradient(row)) for row in x], rtol=1e-6)
    picked = np.take_along_axis(x, index[None], 3)
    ties = (picked == picked.min(axis=(1, 3), keepdims=True)).astype(np.float64)
    wanted = np.zeros_like(x)
    shares = ties / ties.sum(axis=(1, 3), keepdims=True) * np.arange(1.0, 6.0)[:, None]
    np.put_along_axis(wanted, np.broadcast_to(index, picked.shape), shares, 3)
    np.testing.assert_allclose(together, wanted, rtol=1e-6)


def test_equal_loops_are_compiled_once() -> None:
    def layers(count: int) -> str:
        def run(x: Any, *ws: Any) -> Any:
            for w in ws:
                x = cnp.tanh(x @ w)
            return x

        w = np.ones((64, 64), np.float32)
        return covector.jit(run).lower(w, *[w] * count).compile().as_text("llvm")

    few, many = layers(6), layers(12)
    assert many.count("define") == few.count("define")
    assert many.count("call void @loop") == 2 * few.count("call void @loop") == 12


def test_reductions_of_many_loops() -> None:
    """Locals that a loop folds into stay with it when it becomes a function."""

    def run(*xs: Any) -> Any:
        return [cnp.sum(x) for x in xs], [cnp.cumsum(x)[-1] for x in xs], [cnp.sort(x) for x in xs]

    xs = [np.random.default_rng(n).standard_normal(100 + n) for n in range(8)]
    sums, last, ordered = covector.jit(run)(*xs)
    np.testing.assert_allclose(sums, [x.sum() for x in xs], rtol=1e-6)
    np.testing.assert_allclose(last, [x.sum() for x in xs], rtol=1e-6)
    for x, y in zip(xs, ordered, strict=True):
        np.testing.assert_array_equal(np.asarray(y), np.sort(x))


def test_indices_from_data_are_printed() -> None:
    x, i = np.ones((3, 4), np.float32), np.zeros(2, np.int32)
    text = covector.jit(lambda x, i: x[i] + 1).lower(x, i).compile().as_text()
    assert "in0[" in text
    assert "in1[" in text
    assert "%" not in text


def test_carries_that_take_turns_live_equally_long() -> None:
    x = np.arange(680, dtype=np.float32).reshape(17, 40)

    def run(a: Any) -> Any:
        (_, last), seen = lax.scan(
            lambda c, _: ((c[1], lax.rev(c[1], (0, 1))), c[0]), (a, a), None, 1
        )
        return seen, last

    for _ in range(5):  # it was a question of which of two buffers came first
        seen, last = covector.jit(lambda a: run(a))(x)
        np.testing.assert_array_equal(np.asarray(seen)[0], x)
        np.testing.assert_array_equal(np.asarray(last), x[::-1, ::-1])


def test_a_carry_is_read_before_it_is_overwritten() -> None:
    a = np.arange(2000, dtype=np.float32)
    b = a + 1
    out = covector.jit(lambda a, b: lax.scan(lambda c, _: (-b, c + b), a, None, 2)[1])(a, b)
    np.testing.assert_array_equal(np.asarray(out), [a + b, 0 * a])


def test_indices_read_from_a_carry_that_is_updated() -> None:
    wanted = given = np.random.default_rng(0).permutation(3000).astype(np.int32)
    places = np.arange(3000, dtype=np.int32)
    step = lambda c, _: (c.at[c].set(places), None)  # noqa: E731
    found = covector.jit(lambda c: lax.scan(step, c, None, 3)[0])(given)
    for _ in range(3):
        old, wanted = wanted, wanted.copy()
        wanted[old] = places
    np.testing.assert_array_equal(np.asarray(found), wanted)


def test_tiny_loops_that_look_into_their_carry() -> None:
    look = lambda i, c: c + lax.dynamic_slice(c, (i,), (1,))  # noqa: E731
    found = covector.jit(lambda x: lax.fori_loop(0, 3, look, x))(cnp.arange(3.0))
    np.testing.assert_array_equal(np.asarray(found), [4, 5, 6])
    pad = lambda c, _: (c, lax.pad(c, c.dtype.type(3), [(1, 0, 0)]))  # noqa: E731
    found = covector.jit(lambda x: lax.scan(pad, x, None, 2)[1])(np.arange(3))
    np.testing.assert_array_equal(np.asarray(found), [[3, 0, 1, 2]] * 2)


def test_rows_of_one_element() -> None:
    f = covector.jit(lambda x: (lambda y: y - cnp.max(y, axis=0, keepdims=True))(cnp.sin(x)))
    np.testing.assert_array_equal(np.asarray(f(np.ones(1, np.float32))), [0])


def test_long_rows_are_computed_again() -> None:
    """What a later pass needs and no buffer keeps is computed again, with what it needs in turn."""
    x = np.linspace(-1, 1, 20_000)

    def f(v: Any) -> Any:
        return cnp.min(cnp.clip(v + cnp.clip(v, -0.5, 0.5), -0.7, 0.7))

    slope = lambda v: covector.jvp(f, (v,), (cnp.ones_like(v),))[1]  # noqa: E731
    np.testing.assert_allclose(covector.jit(slope)(x), slope(x), rtol=1e-6)


def test_the_same_program_has_the_same_text() -> None:
    """In each process too: the disk cache goes by the text."""
    code = (
        "import numpy as np, covector as cv; from covector import lax, numpy as cnp\n"
        "f = lambda a, b: lax.scan(lambda c, x: ((c[1] @ a, c[0] + x), cnp.sort(c[0])), (a, b), a)\n"
        "g = cv.grad(lambda a, b: sum(cnp.sum(y**2) for y in cv.tree.leaves(f(a, b))))\n"
        "x = np.ones((40, 40), np.float32); import hashlib\n"
        "print(hashlib.md5(cv.jit(g).lower(x, x).compile().as_text('llvm').encode()).hexdigest())"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            for _ in range(3)]  # fmt: skip
    assert len({run.stdout for run in runs}) == 1


# -------------------------------------------------------------------------------------------------- unrolling


def _sums(carry: Any, x: Any) -> Any:
    new = cnp.tanh(carry * 0.5 + x)
    return new, (new * 2, x)


@pytest.mark.parametrize("size", [3, 200])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [2, 3, 7, 50, True])
def test_unrolled_loops_give_the_same(size: int, reverse: bool, unroll: Any) -> None:
    """Also where the steps are no multiple of those of a turn: 7 = 2 * 3 + 1."""
    xs = np.random.default_rng(0).normal(size=(7, size)).astype(np.float32)

    def run(xs: Any, unroll: Any) -> Any:
        return lax.scan(_sums, cnp.zeros(size), xs, reverse=reverse, unroll=unroll)

    plain, unrolled = (covector.jit(lambda xs, n=n: run(xs, n)) for n in (1, unroll))
    for wanted, found in zip(*map(covector.tree.leaves, (plain(xs), unrolled(xs))), strict=True):
        np.testing.assert_array_equal(found, wanted)
    slopes = [
        np.asarray(covector.jit(covector.grad(lambda xs, n=n: run(xs, n)[0].sum()))(xs))
        for n in (1, unroll)
    ]
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-6)


@pytest.mark.parametrize(("unroll", "extents"), [(1, [7]), (2, [3]), (3, [2]), (6, []), (7, [])])
def test_unrolling_makes_loops_of_fewer_turns(unroll: int, extents: list[int]) -> None:
    """What is left is one turn, or several of one step."""
    xs = np.ones((7, 200), np.float32)
    run = covector.jit(lambda xs: lax.scan(_sums, cnp.zeros(200), xs, unroll=unroll))
    found = re.findall(r"for t\d+ < (\d+)", run.lower(xs).compile().as_text())
    assert [int(n) for n in found] == extents


def test_unrolling_has_a_price(capfd: Any) -> None:
    def long(c: Any, x: Any) -> Any:
        for _ in range(300):
            c = cnp.sin(c) + x
        return c, None

    with config.override(explain="loop"):
        run = covector.jit(lambda xs: lax.scan(long, cnp.zeros(100), xs, unroll=True)[0])
        text = run.lower(np.ones((64, 100), np.float32)).compile().as_text()
    assert "6 steps a turn, not 64" in capfd.readouterr().err
    assert re.findall(r"for t\d+ < (\d+)", text) == ["10", "4"]


def test_updates_in_place_stay_in_place_when_unrolled() -> None:
    def put(x: Any, i: Any) -> Any:
        return x.at[i].set(x[i] * 2 + 1), None

    index = np.arange(40) % 30
    run = covector.jit(lambda x: lax.scan(put, x, index, unroll=4)[0])
    wanted = np.arange(1000.0, dtype=np.float32)
    for i in index:
        wanted[i] = wanted[i] * 2 + 1
    np.testing.assert_array_equal(run(cnp.arange(1000.0)), wanted)


# ------------------------------------------------------------------------------------------------- invariants


def _program(f: Any, *args: Any) -> tuple[str, str]:
    """What is computed before and in the loop."""
    text = covector.jit(f).lower(*args).compile().as_text("program")
    before, _, inside = text.partition("scan[")
    return before, inside


def test_what_is_the_same_in_each_step_is_computed_once() -> None:
    w = np.random.default_rng(0).normal(size=(50, 50)).astype(np.float32)
    x = np.ones(50, np.float32)

    def run(w: Any, x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            return cnp.tanh(cnp.exp(w) @ c * 0.01 + cnp.sum(w * w)), cnp.max(cnp.sort(w), 0)

        return lax.scan(step, x, None, 5)

    before, inside = _program(run, w, x)
    for name in ("exp", "reduce_sum", "sort", "reduce_max"):
        assert f" {name}" in before
        assert f" {name}" not in inside
    found = covector.jit(run)(w, x)
    with config.override(skip="invariants"):
        wanted = covector.jit(lambda w, x: run(w, x))(w, x)
    for a, b in zip(covector.tree.leaves(found), covector.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_what_is_cheap_or_large_stays_in_the_loop(capfd: Any) -> None:
    w, x = np.ones(500, np.float32), np.ones((3, 2000), np.float32)

    def run(w: Any, x: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            distances = cnp.exp(w[:, None] - w[None, :500] * 2) * cnp.log(w[:, None] + 3)
            return c + cnp.sum(distances * x[0]) + w[3], None

        return lax.scan(step, cnp.float32(0), x)

    with config.override(explain="loop"):
        before, inside = _program(run, w, x)
    reasons = capfd.readouterr().err
    assert "it would fill 1000000 bytes" not in reasons, "1 MB stays in the cache"
    assert " exp" in before
    wide = np.ones(2000, np.float32)
    with config.override(explain="loop"):
        before, inside = _program(lambda w, x: run(w, x), wide[:1500], x)
    reasons = capfd.readouterr().err
    assert "it would fill" in reasons
    assert "costs less to compute again" in reasons
    assert " exp" in inside
    assert " log" in before, "but what it is made of is computed once"


def test_invariants_of_inner_loops_leave_both() -> None:
    w = np.full(100, 0.5, np.float32)

    def run(w: Any, xs: Any) -> Any:
        def inner(c: Any, x: Any) -> Any:
            return c * cnp.cos(w) + x, None

        def outer(c: Any, x: Any) -> Any:
            return lax.scan(inner, c * cnp.sin(w), x)[0], None

        return lax.scan(outer, cnp.ones(100), xs)[0]

    xs = np.ones((3, 4, 100), np.float32)
    before, inside = _program(run, w, xs)
    assert " cos" in before
    assert " sin" in before
    assert " cos" not in inside
    assert " sin" not in inside
    c = np.ones(100, np.float32)
    for x in xs:
        c = c * np.sin(w)
        for y in x:
            c = c * np.cos(w) + y
    np.testing.assert_allclose(covector.jit(run)(w, xs), c, rtol=1e-5)


def test_a_value_that_is_handed_on_unchanged_is_the_same_in_each_step() -> None:
    def run(w: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            w, total = c
            return (w, total + cnp.exp(w)), None

        return lax.scan(step, (w, w * 0), None, 4)[0]

    w = np.linspace(0, 1, 300).astype(np.float32)
    before, inside = _program(run, w)
    assert " exp" in before
    assert " exp" not in inside
    kept, total = covector.jit(run)(w)
    np.testing.assert_array_equal(kept, w)
    np.testing.assert_allclose(total, 4 * np.exp(w), rtol=1e-6)


def test_gathered_rows_are_read_in_whole_vectors() -> None:
    """Where a row begins comes from data, but is the same in all lanes."""
    x, rows = (
        np.arange(300.0, dtype=np.float32).reshape(6, 50),
        np.array([3, -1, 0, 5, 3], np.int32),
    )
    take = covector.jit(lambda x, rows: x[rows])
    put = covector.jit(lambda x, rows, y: x.at[rows].set(y, unique_indices=True))
    bags = covector.jit(lambda x, rows: x[rows].sum(0))
    np.testing.assert_array_equal(take(x, rows), x[rows])
    np.testing.assert_array_equal(bags(x, rows), x[rows].sum(0))
    wanted = x.copy()
    wanted[rows[1:]] = x[:4] + 1
    np.testing.assert_array_equal(put(x, rows[1:], x[:4] + 1), wanted)
    for f, operands in ((take, (x, rows)), (bags, (x, rows)), (put, (x, rows[1:], x[:4]))):
        text = f.lower(*operands).compile().as_text("llvm")
        assert "masked.gather" not in text, text
        assert "masked.scatter" not in text, text


def test_what_lanes_gather_apart_stays_apart() -> None:
    """Rows that differ between lanes, and rows that only some lanes read."""
    x = np.arange(400.0, dtype=np.float32).reshape(20, 20)
    rows = np.random.default_rng(0).integers(0, 20, 64).astype(np.int32)
    each = covector.jit(lambda x, rows: x[rows, cnp.arange(64) % 20])
    np.testing.assert_array_equal(each(x, rows), x[rows, np.arange(64) % 20])
    some = covector.jit(lambda x, rows: cnp.where(rows > 9, x[rows[3] % 20, rows % 20], 0.0))
    np.testing.assert_array_equal(some(x, rows), np.where(rows > 9, x[rows[3], rows % 20], 0))
    chained = covector.jit(lambda x, rows: x[rows[rows[5]]] * 2)
    np.testing.assert_array_equal(chained(x, rows), x[rows[rows[5]]] * 2)
