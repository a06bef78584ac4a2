"""Loops that would be written out again and again are functions of their own, and mean the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.compile.test_oracle import JOB, compiled

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.backends.base import Limits
from covector._engine.backends.cpu import backend
from covector._engine.backends.cpu.emit import emit
from covector._engine.backends.reference.kernels import run
from covector._engine.base.config import config
from covector._engine.base.errors import VerificationError
from covector._engine.base.record import replace
from covector._engine.compile import lower
from covector._engine.compile.calls import called
from covector._engine.compile.pipeline import run_passes
from covector._engine.ir import check
from covector._engine.ir.kernel import Copy, Kernel, Routine, walk

EVERYTHING = {"written_out": 0, "called": 1, "called_depth": 1}


def nested(depth: int, steps: int) -> Callable[[Any], Any]:
    """Loops inside each other, of so many steps each."""

    def level(d: int, x: Any) -> Any:
        if d == 0:
            return cnp.sin(x) * 0.9
        return lax.while_loop(
            lambda c: c[0] < steps, lambda c: (c[0] + 1, level(d - 1, c[1]) + 0.1), (0, x)
        )[1]

    return lambda x: level(depth, x)


def kernel_of(f: Callable[..., Any], *args: Any, target: Any = JOB.target) -> Kernel:
    jitted: Any = cv.jit(f)
    program = jitted.trace(*args).program
    made = run_passes(program, backend.BACKEND.passes, replace(JOB, target=target))["memory"]
    assert isinstance(made, Kernel)
    return made


@pytest.fixture
def all_called(monkeypatch: pytest.MonkeyPatch, afresh: None) -> Iterator[None]:
    """Whatever may be a function is one; nothing comes from the disk."""
    limits = Limits(**EVERYTHING)  # type: ignore[arg-type]
    monkeypatch.setattr(lower, "called", lambda program, _: called(program, limits))
    with config.override(cache=False):
        yield


def test_gradients_of_nested_loops_are_linear() -> None:
    """Of 14 and 28 loops: statements, and the text for LLVM, in one function of which there is not much."""
    found: list[tuple[int, int]] = []
    for depth in (14, 28):
        kernel = kernel_of(cv.grad(nested(depth, 1)), 0.3)
        every = (kernel, *kernel.functions.values())
        text = emit(kernel, JOB.target, backend.processor())
        found.append((sum(len(list(walk(k.body))) for k in every), text.text().count("\n")))
        assert max(d.count("\n") for d in text.definitions.values()) < 2_500
    (few, short), (many, long) = found
    assert many < 2.5 * few
    assert long < 2.5 * short


def test_thirty_loops_inside_each_other() -> None:
    slope = cv.jit(cv.grad(nested(30, 1)))(0.3)
    np.testing.assert_allclose(slope, np.cos(0.3) * 0.9, rtol=1e-6)


@pytest.mark.parametrize("form", ["gradient", "curvature", "batch", "value"])
def test_values(all_called: None, form: str) -> None:
    """What plain steps give: with an array that changes in place, and two loops that are alike."""

    def looped(run: Callable[..., Any]) -> Callable[..., Any]:
        def inner(x: Any, n: Any) -> Any:
            return run(n, lambda i, c: c.at[i % 3].set(cnp.sin(c[(i + 1) % 3]) * 1.1), x)

        def f(x: Any, n: Any) -> Any:
            x = run(2, lambda i, c: inner(c, n) + 0.1 * inner(c * x, n), x)
            return cnp.sum(inner(x, n) * cnp.asarray([0.7, -1.1, 0.4]))

        return f

    def plain(n: Any, body: Callable[..., Any], x: Any) -> Any:
        for i in range(int(n)):
            x = body(i, x)
        return x

    x = cnp.asarray(np.array([0.3, -0.2, 0.5]))
    traced = looped(lambda n, body, x: lax.fori_loop(0, n, body, x))
    python = looped(plain)
    ways: dict[str, Callable[[Any], Any]] = {
        "value": lambda f: f,
        "gradient": cv.grad,
        "curvature": lambda f: cv.grad(lambda x, n: cnp.sum(cnp.sin(cv.grad(f)(x, n)))),
        "batch": lambda f: lambda x, n: cv.vmap(cv.grad(f), (0, None))(cnp.stack([x, 2 * x]), n),
    }
    for n in (3, 0):
        found = cv.jit(ways[form](traced))(x, n)
        np.testing.assert_allclose(found, ways[form](python)(x, n), rtol=1e-12, atol=1e-12)


def test_the_oracle_runs_functions() -> None:
    """With the plan, without it, and by compiled code; what is carried through a call is not copied."""

    def f(x: Any, n: Any) -> Any:
        def step(i: Any, c: Any) -> Any:
            return lax.fori_loop(0, n, lambda j, c: c.at[(i * 7 + j) % 100].add(1.5), c)

        return lax.fori_loop(0, 3, step, lax.fori_loop(0, 2, step, x))

    x, n = np.arange(100, dtype=np.float32), np.int32(4)
    limits = replace(JOB.target.limits, **EVERYTHING)
    kernel = kernel_of(f, x, n, target=replace(JOB.target, limits=limits))
    assert kernel.functions, f"{kernel}"
    given = [x, n, *[np.int32(0) for _ in kernel.inputs[2:]]]  # and where the loops begin
    found = [run(kernel, given, **o) for o in ({}, {"aliased": False}, {"planned": False})]
    wanted = x.copy()
    for i in (0, 1, 0, 1, 2):
        wanted[(i * 7 + np.arange(4)) % 100] += 1.5
    for one in (*found, compiled(kernel, list(map(np.atleast_1d, given)), ())):
        np.testing.assert_array_equal(np.asarray(one[0]).reshape(-1), wanted)
    for k in kernel.functions.values():
        copies = [s for s in walk(k.body) if isinstance(s, Copy) and s.size == 100]
        pairs = {(k.outputs[o], k.inputs[i]) for o, i in k.aliases}
        assert all(
            k.is_idle(s) or (k.memory_of(s.target[0]), k.memory_of(s.source[0])) in pairs
            for s in copies
        ), f"{k}"


def test_a_call_that_does_not_fit_is_refused() -> None:
    limits = replace(JOB.target.limits, **EVERYTHING)
    kernel = kernel_of(cv.grad(nested(3, 1)), 0.3, target=replace(JOB.target, limits=limits))
    assert any(isinstance(s, Routine) for f in kernel.functions.values() for s in walk(f.body))
    first, *rest = kernel.functions
    turned = {name: kernel.functions[name] for name in (*rest, first)}
    with pytest.raises(VerificationError, match="does not fit"):
        check.verify(replace(kernel, functions=turned), "memory")
