"""The contract of backends: two of them run the same Programs; passes run for targets that this machine is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.backends import registry
from covector._engine.backends.base import Backend, Job, Target
from covector._engine.base.config import _epochs, config
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.core import trace
from covector._engine.ir import check
from covector._engine.ir.kernel import Kernel, Loop, walk
from covector._engine.ir.program import Program
from covector._engine.runtime.executable import Executable
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray

BACKENDS = tuple(registry.MODULES)


def softmax(x: Any) -> Any:
    e = cnp.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def layer(x: Any, w: Any) -> Any:
    return cnp.tanh(x @ w).sum(0)


def walk_of(x: Any) -> Any:
    return lax.scan(lambda c, row: (c * 0.5 + row, c.sum()), cnp.zeros(x.shape[1]), x)


# Functions, and the shapes that they are compiled for: of every kind of loop that lowering writes.
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "elementwise": (lambda x, y: cnp.sin(x) * y + 1, ((300, 257), (300, 257))),
    "softmax": (softmax, ((64, 100),)),
    "total": (lambda x: (x * x).sum(), ((1000, 1000),)),
    "columns": (lambda x: x.sum(0), ((512, 300),)),
    "transposed": (lambda x: x.T + 1, ((512, 300),)),
    "small product": (layer, ((8, 32), (32, 32))),
    "large product": (layer, ((256, 300), (300, 200))),
    "batched product": (lambda x, y: x @ y, ((4, 64, 64), (4, 64, 64))),
    "sorted": (lambda x: cnp.sort(x, axis=1), ((5, 40),)),
    "cumulative": (lambda x: cnp.cumsum(x, axis=0), ((20, 30),)),
    "scan": (walk_of, ((7, 100),)),
    "tiny scan": (walk_of, ((7, 3),)),
    "updated": (lambda x: x.at[1:4].add(2.0), ((9, 5),)),
    "gradient": (lambda x, w: cv.grad(lambda w: layer(x, w).sum())(w), ((8, 32), (32, 32))),
    "mapped": (lambda x: cv.vmap(lambda r: cnp.sort(r)[::-1] * r)(x), ((6, 9),)),
    "complex": (lambda x: cnp.abs(cnp.exp(x * 1j)), ((50,),)),
}


def operands(shapes: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_backends_run_whole_programs(name: str) -> None:
    f, shapes = FUNCTIONS[name]
    results = []
    for backend in BACKENDS:
        with config.override(backend=backend):
            compiled = cv.jit(f)
            results.append(cv.tree.leaves(compiled(*operands(shapes))))
            again = cv.tree.leaves(compiled(*operands(shapes)))
            for x, y in zip(results[-1], again, strict=True):
                np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
    for x, y in zip(*results, strict=True):
        assert (x.dtype, x.weak_type) == (y.dtype, y.weak_type)
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=2e-4, atol=2e-4)


def test_the_backend_of_the_flag_runs_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for name in BACKENDS:
        kind = type(registry.backend(name))
        load = kind.load

        def noted(self: Backend, *args: Any, load: Any = load) -> Any:
            ran.append(self.name)
            return load(self, *args)

        monkeypatch.setattr(kind, "load", noted)
    x = cnp.ones((3, 5))
    f = cv.jit(lambda x: cnp.sinh(x) + 0.625)
    for name in (*BACKENDS, *BACKENDS):
        with config.override(backend=name):
            assert cv.default_backend() == name
            assert cv.devices() == [x.device]
            f(x), cnp.arccosh(x + 1.375), cnp.flip(x, 1)
    assert set(ran) == set(BACKENDS)
    before = len(ran)  # what was compiled for a backend is found again
    for name in BACKENDS:
        with config.override(backend=name):
            f(x), cnp.arccosh(x + 1.375), cnp.flip(x, 1)
    assert len(ran) == before


def test_backends_that_are_not_there_are_named() -> None:
    with pytest.raises(RuntimeError, match="no backend 'abacus'; the backends are cpu, reference"):
        cv.devices("abacus")
    with pytest.raises(ValueError, match="not a device here"):
        cv.device_put(cnp.ones(3), cv.devices("reference")[0])


def test_donated_operands_are_gone_on_each_backend() -> None:
    for name in BACKENDS:
        with config.override(backend=name):
            x = cnp.arange(5.0)
            assert float(cv.jit(lambda x: x + 1, donate_argnums=0)(x)[4]) == 5.0
            assert x.is_deleted()


@pytest.mark.parametrize("name", BACKENDS)
def test_symbolic_dimensions_on_each_backend(name: str) -> None:
    n = dims.symbol("n", 0)
    program = trace.stage(
        lambda x: [softmax(x).reshape(n * 3)], [ShapedArray((n, 3), dtypes.float32)], "f"
    )
    made = Executable(program, backend=name)
    for size in (0, 1, 4, 50):
        (x,) = operands(((size, 3),))
        (result,) = made([cnp.asarray(x)])
        assert result.shape == (size * 3,)
        if size:
            wanted = np.exp(x) / np.exp(x).sum(1, keepdims=True)
            np.testing.assert_allclose(np.asarray(result), wanted.ravel(), rtol=1e-5)


def test_what_can_be_read_is_what_the_backend_has() -> None:
    with config.override(backend="reference"):
        compiled = cv.jit(lambda x: x + 1).lower(cnp.ones(3)).compile()
        assert "add" in compiled.as_text()
        assert compiled.cost_analysis()["bytes accessed"] == 24.0
        with pytest.raises(ValueError, match=r"no stage 'llvm'; the stages are program$"):
            compiled.as_text("llvm")
    compiled = cv.jit(lambda x: x + 1).lower(cnp.ones(3)).compile()
    assert all(compiled.as_text(stage) for stage in ("program", "kernels", "llvm", "asm"))


# ------------------------------------------------------------------------------- targets that are not here


def program_of(name: str) -> Program:
    f, shapes = FUNCTIONS[name]
    avals = [ShapedArray(shape, dtypes.float32) for shape in shapes]
    return trace.stage(lambda *xs: cv.tree.leaves(f(*xs)), avals, "f")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_passes_run_for_any_target(name: str) -> None:
    program = program_of(name)
    for bits in (128, 256, 512):
        for threads in (1, 64):
            job = Job(Target("model", bits, threads))
            kernel = run_passes(program, TO_KERNEL, job)["memory"]
            assert isinstance(kernel, Kernel)
            check.verify(kernel, "memory")
            loops = [s for s in walk(kernel.body) if isinstance(s, Loop)]
            assert threads > 1 or not any(s.schedule.parallel for s in loops)


def test_a_target_says_how_many_lanes() -> None:
    target = Target("model", 256)
    lanes = {str(d): target.lanes(d) for d in (dtypes.float64, dtypes.float32, dtypes.float16)}
    assert lanes == {"float64": 4, "float32": 8, "float16": 8}
    assert target.lanes(dtypes.int8) == 32
    assert Target("model", 512).lanes(dtypes.bool_) == 64


# ----------------------------------------------------------------------------------- flags in eager calls


def test_eager_code_follows_the_flags() -> None:
    """Eager kernels get no scratch memory: without fusion they need some, so they are called another way."""
    x = cnp.arange(10.0)
    calls = (
        lambda: x + 1,
        lambda: cnp.sinc(x),
        lambda: cnp.where(x > 3, x, 2.0),
        lambda: cv.nn.gelu(x),
        lambda: cnp.hypot(x, 2),
        lambda: x.sum(),
    )
    wanted = [np.asarray(call()) for call in calls]
    for flags in ({"fuse": False}, {"vector_bits": 128}, {"skip": "simplify"}):
        with config.override(**flags):
            got = [np.asarray(call()) for call in calls]
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_more_settings_than_the_native_key_can_tell_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cnp.arange(4.0)
    numbers = {("made up", n): n for n in range(300)}
    with monkeypatch.context() as patch:
        for key, number in numbers.items():
            patch.setitem(_epochs, key, number)
        with config.override(fuse=False, skip="simplify", vector_bits=256):
            assert max(_epochs.values()) >= 300
            np.testing.assert_array_equal(np.asarray(x + 3), np.arange(3.0, 7.0))
    config.update("verify", config.verify)


@pytest.mark.parametrize("name", BACKENDS)
def test_passes_end_with_what_the_backend_takes(name: str) -> None:
    backend = registry.backend(name)
    job = Job(backend.target())
    ir = run_passes(program_of("softmax"), backend.passes, job)[backend.passes[-1].name]
    assert isinstance(ir, Kernel if name == "cpu" else Program)
    assert backend.name == name
    assert job.target.threads >= 1
