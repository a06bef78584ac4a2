"""The FFI: handlers in C, compiled here with the header that is shipped, called from compiled code."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

import covector
import covector.numpy as np
from covector import ffi, lax
from covector._engine.base.config import config
from covector.extend.core import Primitive
from covector.interpreters import ad, mlir

SOURCE = (Path(__file__).parent / "handlers.c").read_text()
HANDLERS = (
    "scaled", "sum", "add_one_in_place", "described", "first_in_memory", "later", "counted"
)  # fmt: skip
X = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def library(compile_c: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    found = compile_c(SOURCE, f"-I{ffi.include_dir()}", "-Wall", "-Werror")
    for name in HANDLERS:
        ffi.register_ffi_target(f"tests.{name}", ffi.pycapsule(getattr(found, name)))
    return found


pytestmark = pytest.mark.usefixtures("library")


def like(x: Any) -> covector.ShapeDtypeStruct:
    return covector.ShapeDtypeStruct(numpy.shape(x), numpy.float32)


def scaled(x: Any, factor: Any = 2.0, **options: Any) -> Any:
    return ffi.ffi_call("tests.scaled", like(x), **options)(x, factor=factor)


def test_called_alone_and_in_programs() -> None:
    numpy.testing.assert_array_equal(scaled(X), 2 * X)
    numpy.testing.assert_array_equal(covector.jit(lambda x: scaled(x + 1) * 3)(X), (X + 1) * 6)

    def step(c: Any, x: Any) -> Any:
        return scaled(c + x, 0.5), scaled(x)

    last, each = covector.jit(lambda x: lax.scan(step, x[0], x))(X)
    numpy.testing.assert_array_equal(last, (X[0] / 2 + X[0] / 2 + X[1]) / 2)
    numpy.testing.assert_array_equal(each, 2 * X)
    doubled = covector.jit(lambda x: lax.while_loop(lambda x: x[0, 1] < 10, scaled, x))
    numpy.testing.assert_array_equal(doubled(X), X * 16)
    chosen = covector.jit(lambda x: lax.cond(x[0, 1] > 0, scaled, lambda x: x, x))
    numpy.testing.assert_array_equal(chosen(X), 2 * X)
    assert "ffi_call[tests.scaled]" in str(covector.make_jaxpr(scaled)(X))


def test_several_results_and_no_operands() -> None:
    def both(x: Any) -> Any:
        return ffi.ffi_call("tests.sum", [like(x)])(x, x), ffi.ffi_call("tests.sum", (like(x),))(
            x, x
        )

    (a,), (b,) = covector.jit(both)(X)
    numpy.testing.assert_array_equal(a, 2 * X)
    numpy.testing.assert_array_equal(b, 2 * X)
    found = both(X)
    assert (type(found[0]), type(found[1])) == (list, tuple)


def test_attributes_of_every_kind() -> None:
    call = ffi.ffi_call("tests.described", covector.ShapeDtypeStruct((256,), numpy.uint8))
    given: dict[str, Any] = {
        "whole": 3, "narrow": numpy.int32(4), "flag": True, "text": "héllo", "all": numpy.array([1, 2, 3]),
        "listed": [5, 6], "more": {"b": "x", "a": {"c": -1}}, "none": "",
    }  # fmt: skip
    found = bytes(numpy.asarray(covector.jit(lambda x: call(x, **given))(X))).rstrip(b"\0").decode()
    assert found == (
        "all=5[1 2 3];flag=1:1;listed=5[5 6];more={a={c=5:-1;};b='x';};narrow=4:4;none='';text='héllo';whole=5:3;2,3,"
    )
    with pytest.raises(TypeError, match="the attribute wrong is"):
        call(X, wrong=object())


def test_what_differs_in_attributes_alone_is_not_merged() -> None:
    one, two = covector.jit(lambda x: (scaled(x, 2.0), scaled(x, 3.0)))(X)
    numpy.testing.assert_array_equal(one, 2 * X)
    numpy.testing.assert_array_equal(two, 3 * X)
    for factor in (2.0, 5.0):
        numpy.testing.assert_array_equal(scaled(X, factor), factor * X)


@pytest.mark.parametrize("how", [lambda f: f, covector.jit], ids=["eager", "jit"])
def test_errors_become_exceptions_and_nothing_is_lost(how: Any) -> None:
    x = np.asarray(X)
    cases = [
        (
            lambda x: scaled(x, -1.0),
            RuntimeError,
            "tests.scaled: OUT_OF_RANGE: the factor is negative",
        ),
        (lambda x: scaled(x, 1e9), MemoryError, "tests.scaled: RESOURCE_EXHAUSTED: too much"),
        (lambda x: scaled(x, 1), RuntimeError, "INVALID_ARGUMENT: no float64 'factor'"),
        (lambda x: scaled(x.astype("float64")), NotImplementedError, "UNIMPLEMENTED: float32 only"),
    ]
    for f, kind, text in cases:
        with pytest.raises(kind, match=text):
            covector.block_until_ready(how(f)(x))
    loop = how(lambda x: lax.fori_loop(0, 5, lambda i, x: scaled(x, -1.0), x))
    with pytest.raises(RuntimeError, match="OUT_OF_RANGE"):
        covector.block_until_ready(loop(x))
    numpy.testing.assert_array_equal(scaled(x), 2 * X)


@pytest.mark.parametrize(
    "method", ["sequential", "sequential_unrolled", "expand_dims", "broadcast_all"]
)
def test_vmap(method: str) -> None:
    def plus(x: Any, y: Any) -> Any:
        return ffi.ffi_call("tests.sum", like(x), vmap_method=method)(x, y)

    rows, row = numpy.stack([X, X + 1, X * 2]), X[0]
    for f in (covector.vmap(plus), covector.jit(covector.vmap(plus))):
        numpy.testing.assert_array_equal(f(rows, rows), 2 * rows)
    numpy.testing.assert_array_equal(
        covector.vmap(plus, (2, None), 1)(numpy.moveaxis(rows, 0, 2), X),
        numpy.moveaxis(rows + X, 0, 1),
    )
    numpy.testing.assert_array_equal(
        covector.vmap(covector.vmap(plus, (0, None)), (0, None))(rows, row), rows + row
    )


def test_vmap_without_a_method_says_so() -> None:
    with pytest.raises(
        NotImplementedError, match=r"vmap of the ffi_call of 'tests.scaled'.*vmap_method"
    ):
        covector.vmap(scaled)(X)
    with pytest.raises(ValueError, match="vmap_method must be"):
        scaled(X, vmap_method="somehow")


@pytest.mark.parametrize("donate", [(), (0,)])
def test_operands_in_the_place_of_results(donate: tuple[int, ...]) -> None:
    def add_one(x: Any, **options: Any) -> Any:
        return ffi.ffi_call(
            "tests.add_one_in_place", like(x), input_output_aliases={0: 0}, **options
        )(x)

    x = np.asarray(X)
    numpy.testing.assert_array_equal(add_one(x), X + 1)
    numpy.testing.assert_array_equal(x, X)
    numpy.testing.assert_array_equal(covector.jit(lambda x: add_one(x * 2) + x)(x), X * 3 + 1)
    numpy.testing.assert_array_equal(
        covector.jit(add_one, donate_argnums=donate)(np.array(X)), X + 1
    )
    many = covector.jit(
        lambda x: lax.fori_loop(0, 10, lambda _, x: add_one(x), x), donate_argnums=donate
    )
    numpy.testing.assert_array_equal(many(np.array(X)), X + 10)
    for method in ("sequential", "expand_dims", "broadcast_all", "legacy_vectorized"):
        mapped = covector.vmap(lambda x, m=method: add_one(x, vmap_method=m))
        numpy.testing.assert_array_equal(mapped(x), X + 1)
    for wrong, text in (({1: 0}, "1 operands and 1"), ({0: 3}, "results"), ({-1: 0}, "operands")):
        with pytest.raises(ValueError, match=text):
            ffi.ffi_call("tests.add_one_in_place", like(x), input_output_aliases=wrong)(x)
    with pytest.raises(ValueError, match="one type and one layout"):
        ffi.ffi_call("tests.add_one_in_place", like(x[0]), input_output_aliases={0: 0})(x)


def test_layouts() -> None:
    def columns(x: Any, **options: Any) -> Any:
        first = covector.ShapeDtypeStruct((2,), numpy.float32)
        return ffi.ffi_call("tests.first_in_memory", first, input_layouts=[(1, 0)], **options)(x)

    numpy.testing.assert_array_equal(columns(X), X[:, 0])
    rows = numpy.stack([X, X + 10])
    for method in ("sequential", "legacy_vectorized"):
        mapped = covector.vmap(lambda x, m=method: columns(x, vmap_method=m))
        numpy.testing.assert_array_equal(mapped(rows)[0], X[:, 0])
    turned = ffi.ffi_call("tests.scaled", like(X), input_layouts=[(1, 0)], output_layouts=(1, 0))
    numpy.testing.assert_array_equal(covector.jit(lambda x: turned(x, factor=2.0))(X), 2 * X)
    described = ffi.ffi_call(
        "tests.described", covector.ShapeDtypeStruct((8,), numpy.uint8), input_layouts=[(1, 0)]
    )
    assert bytes(numpy.asarray(described(X))).startswith(b"2,3,")  # dims are those of the array
    with pytest.raises(ValueError, match="each axis once"):
        ffi.ffi_call("tests.scaled", like(X), input_layouts=[(0, 0)])(X, factor=1.0)


def test_effects_are_kept_and_pure_calls_run_only_if_needed(library: ctypes.CDLL) -> None:
    def count(x: Any, effect: bool) -> Any:
        call = ffi.ffi_call(
            "tests.counted", like(x), has_side_effect=effect, vmap_method="sequential"
        )
        return call(x)

    one = numpy.float32(1)

    def runs(f: Any, *args: Any) -> int:
        before = library.number_of_calls()
        covector.block_until_ready(f(*args))
        return library.number_of_calls() - before

    assert runs(covector.jit(lambda x: (count(x, True), x)[1]), one) == 1
    assert runs(covector.jit(lambda x: (count(x, False), x)[1]), one) == 0
    assert runs(covector.jit(lambda x: count(x, True) + count(x, True)), one) == 2
    loop = covector.jit(lambda x: lax.fori_loop(0, 7, lambda i, c: (count(c, True), c + 1)[1], x))
    assert runs(loop, one) == 7
    assert runs(covector.vmap(lambda x: count(x, True)), numpy.ones(4, numpy.float32)) == 4


def test_derivatives_by_a_rule() -> None:
    with pytest.raises(NotImplementedError, match=r"ffi_call has no derivative.*custom_jvp"):
        covector.grad(lambda x: np.sum(scaled(x)))(X)

    @covector.custom_vjp
    def double(x: Any) -> Any:
        return scaled(x)

    double.defvjp(lambda x: (double(x), None), lambda _, ct: (scaled(ct),))
    for f in (covector.grad, lambda f: covector.jit(covector.grad(f))):
        numpy.testing.assert_array_equal(f(lambda x: np.sum(double(x) * X))(X), 2 * X)


def test_stages_share_a_state(library: ctypes.CDLL) -> None:
    for name in ("counter_type_id", "counter_type_info"):
        getattr(library, name).restype = ctypes.c_void_p
    ffi.register_ffi_type(
        "tests.counter",
        {"type_id": library.counter_type_id(), "type_info": library.counter_type_info()},
    )
    stages = {s: getattr(library, f"count_{s}") for s in ("instantiate", "prepare", "execute")}
    ffi.register_ffi_target("tests.count", stages)
    call = ffi.ffi_call(
        "tests.count", covector.ShapeDtypeStruct((3,), numpy.int32), has_side_effect=True
    )
    counts = covector.jit(lambda: call())
    assert [numpy.asarray(counts()).tolist() for _ in range(3)] == [[1, 1, 0], [1, 2, 0], [1, 3, 0]]
    again = covector.jit(lambda: call() + 0)
    assert numpy.asarray(again()).tolist()[:2] == [2, 4]
    del counts, again
    covector.clear_caches()
    gc.collect()
    assert numpy.asarray(covector.jit(lambda: call() - 0)()).tolist() == [3, 5, 2]


def test_a_handler_may_go_on_after_it_has_returned() -> None:
    call = ffi.ffi_call("tests.later", covector.ShapeDtypeStruct((), numpy.float32))
    assert float(covector.jit(call)(numpy.float32(1))) == 7
    with pytest.raises(RuntimeError, match="DEADLINE_EXCEEDED: too late"):
        covector.block_until_ready(covector.jit(call)(numpy.float32(-1)))


def test_what_is_registered_wrongly(library: ctypes.CDLL) -> None:
    with pytest.raises(ValueError, match=r"version 3\.5 of the FFI"):
        ffi.register_ffi_target("tests.old", library.of_another_version)
    with pytest.raises(ValueError, match=r"another target named 'tests\.sum'"):
        ffi.register_ffi_target("tests.sum", library.scaled)
    ffi.register_ffi_target("tests.sum", library.sum)
    with pytest.raises(ValueError, match="stages are"):
        ffi.register_ffi_target("tests.odd", {"execute": library.sum, "dance": library.sum})
    with pytest.raises(TypeError, match="no function in memory"):
        ffi.register_ffi_target("tests.none", print)
    with pytest.raises(NotImplementedError, match="api_version=1"):
        ffi.register_ffi_target("tests.legacy", library.sum, api_version=0)
    ffi.register_ffi_target("tests.gpu", library.sum, platform="CUDA")
    with pytest.raises(ValueError, match=r"no target 'tests\.gpu'"):
        ffi.ffi_call("tests.gpu", like(X))(X, X)


def test_a_target_is_a_lowering() -> None:
    p = Primitive("scaled")
    p.def_abstract_eval(lambda x, *, factor: x)
    mlir.register_lowering(p, ffi.ffi_lowering("tests.scaled"))
    ad.deflinear(p, lambda ct, *, factor: [p.bind(ct, factor=factor)])
    f = lambda x: np.sum(p.bind(x, factor=3.0) * X)  # noqa: E731
    numpy.testing.assert_array_equal(covector.jit(covector.grad(f))(X), 3 * X)


def test_on_the_reference_backend() -> None:
    with config.override(backend="reference"):
        numpy.testing.assert_array_equal(covector.jit(lambda x: scaled(x) + 1)(X), 2 * X + 1)
