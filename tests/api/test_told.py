"""What users are told: of donations, of arguments by their paths, of tracers that stay, of what stages cannot do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector.ad_checkpoint import print_saved_residuals

HERE = "test_told.py"

# -------------------------------------------------------------------------------------------------------- donations

# A function, its arguments of which the first is donated, and what is told of leaves that are of no use, if any are.
DONATIONS: dict[str, tuple[Callable[..., Any], Callable[[], tuple[Any, ...]], list[str]]] = {
    "taken": (lambda x: x + 1, lambda: (cnp.ones(3),), []),
    "moved": (lambda x: x.T, lambda: (cnp.ones((2, 3)),), []),
    "unused": (lambda x, y: y, lambda: (cnp.ones(3), cnp.ones(2)), []),
    "folded": (lambda x: x.sum(), lambda: (cnp.ones((3, 4)),), ["args[0], float32[3,4]"]),
    "leaf": (
        lambda p: p["w"] + p["b"].sum(),
        lambda: ({"w": cnp.ones(3), "b": cnp.ones(2)},),
        ["args[0]['b'], float32[2]"],
    ),
    "dtype": (lambda x: x.astype("int32"), lambda: (cnp.ones(3),), ["args[0], float32[3]"]),
    "one for two": (
        lambda p: p[0] + p[1],
        lambda: ((cnp.ones(3), cnp.ones(3)),),
        ["args[0][1], float32[3]"],
    ),
}


@pytest.mark.parametrize("stages", [False, True], ids=["jit", "compiled"])
@pytest.mark.parametrize("case", DONATIONS)
def test_useless_donations(case: str, stages: bool) -> None:
    """They are named in a warning, once, and stay usable; what is of use is taken."""
    f, make, useless = DONATIONS[case]
    args, again = make(), make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call: Any = cv.jit(lambda *xs: f(*xs), donate_argnums=0)
        if stages:
            call = call.lower(*args).compile()
        found = call(*args)
        call(*again)
    wanted = f(*make())
    assert all(map(np.array_equal, cv.tree.leaves(found), cv.tree.leaves(wanted)))
    messages = [str(w.message) for w in caught]
    assert len(messages) == bool(useless)
    for text in [*useless, HERE] if useless else []:
        assert text in messages[0]
    leaves = cv.tree.leaves(args[0])
    assert sum(x.is_deleted() for x in leaves) == len(leaves) - len(useless)


# ------------------------------------------------------------------------------------------------------ paths, stages

X, P = cnp.ones(2, "float32"), {"a": cnp.ones(2, "float32")}


def test_conditions_of_traced_values_name_the_arguments() -> None:
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: cv.jit(lambda p, y: 1 if p["a"][0] * 2 > 0 else y)(P, 2.0), "on p['a'] of"),
        (lambda: cv.jit(lambda x, y: range(x + y))(1, 2), "on x, y of"),
        (lambda: lax.scan(lambda c, x: (c if x > 0 else -c, x), 1.0, X), "on x of"),
        (lambda: lax.scan(lambda c, x: (c if c["a"] > 0 else {"a": 0.0}, x), {"a": 1.0}, X), "on the carry['a']"),
        (lambda: cv.jit(lambda *, k: float(k))(k=1.0), "on k of"),
    ]  # fmt: skip
    for call, told in cases:
        with pytest.raises(cv.errors.ConcretizationTypeError) as caught:
            call()
        assert told in str(caught.value)
        assert HERE in str(caught.value)


def _compiled() -> Any:
    return cv.jit(lambda x, p, *, k: x).lower(X, P, k=X).compile()


TOLD: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "jvp": (
        lambda: cv.jvp(lambda p: p["a"], (P,), ({"a": cnp.ones(3, "float32")},)),
        ["float32[2] and float32[3] for primal[0]['a']"],
    ),
    "pullback": (
        lambda: cv.vjp(lambda x: {"a": x}, X)[1]({"a": X.astype("int32")}),
        ["float32[2] and int32[2] for result['a']"],
    ),
    "compiled": (
        lambda: _compiled()(X, {"a": cnp.ones(3, "float32")}, k=X),
        ["float32[2] as args[1]['a']", "float32[3]"],
    ),
    "compiled keyword": (
        lambda: _compiled()(X, P, k=X.astype("int32")),
        ["float32[2] as kwargs['k']", "int32[2]"],
    ),
    "compiled structure": (lambda: _compiled()(X, X, k=X), ["{'a': *}"]),
    "dialect": (
        lambda: cv.jit(cnp.sin).lower(X).as_text("stablehlo"),
        ["'stablehlo'", "`as_text()`", "llvm"],
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_wrong_values_are_told_with_their_paths(case: str) -> None:
    call, told = TOLD[case]
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    for text in [*told, HERE]:
        assert text in str(caught.value)


def test_what_stages_tell() -> None:
    lowered = cv.jit(lambda x: cnp.sin(x) + 1).lower(X)
    assert lowered.as_text(debug_info=True) == lowered.as_text()
    sizes = lowered.compile().memory_analysis()
    assert sizes.peak_memory_in_bytes == 16 + sizes.temp_size_in_bytes


# ------------------------------------------------------------------------------------------ values, tracers, callbacks


def test_numbers_that_become_arrays_are_looked_at() -> None:
    """A constant that is NaN has no operation before it that would be blamed."""
    nan, inf = float("nan"), float("inf")
    for make in (cnp.array, cnp.asarray, cnp.float32, lambda x: cnp.array([1.0, x])):
        with cv.debug_nans(True):
            make(inf)
            with pytest.raises(FloatingPointError, match=rf"\(nan\) encountered in array .*{HERE}"):
                make(nan)
        with cv.debug_infs(True), pytest.raises(FloatingPointError, match=r"\(inf\)"):
            make(inf)
        make(nan)


def test_tracers_of_eager_transformations_that_stay() -> None:
    kept: list[Any] = []

    def keeps(x: Any) -> Any:
        kept.append(x)
        return x * 2

    for transformed in (
        lambda: cv.vmap(keeps)(X),
        lambda: cv.grad(keeps)(1.0),
        lambda: cv.jvp(keeps, (1.0,), (1.0,)),
        lambda: cv.vmap(cv.grad(keeps))(X),
    ):
        transformed()
        kept.clear()
        with cv.checking_leaks(), pytest.raises(cv.errors.LeakedTracerError):
            transformed()
        kept.clear()
    with cv.checking_leaks():  # nothing is said of those that go
        np.testing.assert_array_equal(cv.vmap(cv.grad(lambda x: x**2))(X), [2, 2])
        assert cv.hessian(lambda x: x**3)(1.0) == 6
        assert cv.vjp(cnp.sin, 0.0)[1](1.0)[0] == 1
        assert cv.grad(cv.checkpoint(lambda x: cnp.sin(x) * x))(0.0) == 0
        assert cv.vmap(lambda x: lax.while_loop(lambda c: c < 3, lambda c: c + 1, x))(X)[0] == 3


def test_callbacks_get_values_and_may_return_lists(capsys: pytest.CaptureFixture[str]) -> None:
    number = cv.ShapeDtypeStruct((), cnp.float32)

    @cv.jit
    def f(x: Any) -> Any:
        cv.debug.print("{}", {"a": x})
        return cv.pure_callback(lambda x: [x, [x + 1]], (number, (number,)), x)

    a, (b,) = f(1.5)
    assert (a, b) == (1.5, 2.5)
    cv.effects_barrier()
    assert capsys.readouterr().out == "{'a': Array(1.5, dtype=float32)}\n"
    with pytest.raises(TypeError, match="result_shape_dtypes"):
        cv.pure_callback(lambda x: (x,), number, 1.0)


def test_what_is_kept_is_told_by_the_names_of_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    print_saved_residuals(lambda p, x: cnp.sum(p["a"] * x * cnp.arange(2.0)), P, x=X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["f32[2] from the argument p['a']", "f32[2] from the argument x"]
    assert lines[-1].startswith("f32[2] from a constant")


# What operations inside of functions do with each other is not the user's: the flags say nothing of it.
M, V, N = cnp.array([[1.0, 2.0], [3.0, 5.0]]), cnp.array([1.0, 2.0]), cnp.array([1, 2])
INSIDE: dict[str, Callable[[], Any]] = {
    "corrcoef": lambda: cnp.corrcoef(M),
    "isin": lambda: cnp.isin(M, cnp.array([1.0, 5.0, 7.0])),
    "histogram": lambda: cnp.histogram(V, bins=3)[0],
    "histogram2d": lambda: cnp.histogram2d(V, V, bins=2)[0],
    "polyfit": lambda: cnp.polyfit(cnp.arange(3.0), cnp.array([1.0, 3.0, 5.0]), 1, cov="unscaled")[0],
    "trapezoid": lambda: cnp.trapezoid(M, V),
    "digitize": lambda: cnp.digitize(V, V),
    "mean": lambda: cnp.mean(M, axis=0, where=cnp.array([[True], [False]])),
}  # fmt: skip


@pytest.mark.parametrize("case", INSIDE)
def test_promotion_inside_of_functions_is_not_the_users(case: str) -> None:
    f = INSIDE[case]
    wanted = f()
    with cv.numpy_rank_promotion("raise"), cv.numpy_dtype_promotion("strict"):
        np.testing.assert_array_equal(f(), wanted)
