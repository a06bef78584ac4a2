"""Callbacks: what they are called with and how often, in which order, through all transformations."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.backends.reference.kernels import run
from covector._engine.base.errors import NotDifferentiableError, VerificationError
from covector._engine.control.callback import DebugCallback
from covector._engine.ir.check import verify_effects
from covector._engine.ir.program import map_eqns
from covector.experimental import io_callback


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_print_formats_values(capsys: pytest.CaptureFixture[str]) -> None:
    def show(x: Any) -> None:
        cv.debug.print("{:.2f} {x[a]} {} {!r}", x, "text", None, x={"a": x})
        cv.debug.print("none")
        cv.debug.print("a {{}} {y}", y=cnp.arange(3), ordered=True)
        cv.debug.print(ordered=True)("{}", 0.1)

    show(cnp.float32(1.5))
    eager = printed(capsys)
    assert eager == ["1.50 1.5 text None", "none", "a {} [0 1 2]", "0.10000000149011612"]
    cv.jit(show)(cnp.float32(1.5))
    assert printed(capsys) == eager


def test_print_tells_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"no place for y=.*test_callback"):
        cv.debug.print("x", y=1)
    with pytest.raises(IndexError):
        cv.debug.print("{} {}", 1)
    with pytest.raises(TypeError, match="a format first"):
        cv.debug.print(cnp.ones(3))
    with pytest.raises(TypeError, match="options alone"):
        cv.debug.print(x=1)
    with pytest.raises(TypeError, match="a function first"):
        cv.debug.callback(3, 1)  # type: ignore[arg-type]


def test_print_honours_numpys_options(capsys: pytest.CaptureFixture[str]) -> None:
    with np.printoptions(precision=2):
        f = cv.jit(lambda x: cv.debug.print("{}", x))
        f.trace(cnp.ones(1) / 3)
    f(cnp.ones(1) / 3)
    assert printed(capsys) == ["[0.33]"]


@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit], ids=["eager", "jit"])
def test_order_in_nested_loops(wrap: Callable[..., Any]) -> None:
    seen: list[tuple[int, int]] = []

    def note(i: Any, j: Any) -> None:
        seen.append((int(i), int(j)))

    def outer(c: Any, i: Any) -> Any:
        cv.debug.callback(note, i, -1, ordered=True)
        inner = lambda c, j: (c + (cv.debug.callback(note, i, j, ordered=True) or 1), None)  # noqa: E731
        c, _ = lax.scan(inner, c, cnp.arange(3), unroll=2)
        cv.debug.callback(note, i, -2, ordered=True)
        return c, None

    total, _ = wrap(lambda: lax.scan(outer, 0, cnp.arange(5), unroll=3))()
    cv.effects_barrier()
    assert int(total) == 15
    assert seen == [(i, j) for i in range(5) for j in (-1, 0, 1, 2, -2)]


def test_nothing_is_dropped_merged_or_moved() -> None:
    seen: list[str] = []

    def say(text: str) -> Callable[..., None]:
        return lambda *_: seen.append(text)

    first, second = say("a"), say("b")

    @cv.jit
    def f(x: Any) -> Any:
        def body(c: Any, _: Any) -> Any:
            cv.debug.callback(second)  # the same in each step
            io_callback(first, None, c)
            io_callback(first, None, c)
            return c, c * 2  # what is given is not used

        lax.scan(body, x, None, length=3)
        cv.jit(lambda y: cv.debug.callback(second, y))(x)

    assert f(1.0) is None
    assert seen == ["b", "a", "a"] * 3 + ["b"]


def test_a_pure_callback_runs_only_if_it_is_needed() -> None:
    seen: list[int] = []

    def count(x: Any) -> Any:
        seen.append(1)
        return x

    cv.jit(lambda x: (cv.pure_callback(count, x, x), x)[1])(1.0)
    assert not seen

    def body(c: Any, _: Any) -> Any:
        return c + cv.pure_callback(count, x, x), None

    x = cnp.float32(2)
    assert float(cv.jit(lambda: lax.scan(body, 0.0, None, length=0)[0])()) == 0
    assert not seen
    assert float(cv.jit(lambda: lax.scan(body, 0.0, None, length=3)[0])()) == 6


def test_transformations_see_primal_values(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        cv.debug.print("{}", x)
        y, _ = lax.scan(lambda c, _: (c * x, cv.debug.print("in {}", c)), x, None, length=2)
        return y

    for g in (cv.grad(f), cv.grad(cv.jit(f)), cv.jit(cv.grad(f)), cv.jacfwd(f)):
        assert float(g(2.0)) == 12
        assert printed(capsys) == ["2.0", "in 2.0", "in 4.0"]
    assert float(cv.grad(cv.grad(f))(2.0)) == 12
    assert printed(capsys) == ["2.0", "in 2.0", "in 4.0"]
    cv.jvp(f, (2.0,), (1.0,))
    assert printed(capsys) == ["2.0", "in 2.0", "in 4.0"]


def test_vmap_goes_over_the_elements(capsys: pytest.CaptureFixture[str]) -> None:
    f = lambda x, y: cv.debug.print("{} {}", x, y)  # noqa: E731
    x = cnp.arange(4).reshape(2, 2)
    for g in (cv.vmap(f, (1, None)), cv.jit(cv.vmap(f, (1, None))), cv.vmap(cv.jit(f), (1, None))):
        g(x, 7)
        assert printed(capsys) == ["[0 2] 7", "[1 3] 7"]
    cv.vmap(cv.vmap(f, (0, None)), (0, None))(x, 7)
    assert printed(capsys) == [f"{n} 7" for n in range(4)]
    cv.vmap(lambda x: cv.debug.print("once"))(x)
    assert printed(capsys) == ["once"]


@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        ("sequential", [((2,), ())] * 3),
        ("expand_dims", [((3, 2), (1,))]),
        ("broadcast_all", [((3, 2), (3,))]),
        ("legacy_vectorized", [((3, 2), ())]),
    ],
)
def test_vmap_methods(method: str, shapes: list[Any]) -> None:
    seen: list[Any] = []

    def scale(x: Any, k: Any) -> Any:
        seen.append((x.shape, k.shape))
        x, k = np.asarray(x), np.asarray(k)
        return x * (k[..., None] if k.ndim else k)

    def f(x: Any, k: Any) -> Any:
        return cv.pure_callback(scale, cv.ShapeDtypeStruct((2,), x.dtype), x, k, vmap_method=method)

    x, k = cnp.arange(6.0).reshape(3, 2), cnp.float32(2)
    for g in (cv.vmap(f, (0, None)), cv.jit(cv.vmap(f, (0, None)))):
        seen.clear()
        np.testing.assert_array_equal(g(x, k), np.asarray(x) * 2)
        assert seen == shapes


def test_a_vmap_without_a_method_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="expand_dims"):
        cv.vmap(lambda x: cv.pure_callback(np.sin, x, x))(cnp.ones(3))
    with pytest.raises(ValueError, match="one of sequential"):
        cv.pure_callback(np.sin, cnp.ones(3), cnp.ones(3), vmap_method="fast")
    with pytest.raises(ValueError, match="ordered io_callback"):
        cv.vmap(lambda x: io_callback(np.sin, x, x, ordered=True))(cnp.ones(3))


def test_derivatives_of_callbacks_are_refused() -> None:
    for f in (cv.pure_callback, io_callback):
        with pytest.raises(NotDifferentiableError, match=r"test_callbacks.*\n?.*custom_jvp"):
            cv.grad(lambda x, f=f: f(np.sin, x, x))(1.0)
    assert float(cv.grad(lambda x: x * cv.pure_callback(np.sin, x, lax_constant(x)))(2.0)) > 0


def lax_constant(x: Any) -> Any:
    return cnp.float32(2.0)


def test_results_are_checked() -> None:
    x = cnp.arange(3.0)
    of = lambda f, t=x: cv.jit(lambda x: cv.pure_callback(f, t, x))(x)  # noqa: E731
    with pytest.raises(
        ValueError, match=r"declared float32\[3\], but has the shape \(2,\)"
    ) as info:
        of(lambda v: np.asarray(v)[:2])
    assert "test_callbacks" in info.value.__notes__[0]
    with pytest.raises(TypeError, match="has the dtype int32"):
        of(lambda v: np.zeros(3, np.int32))
    with pytest.raises(TypeError, match="result_shape_dtypes"):
        of(lambda v: (v, v))
    with pytest.raises(OverflowError):
        of(lambda v: np.int64(1 << 40), cv.ShapeDtypeStruct((), np.int32))
    np.testing.assert_array_equal(of(lambda v: np.arange(3.0)), x)  # float64 becomes float32
    assert int(of(lambda v: 3, cv.ShapeDtypeStruct((), np.int32))) == 3
    with pytest.raises(ValueError, match="a shape and a dtype"):
        cv.pure_callback(np.sin, "float32", x)


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "bfloat16", "complex64", "float64"])
def test_all_dtypes_come_and_go(dtype: str) -> None:
    x = cnp.asarray(np.arange(6).reshape(2, 3) % 2, dtype)
    both = lambda a, b: {"a": b, "b": (a, np.asarray(b)[0])}  # noqa: E731
    types = {"a": x, "b": (x[0], cv.ShapeDtypeStruct((3,), x.dtype))}
    out = cv.jit(lambda x: cv.pure_callback(both, types, x[0], b=x))(x)
    assert out["a"].dtype == x.dtype
    np.testing.assert_array_equal(out["a"], x)
    np.testing.assert_array_equal(out["b"][0], x[0])
    np.testing.assert_array_equal(out["b"][1], x[0])


def test_a_failing_callback_leaves_everything_usable() -> None:
    seen: list[int] = []

    def step(i: Any) -> None:
        seen.append(int(i))
        if i == 3:
            raise KeyError("three")

    @cv.jit
    def f(x: Any) -> Any:
        def body(c: Any, i: Any) -> Any:
            cv.debug.callback(step, i + x, ordered=True)
            return c + i, c

        return lax.scan(body, 0, cnp.arange(6))

    for _ in range(3):
        seen.clear()
        with pytest.raises(KeyError, match="three") as info:
            f(0)
        assert seen == [0, 1, 2, 3]
        assert "test_callbacks" in info.value.__notes__[0]
    assert int(f(10)[0]) == 15
    with pytest.raises(ZeroDivisionError):
        cv.debug.callback(lambda x: 1 / 0, 1.0)


@pytest.mark.parametrize("wrap", [cv.jit, lambda f: f], ids=["compiled", "eager"])
def test_a_failing_callback_raises_what_a_flag_says(wrap: Any) -> None:
    class Refused(Exception):
        pass

    def refuse(x: Any) -> Any:
        raise Refused("too small")

    f = wrap(lambda x: cv.pure_callback(refuse, cv.ShapeDtypeStruct((), np.float32), x))
    with pytest.raises(Refused, match="too small"):
        f(np.float32(1))
    with (
        cv.config.override(callback_errors="runtime"),
        pytest.raises(
            cv.errors.JaxRuntimeError, match=r"(?s)in refuse.*Refused: too small"
        ) as info,
    ):
        f(np.float32(1))
    assert isinstance(info.value.__cause__, Refused)


def test_callbacks_may_call_and_wait() -> None:
    """Without a deadlock: for jitted functions, for what is queued, for themselves."""
    m = cnp.ones((400, 400))
    big = cv.jit(lambda x: x @ x @ x)
    late = big(m)
    f = cv.jit(lambda x: cv.pure_callback(lambda v: big(m)[0, 0] + late[0, 0] + v, x, x))
    assert float(f(cnp.float32(1))) == 320_001
    summed = cv.jit(lambda x: cv.pure_callback(np.sum, cnp.float32(0), x @ x))
    assert float(summed(big(m))) == pytest.approx(400.0**7, rel=1e-4)

    @cv.jit
    def factorial(n: Any) -> Any:
        smaller = lambda k: factorial(int(k) - 1) * k if int(k) > 1 else k  # noqa: E731
        return cv.pure_callback(smaller, n, n)

    assert int(factorial(cnp.int32(6))) == 720


def test_nothing_of_a_function_that_is_gone_stays() -> None:
    class Large:
        pass

    def make() -> weakref.ref[Large]:
        large = Large()

        @cv.jit
        def f(x: Any) -> Any:
            def body(c: Any, i: Any) -> Any:
                cv.debug.callback(lambda v: (large, f), c)
                return c, cv.pure_callback(lambda v: (large, v)[1], i, i)

            return cv.grad(lambda x: lax.scan(body, x, cnp.arange(3))[0])(x)

        f(1.0)
        return weakref.ref(large)

    found = make()
    gc.collect()
    assert found() is None


def test_compiled_code_with_callbacks_is_found_on_disk(tmp_path: Any) -> None:
    with cv.config.override(cache=True, cache_dir=str(tmp_path)):
        for k in range(2):
            f = cv.jit(lambda x, k=k: cv.pure_callback(lambda v: np.asarray(v) + k, x, x))
            assert float(f(cnp.float32(1))) == 1 + k
    assert len(list(tmp_path.rglob("*.o"))) == 1


def test_the_oracle_calls_back() -> None:
    seen: list[Any] = []

    @cv.jit
    def f(x: Any) -> Any:
        def body(c: Any, i: Any) -> Any:
            cv.debug.callback(lambda i, c: seen.append((int(i), complex(c))), i, c)
            return c + cv.pure_callback(lambda v: np.asarray(v) * 1j, c, c), i

        return lax.scan(body, x, cnp.arange(3))

    x = cnp.complex64(1)
    kernel = f.lower(x).compile()._executable.kernel
    out = run(kernel, [np.asarray(x)])[0].view(np.complex64)[0]
    oracle = seen.copy()
    seen.clear()
    assert complex(f(x)[0]) == out
    assert seen == oracle
    assert len(seen) == 3


def test_a_pass_that_loses_the_order_is_refused() -> None:
    def f(x: Any) -> Any:
        cv.debug.print("a {}", x, ordered=True)
        cv.debug.print("b {}", x, ordered=True)
        return x

    program = cv.jit(f).trace(1.0).program
    verify_effects(program, program, "nothing")
    assert all(isinstance(eqn.primitive, DebugCallback) for eqn in program.eqns)
    for wrong in (program.eqns[::-1], program.eqns[:1], (*program.eqns, program.eqns[0])):
        with pytest.raises(VerificationError, match="the effects are"):
            verify_effects(program, map_eqns(program, wrong), "a wrong pass")
    assert "ordered 'a {}'" in str(program)


def test_a_breakpoint_shows_the_users_frames() -> None:
    out = io.StringIO()
    commands = io.StringIO("p y\ny + n\nlocals\nu\np above\nbt\nmissing\nc\n")

    @cv.jit
    def f(x: Any) -> Any:
        y, n = x * 2, 1  # noqa: F841
        cv.debug.breakpoint(stdin=commands, stdout=out, num_frames=2)
        return y

    above = "the caller's"
    assert f(cnp.arange(2)).tolist() == [0, 2]
    text = out.getvalue()
    for part in ("->", "Array([0, 2]", "Array([1, 3]", "n = 1", above, "NameError"):
        assert part in text
    quitting = cv.jit(lambda x: cv.debug.breakpoint(stdin=io.StringIO("q\n"), stdout=out))
    with pytest.raises(KeyboardInterrupt):
        quitting(1.0)
    with pytest.raises(ValueError, match="cli"):
        cv.debug.breakpoint(backend="web")


def test_only_what_an_element_chooses_has_its_effects() -> None:
    seen: list[tuple[str, int]] = []

    def branch(name: str) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            io_callback(lambda v: seen.append((name, int(v))), None, x)
            return x * 2

        return f

    def f(p: Any, x: Any) -> Any:
        return lax.cond(p, branch("yes"), branch("no"), x)

    p, x = cnp.array([True, False, True]), cnp.arange(3)
    for g in (cv.vmap(f), cv.jit(cv.vmap(f))):
        seen.clear()
        assert g(p, x).tolist() == [0, 2, 4]
        assert seen == [("yes", 0), ("no", 1), ("yes", 2)]
    seen.clear()
    assert float(cv.jit(cv.grad(lambda x: f(x > 0, x)))(3.0)) == 2
    assert seen == [("yes", 3)]


def test_each_element_runs_its_own_loop() -> None:
    seen: list[tuple[int, int]] = []

    def f(n: Any) -> Any:
        def body(i: Any) -> Any:
            cv.debug.callback(lambda n, i: seen.append((int(n), int(i))), n, i, ordered=True)
            return i + 1

        return lax.while_loop(lambda i: i < n, body, 0)

    for g in (cv.vmap(f), cv.jit(cv.vmap(f))):
        seen.clear()
        assert g(cnp.arange(4)).tolist() == [0, 1, 2, 3]
        assert sorted(seen) == [(n, i) for n in range(4) for i in range(n)]


@pytest.mark.parametrize("kind", ["pure", "io", "debug"])
def test_a_donated_argument_outlives_a_callback_that_fails(kind: str) -> None:
    fail = True

    def called(x: Any) -> Any:
        if fail:
            raise KeyError("no")
        return np.asarray(x)

    def f(x: Any) -> Any:
        y = x.at[0].set(7)
        shape = cv.ShapeDtypeStruct((), np.float32)
        if kind == "debug":
            cv.debug.callback(called, y[0])
            return y + 1
        call = cv.pure_callback if kind == "pure" else io_callback
        return y.at[1].set(call(called, shape, y[0]))

    run = cv.jit(f, donate_argnums=0)
    x = cnp.arange(1e5, dtype=cnp.float32)
    wanted = np.asarray(x).copy()
    for _ in range(2):
        with pytest.raises(KeyError):
            run(x)
        np.testing.assert_array_equal(x, wanted)
    fail = False
    run(x)
    assert x.is_deleted()
