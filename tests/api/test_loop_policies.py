"""What `checkpoint` keeps of loops whose number of steps is not known, and that effects in them happen once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import checkpoint_policies as policies, lax
from covector._engine.control import unwind, while_
from covector.ad_checkpoint import checkpoint_name, saved_residuals

X = cnp.asarray(np.array([0.3, -0.2, 0.5]))
W = cnp.asarray(np.array([1.0, 2.0, 0.7]))
NAMED = policies.save_only_these_names("v")
POLICIES: dict[str, Callable[..., Any] | None] = {
    "none": None,
    "nothing": policies.nothing_saveable,
    "everything": policies.everything_saveable,
    "dots": policies.dots_saveable,
    "named": NAMED,
    "all but": policies.save_any_names_but_these("u"),
    "offload": policies.save_and_offload_only_these_names(
        names_which_can_be_saved=["v"],
        names_which_can_be_offloaded=["u"],
        offload_src="device",
        offload_dst="pinned_host",
    ),
}
# Bodies, each with a name for a part of what it computes, and one for another part.
MATRIX = cnp.asarray(np.array([[0.3, -0.2, 0.5], [0.1, 0.4, -0.3], [-0.6, 0.2, 0.1]]))


def step(w: Any, x: Any) -> Any:
    v = checkpoint_name(cnp.tanh(MATRIX @ (x * w)), "v")
    u = checkpoint_name(cnp.sin(v * x), "u")
    return x + 0.3 * u * v


def looped(w: Any, x: Any, n: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, step(w, c[1])), (0, x))[1]


def counted(w: Any, x: Any, n: Any) -> Any:
    return lax.fori_loop(0, n, lambda _, x: step(w, x), x)


def nested(w: Any, x: Any, n: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, x: looped(w, x, i % 3) * 0.9, x)


def scanned(w: Any, x: Any, n: Any) -> Any:
    return lax.scan(lambda c, k: (looped(w, c, (n + k) % 3) * 0.9, None), x, cnp.arange(3))[0]


def plain(f: Any) -> Callable[[Any, Any, int], Any]:
    """The same as Python's loops."""

    def steps(w: Any, x: Any, n: int) -> Any:
        for _ in range(n):
            x = step(w, x)
        return x

    def run(w: Any, x: Any, n: int) -> Any:
        if f in (looped, counted):
            return steps(w, x, n)
        for i in range(n if f is nested else 3):
            x = steps(w, x, (i if f is nested else n + i) % 3) * 0.9
        return x

    return run


def slope(f: Any) -> Any:
    return cv.grad(lambda w, x, n: cnp.sum(cnp.sin(f(w, x, n))), (0, 1))


def turn(f: Any) -> Any:
    return cv.grad(lambda w, x, n: cnp.sum(slope(f)(w, x, n)[0] * slope(f)(w, x, n)[1]), (0, 1))


def close(found: Any, wanted: Any) -> None:
    for a, b in zip(cv.tree.leaves(found), cv.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch, afresh: None) -> None:
    """Room for four steps, and four states."""
    monkeypatch.setattr(unwind, "LEAST_DIGITS", 2)
    for name in ("BOUNDED", "MANY"):
        monkeypatch.setattr(while_, name, unwind.Room(1 << 20, 4, 1 << 20, 2))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("f", [looped, counted])
def test_gradients(policy: str, f: Any) -> None:
    kept = cv.jit(slope(cv.checkpoint(f, policy=POLICIES[policy])))
    for n in (0, 1, 6):
        close(kept(W, X, n), slope(plain(f))(W, X, n))


@pytest.mark.parametrize("policy", ["everything", "named"])
@pytest.mark.parametrize("f", [looped, nested, scanned])
def test_where_there_is_no_room(few_rows: None, policy: str, f: Any) -> None:
    """More steps than rows: what is missing is computed again, whatever the distance."""
    kept = cv.jit(slope(cv.checkpoint(f, policy=POLICIES[policy])))
    for n in (4, 5, 9, 40) if f is looped else (7,):
        close(kept(W, X, n), slope(plain(f))(W, X, n))


def test_compositions() -> None:
    """Batches inside and outside, of loops that end on their own; derivatives of derivatives; without `jit`."""
    f = cv.checkpoint(looped, policy=NAMED)
    xs, counts = cnp.stack([X, 2 * X, -X]), np.array([3, 0, 5], np.int32)
    wanted = [slope(plain(looped))(W, x, n) for x, n in zip(xs, counts, strict=True)]
    wanted = cv.tree.map(lambda *a: np.stack(list(map(np.asarray, a))), *wanted)
    close(cv.jit(cv.vmap(slope(f), (None, 0, 0)))(W, xs, counts), wanted)
    inside = cv.checkpoint(cv.vmap(looped, (None, 0, 0)), policy=NAMED)
    whole = cv.jit(slope(inside))(W, xs, counts)
    close(whole, (wanted[0].sum(0), wanted[1]))
    close(slope(f)(W, X, 3), slope(plain(looped))(W, X, 3))
    close(cv.jit(turn(f))(W, X, 3), turn(plain(looped))(W, X, 3))
    pushed = cv.jvp(lambda w, x: f(w, x, 3), (W, X), (X, W))
    close(pushed, cv.jvp(lambda w, x: plain(looped)(w, x, 3), (W, X), (X, W)))


def test_a_policy_says_what_is_kept() -> None:
    def kept(policy: Any) -> list[tuple[int, ...]]:
        f = cv.checkpoint(lambda w, x: looped(w, x, 5), policy=policy)
        found = saved_residuals(lambda w, x: cnp.sum(f(w, x)), W, X)
        return sorted([a.shape for a, _ in found if a.shape[:1] in ((states,), (steps,))])

    states, steps = 65, 1024
    assert kept(policies.nothing_saveable) == kept(policies.save_only_these_names("z")) == []
    assert kept(NAMED) == [(states,), (states, 3), (steps, 3)]  # the counter, the states, and v
    assert len(kept(policies.everything_saveable)) > 3


def runs(policy: Any, n: int, way: str = "once") -> int:
    """How often the costly part of n steps runs in a gradient."""
    count = 0

    @cv.custom_jvp
    def costly(x: Any) -> Any:
        def run(a: Any) -> Any:
            nonlocal count
            count += 1
            return np.sin(np.asarray(a))

        shape = cv.ShapeDtypeStruct(x.shape, x.dtype)
        return cv.pure_callback(run, shape, x, vmap_method="sequential")

    costly.defjvps(lambda t, y, x: t * cnp.cos(x))

    def f(x: Any) -> Any:
        def body(c: Any) -> Any:
            return c[0] + 1, c[1] + 0.1 * costly(c[1]) ** 2

        return lax.while_loop(lambda c: c[0] < n, body, (0, x))[1]

    g = cv.checkpoint(f, policy=policy) if way == "checkpoint" else f
    want = cv.grad(lambda x: cnp.sum(_squares(x, n)))(X)
    close(cv.jit(cv.grad(lambda x: cnp.sum(g(x))))(X), want)
    return count


def _squares(x: Any, n: int) -> Any:
    for _ in range(n):
        x = x + 0.1 * cnp.sin(x) ** 2
    return x


@pytest.mark.parametrize("way", ["once", "checkpoint"])
def test_what_calls_back_runs_once(way: str) -> None:
    """Its results are kept, as what has effects is by every policy."""
    assert runs(policies.nothing_saveable, 7, way) == 7


def test_steps_beyond_the_rows_call_back_again(few_rows: None) -> None:
    assert runs(None, 4) == 4
    assert 8 < runs(None, 9) < 40


def test_effects_of_a_loop_happen_once(capfd: Any) -> None:
    """Also in its condition, in a loop inside, and in a batch; not on the way back."""

    def f(x: Any) -> Any:
        def test(c: Any) -> Any:
            cv.debug.print("test {}", c[0], ordered=True)
            return c[0] < 2

        def body(c: Any) -> Any:
            inner = lambda _, x: (cv.debug.print("inner", ordered=True), cnp.sin(x))[1]  # noqa: E731
            return c[0] + 1, lax.fori_loop(0, c[0], inner, c[1] * 1.1)

        return lax.while_loop(test, body, (0, x))[1]

    for g in (f, cv.checkpoint(f)):
        cv.jit(cv.grad(g))(0.3)
        cv.effects_barrier()
        assert capfd.readouterr().out.split("\n") == ["test 0", "test 1", "inner", "test 2", ""]
