"""Compilation grows as Programs do: what passes, proofs and emission do is counted, not timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.counts import calls

import covector
from covector import lax, numpy as cnp
from covector._engine.backends.cpu import backend
from covector._engine.backends.cpu.emit import emit
from covector._engine.backends.cpu.link import longest_block
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.ir.kernel import Kernel
from covector._engine.runtime.executable import job_of

FEW, MANY = 16, 64
X = np.ones(64, np.float32)
SQUARE = np.ones((4, 4), np.float32)
IMAGE, KERNEL = np.ones((1, 4, 8, 8), np.float32), np.ones((4, 4, 3, 3), np.float32)


def steps(step: Callable[[Any, int], Any], x: Any = X) -> Callable[[int], tuple[Any, ...]]:
    """A Program of so many steps, one on the other."""

    def make(count: int) -> tuple[Any, ...]:
        def run(x: Any) -> Any:
            for k in range(count):
                x = step(x, k)
            return x

        return run, x

    return make


def scanned(step: Callable[[Any, int], Any], x: Any) -> Callable[[int], tuple[Any, ...]]:
    """The same as the body of a loop."""

    def make(count: int) -> tuple[Any, ...]:
        run, _ = steps(step, x)(count)
        return lambda x: lax.scan(lambda c, _: (run(c), None), x, None, length=3)[0], x

    return make


def carried(size: int) -> Callable[[int], tuple[Any, ...]]:
    """A loop that carries so many arrays, each of which depends on its neighbour."""

    def make(count: int) -> tuple[Any, ...]:
        def run(xs: Any) -> Any:
            turn = lambda c, _: ([a * 1.5 + b for a, b in zip(c, c[1:] + c[:1], strict=True)], None)  # noqa: E731
            return lax.scan(turn, xs, None, length=3)[0]

        return run, [np.ones(size, np.float32)] * count

    return make


def handed_on(count: int) -> Callable[[Any], Any]:
    """A loop with a condition that carries so many numbers, each of which goes to its neighbour."""

    def run(x: Any) -> Any:
        turn = lambda c: [a * 1.5 + b for a, b in zip(c, c[1:] + c[:1], strict=True)]  # noqa: E731
        return lax.while_loop(lambda c: c[0] < 9, turn, [x + k for k in range(count)])[0]

    return run


def twice(x: Any, _: int) -> Any:
    return lax.scan(lambda c, _: (c * 1.5, None), x, None, length=3)[0]


def shares(xs: Any) -> Any:
    total = sum(xs[1:], xs[0])
    return [x / total for x in xs]


def chosen(count: int) -> Callable[[Any], Any]:
    """One of so many branches."""
    branches = [lambda x, k=k: cnp.sin(x) * k + x for k in range(count)]
    return lambda x: lax.switch((x * 3).astype("int32") % count, branches, x)


def ruled(count: int) -> Callable[[Any], Any]:
    """So many calls of one function that has a rule for its derivative."""
    rule = covector.custom_vjp(cnp.sin)
    rule.defvjp(lambda x: (cnp.sin(x), x), lambda x, ct: (ct * cnp.cos(x),))

    def run(x: Any) -> Any:
        for _ in range(count):
            x = rule(x)
        return x

    return run


def gathered(count: int) -> Callable[[Any], Any]:
    """So many gathers, of which each has its index from the one before."""

    def run(x: Any) -> Any:
        for _ in range(count):
            x = x[(x * 7).astype("int32")] * 1.1
        return x

    return run


def summed_slope(make: Callable[[int], Callable[[Any], Any]]) -> Callable[[int], tuple[Any, ...]]:
    """The derivative of a sum."""
    return lambda count: (covector.grad(lambda x: make(count)(x).sum()), X)


def sloped(make: Callable[[int], Callable[[Any], Any]]) -> Callable[[int], tuple[Any, ...]]:
    """The derivatives of a batch."""
    return lambda count: (covector.vmap(covector.grad(make(count))), X[:5])


LONG: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "concatenations": steps(lambda x, k: cnp.concatenate([x, X])[1:]),
    "pads": steps(lambda x, k: cnp.pad(x, 1)),
}
CASES: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "elements": steps(lambda x, k: x * 1.5 + k),
    "calls": steps(lambda x, k: cnp.sin(x)),
    "results": lambda n: (lambda x: [x + k for k in range(n)], X),
    "operands": lambda n: (sum, [X] * n),
    "concatenated": lambda n: (lambda *xs: cnp.concatenate(xs), *[X] * n),
    "stacked": lambda n: (lambda *xs: cnp.stack(xs, 1), *[X] * n),
    "movements": steps(lambda x, k: x.T + 1, SQUARE),
    "rolls": steps(lambda x, k: cnp.roll(x, 1) + x),
    "updates": steps(lambda x, k: x.at[k % 64].set(k)),
    "loops": steps(twice, X[:3]),
    "loops of arrays": steps(twice, np.ones(999, np.float32)),
    "body of a loop": scanned(lambda x, k: cnp.roll(x, 1) + x, np.ones(999, np.float32)),
    "carried": carried(999),
    "carried scalars": carried(3),
    "sorts": steps(lambda x, k: cnp.sort(x)),
    "products": steps(lambda x, k: x @ x, SQUARE),
    "sums": steps(lambda x, k: x - x.mean()),
    "running sums": steps(lambda x, k: cnp.cumsum(x)),
    "gathers": steps(lambda x, k: x[np.arange(64)[::-1]] * 2),
    "slices": lambda n: (lambda x: [x[4 * k : 4 * k + 4] * 2 for k in range(n)], np.ones(4 * n)),
    "results that share a sum": lambda n: (shares, [X] * n),
    "results of a chain": lambda n: (lambda x: [x := x * 0.5 + k for k in range(n)], X),
    "convolutions": steps(lambda x, k: cnp.tanh(lax.conv(x, KERNEL, (1, 1), "SAME")), IMAGE),
    "factorisations": steps(lambda x, k: cnp.linalg.cholesky(x @ x.T + SQUARE), SQUARE),
    "scatters": steps(lambda x, k: x.at[(x * 63).astype("int32")].add(1.0)),
    "transforms": steps(lambda x, k: cnp.fft.fft(x).real),
    "choices": steps(lambda x, k: lax.cond(x[0] > k, cnp.sin, cnp.cos, x), X[:3]),
    "slopes of gathers": summed_slope(gathered),
    "slopes of a choice of many": sloped(chosen),
    "slopes of rules": sloped(ruled),
    "slopes of numbers handed on": lambda n: (covector.grad(handed_on(n)), X[0]),
    "an optimiser's step": lambda n: (
        lambda ps, gs: [(0.9 * p + g, p - cnp.sqrt(g) * 0.1) for p, g in zip(ps, gs, strict=True)],
        [X] * n,
        [X] * n,
    ),
}


def work(make: Callable[[int], tuple[Any, ...]], count: int, donated: bool) -> dict[str, int]:
    """How many functions tracing calls, and passes, their proofs included, and emission; and how long the text is."""
    function, *args = make(count)
    jitted: Any = covector.jit(function)
    tracing, traced = calls(lambda: jitted.trace(*args))
    program = traced.program
    inputs = tuple(range(len(program.inputs))) if donated else ()
    job = job_of(backend.BACKEND, inputs)
    passes, kernels = calls(lambda: run_passes(program, TO_KERNEL, job), afresh=False)
    kernel = kernels["memory"]
    assert isinstance(kernel, Kernel)
    emitted = lambda: emit(kernel, job.target, backend.processor()).text()  # noqa: E731
    emission, module = calls(emitted, afresh=False)
    lines = module.count("\n")
    return {"tracing": tracing, "passes": passes, "emission": emission, "text": lines}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("donated", [False, True])
def test_work_grows_as_the_program_does(name: str, donated: bool) -> None:
    few, many = (work(CASES[name], n, donated) for n in (FEW, MANY))
    for part, count in many.items():
        assert count <= 1.3 * MANY / FEW * few[part], f"{part}: {few[part]} became {count}"


@pytest.mark.parametrize(
    "name", ["concatenated", "stacked", "slopes of gathers", "concatenations", "pads"]
)
def test_operands_by_the_hundred(name: str) -> None:
    few, many = (work((CASES | LONG)[name], n, False) for n in (48, 144))
    for part, count in many.items():
        assert count <= 1.15 * 3 * few[part], f"{part}: {few[part]} became {count}"


@pytest.mark.parametrize("name", ["slopes of gathers", "sorts", "factorisations"])
def test_blocks_that_call_loops_stay_short(name: str) -> None:
    """LLVM takes the square of the length of a block."""
    function, *args = CASES[name](200)
    jitted: Any = covector.jit(function)
    text = jitted.lower(*args).compile().as_text("llvm")
    entry = text[text.index("@entry") :]
    assert entry.count("\n") > 1000 > 2 * longest_block(entry), (
        entry.count("\n"),
        longest_block(entry),
    )


@pytest.mark.parametrize(
    ("step", "x"),
    [
        (lambda x, k: x @ x + k, SQUARE),
        (lambda x, k: x @ x + k, np.ones((64, 64), np.float32)),
        (lambda x, k: cnp.cumsum(x * (k + 0.5), 0), np.ones((16, 16), np.float32)),
    ],
    ids=["small products", "products", "sums"],
)
def test_steps_that_differ_in_numbers_share_functions(
    step: Callable[[Any, int], Any], x: Any
) -> None:
    """A loop that is written out, with its number in each turn; what it computes is what it was."""
    texts: list[str] = []
    for count in (FEW, MANY):
        run, _ = steps(step, x)(count)
        texts.append(covector.jit(run).lower(x).compile().as_text("llvm"))
    few, many = [text.count("\ndefine ") for text in texts]
    assert many == few, (few, many)
    run, _ = steps(lambda x, k: step(x, k) / 100, x * 0.01)(12)
    wanted = x * 0.01
    for k in range(12):
        wanted = np.asarray(step(wanted, k)) / np.float32(100)
    np.testing.assert_allclose(np.asarray(covector.jit(run)(x * 0.01)), wanted, rtol=1e-5)
