"""Mutable references: where they may be used, what is an error, what is updated in place."""

from __future__ import annotations

import copy
import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector.errors import LeakedTracerError, UnexpectedTracerError

LINE = r"test_refs\w*\.py:\d+"


def refused(kind: type[Exception], text: str, f: Callable[..., Any], *args: Any) -> None:
    """The call raises, and says this and the user's line."""
    with pytest.raises(kind, match=text) as caught:
        f(*args)
    assert re.search(LINE, str(caught.value)), caught.value


# ------------------------------------------------------------------------------------------------------- eager


def test_every_index_of_numpy_reads_and_writes() -> None:
    start = np.arange(12.0).reshape(3, 4)
    ref, mirror = cv.new_ref(cnp.asarray(start)), start.copy()
    for index in (
        0, (1, 2), slice(0, 2), (slice(None), 1), (0, slice(None, 3)), (Ellipsis, -1), ..., (slice(None, None, 2),),
        (np.array([0, 2]), np.array([1, 3])), np.array([True, False, True]), (None, 1), (slice(None, None, -1), 2),
    ):  # fmt: skip
        np.testing.assert_array_equal(ref[index], mirror[index])
        value = np.random.default_rng(0).normal(size=mirror[index].shape)
        ref[index] = cnp.asarray(value)
        mirror[index] = value
        ref[index] += 1.5
        mirror[index] += 1.5
        np.testing.assert_array_equal(ref[...], mirror)


def test_a_value_that_was_read_stays_as_it_is() -> None:
    given = cnp.arange(3.0)
    ref = cv.new_ref(given)
    before = ref[...]
    seen = np.asarray(before)
    ref[0] = 7.0
    cv.jit(lambda: ref.__setitem__(1, 8.0))()
    after = ref[...]
    ref[2] = 9.0
    assert given.tolist() == before.tolist() == seen.tolist() == [0, 1, 2]
    assert after.tolist() == [7, 8, 2]
    assert ref[...].tolist() == [7, 8, 9]


def test_an_array_that_was_written_whole_stays_the_users() -> None:
    x = cnp.ones(3)
    ref = cv.new_ref(cnp.zeros(3))
    ref[...] = x
    ref[0] = 5.0
    assert x.tolist() == [1, 1, 1]
    assert ref[...].tolist() == [5, 1, 1]


def test_functions_of_the_module() -> None:
    ref = cv.new_ref(cnp.zeros(3))
    cv.ref.set(ref, 1, 2.0)
    assert float(cv.ref.swap(ref, 1, 5.0)) == 2.0
    cv.ref.addupdate(ref, cnp.array([0, 0, 1]), cnp.array([1.0, 2.0, 3.0]))
    assert cv.ref.get(ref).tolist() == [3, 8, 0]
    assert cv.ref.get(ref, slice(1, None)).tolist() == [
        8,
        0,
    ]
    ref.addupdate(1.0)
    assert cv.freeze(ref).tolist() == [4, 9, 1]


def test_parts_of_a_ref_are_read_and_written() -> None:
    ref = cv.new_ref(cnp.zeros((3, 4)))
    row = ref.at[1]
    row[2] = 5.0
    row.at[1:].at[0][...] += 2.0
    cv.ref.addupdate(row, 3, 1.0)
    row.at[0][...] = 4.0
    assert row[...].tolist() == [4, 2, 5, 1]
    assert float(row.at[2:][0]) == 5
    assert ref[...].sum() == 12


def test_attributes_and_texts() -> None:
    ref = cv.new_ref(cnp.zeros((2, 3), "int32"))
    assert (ref.shape, ref.dtype, ref.ndim, ref.size, len(ref)) == (
        (2, 3),
        np.dtype("int32"),
        2,
        6,
        2,
    )
    assert ref.aval.inner_aval.shape == (2, 3)
    assert ref.aval.dtype == np.dtype("int32")
    assert isinstance(ref, cv.Ref)
    assert not isinstance(ref, cv.Array)
    assert repr(ref) == "Ref([[0, 0, 0],\n     [0, 0, 0]], dtype=int32)"
    cv.jit(lambda: repr(ref))  # does not lift it
    assert cv.empty_ref(cv.ShapeDtypeStruct((2,), "float32")).shape == (2,)
    assert cv.new_ref(1.0).dtype == np.dtype("float32")
    assert not cv.new_ref(1)[...].weak_type


def test_a_ref_is_no_array() -> None:
    ref = cv.new_ref(cnp.zeros(3))
    refused(TypeError, r"read its value first", cnp.sin, ref)
    refused(TypeError, r"read its value first", np.asarray, ref)
    refused(TypeError, r"no truth value", bool, ref)
    refused(TypeError, r"not iterable", iter, ref)
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.deepcopy(ref)
    refused(TypeError, r"no Refs of Refs", cv.new_ref, ref)
    with pytest.raises(TypeError):
        ref + 1  # type: ignore[operator]


@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit])
def test_wrong_writes_are_told(wrap: Any) -> None:
    ref = cv.new_ref(cnp.zeros(3, "int32"))
    refused(
        TypeError,
        r"float32\*\[\] is written to a Ref of int32",
        wrap(lambda: ref.__setitem__(0, 1.5)),
    )
    refused(TypeError, r"float32\[3\] is written", wrap(lambda: ref.__setitem__(..., cnp.ones(3))))
    refused(
        ValueError, r"shape does not fit", wrap(lambda: ref.__setitem__(..., cnp.zeros(2, "int32")))
    )
    refused(
        ValueError, r"does not fit", wrap(lambda: ref.__setitem__(slice(2), cnp.zeros(3, "int32")))
    )
    refused(TypeError, r"write to a Ref", wrap(lambda: ref.__setitem__(0, "text")))
    refused(TypeError, r"write to a Ref", wrap(lambda: ref.__setitem__(0, ref)))
    assert ref[...].tolist() == [0, 0, 0]
    ref[...] = 2
    assert ref[...].tolist() == [2, 2, 2]


# --------------------------------------------------------------------------------------------------------- jit


def test_one_trace_serves_all_refs_of_a_type() -> None:
    traces = 0

    @cv.jit
    def move(a: Any, b: Any) -> Any:
        nonlocal traces
        traces += 1
        a[...] = b[...] * 2
        return a[...].sum()

    refs = [cv.new_ref(cnp.full(2, float(i))) for i in range(4)]
    for a in refs:
        for b in refs:
            if a is not b:
                was = float(b[0])
                assert float(move(a, b)) == 4 * was
                assert float(a[0]) == 2 * was
                assert float(b[0]) == was
    assert traces == 1
    move(cv.new_ref(cnp.zeros(3)), cv.new_ref(cnp.ones(3)))
    assert traces == 2


def test_refs_in_trees_and_keywords() -> None:
    @cv.jit
    def f(state: dict[str, Any], *, log: Any) -> Any:
        state["n"][...] += 1
        log[0] = state["w"] * 2
        return {"w": state["w"] + 1}

    state = {"n": cv.new_ref(0), "w": cnp.ones(2)}
    log = cv.new_ref(cnp.zeros((3, 2)))
    assert f(state, log=log)["w"].tolist() == [2, 2]
    f(state, log=log)
    assert int(state["n"][...]) == 2
    assert log[0].tolist() == [2, 2]


def test_what_is_captured_is_read_anew_at_each_call() -> None:
    ref = cv.new_ref(1.0)
    f = cv.jit(lambda x: ref[...] * x)
    assert float(f(2.0)) == 2
    ref[...] = 5.0
    assert float(f(2.0)) == 10
    assert float(cv.jit(lambda x: f(x) + ref[...])(2.0)) == 15


def test_nested_functions_share_what_they_capture() -> None:
    ref = cv.new_ref(0.0)

    @cv.jit
    def inner(x: Any) -> Any:
        ref[...] = ref[...] * 2 + x
        return ref[...]

    @cv.jit
    def outer(x: Any) -> Any:
        ref[...] += 1
        a = inner(x)
        local = cv.new_ref(a)

        @cv.jit
        def add(y: Any) -> None:
            local[...] += y

        add(10.0)
        inner(local[...])
        return a, local[...]

    a, b = outer(1.0)
    assert (float(a), float(b), float(ref[...])) == (3, 13, 19)


@pytest.mark.parametrize("form", ["eager", "captured", "passed"])
def test_a_large_ref_is_updated_in_place(form: str) -> None:
    ref = cv.new_ref(cnp.zeros(1 << 20))
    captured = cv.jit(lambda i: ref.__setitem__(i, 1.0))
    passed = cv.jit(lambda r, i: r.__setitem__(i, 1.0))
    write = {
        "eager": lambda i: ref.__setitem__(i, 1.0), "captured": captured, "passed": lambda i: passed(ref, i),
    }[form]  # fmt: skip
    write(0)  # the first array was the user's
    place = ref.unsafe_buffer_pointer()
    for i in range(5):
        write(i)
        assert ref.unsafe_buffer_pointer() == place
    view = np.asarray(ref[...])
    write(7)
    assert ref.unsafe_buffer_pointer() != place
    assert view[7] == 0
    assert float(ref[7]) == 1


def test_loops_update_a_captured_ref_in_place() -> None:
    ref = cv.new_ref(cnp.zeros(1 << 18))

    @cv.jit
    def fill() -> None:
        lax.fori_loop(0, 1 << 10, lambda i, _: ref.__setitem__(i, 1.0), None)

    fill()
    place = ref.unsafe_buffer_pointer()
    fill()
    assert ref.unsafe_buffer_pointer() == place
    assert float(ref[...].sum()) == 1 << 10


def test_stages_take_refs() -> None:
    other = cv.new_ref(3.0)

    @cv.jit
    def f(r: Any, x: Any) -> Any:
        r[...] += x * other[...]
        other[...] += 1
        return r[...]

    ref = cv.new_ref(1.0)
    compiled = f.lower(ref, 2.0).compile()
    assert float(compiled(ref, 2.0)) == 7
    assert float(other[...]) == 4
    assert float(compiled(ref, 2.0)) == 15
    assert f.eval_shape(ref, 2.0).shape == ()
    assert float(ref[...]) == 15
    assert cv.eval_shape(f, ref, 2.0).shape == ()
    assert float(other[...]) == 5
    program = cv.make_jaxpr(lambda r: r.__setitem__(..., other[...]))(ref).program
    assert (len(program.inputs), len(program.outputs)) == (2, 1)


def test_what_jit_keeps_holds_captured_refs_and_lets_passed_ones_go() -> None:
    f = cv.jit(lambda r: r.__setitem__(..., 1.0))
    ref = cv.new_ref(0.0)
    f(ref)
    gone = weakref.ref(ref)
    del ref
    gc.collect()
    assert gone() is None

    def make() -> Any:
        inner = cv.new_ref(0.0)
        kept.append(weakref.ref(inner))
        return cv.jit(lambda: inner[...] + 1)

    kept: list[Any] = []
    function = make()
    function()
    assert kept[0]() is not None
    del function
    gc.collect()
    assert kept[0]() is None


def test_disable_jit_and_slow_paths() -> None:
    ref = cv.new_ref(0.0)
    f = cv.jit(lambda x: ref.__setitem__(..., ref[...] + x))
    with cv.disable_jit():
        f(1.0)
    with cv.config.override(fast_paths=False):
        f(1.0)
        ref[...] += 1
    assert float(ref[...]) == 3


# -------------------------------------------------------------------------------------------- what is refused


def test_aliases_are_refused() -> None:
    a = cv.new_ref(0.0)
    write = cv.jit(lambda x, y: x.__setitem__(..., y[...]))
    refused(ValueError, "more than one argument", write, a, a)
    captures = cv.jit(lambda x: x.__setitem__(..., a[...]))
    for _ in range(2):
        refused(ValueError, "also closes over it", captures, a)
    captures(cv.new_ref(1.0))
    refused(
        ValueError, "more than one", lambda: lax.cond(True, lambda x, y: 0, lambda x, y: 1, a, a)
    )
    refused(ValueError, "more than one", lambda: cv.vmap(lambda x, y: 0, None, axis_size=2)(a, a))
    refused(ValueError, "more than one", lambda: cv.checkpoint(lambda x, y: 0)(a, a))


def test_refs_are_not_returned_or_carried() -> None:
    a = cv.new_ref(0.0)
    hint = "use its value"
    refused(TypeError, hint, cv.jit(lambda r: r), a)
    refused(TypeError, hint, cv.jit(lambda: {"r": cv.new_ref(1.0)}))
    refused(TypeError, hint, lambda: lax.scan(lambda c, x: (c, a), 0, cnp.arange(3)))
    refused(TypeError, hint, lambda: lax.scan(lambda c, x: (c, x), a, cnp.arange(3)))
    refused(TypeError, hint, lambda: lax.while_loop(lambda c: False, lambda c: c, a))
    refused(TypeError, hint, lambda: lax.cond(True, lambda: a, lambda: a))
    refused(TypeError, hint, lambda: cv.vmap(lambda x: a)(cnp.ones(2)))
    refused(TypeError, hint, lambda: cv.checkpoint(lambda x: a)(1.0))
    refused(TypeError, hint, lambda: cv.grad(lambda x: x[...])(a))


def test_a_ref_after_its_end() -> None:
    leaked: list[Any] = []

    @cv.jit
    def f(x: Any, r: Any) -> Any:
        leaked.extend([cv.new_ref(x), r])
        return x

    f(1.0, cv.new_ref(0.0))
    refused(UnexpectedTracerError, "had been traced", lambda: leaked[0][...])
    refused(UnexpectedTracerError, "had been traced", lambda: leaked[0].__setitem__(..., 1.0))
    refused(UnexpectedTracerError, "had been traced", cv.jit(lambda: leaked[0][...]))
    refused(RuntimeError, "has ended", lambda: leaked[1][...])
    ref = cv.new_ref(0.0)
    cv.freeze(ref)
    refused(RuntimeError, "it was frozen", lambda: ref[...])
    refused(RuntimeError, "it was frozen", cv.jit(lambda: ref[...]))
    refused(RuntimeError, "it was frozen", cv.jit(lambda r: r[...]), ref)
    assert repr(ref) == "Ref<float32[]>"
    other = cv.new_ref(0.0)
    cv.free_ref(other)
    refused(RuntimeError, "it was freed", lambda: other.__setitem__(..., 1.0))


def test_only_where_it_was_made_a_ref_is_frozen() -> None:
    ref = cv.new_ref(1.0)
    for frozen in (cv.jit(lambda: cv.freeze(ref)), cv.jit(lambda: cv.free_ref(ref))):
        refused(RuntimeError, "did not make it", frozen)
    refused(RuntimeError, "did not make it", cv.jit(cv.freeze), ref)
    refused(RuntimeError, "did not make it", cv.grad(lambda x: cv.freeze(ref) * x), 1.0)
    assert float(cv.freeze(ref)) == 1
    assert float(cv.jit(lambda x: cv.freeze(cv.new_ref(x)) + 1)(2.0)) == 3


def test_the_condition_of_a_loop_only_reads() -> None:
    ref = cv.new_ref(3)

    def writes(i: Any) -> Any:
        ref[...] = 0
        return i < 3

    refused(TypeError, "writes a Ref", lambda: lax.while_loop(writes, lambda i: i + 1, 0))
    assert int(lax.while_loop(lambda i: i < ref[...], lambda i: i + 1, 0)) == 3

    def body(i: Any) -> Any:
        ref[...] -= 1
        return i + 1

    ref[...] = 10
    assert int(lax.while_loop(lambda i: i < ref[...], body, 0)) == 5
    assert int(ref[...]) == 5


# ----------------------------------------------------------------------------------------- loops and branches


def test_no_step_leaves_refs_as_they_are() -> None:
    ref = cv.new_ref(1.0)
    lax.fori_loop(0, 0, lambda i, _: ref.__setitem__(..., 5.0), None)
    cv.jit(lambda n: lax.fori_loop(0, n, lambda i, _: ref.__setitem__(..., 5.0), None))(0)
    assert float(ref[...]) == 1


def test_loops_without_carry_or_results_run_for_what_they_write() -> None:
    total = cv.new_ref(0)

    def add(x: Any) -> None:
        total[...] += x

    lax.scan(lambda _, x: (None, add(x)), None, cnp.arange(4), reverse=True)
    lax.map(add, cnp.arange(4))
    lax.switch(1, [lambda: None, lambda: add(100)])
    lax.cond(False, lambda: add(1), lambda: None)
    cv.jit(lambda: add(1000))()
    assert int(total[...]) == 1112


def test_functions_that_refs_are_operands_of() -> None:
    ref, other = cv.new_ref(cnp.zeros(2)), cv.new_ref(7.0)

    def first(r: Any, x: Any) -> Any:
        r[0] = x
        return x

    def second(r: Any, x: Any) -> Any:
        r[1] = other[...]
        return x + 1

    for choose in (lax.cond, cv.jit(lax.cond, static_argnums=(1, 2))):
        ref[...] = 0.0
        assert float(choose(True, first, second, ref, 3.0)) == 3
        assert float(choose(False, first, second, ref, 3.0)) == 4
        assert ref[...].tolist() == [3, 7]
    assert float(lax.switch(1, [first, second], ref, 1.0)) == 2


# ------------------------------------------------------------------------------------------------- callbacks


def test_reads_and_writes_are_in_order_with_callbacks() -> None:
    ref, seen = cv.new_ref(0), list[int]()

    @cv.jit
    def f() -> None:
        def body(i: Any, _: Any) -> None:
            cv.debug.callback(lambda v: seen.append(int(v)), ref[...], ordered=True)
            ref[...] += 1
            cv.debug.callback(lambda v: seen.append(int(v)), ref[...] * 10, ordered=True)

        lax.fori_loop(0, 2, body, None)

    f()
    cv.effects_barrier()
    assert seen == [0, 10, 1, 20]
    assert int(ref[...]) == 2


def test_a_callback_cannot_use_what_its_caller_changes() -> None:
    ref, other = cv.new_ref(1.0), cv.new_ref(2.0)
    values = list[float]()

    def host(x: Any) -> Any:
        values.append(float(other[...]))
        return np.float32(ref[...])

    shape = cv.ShapeDtypeStruct((), np.float32)

    @cv.jit
    def f() -> Any:
        ref[...] += other[...]
        return cv.pure_callback(host, shape, ref[...])

    with pytest.raises(RuntimeError, match="called back from a compiled call"):
        f()
    assert values == [2.0]
    assert float(ref[...]) == 1
    ref[...] = 5.0
    assert float(ref[...]) == 5


def test_what_a_callback_raises_leaves_refs_as_they_were() -> None:
    ref = cv.new_ref(cnp.zeros(4))

    def fails(x: Any) -> Any:
        raise ZeroDivisionError("on purpose")

    @cv.jit
    def f() -> Any:
        ref[0] = 1.0
        return cv.pure_callback(fails, cv.ShapeDtypeStruct((), np.float32), ref[0])

    with pytest.raises(ZeroDivisionError):
        f()
    assert ref[...].tolist() == [0, 0, 0, 0]
    ref[1] = 2.0
    assert ref[...].tolist() == [0, 2, 0, 0]


def test_a_checkpointed_function_uses_the_ref_that_its_name_stands_for() -> None:
    ref = first = cv.new_ref(0.0)

    @cv.checkpoint
    def f(x: Any) -> Any:
        ref[...] += x
        return x

    f(1.0)
    ref = cv.new_ref(0.0)
    f(1.0)
    f(1.0)
    assert [float(first[...]), float(ref[...])] == [1, 2]


def test_no_trace_is_left_behind() -> None:
    kept: list[Any] = []

    @cv.jit
    def f(ref: Any, x: Any) -> Any:
        local = cv.new_ref(x)
        lax.fori_loop(0, 3, lambda i, _: ref.__setitem__(i, local[...]), None)
        return local[...]

    with cv.checking_leaks():
        f(cv.new_ref(cnp.zeros(3)), 2.0)
        cv.vmap(lambda x, r: r.__setitem__(0, x))(cnp.arange(2.0), cv.new_ref(cnp.zeros((2, 2))))
        with pytest.raises(LeakedTracerError):
            cv.jit(lambda x: kept.append(cv.new_ref(x)))(1.0)


def test_a_call_that_debug_nans_stops_leaves_refs_as_they_were() -> None:
    ref = cv.new_ref(0.0)
    f = cv.jit(lambda: ref.__setitem__(..., cnp.log(ref[...] - 1)))
    with cv.config.override(debug_nans=True), pytest.raises(FloatingPointError, match=LINE):
        f()
    assert float(ref[...]) == 0


def test_the_type_of_a_ref() -> None:
    ref = cv.new_ref(cnp.ones((2, 3)))
    assert cv.typeof(ref) == ref.aval
    assert (cv.typeof(ref).shape, cv.typeof(ref).dtype) == ((2, 3), "float32")
    assert cv.typeof(1.0) == cv.typeof(cnp.asarray(1.0))
    with pytest.raises(TypeError, match="an operation got 'x'"):
        cv.typeof("x")
    assert cv.new_ref(0.1).dtype == "float32"
