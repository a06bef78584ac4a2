"""The transformations over pytrees: what they compute, what they take, what they say when something does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from covector import (
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linear_transpose,
    linearize,
    make_jaxpr,
    value_and_grad,
    vjp,
    vmap,
)
from covector._engine import primitives as prims
from covector._engine.backends.reference.primitives import evaluate_reference
from covector._engine.base import errors, tree
from covector._engine.core import trace
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapeDtypeStruct


@pytest.fixture(autouse=True, params=["oracle", "compiled"])
def evaluator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs twice: primitives computed by their reference rules, and by compiled kernels."""
    if request.param == "oracle":
        monkeypatch.setattr(trace, "_evaluator", evaluate_reference)


F32 = np.float32


def vector(*values: float) -> np.ndarray:
    return np.array(values, F32)


def total(x: Any) -> Any:
    return prims.Sum(tuple(range(len(x.shape))))(x)


def repeat(x: Any, n: int) -> Any:
    return prims.Broadcast((n,), (0,))(x)


def cube(x: Any) -> Any:
    return prims.mul(x, prims.mul(x, x))


def energy(params: dict[str, Any], x: Any) -> Any:
    """w and b in a dict, an array beside."""
    return total(prims.square(prims.add(prims.mul(params["w"], x), repeat(params["b"], 3))))


PARAMS = {"w": vector(1, 2, 3), "b": F32(0.5)}
X = vector(0.5, -1, 2)


# ------------------------------------------------------------------------------------------------------- grad


def test_the_gradient_has_the_arguments_structure(close: Any) -> None:
    found = grad(energy)(PARAMS, X)
    residual = PARAMS["w"] * X + PARAMS["b"]
    assert found.keys() == PARAMS.keys()
    close(found["w"], 2 * residual * X)
    close(found["b"], F32(2 * residual.sum()))


def test_argnums(close: Any) -> None:
    for argnums in (1, -1):
        close(grad(energy, argnums)(PARAMS, X), 2 * (PARAMS["w"] * X + PARAMS["b"]) * PARAMS["w"])
    both = grad(energy, (1, 0))(PARAMS, X)
    assert isinstance(both, tuple)
    close(both[1]["b"], grad(energy)(PARAMS, X)["b"])
    close(both[0], grad(energy, 1)(PARAMS, X))
    assert isinstance(grad(energy, [0])(PARAMS, X), tuple)


def test_value_and_aux(close: Any) -> None:
    def f(x: Any) -> Any:
        return cube(x), {"twice": prims.mul(x, 2.0), "name": "text", "none": None}

    gradient, aux = grad(f, has_aux=True)(F32(2))
    close(gradient, F32(12))
    close(aux["twice"], F32(4))
    assert (aux["name"], aux["none"]) == ("text", None)
    (value, aux), gradient = value_and_grad(f, has_aux=True)(F32(2))
    close(value, F32(8))
    close(gradient, F32(12))
    close(aux["twice"], F32(4))
    value, gradient = value_and_grad(cube)(F32(2))
    close(gradient, F32(12))


def test_arguments_by_keyword_are_not_differentiated(close: Any) -> None:
    close(grad(lambda x, *, scale: prims.mul(x, scale))(F32(2), scale=F32(3)), F32(3))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_dtypes_are_kept(dtype: Any) -> None:
    assert typeof(grad(cube)(np.asarray(2, dtype)[()])).dtype == dtype
    assert typeof(vmap(grad(cube))(np.ones(3, dtype))).dtype == dtype


def test_python_numbers_are_weak() -> None:
    value, gradient = make_jaxpr(value_and_grad(prims.sin))(2.0).out_avals
    assert value.text() == gradient.text() == "float32*[]"
    assert typeof(grad(lambda x: x)(2.0)).text() == "float32*[]"


def test_what_does_not_matter_has_zeros(close: Any) -> None:
    found = grad(lambda p: cube(p["a"]))({"a": F32(1), "b": vector(1, 2), "c": ()})
    close(found["b"], vector(0, 0))
    assert found["c"] == ()
    close(grad(lambda x: F32(3))(F32(1)), F32(0))
    close(grad(lambda x: prims.stop_gradient(cube(x)))(F32(1)), F32(0))


def test_python_control_flow_sees_values(close: Any) -> None:
    def f(x: Any) -> Any:
        while x < 100:
            x = prims.mul(x, x) if prims.gt(x, 3.0) else prims.mul(x, 3.0)
        for _ in range(int(prims.stop_gradient(x)) % 3 + 1):
            x = prims.neg(x)
        return x  # -(3 x)**4

    def less(self: Any, other: Any) -> Any:
        return prims.lt(self, other)

    with pytest.MonkeyPatch.context() as patch:  # whatever the operators do elsewhere
        patch.setattr("covector._engine.core.trace.Tracer.__lt__", less, raising=False)
        close(grad(f)(F32(2)), F32(-81 * 4 * 2**3))
        close(grad(grad(f))(F32(2)), F32(-81 * 12 * 2**2))


def test_nesting(close: Any) -> None:
    x = F32(1.5)
    close(grad(grad(cube))(x), 6 * x)
    close(grad(grad(grad(cube)))(x), F32(6))
    close(jvp(grad(cube), (x,), (F32(2),))[1], 12 * x)
    close(grad(lambda x: jvp(cube, (x,), (x,))[1])(x), 9 * x**2)
    close(vmap(grad(cube))(X), 3 * X**2)
    close(grad(lambda x: total(vmap(cube)(x)))(X), 3 * X**2)
    close(
        grad(lambda x: prims.mul(x, grad(lambda y: prims.mul(x, y))(F32(1))))(x), 2 * x
    )  # x is closed over


def test_integers(close: Any) -> None:
    def f(x: Any, i: Any) -> Any:
        return prims.mul(cube(x), prims.convert(i, np.dtype(F32)))

    gradient, zero = grad(f, (0, 1), allow_int=True)(F32(2), 3)
    close(gradient, F32(36))
    assert (zero.shape, zero.dtype) == ((), dtypes.float0)


def test_holomorphic(close: Any) -> None:
    z = np.complex64(1 + 2j)
    close(grad(cube, holomorphic=True)(z), 3 * z**2)
    close(jacfwd(cube, holomorphic=True)(z), 3 * z**2)
    close(grad(lambda z: prims.abs_(z))(z), np.conj(z) / np.abs(z))


def test_names_and_docs_are_the_functions() -> None:
    for transform in (grad, value_and_grad, vmap, jacfwd, jacrev, hessian, make_jaxpr):
        assert transform(energy).__name__ == "energy"
        assert transform(energy).__doc__ == energy.__doc__


def test_escaped_tracers_are_caught() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        return cube(x)

    grad(f)(F32(1))
    vmap(f)(X)
    for tracer in kept:
        with pytest.raises(
            errors.UnexpectedTracerError, match="after the function it belongs to had been traced"
        ):
            prims.add(tracer, tracer)


def test_a_function_that_fails_leaves_no_trace() -> None:
    def f(x: Any) -> Any:
        raise KeyError("mine")

    for transformed in (grad(f), vmap(f), jacfwd(f), make_jaxpr(f), lambda x: jvp(f, (x,), (x,))):
        with pytest.raises(KeyError, match="mine"):
            transformed(X if transformed is not None else 0)
    assert float(grad(cube)(F32(1))) == 3


# -------------------------------------------------------------------------------------- jvp, vjp, linearize


def f_of_trees(p: dict[str, Any], x: Any) -> Any:
    return prims.mul(p["a"], x), {
        "s": prims.sin(p["a"]),
        "n": prims.convert(p["a"], np.dtype(np.int32)),
    }


TREES = {"a": vector(1, 2, 3)}, X
TANGENTS = {"a": vector(0.1, 0.2, 0.3)}, vector(1, 0, -1)


def test_jvp_of_trees(close: Any) -> None:
    (product, rest), (dproduct, drest) = jvp(f_of_trees, TREES, TANGENTS)
    (p, x), (dp, dx) = TREES, TANGENTS
    close(product, p["a"] * x)
    close(dproduct, dp["a"] * x + p["a"] * dx)
    close(drest["s"], np.cos(p["a"]) * dp["a"])
    assert drest["n"].dtype == dtypes.float0
    assert np.asarray(rest["n"]).dtype == np.int32


def test_vjp_is_the_adjoint_of_jvp(close: Any) -> None:
    _, pullback = vjp(f_of_trees, *TREES)
    _, (dproduct, drest) = jvp(f_of_trees, TREES, TANGENTS)
    ct = vector(1, 2, 3), {"s": vector(3, 1, 2), "n": np.zeros(3, dtypes.float0)}
    for _ in range(2):  # a pullback may be called again
        back = pullback(ct)
        left = np.sum(np.asarray(dproduct) * ct[0]) + np.sum(np.asarray(drest["s"]) * ct[1]["s"])
        right = np.sum(TANGENTS[0]["a"] * np.asarray(back[0]["a"])) + np.sum(
            TANGENTS[1] * np.asarray(back[1])
        )
        close(left, right)


def test_pullbacks_are_trees(close: Any) -> None:
    _, pullback = vjp(f_of_trees, *TREES)
    ct = vector(1, 2, 3), {"s": vector(3, 1, 2), "n": np.zeros(3, dtypes.float0)}
    wanted = pullback(ct)
    residuals, treedef = tree.flatten(pullback)
    assert len(residuals) == 3  # a, x, cos(a)
    back = tree.unflatten(treedef, residuals)(ct)
    close(back[0]["a"], wanted[0]["a"])
    close(back[1], wanted[1])
    doubled = tree.map(lambda r: prims.mul(r, 2.0), pullback)(ct)
    close(doubled[1], 2 * np.asarray(wanted[1]))


def test_linearize_is_jvp(close: Any) -> None:
    _, pushforward = linearize(f_of_trees, *TREES)
    _, wanted = jvp(f_of_trees, TREES, TANGENTS)
    found = pushforward(*TANGENTS)
    close(found[0], wanted[0])
    close(found[1]["s"], wanted[1]["s"])
    assert found[1]["n"].dtype == dtypes.float0
    calls = []
    _, pushforward = linearize(lambda x: (calls.append(0), cube(x))[1], F32(2))
    close(pushforward(1.0), F32(12))
    close(pushforward(2.0), F32(24))
    assert len(calls) == 1


def test_aux_of_jvp_vjp_linearize(close: Any) -> None:
    def f(x: Any) -> Any:
        return cube(x), ("aux", prims.neg(x))

    x = F32(2)
    for result in (
        jvp(f, (x,), (x,), has_aux=True),
        vjp(f, x, has_aux=True),
        linearize(f, x, has_aux=True),
    ):
        close(result[0], F32(8))
        assert result[2][0] == "aux"
        close(result[2][1], F32(-2))


def test_integers_have_float0_tangents(close: Any) -> None:
    def f(x: Any, i: Any) -> Any:
        return prims.mul(x, prims.convert(i, np.dtype(F32)))

    zero = np.zeros((), dtypes.float0)
    close(jvp(f, (F32(2), np.int32(3)), (F32(1), zero))[1], F32(3))
    _, pullback = vjp(f, F32(2), np.int32(3))
    assert pullback(F32(1))[1].dtype == dtypes.float0
    with pytest.raises(
        TypeError, match=r"the primal is int32\[\], whose tangents have the dtype float0"
    ):
        jvp(f, (F32(2), np.int32(3)), (F32(1), np.int32(1)))


def test_linear_transpose(close: Any) -> None:
    matrix = np.arange(6, dtype=F32).reshape(2, 3)

    def f(x: Any) -> Any:
        return prims.Sum((1,))(prims.mul(matrix, prims.Broadcast((2, 3), (0,))(x)))

    for primal in (X, ShapeDtypeStruct((3,), F32)):
        (back,) = linear_transpose(f, primal)(vector(1, -2))
        close(back, vector(1, -2) @ matrix)


# ------------------------------------------------------------------------------------------------------- vmap


def test_vmap_axes(close: Any) -> None:
    a, b = np.arange(6, dtype=F32).reshape(2, 3), np.arange(12, dtype=F32).reshape(3, 4)

    def dot(x: Any, y: Any) -> Any:
        return total(prims.mul(x, y))

    close(vmap(vmap(dot, (None, 1)), (0, None))(a, b), a @ b)
    close(vmap(vmap(dot, (0, None)), (None, -1))(a, b), (a @ b).T)
    close(vmap(lambda x: x, in_axes=1, out_axes=-1)(a), a)
    close(vmap(lambda x: x, out_axes=1)(a), a.T)
    close(vmap(lambda x: repeat(F32(1), 2), out_axes=1)(a), np.ones((2, 2), F32))


def test_vmap_of_trees(close: Any) -> None:
    values: dict[str, Any] = {
        "a": np.arange(6, dtype=F32).reshape(2, 3),
        "b": (vector(1, 2), F32(3)),
    }

    def f(t: Any, scale: Any) -> Any:
        return {"sum": prims.mul(total(t["a"]), scale), "b": t["b"]}

    axes = ({"a": 0, "b": (0, None)}, None)
    found = vmap(f, axes, {"sum": 0, "b": (0, None)})(values, F32(2))
    close(found["sum"], 2 * values["a"].sum(1))
    close(found["b"][0], values["b"][0])
    close(found["b"][1], F32(3))
    close(vmap(f, [0, None])({"a": values["a"], "b": ()}, F32(2))["sum"], 2 * values["a"].sum(1))


def test_vmap_by_keyword_and_by_size(close: Any) -> None:
    close(vmap(lambda x, *, y: prims.mul(x, y))(X, y=X), X * X)
    close(vmap(lambda x: x, in_axes=None, axis_size=2)(F32(3)), vector(3, 3))
    close(vmap(lambda: F32(3), axis_size=2)(), vector(3, 3))


# -------------------------------------------------------------------------------------------------- Jacobians


def test_jacobians_agree(close: Any) -> None:
    def f(p: Any, x: Any) -> Any:
        return {"v": prims.mul(p["w"], prims.sin(x)), "s": total(prims.mul(x, x)), "one": p["b"]}

    forward, reverse = (jac(f, (0, 1))(PARAMS, X) for jac in (jacfwd, jacrev))
    shapes = {"v": (3,), "s": (), "one": ()}
    for name, shape in shapes.items():
        for i, key in ((0, "w"), (0, "b"), (1, None)):
            a, b = (
                jac[name][i] if key is None else jac[name][i][key] for jac in (forward, reverse)
            )
            assert np.shape(a) == shape + np.shape(X if key is None else PARAMS[key])
            close(a, b)
    close(forward["v"][1], np.diag(PARAMS["w"] * np.cos(X)))
    close(forward["one"][0]["b"], F32(1))


def test_jacobians_with_aux_call_the_function_once(close: Any) -> None:
    for jac in (jacfwd, jacrev):
        calls: list[Any] = []

        def f(x: Any, calls: list[Any] = calls) -> Any:
            calls.append(0)
            return {"c": cube(x)}, "aux"

        found, aux = jac(f, has_aux=True)(X)
        close(found["c"], np.diag(3 * X**2))
        assert (aux, len(calls)) == ("aux", 1)


def test_hessian(close: Any) -> None:
    def f(p: Any) -> Any:
        return prims.mul(total(cube(p["x"])), p["y"])

    found = hessian(f)({"x": X, "y": F32(2)})
    close(found["x"]["x"], np.diag(12 * X))
    close(found["x"]["y"], 3 * X**2)
    close(found["y"]["x"], 3 * X**2)
    close(found["y"]["y"], F32(0))


# ------------------------------------------------------------------------------------ looking without running


def test_eval_shape() -> None:
    found = eval_shape(f_of_trees, {"a": ShapeDtypeStruct((3,), float)}, X)
    assert found == (
        ShapeDtypeStruct((3,), F32),
        {"s": ShapeDtypeStruct((3,), F32), "n": ShapeDtypeStruct((3,), "int32")},
    )
    assert eval_shape(lambda x, y: x, y=2, x=1.0) == ShapeDtypeStruct((), F32, weak_type=True)


def test_make_jaxpr() -> None:
    program = make_jaxpr(lambda n, x: prims.integer_pow(x, n), static_argnums=0)(3, F32(1))
    assert [e.primitive.name for e in program.eqns] == ["integer_pow"]
    program, shape = make_jaxpr(cube, return_shape=True)(F32(1))
    assert shape == ShapeDtypeStruct((), F32)
    assert "mul a a" in str(program)


def test_derived_equations_keep_the_users_line() -> None:
    """Those of the backward pass too: profiles and messages lead to the operation that they come from."""
    program = make_jaxpr(grad(cube))(F32(1)).program
    assert {str(e.source).split(":")[0] for e in program.eqns} == {"test_transforms.py"}
    assert {e.source.code.co_name for e in program.eqns} == {"cube"}


# --------------------------------------------------------------------------------------------------- messages


def named(x: Any, /, rest: Any = None) -> Any:
    return x


ONE: Any = 1.0
TEXT: Any = "text"


MESSAGES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "grad of an integer": (
        lambda: grad(named)(3), TypeError,
        ["grad differentiates with respect to floating-point arguments, but x is int32*[] (at test_transforms.py:",
         "right:  grad(f)(3.0)", "allow_int=True"],
    ),
    "integer in a tree": (
        lambda: grad(named, 1)(1.0, {"n": [np.int32(1)]}), TypeError, ["but rest['n'][0] is int32[]"],
    ),
    "grad of a vector": (
        lambda: grad(named)(X), TypeError,
        ["whose result is one number, but named (test_transforms.py:", "returned float32[3]", "jacrev"],
    ),
    "grad of a tree": (lambda: grad(lambda x: (x, x))(1.0), TypeError, ["returned a tree of 2 arrays"]),
    "grad to an integer": (
        lambda: grad(lambda x: prims.convert(x, np.dtype(np.int32)))(1.0), TypeError,
        ["returned int32[]", "it needs a real floating-point result"],
    ),
    "grad to a complex number": (
        lambda: grad(named)(1j), TypeError, ["returned complex64*[]", "functions pass holomorphic=True"],
    ),
    "holomorphic of a real number": (
        lambda: grad(named, holomorphic=True)(1.0), TypeError, ["holomorphic=True needs complex arguments, but x is"],
    ),
    "grad of text": (
        lambda: value_and_grad(named)({"a": "text"}), TypeError,
        ["value_and_grad: x['a'] is 'text' of type str (at test_transforms.py:", "it must be an array or a number"],
    ),
    "grad to text": (
        lambda: grad(lambda x: "text")(1.0), TypeError, ["the result of <lambda> (test_transforms.py:", "is 'text'"],
    ),
    "too few arguments": (
        lambda: grad(named, 2)(1.0), TypeError,
        ["grad with argnums=2 needs at least 3 positional arguments, got 1", "by keyword are not differentiated"],
    ),
    "argnums of another type": (lambda: grad(named, TEXT)(1.0), TypeError, ["argnums must be an int or a sequence of"]),
    "no function": (lambda: grad(ONE), TypeError, ["grad takes a function, got 1.0 of type float"]),
    "no aux": (lambda: grad(named, has_aux=True)(1.0), TypeError, ["must return a pair (result, auxiliary data)"]),
    "primals that are no tuple": (lambda: jvp(named, ONE, ONE), TypeError, ["tuples or lists, got float and float"]),
    "tangents of another structure": (
        lambda: jvp(named, (1.0,), ((1.0,),)), TypeError, ["jvp: the tangent must have the structure of the primal"],
    ),
    "tangents of another shape": (
        lambda: jvp(named, (F32(1),), (X,)), ValueError, ["must have the same shape, got float32[] and float32[3]"],
    ),
    "tangents of another dtype": (
        lambda: jvp(named, (F32(1),), (np.array(1.0),)), TypeError, ["the same dtype, got float32[] and float64[]"],
    ),
    "cotangents of another structure": (
        lambda: vjp(named, 1.0)[1]((1.0,)), ValueError, ["the pullback of vjp: the cotangent must have the structure"],
    ),
    "cotangents of another dtype": (
        lambda: vjp(named, F32(1))[1](np.array(1)), ValueError, ["the pullback of vjp: a result and its cotangent"],
    ),
    "a cotangent of another shape for a transpose": (
        lambda: linear_transpose(named, F32(1))(X), TypeError, ["linear_transpose: a result and its cotangent"],
    ),
    "not linear": (
        lambda: linear_transpose(cube, F32(1))(F32(1)), TypeError,
        ["linear_transpose: cube (test_transforms.py:", "is not linear in its arguments"],
    ),
    "transposed integers": (
        lambda: linear_transpose(lambda x: prims.convert(x, np.dtype(F32)), np.arange(3)), TypeError,
        ["takes functions from floating-point numbers to such", "returns float32[3]"],
    ),
    "jacfwd of a complex number": (lambda: jacfwd(named)(1j), TypeError, ["jacfwd needs real arguments, but x is"]),
    "jacrev to an integer": (
        lambda: jacrev(lambda x: prims.convert(x, np.dtype(np.int32)))(X), TypeError, ["needs real floating-point"],
    ),
    "vmap over a number": (
        lambda: vmap(named)(1.0), ValueError, ["vmap over axis 0 of x, which is float32*[] and has 0 dimensions"],
    ),
    "vmap over sizes that differ": (
        lambda: vmap(named)(X, {"a": vector(1)}), ValueError,
        ["must have one size (at test_transforms.py:", "x, float32[3]: axis 0 has size 3",
         "rest['a'], float32[1]: axis 0 has size 1"],
    ),
    "vmap over another size": (lambda: vmap(named, axis_size=2)(X), ValueError, ["one size and be axis_size=2"]),
    "vmap over nothing": (lambda: vmap(named, None)(X), ValueError, ["vmap has nothing to map over"]),
    "too many in_axes": (
        lambda: vmap(named, (0, 0))(X), ValueError, ["in_axes has 2 entries, but named was called with 1 positional"],
    ),
    "in_axes that are no prefix": (lambda: vmap(named, ({"b": 0},))({"a": X}), ValueError, ["must be a tree prefix"]),
    "in_axes of another type": (lambda: vmap(named, 0.5), TypeError, ["in_axes must be an int, None, or a tuple"]),
    "in_axes with text": (lambda: vmap(named, ("0",)), TypeError, ["must be made of ints and None, got '0'"]),
    "out_axes None": (
        lambda: vmap(named, out_axes=None)(X), ValueError, ["value for each element, but its out_axes entry is"],
    ),
    "out_axes out of range": (
        lambda: vmap(named, out_axes=1)(X), ValueError, ["out_axes entry 1 for a result that with the new axis has 1"],
    ),
    "truth of a mapped value": (
        lambda: vmap(lambda x: x if x else -x)(X), errors.TracerBoolConversionError,
        ["a mapped float32[] (one value for each of 3 elements) was used as a truth value", "covector.numpy.where"],
    ),
    "mapped value as a float": (lambda: vmap(float)(X), errors.ConcretizationTypeError, ["used as a Python float"]),
    "mapped value as an index": (
        lambda: vmap(lambda x: [1, 2, 3][x])(np.arange(3)), errors.TracerIntegerConversionError, ["a Python integer"],
    ),
    "mapped value for NumPy": (
        lambda: vmap(lambda x: np.asarray(x))(X), errors.TracerArrayConversionError, ["used as a NumPy array"],
    ),
    "make_jaxpr of text": (lambda: make_jaxpr(named)("text"), TypeError, ["make_jaxpr: x is 'text' of type str"]),
}  # fmt: skip


@pytest.mark.parametrize("case", MESSAGES)
def test_messages(case: str) -> None:
    run, kind, parts = MESSAGES[case]
    with pytest.raises(kind) as caught:
        run()
    for part in parts:
        assert part in str(caught.value)
