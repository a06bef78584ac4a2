"""Loops over pytrees: what they compute, what they close over, what they say when something does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from covector import grad, jacfwd, jacrev, jit, make_jaxpr, vmap
from covector._engine import primitives as prims
from covector._engine.backends.reference.primitives import evaluate_reference
from covector._engine.base.record import record
from covector._engine.core import trace
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import typeof
from covector._engine.runtime import eager
from covector._engine.transforms import programs
from covector._engine.types.avals import ShapedArray
from covector.lax.control_flow import map as lax_map, scan
from covector.lax.loops import fori_loop

F32 = np.dtype(np.float32)


@pytest.fixture(autouse=True, params=["oracle", "compiled"])
def evaluator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs twice: primitives computed by their reference rules, and by compiled kernels."""
    if request.param == "oracle":
        monkeypatch.setattr(trace, "_evaluator", evaluate_reference)


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_carry_and_slices_are_trees(close: Any) -> None:
    def step(carry: Any, x: Any) -> Any:
        h = prims.add(carry["h"], prims.mul(x[0], x[1]["b"]))
        return {"h": h, "n": prims.add(carry["n"], 1)}, (h, {"twice": prims.mul(h, 2.0)})

    xs = vector(1, 2, 3), {"b": vector(4, 5, 6)}
    carry, (h, rest) = scan(step, {"h": np.float32(1), "n": 0}, xs)
    close(carry["h"], np.float32(33))
    assert int(carry["n"]) == 3
    close(h, vector(5, 15, 33))
    close(rest["twice"], vector(10, 30, 66))


def test_reverse_goes_from_the_last_slice(close: Any) -> None:
    last, seen = scan(
        lambda c, x: (prims.add(prims.mul(c, 2.0), x), c),
        np.float32(0),
        vector(1, 2, 3),
        reverse=True,
    )
    close(last, np.float32(17))
    close(seen, vector(8, 3, 0))


def test_without_slices(close: Any) -> None:
    last, ys = scan(lambda c, _: (prims.mul(c, 2.0), None), np.float32(1), length=5)
    close(last, np.float32(32))
    assert ys is None


@pytest.mark.parametrize("unroll", [1, 2, True, False])
def test_unrolling_does_not_change_the_result(unroll: int | bool, close: Any) -> None:
    last, _ = scan(
        lambda c, x: (prims.add(c, x), None), np.float32(0), vector(1, 2, 3), unroll=unroll
    )
    close(last, np.float32(6))


def test_values_of_outer_transformations_are_closed_over(close: Any) -> None:
    xs = vector(1, 2, 3)

    def f(w: Any) -> Any:
        return scan(lambda c, x: (prims.add(prims.mul(c, w), x), None), np.float32(1), xs)[0]

    w = np.float32(0.5)  # ((w + 1) w + 2) w + 3
    close(grad(f)(w), 3 * w**2 + 2 * w + 2)
    close(grad(grad(f))(w), 6 * w + 2)
    close(vmap(f)(vector(0, 1)), vector(3, 7))
    close(jacfwd(vmap(f))(vector(0, 1)), jacrev(vmap(f))(vector(0, 1)))
    close(grad(lambda w: grad(f)(prims.mul(w, w)))(w), (6 * w**2 + 2) * 2 * w)


def test_weak_carries_take_the_bodys_dtype() -> None:
    last, _ = scan(lambda c, x: (prims.add(prims.convert(c, F32), x), None), 0, vector(1, 2))
    assert typeof(last).text() == "float32[]"
    last, _ = scan(lambda c, x: (prims.add(c, 1), None), 0, length=3)
    assert np.asarray(last).dtype == np.int32


def test_a_body_may_return_numbers(close: Any) -> None:
    last, ys = scan(lambda c, x: (c, 1.0), np.float32(3), vector(1, 2))
    close(last, np.float32(3))
    close(ys, vector(1, 1))


def closed_step(c: Any, x: Any) -> Any:
    """A body that closes over nothing."""
    return prims.add(c, x), c


def test_a_body_that_closes_over_nothing_is_traced_once_for_each_type() -> None:
    programs = [
        make_jaxpr(lambda c, x: scan(closed_step, c, x))(*operands).program
        for operands in (
            (np.float32(0), vector(1, 2)),
            (np.float32(1), vector(3, 4)),
            (np.zeros(()), np.zeros(2)),
        )
    ]
    first, second, other = (p.eqns[0].primitive.body for p in programs)
    assert first is second
    assert first is not other


def test_what_a_body_closes_over_is_looked_up_each_time(close: Any) -> None:
    w = np.float32(2)

    def step(c: Any, x: Any) -> Any:
        return prims.mul(c, w), None

    close(scan(step, np.float32(1), length=2)[0], np.float32(4))
    w = np.float32(3)
    close(scan(step, np.float32(1), length=2)[0], np.float32(9))


# --------------------------------------------------------------------------------------------- fori_loop, map


def test_fori_loop(close: Any) -> None:
    close(
        fori_loop(2, 5, lambda i, v: prims.mul(v, prims.convert(i, F32)), np.float32(1)),
        np.float32(24),
    )
    close(fori_loop(5, 2, lambda i, v: prims.neg(v), np.float32(1)), np.float32(1))
    close(
        grad(lambda x: fori_loop(0, 3, lambda i, v: prims.mul(v, x), np.float32(1)))(np.float32(2)),
        np.float32(12),
    )
    assert np.asarray(fori_loop(np.int64(0), 3, lambda i, v: i, np.int64(0))).dtype == np.int64


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 5, 8])
def test_map(batch_size: int | None, close: Any) -> None:
    xs = {"a": np.arange(10, dtype=np.float32).reshape(5, 2)}
    found = lax_map(
        lambda x: {"s": prims.Sum((0,))(prims.square(x["a"]))}, xs, batch_size=batch_size
    )
    close(found["s"], (xs["a"] ** 2).sum(1))


def test_map_with_a_bad_batch_size() -> None:
    with pytest.raises(ValueError, match="batch_size must be a positive int, got -1"):
        lax_map(lambda x: x, vector(1), batch_size=-1)


# --------------------------------------------------------------------------------------------------- messages


def message(*args: Any, **kwargs: Any) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        scan(*args, **kwargs)
    return str(caught.value)


def test_a_carry_that_changes_its_type() -> None:
    def step(c: Any, x: Any) -> Any:
        return {"h": prims.Broadcast((2,), (0,))(c["h"]), "n": c["n"]}, x

    text = message(step, {"h": np.float32(0), "n": np.int32(0)}, vector(1))
    assert "the carry that step (test_control_flow.py:" in text
    assert "carry['h']: takes float32[], returns float32[2]" in text
    assert "carry['n']" not in text
    assert "at test_control_flow.py:" in text


def test_a_carry_that_changes_its_structure() -> None:
    text = message(lambda c, x: ((c, c), x), np.float32(0), vector(1))
    assert "must have the structure of the one it takes" in text
    assert "takes   PyTreeSpec(*)" in text
    assert "returns PyTreeSpec((*, *))" in text


def test_a_body_that_returns_no_pair() -> None:
    assert "must return a pair (carry, y), it returned Traced<float32[]>" in message(
        lambda c, x: c, np.float32(0), vector(1)
    )


def test_a_body_that_returns_no_array() -> None:
    assert "y['a'] of <lambda> (test_control_flow.py:" in message(
        lambda c, x: (c, {"a": "text"}), np.float32(0), vector(1)
    )


def test_the_number_of_steps() -> None:
    def step(c: Any, x: Any) -> Any:
        return c, x

    assert "scan needs xs or length" in message(step, np.float32(0))
    text = message(step, np.float32(0), {"a": vector(1, 2), "b": vector(1)})
    assert "xs['a']: float32[2]" in text
    assert "xs['b']: float32[1]" in text
    assert "must have one size, length=3" in message(step, np.float32(0), vector(1, 2), 3)
    assert "xs[1] is float32[], which has no leading axis" in message(
        step, np.float32(0), (vector(1), np.float32(1))
    )


def test_values_that_are_no_arrays() -> None:
    assert "scan: init['a'] is 'text' of type str" in message(
        lambda c, x: (c, x), {"a": "text"}, vector(1)
    )
    assert "scan: xs[0] is <object" in message(lambda c, x: (c, x), np.float32(0), [object()])
    assert "scan takes a function, got 3" in message(3, np.float32(0), vector(1))


# ------------------------------------------------------------------------------------- traced again


def closures(w: Any, name: str) -> Any:
    """A loop whose body is a new function each time, and closes over w."""
    xs = vector(1, 2, 3)
    match name:
        case "scan":
            return scan(lambda c, x: (prims.add(prims.mul(c, w), x), c), np.float32(0), xs)[0]
        case "fori_loop":
            return fori_loop(0, 3, lambda i, c: prims.mul(c, w), np.float32(1))
        case _:
            return prims.Sum((0,))(lax_map(lambda x: prims.mul(x, prims.mul(w, w)), xs))


@pytest.mark.parametrize("name", ["scan", "fori_loop", "map"])
@pytest.mark.parametrize("transform", ["", "grad", "vmap", "jacfwd"])
def test_a_new_closure_of_the_same_content_is_compiled_once(name: str, transform: str) -> None:
    apply: Any = {"": lambda f: f, "grad": grad, "vmap": vmap, "jacfwd": jacfwd}[transform]

    def run(w: float) -> Any:
        value = eager.as_array(np.asarray([w] * 2 if transform == "vmap" else w, np.float32))
        return apply(lambda w: closures(w, name))(value)

    run(2.0)
    before = eager.executable.cache_info().misses
    first, second = run(2.0), run(3.0)
    assert eager.executable.cache_info().misses == before
    assert np.all(np.asarray(first) != np.asarray(second))


def test_programs_that_differ_are_not_one() -> None:
    x = ShapedArray((), F32)

    def staged(f: Any) -> Any:
        return programs.interned(trace.stage(lambda x: [f(x)], [x], "f"))

    def twice(k: float) -> Any:
        return staged(lambda x: prims.mul(x, k))

    assert twice(2.0) is twice(2.0)
    assert twice(2.0) is not twice(3.0)
    other = staged(lambda x: prims.mul(x, 2.0))  # from another line, which messages name
    assert other is not twice(2.0)
    assert twice(0.0) is not twice(-0.0)


# -------------------------------------------------------------------------------------- named axes


@record
class AxisIndex(Primitive):
    """Where along a named axis one is."""

    axis: str
    name = "axis_index"

    @property
    def axis_names(self) -> frozenset[Any]:  # type: ignore[override]
        return frozenset({self.axis})

    def type(self, *avals: ShapedArray) -> ShapedArray:
        return ShapedArray((), np.dtype(np.int32))

    def batch_named(self, args: Any, dims: Any, size: Any, axis_name: Any) -> tuple[Any, Any]:
        assert axis_name == self.axis
        return prims.Iota((size,), np.dtype(np.int32), 0)(), 0


BODIES: dict[str, Any] = {
    "plain": lambda f: f,
    "jit": jit,
    "jit of vmap": lambda f: lambda x: jit(vmap(lambda _, x: f(x), (0, None)))(vector(0, 0), x)[0],
    "scan": lambda f: lambda x: scan(lambda c, _: (f(c), None), x, None, 1)[0],
    "scan of jit": lambda f: lambda x: scan(lambda c, _: (jit(f)(c), None), x, None, 1)[0],
    "jit of scan": lambda f: jit(lambda x: scan(lambda c, _: (f(c), None), x, None, 1)[0]),
}


@pytest.mark.parametrize("body", BODIES)
def test_names_of_mapped_axes_reach_the_programs_inside(body: str) -> None:
    def f(x: Any) -> Any:
        i, j = (prims.convert(AxisIndex(axis)(), F32) for axis in "ij")
        return prims.add(x, prims.add(prims.mul(i, 10.0), j))

    inside = BODIES[body](f)
    x = np.full((2, 3), 100, np.float32)
    wanted = 100 + 10 * np.arange(2)[:, None] + np.arange(3)
    mapped = vmap(vmap(inside, axis_name="j"), axis_name="i")
    np.testing.assert_array_equal(np.asarray(mapped(x)), wanted)
    np.testing.assert_array_equal(np.asarray(jit(mapped)(x)), wanted)
    if body.startswith("jit"):  # without a mapped operand it is compiled on its own
        return
    constant = vmap(vmap(lambda x: inside(np.float32(100)), axis_name="j"), axis_name="i")
    np.testing.assert_array_equal(np.asarray(constant(x)), wanted)
