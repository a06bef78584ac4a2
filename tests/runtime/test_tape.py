"""The native tape of eager derivatives does what its twin, the traces in Python, does: to the bit and to the word."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.amount import some

import covector as cv
import covector.numpy as cnp
from covector import lax, nn
from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.core.levels import TapeTracer
from covector._engine.runtime import linearized

Function = Callable[..., Any]


def array(shape: tuple[int, ...], dtype: Any = "float32", seed: int = 0, weak: bool = False) -> Any:
    """Numbers around 1, some of them equal."""
    values = np.random.default_rng(seed).integers(-6, 14, shape) / 8 + 0.625
    if np.dtype(dtype).kind == "c":
        values = values * (1 + 0.25j)
    return _native.array_from(np.asarray(values).astype(dtype), None, weak)


def bits(x: Any) -> bytes:
    """Of an array, all NaNs alike."""
    values = np.asarray(x)
    return np.where(np.isnan(values), np.nan, values).astype(values.dtype).tobytes()


def outcome(call: Callable[[], Any]) -> Any:
    """Leaves of what a call returns: type and bits; or its error."""
    try:
        leaves, treedef = cv.tree.flatten(call())
    except Exception as error:
        return type(error), str(error)
    return treedef, [
        (type(x), x.shape, str(x.dtype), x.weak_type, bits(x))
        if isinstance(x, cv.Array)
        else (type(x), repr(x))
        for x in leaves
    ]


def assert_twins(f: Function, *args: Any, twin: Function | None = None, **options: Any) -> None:
    """The same value and gradient on both paths; three times on the fast one, which compiles at the second call."""
    found: list[Any] = []
    for fast in (True, True, True, False):
        run = cv.value_and_grad(f if fast or twin is None else twin, **options)
        with config.override(fast_paths=fast):
            found.append(outcome(partial(run, *args)))
    assert found[:3] == [found[3]] * 3


X, Y = array((4, 3)), array((4, 3), seed=1)

UNARY: dict[str, Function] = {
    name: getattr(cnp, name)
    for name in (
        "exp", "log", "sin", "tanh", "sqrt", "abs", "square", "negative", "sign", "arctan", "cbrt", "log1p",
        "expm1", "reciprocal", "floor", "sinc", "positive",
    )
} | {
    "relu": nn.relu, "gelu": nn.gelu, "sigmoid": nn.sigmoid, "silu": nn.silu, "softplus": nn.softplus,
    "x*2": lambda x: x * 2, "1/x": lambda x: 1 / x, "x**2": lambda x: x**2, "x**2.5": lambda x: abs(x)**2.5,
    "2**x": lambda x: 2**x, "-x": lambda x: -x, "x-x": lambda x: x - x, "where": lambda x: cnp.where(x > 1, x, x * x),
    "maximum": lambda x: cnp.maximum(x, 0.7), "clip": lambda x: cnp.clip(x, 0.5, 1.0),
    "astype": lambda x: x.astype("float64"),
    "reshape": lambda x: x.reshape(-1), "T": lambda x: x.T, "x[0]": lambda x: x[0], "x[..., 1:]": lambda x: x[..., 1:],
    "gather": lambda x: x[cnp.array([0, 0, 2])], "at": lambda x: x.at[0].add(2.0), "set": lambda x: x.at[1].set(x[0]),
    "cumsum": lambda x: cnp.cumsum(x, 0), "flip": lambda x: x[::-1], "sort": lambda x: cnp.sort(x, 0),
    "stack": lambda x: cnp.stack([x, x * 2]), "concatenate": lambda x: cnp.concatenate([x, x]),
    "stop": lambda x: lax.stop_gradient(x) * x, "numpy": lambda x: np.sin(x) + np.ones(3, "f"),
    "constant": lambda x: 3.0,
    "integers": lambda x: x * cnp.arange(3), "comparison": lambda x: (x > 1) * x, "real": lambda x: x.real,
    "identity": lambda x: x,
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one(name: str) -> None:
    f = UNARY[name]
    assert_twins(lambda x: cnp.sum(f(x) * 2), X)
    assert_twins(lambda x: cnp.sum(f(x)), array((4, 3), "float64"))


BINARY: dict[str, Function] = {
    "add": lambda x, y: x + y, "subtract": lambda x, y: x - y, "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y, "power": lambda x, y: abs(x) ** y, "arctan2": cnp.arctan2, "hypot": cnp.hypot,
    "logaddexp": cnp.logaddexp, "maximum": cnp.maximum, "remainder": lambda x, y: x % y,
}  # fmt: skip
SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((4, 3), (4, 3)), ((4, 3), ()), ((), (4, 3)), ((4, 3), (3,)), ((4, 1), (1, 3)), ((1,), (4, 3)), ((0, 3), (3,)),
]  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two(name: str) -> None:
    f, jitted = BINARY[name], cv.jit(BINARY[name])
    for first, second in SHAPES:
        x, y = array(first), array(second, seed=1)
        for argnums in (0, 1, (0, 1)):
            # A call on the tape is that of the jitted function: it is compiled as a whole.
            twin = lambda x, y: cnp.sum(jitted(x, y))  # noqa: E731
            assert_twins(lambda x, y: cnp.sum(f(x, y)), x, y, twin=twin, argnums=argnums)
    assert_twins(lambda x: cnp.sum(f(x, x)), X)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64"])
def test_dtypes_and_numbers_beside_arrays(dtype: str) -> None:
    x = array((5,), dtype)
    for number in (1e-8, 3, 1e300, True, np.float32(0.1), np.float64(0.1), np.arange(5.0)):
        assert_twins(lambda x, n=number: abs(cnp.sum(x * n + n)), x)
    assert_twins(lambda x, y: abs(cnp.sum(x * y)), x, array((5,), "float32"), argnums=(0, 1))
    assert_twins(lambda x: abs(cnp.sum(x * 0.1)), array((5,), dtype, weak=True))


REDUCTIONS: dict[str, Function] = {
    "sum": cnp.sum, "mean": cnp.mean, "max": cnp.max, "min": cnp.min, "prod": cnp.prod, "var": cnp.var, "std": cnp.std,
    "softmax": nn.softmax, "log_softmax": nn.log_softmax, "logsumexp": nn.logsumexp, "norm": cnp.linalg.norm,
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    f = REDUCTIONS[name]
    for axis in (0, 1, -1):
        assert_twins(lambda x, a=axis: cnp.sum(f(x, axis=a) * 3.0), X)


def test_products() -> None:
    x, y, v = array((4, 3)), array((3, 5), seed=1), array((3,), seed=2)
    assert_twins(lambda x, y: cnp.sum(x @ y), x, y, argnums=(0, 1))
    assert_twins(lambda x, v: cnp.sum(x @ v), x, v, argnums=(0, 1))
    assert_twins(lambda x: cnp.sum(x @ x.T), x)
    assert_twins(lambda x, y: cnp.sum(cnp.einsum("ij,jk->ki", x, y)), x, y, argnums=(0, 1))


def loss(params: Any, x: Any) -> Any:
    """Of a small network."""
    *hidden, last = params
    for layer in hidden:
        x = nn.relu(x @ layer["w"] + layer["b"])
    return -cnp.mean(cnp.sum(nn.log_softmax(x @ last["w"] + last["b"]), axis=-1)), {"x": x, "n": 3}


def test_a_network_with_auxiliary_results() -> None:
    params = [{"w": array((3, 4)), "b": array((4,))}, {"w": array((4, 2)), "b": array((2,))}]
    assert_twins(loss, params, X, has_aux=True)
    assert_twins(loss, params, X, has_aux=True, argnums=(0, 1))


@cv.custom_vjp
def custom(x: Any) -> Any:
    """With a rule that has a value of its own."""
    return x * 2 if float(x[0]) > 0 else x


custom.defvjp(lambda x: (custom(x), x), lambda x, ct: (ct * x * (3 if float(x[0]) > 0 else 1),))


NESTED: dict[str, Function] = {
    "grad": lambda x: cv.grad(lambda y: cnp.sum(cnp.sin(y) * x))(x).sum(),
    "hessian": lambda x: cv.hessian(lambda y: cnp.sum(y**3))(x).sum(),
    "jvp": lambda x: cv.jvp(lambda y: cnp.sin(y) * x, (x,), (x * x,))[1].sum(),
    "vjp": lambda x: cv.vjp(lambda y: cnp.sin(y) * x, x)[1](x)[0].sum(),
    "vmap": lambda x: cv.vmap(lambda y: cnp.sin(y) * x)(x).sum(),
    "jit": lambda x: cv.jit(lambda a, b: {"a": a * b, "b": (cnp.cos(a), b)})(x, 2.0)["a"].sum(),
    "jit twice": lambda x: sum(leaf.sum() for leaf in JITTED(JITTED((x, 2), x), x[0])),
    "captured": lambda x: cv.jit(lambda y: x * y)(cnp.ones(3)).sum(),
    "captured twice": lambda x: cv.jit(lambda y: x * y)(x).sum(),
    "scan": lambda x: lax.scan(lambda c, y: (c * y + x[0], c), x[1], x)[1].sum(),
    "python": lambda x: x.sum() if x[0] > 0 else x.prod(),
    "inplace": lambda x: [x := x * (i + 1.5) for i in range(3)][-1].sum(),
    "custom": lambda x: custom(x * x).sum(), "custom in jit": lambda x: cv.jit(lambda x: x + 1)(custom(x)).sum(),
    "unused": lambda x: (cnp.exp(x), x.sum())[1],
}  # fmt: skip
JITTED = cv.jit(lambda p, q: (p[0] * q, p[1] * p[0]))


@pytest.mark.parametrize("name", NESTED)
def test_nestings(name: str) -> None:
    assert_twins(NESTED[name], array((3,)))


def both(f: Function) -> Function:
    """A function's linearization at an array, pushed, and its Jacobian; the pushforward under other transformations."""

    def run(x: Any) -> Any:
        y, push = cv.linearize(f, x)
        tangent = cnp.cos(x).astype(x.dtype)
        many = cv.vmap(push)(cnp.stack([tangent, x]))
        return y, push(tangent), many, cv.jit(push)(tangent), cv.jacrev(f)(x)

    return run


def assert_close(found: list[Any], wanted: list[Any]) -> None:
    assert [type(x) for x in found] == [type(x) for x in wanted]
    for a, w in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (w.shape, w.dtype)
        np.testing.assert_allclose(np.asarray(a), np.asarray(w), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", [*some(UNARY, 6), *[n for n in NESTED if "custom" not in n]])
def test_linearize_and_jacobians(name: str) -> None:
    f = (UNARY | NESTED)[name]
    run, x = both(f), array((4, 3)) if name in UNARY else array((3,))
    found: list[list[Any]] = []
    for fast in (True, True, False):
        with config.override(fast_paths=fast):
            found.append(cv.tree.leaves(run(x)))
    for leaves in found[:2]:
        assert_close(leaves, found[2])


def test_integers_and_other_arguments() -> None:
    f = lambda x, n, k: cnp.sum(x * n) + k  # noqa: E731
    assert_twins(f, array((3,)), cnp.arange(3), 2.0)
    assert_twins(f, array((3,)), cnp.arange(3), 2.0, argnums=(0, 1), allow_int=True)
    assert_twins(
        f, array((3,)), cnp.arange(3), 2.0, argnums=(0, 2)
    )  # a Python number goes by the twin
    assert_twins(lambda x: x, array(()))
    assert_twins(lambda x: x * x, array((), "complex64"), holomorphic=True)
    assert_twins(lambda x: cnp.sum(x), np.ones(3, "f"))


ERRORS: dict[str, Function] = {
    "float": lambda x: float(x.sum()), "int": lambda x: int(x.sum()), "array": lambda x: np.asarray(x).sum(),
    "hash": lambda x: [isinstance(x, Hashable)][1], "index": lambda x: [0, 1][x.sum()],
    "shape": lambda x: x + cnp.ones(7),
    "list": lambda x: x == [1], "no scalar": lambda x: x * 2,
    "text": lambda x: "a", "integer": lambda x: cnp.sum(x).astype("int32"), "pickle": lambda x: x.__reduce__(),
    "matmul": lambda x: x @ cnp.ones(9), "axis": lambda x: cnp.sum(x, 3), "user's": lambda x: {}[x.shape],
    "masked": lambda x: x + np.ma.masked_array([1.0]), "out": lambda x: np.add(x, 1, out=np.ones(3)),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    assert_twins(ERRORS[name], array((3,)))


def test_what_a_tracer_is() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(x)
        assert isinstance(x, cv.Array)
        assert type(x) is TapeTracer
        assert (x.shape, x.dtype, x.ndim, x.size, x.weak_type, len(x)) == (
            (3,),
            np.float32,
            1,
            3,
            False,
            3,
        )
        assert repr(x) == "Traced<float32[3]>"
        assert bool((x > -99).all())
        assert weakref.ref(x)() is x
        return cnp.sum(x * x)

    cv.grad(f)(array((3,)))
    leaked = seen[0]
    for use in (lambda: leaked + 1, lambda: cnp.sin(leaked), lambda: cv.jit(cnp.sin)(leaked), lambda: leaked @ leaked,
                lambda: cv.grad(lambda x: cnp.sum(x * leaked))(array((3,)))):  # fmt: skip
        with pytest.raises(errors.UnexpectedTracerError):
            use()


def test_another_thread_does_not_record() -> None:
    found: list[Any] = []

    def f(x: Any) -> Any:
        def use() -> None:
            found.append(outcome(lambda: x * x))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        return cnp.sum(x)

    cv.grad(f)(array((3,)))
    assert found[0][0] is errors.UnexpectedTracerError


def test_threads_have_tapes_of_their_own() -> None:
    gradient = cv.grad(lambda x: cnp.sum(cnp.sin(x) * x))
    x = array((3,))
    wanted = outcome(lambda: gradient(x))
    found: list[Any] = []

    def work() -> None:
        found.extend(outcome(lambda: gradient(x)) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 200


def test_residuals_are_freed() -> None:
    big = cnp.ones((256, 1024))
    chain = lambda x: cnp.sum(cnp.sin(cnp.sin(cnp.sin(cnp.sin(x * 2)))))  # noqa: E731
    for _ in range(3):
        cv.block_until_ready(cv.grad(chain)(big))
    gc.collect()
    gc.disable()
    try:
        before = _native.memory_stats()["bytes_in_use"]
        for _ in range(5):
            cv.grad(chain)(big)
            with pytest.raises(ZeroDivisionError):
                cv.grad(lambda x: chain(x) / 0 if chain(x) > 1e30 else 1 / 0)(big)
        _native.synchronize()
        assert _native.memory_stats()["bytes_in_use"] <= before + 4096
    finally:
        gc.enable()


def test_a_long_tape() -> None:
    def f(x: Any) -> Any:
        for _ in range(5000):
            x = x * 1.0
        return x

    assert float(cv.grad(f)(array(()))) == 1.0


def test_shapes_that_occur_once_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient = cv.grad(lambda x: lax.stop_gradient(cnp.sin(x) * x)[0] + x[0])
    for n in (3, 3, 3):
        gradient(array((n,)))
    compiled: list[str] = []
    compile_program = linearized.compile_program
    monkeypatch.setattr(
        linearized, "compile_program", lambda p: (compiled.append(p.name), compile_program(p))[1]
    )
    for n in (1013, 1019, 1021):  # lengths of no other test
        gradient(array((n,)))
    assert not [name for name in compiled if "sin" in name or "mul" in name]
    gradient(array((1021,)))
    assert [name for name in compiled if "sin" in name]


def test_pullbacks() -> None:
    """Called with values, compiled, mapped, differentiated, and again after that."""

    def f(x: Any, y: Any) -> Any:
        return {"a": cnp.sin(x) * y, "b": (custom(x) * x).sum(), "n": cnp.arange(3), "y": y}

    def uses(x: Any) -> Any:
        out, back = cv.vjp(f, x, x)
        ct = {"a": x, "b": cnp.float32(2), "n": np.zeros(3, cv.dtypes.float0), "y": x * 2}
        call = lambda v: back({**ct, "a": v})  # noqa: E731
        seen = [out, back(ct), back(ct), cv.jit(lambda b, c: b(c))(back, ct)]
        seen += [cv.vmap(call)(cnp.stack([x, x * 2])), cv.grad(lambda v: call(v)[0].sum())(x)]
        return [*seen, back(ct), cv.vjp(f, x, x, has_aux=False)[1](ct), cv.jacrev(cnp.sin)(x)]

    found: list[Any] = []
    for fast in (True, True, False):
        with config.override(fast_paths=fast):
            found.append(outcome(lambda: uses(array((3,)))))
    assert found == [found[2]] * 3


COMPILED: dict[str, Function] = {
    name: getattr(cnp, name) for name in ("sum", "prod", "max", "min", "mean", "var", "std")
}


@pytest.mark.parametrize("name", COMPILED)
def test_functions_that_run_without_python(name: str) -> None:
    f = COMPILED[name]
    calls: list[Callable[[], Any]] = [
        lambda: f(X), lambda: f(X, 0), lambda: f(X, axis=-1, keepdims=True), lambda: f(X, (0, 1)), lambda: f(X, 2),
        lambda: f(X, where=X > 1, axis=0), lambda: f(X, dtype="float64"), lambda: f([1.0, 2.0]), lambda: f(2.5),
        lambda: f(np.ones((2, 3))), lambda: f(X, [0]), lambda: f(X, axis=np.int64(1)), lambda: f(X, out=3), lambda: f(),
        lambda: f("a"), lambda: f(X > 1), lambda: f(array((4, 3), "int8")), lambda: f(X, 0, None, None, True),
        lambda: cv.vmap(f)(X), lambda: cv.jit(f)(X), lambda: f(a=X), lambda: f(array((0, 3)), 0), lambda: X.sum(0),
    ]  # fmt: skip
    for i, call in enumerate(calls):
        found: list[Any] = []
        for fast in (True, True, False):
            with config.override(fast_paths=fast):
                found.append(outcome(call))
        assert found[:2] == [found[2]] * 2, i
