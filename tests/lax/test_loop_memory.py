"""What users say of the memory of a loop's gradient: its tape, and a policy; bounds and values of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import ad_checkpoint, checkpoint_policies as policies, lax


def powers(x: Any, n: Any, **memory: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, c: cnp.sin(c) * x + c * 0.1, x, **memory)


def repeated(x: Any, n: Any, **memory: Any) -> Any:
    step = lambda c: (c[0] + 1, cnp.sin(c[1]) * x + c[1] * 0.1)  # noqa: E731
    return lax.while_loop(lambda c: c[0] < n, step, (0, x), **memory)[1]


@pytest.mark.parametrize("policy", [None, policies.everything_saveable, policies.nothing_saveable])
@pytest.mark.parametrize("tape", [0, 100, 1 << 20])
@pytest.mark.parametrize("f", [powers, repeated])
def test_the_gradient_is_the_same(f: Any, tape: int, policy: Any) -> None:
    wanted = cv.grad(lambda x: powers(x, 300))(0.8)
    slope = cv.jit(cv.grad(lambda x, n: f(x, n, checkpoint=policy, tape_bytes=tape)))
    assert float(slope(0.8, 300)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(slope(0.8, 0)) == 1


def test_a_tape_is_as_long_as_it_is_said() -> None:
    def size(tape: int | None) -> int:
        slope = cv.jit(cv.grad(lambda x, n: repeated(x, n, tape_bytes=tape)))
        return slope.lower(0.8, 3).compile().memory_analysis().temp_size_in_bytes

    assert size(0) < size(1 << 16) - 60_000 < size(None) - 15_000_000


VECTOR = 128  # bytes of one of a step's vectors


def stepped(c: Any, w: Any) -> Any:
    h = ad_checkpoint.checkpoint_name(cnp.tanh(c @ w), "h")
    return (cnp.sin(h) * cnp.cos(h) + cnp.exp(-h * h)) @ w


def bytes_of_a_slope(run: Any) -> int:
    """What the gradient of a loop of such steps takes beside operands and results."""
    slope = cv.jit(cv.grad(lambda w, x: cnp.sum(run(w, x))))
    operands = np.ones((32, 32), np.float32), np.ones(32, np.float32)
    return slope.lower(*operands).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize(
    ("policy", "vectors"),
    [
        (policies.nothing_saveable, 1),
        (policies.dots_saveable, 2),
        (policies.save_only_these_names("h"), 2),
    ],
    ids=["nothing", "products", "names"],
)
def test_a_scan_keeps_of_each_step_what_the_policy_says(policy: Any, vectors: int) -> None:
    """The carry, and what is named or a product, but for what is carried anyway."""

    def size(count: int) -> int:
        step = cv.checkpoint(stepped, policy=policy)
        return bytes_of_a_slope(
            lambda w, x: lax.scan(lambda c, _: (step(c, w), None), x, None, length=count)[0]
        )

    assert size(4000) - size(1000) == 3000 * vectors * VECTOR


def test_two_levels_of_scans_keep_two_roots_of_the_steps() -> None:
    def size(root: int) -> int:
        def inner(c: Any, w: Any) -> Any:
            return lax.scan(lambda c, _: (stepped(c, w), None), c, None, length=root)[0]

        outer = cv.checkpoint(inner)
        return bytes_of_a_slope(
            lambda w, x: lax.scan(lambda c, _: (outer(c, w), None), x, None, length=root)[0]
        )

    few, many = size(30), size(300)
    assert many < 300_000, "of 90,000 steps"
    assert many < 11 * few


def test_memory_that_there_is_not_is_an_error_and_nothing_is_lost() -> None:
    x = cnp.asarray(0.8)
    with pytest.raises(MemoryError):
        float(cv.jit(cv.grad(lambda x, n: repeated(x, n, tape_bytes=1 << 60)))(x, 3))
    assert float(x) == pytest.approx(0.8)
    assert np.isfinite(cv.jit(cv.grad(repeated))(x, 3))


def test_what_is_no_memory_is_told() -> None:
    for bad, error in ((-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="while_loop"):
            repeated(0.5, 3, tape_bytes=bad)
    with pytest.raises(TypeError, match="checkpoint"):
        repeated(0.5, 3, checkpoint="dots")


@pytest.mark.parametrize("run", [lambda f: f, cv.jit], ids=["known", "traced"])
def test_bounds_have_one_dtype(run: Any) -> None:
    count = run(lambda a, b: lax.fori_loop(a, b, lambda i, n: n + 1, 0))
    for dtype in ("int8", "uint8", "int32", "uint32"):
        assert int(count(cnp.asarray(1, dtype), cnp.asarray(4, dtype))) == 3
        assert int(count(1, cnp.asarray(4, dtype))) == 3
    with pytest.raises(TypeError, match=r"one dtype, got int8\[\] and int32\[\]"):
        count(cnp.asarray(1, "int8"), cnp.asarray(4, "int32"))


def test_arrays_that_hold_nothing_are_carried() -> None:
    nothing = np.zeros((3,), cv.dtypes.float0)
    step = lambda c: (c[0] + 1, c[1])  # noqa: E731
    found = [
        cv.jit(lambda n: lax.while_loop(lambda c: c[0] < n, step, (0, nothing)))(3)[1],
        cv.jit(lambda n: lax.fori_loop(0, n, lambda _, c: step(c), (0, nothing)))(3)[1],
        lax.scan(lambda c, x: (c, c[1]), (0, nothing), None, length=2)[0][1],
        lax.cond(cnp.asarray(True), lambda a: a, lambda a: a, nothing),
    ]
    for x in found:
        assert (x.dtype, x.shape) == (cv.dtypes.float0, (3,))
    assert lax.scan(lambda c, x: (c, c), nothing, None, length=2)[1].shape == (2, 3)


def test_tapes_of_lanes_are_not_filled() -> None:
    def root(a: Any) -> Any:
        far = lambda x: abs(x * x - a) > 1e-4 * a  # noqa: E731
        return lax.while_loop(far, lambda x: 0.5 * (x + a / x), a)

    xs = cnp.linspace(0.5, 90.0, 37)
    slopes = cv.grad(lambda xs: cv.vmap(root)(xs).sum())
    kernel = cv.jit(slopes).lower(xs).compile().as_text()
    assert "stack0[" in kernel
    assert "stack0[i0] := 0" not in kernel
    np.testing.assert_allclose(cv.jit(slopes)(xs), 0.5 / np.sqrt(xs), rtol=1e-3)
    bent = cv.jit(cv.vmap(cv.grad(cv.grad(root))))
    for x, found in zip(xs, bent(xs), strict=True):
        assert float(found) == pytest.approx(float(cv.grad(cv.grad(root))(x)), rel=1e-3)
