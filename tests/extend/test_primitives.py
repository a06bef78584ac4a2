"""Primitives of a user's own package: every rule, and every transformation of every kind of them."""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from tests.extend.outside.primitives import (
    Mixed,
    Newton,
    Roots,
    RowNorms,
    SafeNorm,
    Scaled,
    Vectors,
    softsign,
)

import covector
import covector.numpy as np
from covector import extend, lax
from covector.errors import ClosedOverError, MissingRuleError
from covector.experimental.jet import jet
from covector.extend import testing

f64, f32 = numpy.dtype("float64"), numpy.dtype("float32")


def positive(rng: numpy.random.Generator, aval: extend.ShapedArray) -> Any:
    return rng.uniform(0.5, 4, aval.shape).astype(aval.dtype)


SAMPLES = [
    *testing.over_dtypes(Scaled(1.5), [(2, 3)], linear=((0,),)),
    *testing.over_dtypes(softsign, [(4,)]),
    *testing.over_dtypes(Newton(), [(2, 3)], ["float32", "float64"], makers={0: positive}),
    *testing.over_dtypes(SafeNorm(), [(3,)], ["float32", "float64"]),
    *testing.over_dtypes(Mixed(2), [(3,), (3,)], ["float32", "float64"]),
    *testing.over_dtypes(Roots(), [(3, 3)], ["float32", "float64"]),
    *testing.over_dtypes(Vectors(), [(3, 3), (3, 3)], ["float64"], linear=((1,),), fixed=(0, 1)),
]


@pytest.mark.parametrize("check", testing.checks(SAMPLES), ids=str)
def test_rules(check: testing.Check) -> None:
    check()


def test_the_package_uses_public_names_alone() -> None:
    for path in (Path(__file__).parent / "outside").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not [a.name for a in node.names if "_engine" in a.name]
            elif isinstance(node, ast.ImportFrom):
                assert "_engine" not in (node.module or "")


X = numpy.array([0.5, 1.25, 2.0])
# A function of one vector with the primitive, and the same without.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "loops": (Scaled(1.5), lambda x: x * 1.5),
    "row": (softsign, lambda x: x / (1 + np.abs(x))),
    "statements": (Newton(), np.sqrt),
    "composite": (lambda x: SafeNorm()(x)[0] * x, lambda x: np.sqrt(np.sum(x * x)) * x),
    "without rules": (
        lambda x: Mixed(2)(x, x + 1),
        lambda x: np.sin(x) * (x + 1) ** 2 + np.arange(3.0),
    ),
    "NumPy": (
        lambda x: Roots()(x[:, None] * x + np.diag(np.array([1.0, 2.0, 4.0])))[0],
        lambda x: _eigenvalues(x[:, None] * x + np.diag(np.array([1.0, 2.0, 4.0]))),
    ),
}


@covector.custom_jvp
def _eigenvalues(a: Any) -> Any:
    return covector.pure_callback(
        lambda x: numpy.linalg.eigvalsh(x), a[0], a, vmap_method="broadcast_all"
    )


@_eigenvalues.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (a,), (t,) = primals, tangents
    v = covector.pure_callback(lambda x: numpy.linalg.eigh(x)[1], a, a, vmap_method="broadcast_all")
    return _eigenvalues(a), np.einsum("ik,ij,jk->k", v, t, v)


def transformed(f: Callable[[Any], Any]) -> dict[str, Any]:
    """What becomes of a function under each transformation, and some of their compositions."""
    total = lambda x: np.sum(f(x) ** 2)  # noqa: E731
    rows = numpy.stack([X, X + 0.25])
    scanned = lambda x: lax.scan(lambda c, _: (f(c) * 0.5 + x, f(c)), x, None, 3)  # noqa: E731
    pair = lambda c: lax.while_loop(  # noqa: E731
        lambda s: s[0] < 2, lambda s: (s[0] + 1, f(s[1]) * 0.5 + 0.5), (0, c)
    )[1]
    return {
        "eager": f(np.asarray(X)),
        "jit": covector.jit(f)(X),
        "grad": covector.grad(total)(X),
        "jit grad": covector.jit(covector.grad(total))(X),
        "vmap": covector.vmap(f)(rows),
        "jit vmap grad": covector.jit(covector.vmap(covector.grad(total)))(rows),
        "jvp": covector.jvp(f, (X,), (numpy.ones(3),)),
        "linearize": covector.linearize(f, X)[1](numpy.ones(3)),
        "scan": scanned(X),
        "grad scan": covector.grad(lambda x: np.sum(scanned(x)[1]))(X),
        "while": covector.jit(pair)(X),
        "cond": covector.grad(lambda x: np.sum(lax.cond(x[0] > 0, f, lambda y: y, x)))(X),
        "checkpoint": covector.grad(covector.checkpoint(total))(X),
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_transformation(name: str) -> None:
    ours, theirs = map(transformed, FUNCTIONS[name])
    assert_equal(ours, theirs)


def assert_equal(ours: Any, theirs: Any) -> None:
    for (path, x), (_, y) in zip(*map(covector.tree.leaves_with_path, (ours, theirs)), strict=True):
        numpy.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=str(path))


@pytest.mark.parametrize("name", ["loops", "row", "statements", "composite", "without rules"])
def test_second_derivatives_and_taylor_mode(name: str) -> None:
    ours, theirs = FUNCTIONS[name]
    for f in (
        lambda g: covector.hessian(lambda x: np.sum(g(x)))(X),
        lambda g: jet(g, (X,), ([X, X],)),
    ):
        assert_equal(f(ours), f(theirs))


def test_a_rule_of_the_composite_is_what_counts() -> None:
    zero = numpy.zeros(3)
    for f in (lambda x: SafeNorm()(x)[0], covector.jit(lambda x: SafeNorm()(x)[0])):
        numpy.testing.assert_array_equal(covector.grad(f)(zero), zero)
        numpy.testing.assert_array_equal(covector.vmap(covector.grad(f))(zero[None]), zero[None])
    closed = covector.make_jaxpr(lambda x: SafeNorm()(x))(zero)
    assert [e.primitive.text() for e in closed.program.eqns] == ["safe_norm"]


def test_what_a_composite_closes_over_is_followed_or_an_error() -> None:
    def f(scale: Any) -> Any:
        class Closing(extend.Composite):
            name = "closing"

            def compute(self, *xs: Any) -> Any:
                return xs[0] * scale

        return Closing()(np.asarray(2.0)) * Closing()(scale)

    assert float(covector.grad(f)(3.0)) == pytest.approx(2 * 3 * 9)  # 2 s³
    assert float(covector.jit(f)(3.0)) == 54
    numpy.testing.assert_allclose(covector.vmap(f)(numpy.array([1.0, 3.0])), [2, 54])

    def with_a_rule(scale: Any) -> Any:
        class Closing(extend.Composite):
            name = "closing"

            def compute(self, *xs: Any) -> Any:
                return xs[0] * scale

            def jvp(self, primals: Any, tangents: Any) -> Any:
                return self(*primals), tangents[0]

        return Closing()(scale)

    with pytest.raises(ClosedOverError, match="closing"):
        covector.grad(covector.jit(with_a_rule))(3.0)


def test_a_python_number_keeps_its_bits() -> None:
    @extend.record
    class Product(extend.Composite):
        name = "product"

        def compute(self, *xs: Any) -> Any:
            return xs[0] * xs[1]

        def jvp(self, primals: Any, tangents: Any) -> Any:
            t = extend.materialize(tangents[1])
            return self(*primals), self(primals[0], t)

    one = numpy.ones(2)
    for f in (lambda x: Product()(0.1, x), lambda x: Product()(x, 0.1)):
        for g in (f, covector.jit(f), covector.vmap(f), covector.jit(covector.vmap(f))):
            assert numpy.asarray(g(one)).tolist() == [0.1, 0.1]
    slope = covector.grad(lambda x: np.sum(Product()(0.1, x)))
    assert [numpy.asarray(g(one)).tolist() for g in (slope, covector.jit(slope))] == [
        [0.1, 0.1]
    ] * 2
    closed = covector.make_jaxpr(lambda x: Product()(0.1, x))(one)
    (eqn,) = closed.jaxpr.eqns
    assert (str(eqn.primitive), len(eqn.invars)) == ("product", 2)


def test_bodies_are_traced_once_for_each_type() -> None:
    seen: list[str] = []

    @extend.record
    class Counted(extend.Composite):
        name = "counted"

        def compute(self, *xs: Any) -> Any:
            seen.append(
                np.asarray(xs[0]).dtype.name if not hasattr(xs[0], "dtype") else xs[0].dtype.name
            )
            return xs[0] + 1

    for _ in range(3):
        Counted()(np.ones(2))
        covector.grad(lambda x: np.sum(Counted()(x)))(np.ones(2))
    Counted()(np.ones(2, "float16"))
    assert seen == ["float32", "float16"]


def test_a_function_of_pythons_that_fails_or_gives_another_type_is_an_error() -> None:
    @extend.record
    class Wrong(extend.OnHost):
        name = "wrong"

        def type(self, x: Any) -> Any:
            return x

        def reference(self, x: Any) -> Any:
            if x[0] < 0:
                raise ArithmeticError("negative")
            return x[1:]

    for f in (Wrong(), covector.jit(Wrong().__call__)):
        with pytest.raises(
            TypeError, match=r"wrong returned float64\[2\]; by its type rule that is float64\[3\]"
        ):
            covector.block_until_ready(f(X))
        with pytest.raises(ArithmeticError, match="negative"):
            covector.block_until_ready(f(-X))
    numpy.testing.assert_array_equal(covector.jit(lambda x: (Wrong()(x), x + 1)[1])(X), X + 1)


def test_a_missing_rule_is_named() -> None:
    with pytest.raises(MissingRuleError, match="primitive 'vectors' has no jvp rule"):
        covector.jvp(lambda t: Vectors()(numpy.eye(3), t), (numpy.eye(3),), (numpy.eye(3),))


# ---------------------------------------------------------------------------------------------------- C functions

NORMS = """
#include <stdint.h>
int32_t norms(const double* x, double* y, int64_t n) {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += x[i] * x[i];
    *y = total;
    return total > 1e6 ? -7 : 0;
}
int32_t other(void) { return 0; }
"""


def test_a_c_function_is_a_routine(compile_c: Callable[..., ctypes.CDLL]) -> None:
    library = compile_c(NORMS)
    norms = RowNorms(extend.register_routine("tests.norms", library.norms))
    assert extend.register_routine("tests.norms", library.norms) == "user.tests.norms"
    with pytest.raises(ValueError, match="another name"):
        extend.register_routine("tests.norms", library.other)
    x = numpy.arange(12.0).reshape(4, 3)
    testing.check(testing.Sample(norms, (extend.ShapedArray((4, 3), f64),)))
    numpy.testing.assert_array_equal(covector.jit(norms.__call__)(x), numpy.sum(x * x, -1))
    numpy.testing.assert_allclose(covector.grad(lambda x: np.sum(norms(x)))(x), 2 * x)

    def step(total: Any, rows: Any) -> Any:
        return total + norms(rows), norms(rows * total[:, None])

    blocks = numpy.stack([x[:3], x[1:]]) / 10
    total, each = covector.jit(lambda b: lax.scan(step, np.ones(3, f64), b))(blocks)
    first, second = numpy.sum(blocks * blocks, -1)
    numpy.testing.assert_allclose(total, 1 + first + second)
    numpy.testing.assert_allclose(each, [first, second * (1 + first) ** 2])
    beside = RowNorms(norms.routine, side_by_side=True)
    many = numpy.arange(30_000.0).reshape(10_000, 3) / 100
    numpy.testing.assert_allclose(beside(many), numpy.sum(many * many, -1))
    for f in (norms, covector.jit(norms.__call__), beside, covector.jit(beside.__call__)):
        with pytest.raises(RuntimeError, match="a C routine of a primitive returned the status -7"):
            covector.block_until_ready(f(np.asarray(many * 1e4)))


def test_calls_on_several_threads_may_fail(compile_c: Callable[..., ctypes.CDLL]) -> None:
    routine = extend.register_routine("tests.norms_at_once", compile_c(NORMS).norms)
    norms = covector.jit(RowNorms(routine, side_by_side=True).__call__)
    x = numpy.arange(3000.0).reshape(1000, 3) / 100
    numpy.testing.assert_allclose(norms(x), numpy.sum(x * x, -1))
    for row in (0, 500, 999):
        y = x.copy()
        y[row] = 1e4
        with pytest.raises(RuntimeError, match="a C routine of a primitive returned the status -7"):
            covector.block_until_ready(norms(y))
    numpy.testing.assert_allclose(norms(x), numpy.sum(x * x, -1))
