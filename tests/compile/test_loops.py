"""What the emitted loops must get right, and what is shared among them."""

import subprocess
import sys
from typing import Any

import numpy as np

import covector
from covector import lax, numpy as cnp


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
