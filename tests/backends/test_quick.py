"""Modules whose functions are all compiled quickly: which these are, and that their code computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
from covector import numpy as cnp
from covector._engine.backends.cpu import backend, link
from covector._engine.backends.cpu.emit import emit
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.ir.kernel import Kernel
from covector._engine.runtime.executable import job_of

X = np.linspace(-3, 3, 1000, dtype=np.float32)


def chain(x: Any) -> Any:
    x = x * 1.5
    for _ in range(100):
        x = cnp.sin(x)
    return x


def updates(x: Any) -> Any:
    for k in range(300):
        x = x.at[k].set(x[k + 1] * 2)
    return x


@pytest.mark.parametrize(
    ("function", "quick"),
    [
        (chain, True),
        (updates, True),
        (lambda x: x * 2 + 1, False),
        (lambda x: (chain(x), cnp.cumsum(x)), False),
    ],
)
def test_a_module_is_quick_if_all_its_functions_are(
    function: Callable[..., Any], quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = covector.jit(function).trace(X).program
    job = job_of(backend.BACKEND, ())
    kernel = run_passes(program, TO_KERNEL, job)["memory"]
    assert isinstance(kernel, Kernel)
    assert emit(kernel, job.target, backend.processor()).quick is quick
    used: list[bool] = []
    machine = link.machine

    def noted(processor: link.Processor, quick: bool = False) -> Any:
        used.append(quick)
        return machine(processor, quick)

    monkeypatch.setattr(link, "machine", noted)
    backend.Code(lambda: kernel, job, lambda key, make: make())
    assert used[0] is quick  # the next ones are for functions that it calls


def test_quick_code_computes_what_other_code_does() -> None:
    wanted = X * np.float32(1.5)
    step = covector.jit(cnp.sin)
    for _ in range(100):
        wanted = np.asarray(step(wanted))
    assert np.array_equal(covector.jit(chain)(X), wanted)
    after = X.copy()
    for k in range(300):
        after[k] = after[k + 1] * 2
    assert np.array_equal(covector.jit(updates)(X), after)
