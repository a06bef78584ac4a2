"""`checkpoint`: the gradient is the same, what is kept is what the policy says, and memory shows it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest
from tests.amount import some
from tests.api.test_custom_rules import WRAPPERS, with_jvp, with_vjp

import covector as cv
import covector.numpy as np
from covector import checkpoint_policies as policies, lax
from covector.ad_checkpoint import (
    Offloadable,
    Recompute,
    Saveable,
    checkpoint_name,
    print_saved_residuals,
    saved_residuals,
)

CHAINS = [c for n in (1, 2, 3) for c in itertools.product(WRAPPERS, repeat=n)]


def body(x: Any) -> Any:
    for k in range(3):
        x = checkpoint_name(np.sin(x * (1.1 + k)), f"s{k}") + 0.1 * x
    return x


POLICIES: dict[str, Callable[..., Any] | None] = {
    "": None,
    "everything": policies.everything_saveable,
    "names": policies.save_only_these_names("s1"),
    "mixed": lambda prim, *avals, **params: Saveable if prim.name == "sin" else Recompute,
}


@pytest.mark.parametrize("chain", some(CHAINS, 16, 2), ids="-".join)
def test_checkpoints_change_nothing(chain: tuple[str, ...]) -> None:
    policy = random.Random(str(chain)).choice([*POLICIES.values()])
    f, expected = cv.checkpoint(body, policy=policy), body
    for n, name in enumerate(chain):
        f, expected = WRAPPERS[name](f), WRAPPERS[name](expected)
        if n == 0:
            f = cv.checkpoint(f)  # of one inside it
    with cv.enable_x64(True):  # third derivatives in float32 are of few digits
        onp.testing.assert_allclose(f(0.3), expected(0.3), 1e-9)


@pytest.mark.parametrize("make", [with_jvp, with_vjp])
def test_custom_rules_inside(make: Any) -> None:
    f = make()
    g = cv.checkpoint(lambda x: f(np.sin(f(x))))
    h = lambda x: f(np.sin(f(x)))  # noqa: E731
    for wrap in (lambda k: k, cv.jit):
        assert cv.grad(wrap(g))(0.7) == pytest.approx(float(cv.grad(h)(0.7)), 1e-5)
        assert cv.grad(cv.grad(wrap(g)))(0.7) == pytest.approx(
            float(cv.grad(cv.grad(h))(0.7)), 1e-4
        )


# ------------------------------------------------------------------------------------------------------- what is kept


def kept(f: Any, *args: Any) -> list[str]:
    return [origin.split(" from ")[0] for _, origin in saved_residuals(f, *args)]


def test_what_policies_keep() -> None:
    def f(x: Any, w: Any) -> Any:
        y = checkpoint_name(np.sin(x @ w), "y")
        return np.sin(checkpoint_name(np.sin(y), "z") @ w)

    x, w = np.ones((2, 3)), np.ones((3, 3))

    def found(policy: Any) -> list[str]:
        return sorted(kept(cv.checkpoint(f, policy=policy), x, w))

    arguments = ["from the argument w", "from the argument x"]
    dots = [*arguments, "output of dot_general", "output of dot_general"]
    assert found(None) == found(policies.nothing_saveable) == arguments
    for policy in (
        policies.dots_saveable,
        policies.checkpoint_dots,
        policies.dots_with_no_batch_dims_saveable,
        policies.offload_dot_with_no_batch_dims("device", "pinned_host"),
    ):
        assert found(policy) == dots
    assert found(policies.save_only_these_names("y")) == [*arguments, "named 'y'"]
    assert found(policies.save_any_names_but_these("y")) == [*arguments, "named 'z'"]
    both = policies.save_from_both_policies(
        policies.dots_saveable, policies.save_only_these_names("z")
    )
    assert found(both) == sorted([*dots, "named 'z'"])
    assert found(
        policies.save_and_offload_only_these_names(
            names_which_can_be_saved=["y"],
            names_which_can_be_offloaded=["z"],
            offload_src="device",
            offload_dst="pinned_host",
        )
    ) == [*arguments, "named 'y'", "named 'z'"]
    assert "named 'y'" not in found(policies.save_anything_except_these_names("y"))
    assert found(lambda prim, *_, **__: Offloadable("a", "b") if prim.name == "sin" else False) == [
        *arguments, "output of sin", "output of sin",
    ]  # fmt: skip
    batched = cv.checkpoint(
        lambda x, w: np.sin(np.einsum("bij,bjk->bik", x, w)),
        policy=policies.dots_with_no_batch_dims_saveable,
    )
    assert sorted(kept(batched, np.ones((2, 3, 3)), np.ones((2, 3, 3)))) == arguments


def test_policies_reach_into_loops() -> None:
    """What is kept of a loop's body is stacked, and the loop that computes the rest again takes it."""

    def f(x: Any, w: Any) -> Any:
        def step(c: Any, k: Any) -> Any:
            c = np.sin(checkpoint_name(np.sin(c @ w) * k, "a"))
            return np.sin(c) + 0.1, c.sum()

        c, ys = cv.lax.scan(step, x, np.arange(1.0, 5.0) / 6)
        return c.sum() + (ys**2).sum()

    x, w = np.ones((8, 4)) / 3, np.ones((4, 4)) / 5
    expected = cv.grad(f, (0, 1))(x, w)
    second = cv.grad(lambda x: cv.grad(f)(x, w).sum())(x)
    stacks = {
        policies.nothing_saveable: 0,
        policies.dots_saveable: 1,
        policies.save_only_these_names("a"): 1,
        policies.save_from_both_policies(
            policies.dots_saveable, policies.save_only_these_names("a")
        ): 2,
    }
    for policy, count in stacks.items():
        g = cv.checkpoint(f, policy=policy)
        found = [aval.shape for aval, _ in saved_residuals(g, x, w)]
        assert found.count((4, 8, 4)) == count
        for gradient in (cv.grad(g, (0, 1)), cv.jit(cv.grad(g, (0, 1)))):
            for a, b in zip(gradient(x, w), expected, strict=True):
                onp.testing.assert_allclose(a, b, 1e-4, 1e-5)
        again = cv.grad(lambda x, g=g: cv.grad(g)(x, w).sum())(x)
        onp.testing.assert_allclose(again, second, 1e-4, 1e-5)


def test_policies_reach_into_branches() -> None:
    """What one branch keeps lies where the other one keeps something, also in loops, and in branches in branches."""

    def f(x: Any, w: Any) -> Any:
        def step(c: Any, k: Any) -> Any:
            def dots(c: Any) -> Any:
                return np.sin(np.sin(c @ w) @ w)

            def inner(c: Any) -> Any:
                return cv.lax.cond(c[0, 0] > 5, lambda c: c, dots, c)

            return cv.lax.switch(k % 3, [dots, lambda c: np.sin(c @ w), inner], c), None

        return cv.lax.scan(step, x, np.arange(4))[0].sum()

    x, w = np.ones((8, 4)) / 3, np.ones((4, 4)) / 5
    expected = cv.grad(f, (0, 1))(x, w)
    for policy, count in ((policies.nothing_saveable, 0), (policies.dots_saveable, 2)):
        g = cv.checkpoint(f, policy=policy)
        found = [aval.shape for aval, _ in saved_residuals(g, x, w)]
        assert found.count((4, 8, 4)) == count
        for gradient in (cv.grad(g, (0, 1)), cv.jit(cv.grad(g, (0, 1)))):
            for a, b in zip(gradient(x, w), expected, strict=True):
                onp.testing.assert_allclose(a, b, 1e-4, 1e-5)


def test_saved_residuals_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    f = cv.checkpoint(lambda x: np.sin(np.sin(x)), policy=policies.everything_saveable)
    print_saved_residuals(f, 1.0)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[0].startswith("f32[] output of cos from test_checkpoint.py:")
    weights = {"w": np.ones((2, 3))}
    print_saved_residuals(lambda p, x: np.sum((p["w"] @ x) * np.arange(2.0)), weights, np.ones(3))
    assert capsys.readouterr().out.splitlines() == [
        "f32[2,3] from the argument p['w']",
        "f32[3] from the argument x",
        "f32[2] from a constant",
    ]


# --------------------------------------------------------------------------------------------------------------- memory

STEPS, DEPTH = 8, 10


def layer(x: Any, w: Any) -> Any:
    for _ in range(DEPTH):
        x = np.sin(x @ w)
    return x


def chained(f: Any) -> Any:
    def loss(x: Any, w: Any) -> Any:
        for _ in range(STEPS):
            x = f(x, w)
        return x.sum()

    return loss


def looped(f: Any) -> Any:
    return lambda x, w: cv.lax.scan(lambda c, _: (f(c, w), None), x, None, length=STEPS)[0].sum()


def memory(f: Any, policy: Any = None, wrap: Any = cv.checkpoint) -> float:
    """Scratch memory of the gradient, in arrays of the size of x."""
    x, w = np.ones((512, 32)), np.ones((32, 32)) / 32
    f = f(wrap(layer, policy=policy) if policy else wrap(layer))
    gradient = cv.jit(cv.grad(f))
    expected = cv.grad(chained(layer))(x, w)
    onp.testing.assert_allclose(gradient(x, w), expected, 1e-4, 1e-6)
    sizes = gradient.lower(x, w).compile().memory_analysis()
    return sizes.temp_size_in_bytes / x.nbytes


def test_memory_of_a_chain_is_as_the_policy_says() -> None:
    everything = memory(chained, wrap=lambda f: f)
    assert everything > STEPS * DEPTH  # each sine's operand
    assert memory(chained, policies.everything_saveable) > STEPS * DEPTH
    assert memory(chained, policies.dots_saveable) > STEPS * DEPTH
    assert memory(chained) <= STEPS + DEPTH + 4  # what begins each layer, and one layer


def test_without_the_barrier_everything_is_shared_again() -> None:
    shared = memory(chained, wrap=lambda f: cv.checkpoint(f, prevent_cse=False))
    assert shared > STEPS * DEPTH


def test_memory_of_a_scan_is_as_the_policy_says() -> None:
    """That of all steps grows with their number; that of one step does not."""
    everything, dots = memory(looped, wrap=lambda f: f), memory(looped, policies.dots_saveable)
    assert everything > STEPS * DEPTH
    assert dots > STEPS * DEPTH
    assert memory(looped) <= STEPS + 5 * DEPTH


def test_a_checkpointed_scan_keeps_the_carry_alone() -> None:
    def loss(wrap: Any, n: int) -> Any:
        def step(c: Any, x: Any) -> tuple[Any, None]:
            for _ in range(5):
                c = np.sin(c * x)
            return c, None

        return lambda c, xs: cv.lax.scan(wrap(step), c, xs, length=n)[0].sum()

    def size(wrap: Any, n: int) -> float:
        c, xs = np.ones(1000), np.ones(n)
        compiled = cv.jit(cv.grad(loss(wrap, n))).lower(c, xs).compile()
        return compiled.memory_analysis().temp_size_in_bytes / c.nbytes

    growth = [size(wrap, 40) - size(wrap, 20) for wrap in (lambda f: f, cv.checkpoint)]
    assert 95 <= growth[0] <= 105
    assert 19 <= growth[1] <= 21


# ------------------------------------------------------------------------------------------------------------- the rest


def test_arguments() -> None:
    f = cv.checkpoint(
        lambda x, n, *, scale=1.0, kind: x**n * scale if kind == "a" else x,
        static_argnums=1,
        static_argnames="kind",
    )
    for wrap in (lambda g: g, cv.jit):
        assert float(cv.grad(wrap(lambda x: f(x, 3, scale=2.0, kind="a")))(2.0)) == 24
        assert float(cv.grad(wrap(lambda x: f(x, 3, kind="b")))(2.0)) == 1
    with pytest.raises(TypeError, match=r"argument\[0\] is 'a' of type str"):
        cv.checkpoint(lambda x: x)("a")
    with pytest.raises(TypeError, match="policy must be a function, got 3"):
        cv.checkpoint(body, policy=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the name must be a str"):
        checkpoint_name(1.0, 3)  # type: ignore[arg-type]


def test_values_closed_over_are_differentiated() -> None:
    assert cv.grad(lambda c: cv.checkpoint(lambda x: np.sin(x) * c)(1.0))(2.0) == pytest.approx(
        onp.sin(1.0)
    )


def test_it_is_staged_once() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(x)
        return np.sin(x)

    g = cv.checkpoint(f)
    for x in (1.0, 2.0):
        cv.grad(g)(x)
    assert len(calls) == 1


def test_a_barrier_keeps_values_apart() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        (z,) = cv.lax.optimization_barrier((x,))
        return y, np.sin(z)

    x = np.arange(4.0)
    for g in (f, cv.jit(f), cv.vmap(f), cv.jit(cv.vmap(f))):
        for y in g(x):
            onp.testing.assert_allclose(y, onp.sin(onp.arange(4)), 1e-6)
    assert cv.grad(lambda x: f(x)[1])(0.5) == pytest.approx(onp.cos(0.5))
    assert cv.jvp(lambda x: f(x)[1], (0.5,), (1.0,))[1] == pytest.approx(onp.cos(0.5))
    text = str(cv.make_jaxpr(f)(x))
    assert "optimization_barrier" in text


def test_what_lies_behind_a_barrier_is_not_overwritten() -> None:
    """An update in place of the operand, after the barrier: the result lies in the same memory."""

    @cv.jit
    def f(x: Any) -> Any:
        y = x * 2
        (z,) = cv.lax.optimization_barrier((y,))
        total = z.sum()
        u = y.at[total.astype(int) % 4].set(-1.0)
        return u, z * 1.0, z

    u, z, again = f(np.arange(4.0))
    assert u.tolist() == [-1, 2, 4, 6]
    assert z.tolist() == again.tolist() == [0, 2, 4, 6]


def test_ensure_compile_time_eval() -> None:
    @cv.jit
    def f(x: Any) -> Any:
        with cv.ensure_compile_time_eval():
            n = int(np.sum(np.arange(4)))
        return x * n

    assert int(f(2)) == 12


def test_traced_values_in_ensure_compile_time_eval() -> None:
    known = []

    @cv.jit
    def f(x: Any) -> Any:
        with cv.ensure_compile_time_eval():
            n = np.sum(np.arange(3))
            y = cv.lax.cond(x > 1, lambda: x * n, lambda: x + n)
            known.append(isinstance(n, cv.core.Tracer))
            return y + cv.jit(lambda a: a * n)(y) + cv.grad(lambda a: a * x)(2.0)

    assert float(f(2.0)) == 26.0
    assert known == [False]
    assert float(cv.grad(f)(2.0)) == 13.0
    assert cv.vmap(f)(np.array([0.0, 2.0])).tolist() == [12.0, 26.0]


# ------------------------------------------------------------------------------------------- rules of what is in it


def own_jvp() -> Any:
    f = cv.custom_jvp(np.sin)
    f.defjvps(lambda t, out, x: t * np.cos(x) * 2.0)
    return f


def own_vjp() -> Any:
    f = cv.custom_vjp(np.sin)
    f.defvjp(lambda x: (f(x), np.cos(f(x))), lambda cos, ct: (3.0 * cos * ct,))
    return f


def own_vmap() -> Any:
    f = cv.custom_batching.custom_vmap(lambda x: x**3)
    f.def_vmap(lambda size, batched, x: (x**3 + size, True))
    return lambda x: x * f(lax.stop_gradient(x))


OWN_RULES: dict[str, Any] = {"custom_jvp": own_jvp, "custom_vjp": own_vjp, "custom_vmap": own_vmap}
SECOND: dict[str, Any] = {
    "reverse of reverse": lambda f: cv.grad(cv.grad(f)),
    "third": lambda f: cv.grad(cv.grad(cv.grad(f))),
    "vmap of second": lambda f: lambda x: cv.vmap(cv.grad(cv.grad(f)))(np.stack([x, 2 * x])),
}
WITHIN: dict[str, Any] = {
    "plain": lambda f: lambda x: f(f(x)),
    "jit": lambda f: cv.jit(lambda x: f(f(x))),
    "scan": lambda f: lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0],
    "cond": lambda f: lambda x: lax.cond(x > 0, lambda x: f(f(x)), lambda x: x, x),
}
KEEPING: dict[str, Any] = {
    "nothing": None,
    "everything": policies.everything_saveable,
    "names": policies.save_only_these_names("h"),
}


@pytest.mark.parametrize(
    ("rule", "within", "second"), some(itertools.product(OWN_RULES, WITHIN, SECOND), 12, 1)
)
def test_rules_of_what_is_checkpointed_hold_for_further_derivatives(
    rule: str, within: str, second: str
) -> None:
    f = WITHIN[within](OWN_RULES[rule]())
    wanted = SECOND[second](f)(0.7)
    for policy in KEEPING.values():
        found = SECOND[second](cv.checkpoint(f, policy=policy))(0.7)
        onp.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_what_a_policy_keeps_in_a_function_with_a_rule_keeps_its_result() -> None:
    f = cv.custom_jvp(lambda x: np.sin(checkpoint_name(x * 2.0, "h")))
    f.defjvp(lambda xs, ts: (f(*xs), ts[0] * f(*xs)))
    for names, count in ((("h",), 0), (("other",), 1)):
        g = cv.checkpoint(f, policy=policies.save_only_these_names(*names))
        again = str(cv.make_jaxpr(cv.grad(g))(1.0)).split("checkpoint[")[-1]
        assert again.count(" sin ") == count


@pytest.mark.parametrize("answer", ["yes", 1, None], ids=repr)
def test_a_policy_that_answers_something_else(answer: Any) -> None:
    f = cv.checkpoint(np.sin, policy=lambda *_, **__: answer)
    with pytest.raises(TypeError, match="a policy must return a bool, Recompute, Saveable"):
        cv.grad(f)(1.0)


def test_static_arguments_that_are_not_there() -> None:
    with pytest.raises(ValueError, match=r"static_argnums=\(4,\) .* called with 1 argument"):
        cv.checkpoint(np.sin, static_argnums=4)(1.0)
