"""Eager `vmap` in a native batch does what its twin, the trace in Python, does; and so do its nestings with `grad`."""

from __future__ import annotations

import dataclasses
import gc
import threading
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.amount import some
from tests.runtime.test_tape import BINARY, REDUCTIONS, SHAPES, UNARY, array, assert_close

import covector as cv
import covector.numpy as cnp
from covector import lax, nn
from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.core.levels import MappedTracer, TapeTracer

Function = Callable[..., Any]


def assert_twins(f: Function, *args: Any) -> list[Any]:
    """The same types and values on both paths, twice on the fast one; the leaves."""
    found: list[list[Any]] = []
    for fast in (True, True, False):
        with config.override(fast_paths=fast):
            found.append(cv.tree.leaves(f(*args)))
    for leaves in found[:2]:
        assert_close(leaves, found[2])
        assert [x.weak_type for x in leaves] == [x.weak_type for x in found[2]]
    return found[0]


@pytest.mark.parametrize("name", [n for n in UNARY if n != "constant"])
def test_functions_of_one(name: str) -> None:
    f = UNARY[name]
    assert_twins(cv.vmap(f), array((5, 4, 3)))
    assert_twins(cv.vmap(f, 1, 1), array((4, 5, 3), "float64"))


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two(name: str) -> None:
    f = BINARY[name]
    for first, second in some(SHAPES, 4):
        x, y = array((2, *first)), array((2, *second), seed=1)
        assert_twins(cv.vmap(f), x, y)
        assert_twins(cv.vmap(f, (0, None)), x, y[0])
        assert_twins(cv.vmap(f, (None, 0)), x[0], y)
        assert_twins(cv.vmap(f, (-1, 0)), cnp.moveaxis(x, 0, -1), y)


@pytest.mark.parametrize("name", some(REDUCTIONS, 6))
def test_reductions(name: str) -> None:
    f = REDUCTIONS[name]
    for axis in (0, -1, None):
        assert_twins(cv.vmap(lambda x, a=axis: f(x, axis=a)), array((5, 4, 3)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64", "int32", "bool"])
def test_dtypes_and_numbers_beside_elements(dtype: str) -> None:
    x = array((5,), dtype)
    for number in (3, 0.1, True, np.float32(0.1), np.float64(0.1), np.arange(3.0)):
        assert_twins(cv.vmap(lambda x, n=number: x * n + n), x)
        assert_twins(cv.vmap(cv.jit(lambda x, n: (x * n, x)), (0, None)), x, number)
    assert_twins(cv.vmap(lambda x, y: x * y), x, array((5,), "float32"))
    assert_twins(cv.vmap(lambda x: x * 0.1), array((5,), dtype, weak=True))


def loss(params: Any, x: Any, y: Any) -> Any:
    """Of a small network."""
    hidden = nn.relu(x @ params["w"] + params["b"])
    return cnp.sum((hidden - y) ** 2) + lax.mul(x[0], x[1])


PARAMS = {"w": array((3, 4)), "b": array((4,), seed=1)}
X, Y = array((5, 3), seed=2), array((5, 4), seed=3)
JITTED = cv.jit(loss)


@cv.custom_jvp
def custom(x: Any, y: Any) -> Any:
    """With a rule that is not its function's derivative."""
    return x * y


custom.defjvp(lambda xs, ts: (custom(*xs), 3 * ts[0] * xs[1] + ts[1]))


@cv.custom_vjp
def backwards(x: Any) -> Any:
    """With a rule that is not its function's derivative."""
    return cnp.sin(x)


backwards.defvjp(lambda x: (backwards(x), x), lambda x, ct: (ct * x * 5,))

AXES = lambda x: cnp.sum(x**2) / lax.psum(x[0], "i") + lax.axis_size("i")  # noqa: E731
PULLBACK = cv.vjp(cnp.sin, X[0])[1]
NESTED: dict[str, Function] = {
    "network": lambda: cv.vmap(loss, (None, 0, 0))(PARAMS, X, Y),
    "jitted": lambda: cv.vmap(JITTED, (None, 0, 0))(PARAMS, X, Y),
    "gradients of samples": lambda: cv.vmap(cv.grad(loss), (None, 0, 0))(PARAMS, X, Y),
    "gradients of jitted": lambda: cv.vmap(cv.value_and_grad(JITTED, (0, 1)), (None, 0, 0))(PARAMS, X, Y),
    "gradient of the batch": lambda: cv.grad(
        lambda p: cnp.mean(cv.vmap(partial(loss, p))(X, Y))
    )(PARAMS),
    "gradient, everything in": lambda: cv.grad(
        lambda p, x: cnp.sum(cv.vmap(loss, (None, 0, 0))(p, x, Y)), (0, 1)
    )(PARAMS, X),
    "outer product": lambda: cv.vmap(cv.vmap(lambda x, y: x * y + 1, (None, 0)), (0, None))(X, X * 2),
    "batch in batch": lambda: cv.vmap(cv.vmap(lambda x, y: cnp.sin(x) / y, (0, None)))(X, Y),
    "batch in batch, axes": lambda: cv.vmap(
        cv.vmap(lambda x: cnp.cumsum(x) @ PARAMS["w"], 1, 1), 0, 2
    )(array((2, 3, 5))),
    "gradient of gradients": lambda: cv.vmap(
        cv.grad(lambda x: cnp.sum(cv.grad(lambda y: cnp.sum(y**3 * x))(x)))
    )(X),
    "gradient in batches in a gradient": lambda: cv.grad(
        lambda z: cnp.sum(cv.vmap(cv.grad(lambda x: cnp.sum(cnp.sin(x * z))))(X))
    )(X[0]),
    "hessians": lambda: cv.vmap(cv.hessian(lambda x: cnp.sum(x**3) * x[0]))(X),
    "jacobians": lambda: cv.vmap(cv.jacrev(lambda x: cnp.sin(x) * x[0]))(X),
    "columns": lambda: cv.vmap(cv.jacfwd(lambda x: cnp.sin(x) * x[0]))(X),
    "jvp": lambda: cv.vmap(lambda x: cv.jvp(lambda y: cnp.sin(y) * x, (x,), (x * x,)))(X),
    "vjp": lambda: cv.vmap(lambda x: cv.vjp(lambda y: cnp.sin(y) * x, x)[1](x)[0])(X),
    "pullback of outside": lambda: cv.vmap(PULLBACK)(X),
    "pullback inside a gradient": lambda: cv.grad(
        lambda x: cnp.sum(PULLBACK(x * x)[0])
    )(X[0]),
    "linearize": lambda: cv.vmap(lambda x: cv.linearize(lambda y: y * y * x, x)[1](x))(X),
    "jit around": lambda: cv.jit(cv.vmap(cv.grad(loss), (None, 0, 0)))(PARAMS, X, Y),
    "jit inside, closing over": lambda: cv.vmap(lambda x: cv.jit(lambda y: x * y)(cnp.ones(3)))(X),
    "scan": lambda: cv.vmap(lambda x: lax.scan(lambda c, y: (c * y, c), x[0], x))(X),
    "while": lambda: cv.vmap(lambda x: lax.while_loop(lambda v: v[0] < 9, lambda v: v * 2, x + 1))(X),
    "cond": lambda: cv.vmap(lambda x: lax.cond(x[0] > 1, cnp.sin, cnp.cos, x))(X),
    "gradients of scans": lambda: cv.vmap(
        cv.grad(lambda x: lax.scan(lambda c, y: (c * y, c), x[0], x)[0])
    )(X),
    "custom_jvp": lambda: cv.vmap(cv.grad(lambda x: cnp.sum(custom(x, x[0]))))(X),
    "custom_jvp, closing over": lambda: cv.vmap(lambda x: cv.grad(lambda y: custom(y, x[0]))(x[1]))(X),
    "custom_vjp": lambda: cv.vmap(cv.grad(lambda x: cnp.sum(backwards(x))))(X),
    "custom_vjp around": lambda: cv.grad(lambda x: cnp.sum(cv.vmap(backwards)(x)))(X),
    "custom in jit": lambda: cv.vmap(cv.grad(cv.jit(lambda x: cnp.sum(backwards(custom(x, x))))))(X),
    "checkpoint": lambda: cv.vmap(cv.grad(lambda x: cnp.sum(cv.checkpoint(cnp.sin)(x))))(X),
    "stop_gradient": lambda: cv.vmap(cv.grad(lambda x: cnp.sum(x * lax.stop_gradient(x))))(X),
    "random": lambda: cv.vmap(lambda k: cv.random.normal(k, (2,)))(cv.random.split(cv.random.PRNGKey(0), 3)),
    "index": lambda: cv.vmap(lambda x, i: x[i] + x.at[i].set(7.0))(X, cnp.array([0, 2, 1, 0, 2])),
    "gradient of indices": lambda: cv.vmap(cv.grad(lambda x, i: x[i] ** 2))(X, cnp.array([0, 2, 1, 0, 2])),
    "nothing mapped in it": lambda: cv.vmap(lambda x: cnp.sum(PARAMS["w"]) * 2)(X),
    "numbers": lambda: cv.vmap(lambda x: (x, 3, 2.5, True))(X),
    "axis_name": lambda: cv.vmap(
        lambda x: x / lax.psum(cnp.sum(cnp.exp(x)), "i") + lax.axis_index("i"), axis_name="i"
    )(X),
    "axis_name around": lambda: cv.vmap(
        cv.vmap(lambda x, y: lax.pmean(x * y, "i"), (None, 0)), axis_name="i"
    )(X, cnp.stack([X, X * 2], 1)),
    "gradient along a name": lambda: cv.vmap(
        cv.grad(lambda x: lax.psum(cnp.sum(x**2), "i")), axis_name="i"
    )(X),
    "names in jit": lambda: [
        cv.vmap(cv.jit(AXES), axis_name="i")(X[:n]) for n in (2, 3, 2)
    ],
    "gradients of names in jit": lambda: cv.vmap(cv.grad(cv.jit(AXES)), axis_name="i")(X),
    "a name's value for all": lambda: cv.vmap(
        lambda x: (x, lax.psum(cnp.sum(PARAMS["b"]), "i")), axis_name="i"
    )(X),
    "names, the inner first": lambda: cv.vmap(
        cv.vmap(lambda x: x + lax.psum(lax.psum(x, "j") * 2, "i"), axis_name="j"), axis_name="i"
    )(X),
    "names in scan": lambda: cv.vmap(
        lambda x: lax.scan(lambda c, y: (c + lax.psum(y, "i"), c), x[0], x), axis_name="i"
    )(X),
    "sum_match": lambda: cv.vmap(lambda x: x * x, out_axes=None, sum_match=True)(X),
    "axis_size": lambda: cv.vmap(lambda: cnp.ones(3), axis_size=4)(),
    "solve": lambda: cv.vmap(lambda x: cnp.linalg.solve(cnp.eye(3) + x, x))(X),
    "numpy": lambda: cv.vmap(lambda x: np.sin(x) + np.ones(3, "f"))(X),
    "ints": lambda: cv.vmap(lambda i: i * 2 + 2**31)(np.arange(3)),
    "wide": lambda: cv.vmap(cv.jit(lambda x, n: x * (n + 0.1)), (0, None))(array((3,), "float64"), 0.1),
    "wide gradients": lambda: cv.vmap(cv.grad(cv.jit(lambda x, n: x * x * (n + 0.1))), (0, None))(
        array((3,), "float64"), 0.1
    ),
    "callback": lambda: cv.vmap(
        lambda x: cv.pure_callback(np.sin, x, x, vmap_method="sequential")
    )(X),
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_nestings(name: str) -> None:
    assert_twins(NESTED[name])


def test_native_tracers_serve() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(type(x))
        return cnp.sum(cnp.sin(x) * x)

    cv.vmap(f)(X)
    cv.vmap(cv.grad(f))(X)
    cv.grad(lambda x: cnp.sum(cv.vmap(f)(x)))(X)
    cv.vmap(cv.vmap(f))(array((2, 3, 4)))
    cv.vmap(f, axis_name="i")(X)
    assert seen == [MappedTracer, TapeTracer, MappedTracer, MappedTracer, MappedTracer]


ERRORS: dict[str, Function] = {
    "bool": lambda x: 1 if x[0] > 0 else 2, "float": lambda x: float(x[0]), "array": np.asarray,
    "hash": lambda x: [isinstance(x, Hashable)][1], "index": lambda x: [0, 1][x[0]],
    "shape": lambda x: x + cnp.ones(7), "text": lambda x: "a",
    "matmul": lambda x: x @ cnp.ones(9), "axis": lambda x: cnp.sum(x, 3), "user's": lambda x: {}[x.shape],
    "list": lambda x: x == [1], "pickle": lambda x: x.__reduce__(),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_the_same_and_leave_everything_usable(name: str) -> None:
    found: list[Any] = []
    for fast in (True, False):
        with config.override(fast_paths=fast):
            for f in (cv.vmap(ERRORS[name]), cv.vmap(cv.vmap(ERRORS[name]), 1)):
                try:
                    found.append(f(array((5, 3, 2)) if f is not None else None))
                except Exception as error:
                    found.append((type(error), str(error)))
    assert found[:2] == found[2:]
    assert _native.level() is None
    assert_twins(cv.vmap(cnp.sin), X)


def test_what_a_tracer_is_and_that_it_does_not_leave() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(x)
        assert isinstance(x, cv.Array)
        assert (x.shape, x.dtype, x.ndim, x.size, x.weak_type, len(x)) == (
            (3,),
            np.float32,
            1,
            3,
            False,
            3,
        )
        assert repr(x) == "Traced<float32[3]>"
        return x

    cv.vmap(f)(X)
    cv.vmap(cv.vmap(f), 1, 1)(array((3, 5, 2)).swapaxes(0, 2))
    for leaked in seen[:2]:
        for use in (
            lambda x=leaked: x + 1, lambda x=leaked: cnp.sin(x), lambda x=leaked: cv.jit(cnp.sin)(x),
            lambda x=leaked: x @ x, lambda x=leaked: cv.vmap(lambda y: y + x)(X),
            lambda x=leaked: cv.grad(lambda y: cnp.sum(y * x))(X[0]),
        ):  # fmt: skip
            with pytest.raises(errors.UnexpectedTracerError):
                use()


def test_interrupts_and_errors_in_the_middle() -> None:
    def failing(error: type[BaseException]) -> Function:
        def f(x: Any) -> Any:
            y = cnp.sum(cnp.sin(x) * x)
            raise error
            return y

        return f

    for error in (KeyboardInterrupt, ZeroDivisionError):
        for run in (
            cv.vmap(failing(error)), cv.vmap(cv.grad(failing(error))), cv.vmap(cv.vmap(failing(error))),
            cv.grad(lambda x, e=error: cv.vmap(failing(e))(x)),
        ):  # fmt: skip
            with pytest.raises(error):
                run(array((5, 4, 3)))
            assert _native.level() is None
            assert_twins(NESTED["gradients of samples"])


def test_threads_have_batches_of_their_own() -> None:
    f = cv.vmap(cv.grad(lambda x: cnp.sum(cnp.sin(x) * x)))
    wanted = np.asarray(f(X)).tobytes()
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.extend(np.asarray(f(X)).tobytes() for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 200


def test_nothing_is_kept_of_a_batch() -> None:
    big = cnp.ones((64, 4096))
    calls = [
        cv.vmap(lambda x: cnp.sum(cnp.sin(x * 2))),
        cv.vmap(cv.grad(lambda x: cnp.sum(cnp.sin(x * 2)))),
        cv.grad(lambda x: cnp.sum(cv.vmap(lambda y: cnp.sin(y * 2))(x))),
    ]
    for call in calls * 3:
        cv.block_until_ready(call(big))
    gc.collect()
    gc.disable()
    try:
        before = _native.memory_stats()["bytes_in_use"]
        for call in calls * 5:
            cv.block_until_ready(call(big))
        assert _native.memory_stats()["bytes_in_use"] <= before + 4096
    finally:
        gc.enable()


@cv.tree_util.register_dataclass
@dataclasses.dataclass
class Named:
    """With static data that is not hashable."""

    x: Any
    names: list[str] = dataclasses.field(metadata={"static": True})


def test_structures_that_are_not_hashable() -> None:
    f = cv.vmap(lambda p: Named(p.x * 2, [*p.names, "more"]))
    for _ in range(2):
        out = f(Named(X, ["a"]))
        assert out.names == ["a", "more"]
        assert out.x.shape == X.shape


def test_rules_run_once_for_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    from covector._engine.runtime import batched

    made: list[Any] = []
    entry = batched.batched_entry
    monkeypatch.setattr(batched, "batched_entry", lambda *args: made.append(0) or entry(*args))
    f = cv.vmap(lambda x: cnp.sum(x @ PARAMS["w"]) + cnp.tanh(x)[0])
    x = array((11, 3))
    f(x)
    first = len(made)
    assert first > 0
    f(x)
    assert len(made) == first
