"""Objects of other libraries that stand for arrays, wherever an array may stand."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from tests.amount import some
from tests.surface.numpy_cases import BINARY, UNARY
from tools.agreement import calls as agreement
from tools.agreement.outcomes import Values

import covector as cv
import covector.numpy as cnp
from covector import lax, nn, random


class Stands:
    """Stands for an array, and is nothing else."""

    def __init__(self, value: Any):
        self.value = value

    def __jax_array__(self) -> Any:
        return self.value


class StandsForOurs:
    def __init__(self, value: Any):
        self.value = value

    def __covector_array__(self) -> Any:
        return self.value


A = cnp.array([[0.5, -0.25, 0.75], [0.125, 0.25, -0.5], [0.5, 0.75, 0.25]])
I = cnp.array([[3, 1, 2], [4, 0, 5], [7, 9, 6]])  # noqa: E741

# Functions that are not of arrays alone: of shapes, dtypes, functions, buffers, names, or without operands.
NO_OPERANDS = """apply_along_axis apply_over_axes arange array_repr array_str bartlett blackman broadcast_shapes
    can_cast diag_indices dtype einsum_path empty eye finfo frombuffer from_dlpack fromfile fromfunction
    fromiter fromstring frompyfunc full
    geomspace get_printoptions hamming hanning identity iinfo index_exp indices isdtype kaiser linspace load logspace
    mask_indices mgrid ogrid ones printoptions promote_types r_ c_ s_ result_type save savez savez_compressed
    set_printoptions tri tril_indices triu_indices vectorize zeros piecewise select choose iterable isscalar
    copyto put put_along_axis fill_diagonal place vander einsum block issubdtype unpackbits packbits""".split()  # noqa: SIM905


def same(a: Any, b: Any) -> None:
    for x, y in zip(cv.tree.leaves(a), cv.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y), strict=True)
        assert getattr(x, "weak_type", None) == getattr(y, "weak_type", None)


def calls(f: Any) -> list[tuple[Any, ...]]:
    """Arguments that a function takes, of those tried: one or two arrays, with an integer or a list around them."""
    found: list[tuple[Any, ...]] = []
    tried: tuple[tuple[Any, ...], ...] = (
        (A,), (I,), (A, A), (I, I), (A, I), (A, 1), (I, 1), (A, A, A), ([A, A],), (A[0],), (A[0], A[0]),
        (I[0], I[0]), (A, I[0], 1), (A > 0, A, A), (A[0], I[0] % 3), (A, (3, 3)), (A, 0, 1), (A, (1, 0)),
        (A, cnp.float64), (A[None], 3), (A, A[0], A[1]), (A[0], A[1], 1), ([I[0], I[1]], (10, 10)),
    )  # fmt: skip
    for args in tried:
        try:
            f(*args)
        except Exception:
            continue
        found.append(args)
    return found[:2]


FUNCTIONS = [
    name
    for name in dir(cnp)
    if callable(getattr(cnp, name))
    and not isinstance(getattr(cnp, name), type)
    and not name.startswith("_")
    and name not in NO_OPERANDS
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_takes_them(name: str) -> None:
    f = getattr(cnp, name)
    found = calls(f)
    assert found, f"no call of {name} is known: put it among those without operands, or give it one"
    for args in found:
        wanted = f(*args)
        for kind in (Stands, StandsForOurs):
            for i, x in enumerate(args):
                if isinstance(x, list):
                    given: Any = [kind(x[0]), *x[1:]]
                elif isinstance(x, cv.Array):
                    given = kind(x)
                else:
                    continue
                same(f(*args[:i], given, *args[i + 1 :]), wanted)


def test_the_list_of_functions_is_of_names_that_are_there() -> None:
    assert len(FUNCTIONS) > 220
    assert {*UNARY, *BINARY} <= {*FUNCTIONS, *NO_OPERANDS}


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "//": lambda x, y: x // y,
    "%": lambda x, y: x % y,
    "**": lambda x, y: x**y,
    "@": lambda x, y: x @ y,
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    ">=": lambda x, y: x >= y,
    "divmod": divmod,
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    f = OPERATORS[name]
    wanted = f(A, A.T)
    for kind in (Stands, StandsForOurs):
        same(f(A, kind(A.T)), wanted)
        same(f(kind(A), A.T), wanted)
        same(cv.jit(lambda x, kind=kind: f(x, kind(x.T)))(A), cv.jit(lambda x: f(x, x.T))(A))
        same(cv.jit(lambda x, kind=kind: f(kind(x), x.T))(A), cv.jit(lambda x: f(x, x.T))(A))


def test_integer_operators() -> None:
    for f in (lambda x, y: x & y, lambda x, y: x | y, lambda x, y: x << y, lambda x, y: x ^ y):
        same(f(I, Stands(I)), f(I, I))
        same(f(Stands(I), I), f(I, I))


def test_traces_see_through_them() -> None:
    f = lambda x: cnp.sum(cnp.sin(Stands(x)) * Stands(x))  # noqa: E731
    g = lambda x: cnp.sum(cnp.sin(x) * x)  # noqa: E731
    same(cv.grad(f)(A), cv.grad(g)(A))
    same(cv.jit(cv.grad(f))(A), cv.jit(cv.grad(g))(A))
    same(cv.vmap(f)(A), cv.vmap(g)(A))
    same(cv.jvp(f, (A,), (A,)), cv.jvp(g, (A,), (A,)))


def test_numbers_and_numpy_arrays_from_them() -> None:
    same(A + Stands(np.float32(2)), A + np.float32(2))
    same(A + Stands(2.0), A + 2.0)
    same(cnp.asarray(Stands(np.arange(3))), cnp.asarray(np.arange(3)))
    same(cnp.array([Stands(A[0]), [1.0, 2.0, 3.0]]), cnp.array([A[0], [1.0, 2.0, 3.0]]))
    assert cnp.result_type(Stands(A), cnp.int32) == cnp.float32
    assert cnp.asarray(Stands(A), cnp.float64).dtype == np.float64
    with pytest.raises(TypeError, match="__jax_array__ of Stands returned 'text'"):
        cnp.sin(Stands("text"))
    with pytest.raises(TypeError, match="__jax_array__ of Stands returned None"):
        A + Stands(None)
    with pytest.raises(TypeError):
        A + object()  # type: ignore[operator]


def test_indices_and_updates() -> None:
    i = cnp.array([2, 0])
    same(A[Stands(i)], A[i])
    same(A[1, Stands(i)], A[1, i])
    same(A[Stands(cnp.int32(1))], A[1])
    same(A[Stands(A > 0)], A[A > 0])
    same(A.at[Stands(i)].set(Stands(A[:2])), A.at[i].set(A[:2]))
    same(A.at[0].add(Stands(A[1])), A.at[0].add(A[1]))
    same(cv.jit(lambda x: x[Stands(i)])(A), A[i])


def test_methods() -> None:
    same(A.dot(Stands(A)), A.dot(A))
    same(A.clip(Stands(A * 0)), A.clip(A * 0))
    same(A.take(Stands(cnp.array([1, 2]))), A.take(cnp.array([1, 2])))
    same(A[0].searchsorted(Stands(A[1])), A[0].searchsorted(A[1]))


def test_other_modules() -> None:
    key = random.key(0)
    same(lax.add(Stands(A), A), lax.add(A, A))
    same(lax.select(Stands(A > 0), A, Stands(-A)), lax.select(A > 0, A, -A))
    same(lax.dynamic_slice(Stands(A), (0, Stands(cnp.int32(1))), (2, 2)), A[:2, 1:])
    same(lax.neg(Stands(A)), lax.neg(A))
    same(nn.relu(Stands(A)), nn.relu(A))
    same(nn.softmax(Stands(A)), nn.softmax(A))
    same(random.normal(Stands(key), (3,)), random.normal(key, (3,)))
    same(
        random.uniform(key, (3,), minval=Stands(cnp.float32(-1))),
        random.uniform(key, (3,), minval=-1.0),
    )
    same(random.permutation(key, Stands(A)), random.permutation(key, A))
    same(cnp.linalg.norm(Stands(A)), cnp.linalg.norm(A))


OPERANDS = ("a", "b", "positive", "unit", "ordered", "spd", "places", "mask", "weak", "key")
# Those that take pytrees, of which such objects are leaves, and what gives something else each time.
OF_PYTREES = "scan map fori_loop while_loop cond switch associative_scan Key rng_uniform".split()  # noqa: SIM905
MODULES = {"lax": 35, "nn": 15, "random": 12, "scipy.special": 15, "scipy.linalg": 8, "ops": 4}


def values(x: Any) -> list[np.ndarray]:
    leaves = cv.tree.leaves(x)
    is_key = [cv.dtypes.issubdtype(getattr(y, "dtype", None), cv.dtypes.prng_key) for y in leaves]
    return [np.asarray(random.key_data(y) if k else y) for y, k in zip(leaves, is_key, strict=True)]


def first_call(name: str, function: Any, names: dict[str, Any]) -> tuple[str, Any] | None:
    """A call of a function that works, as recipes of the comparison with JAX make them, and what it gives."""
    for arguments in dict.fromkeys(agreement.calls(name, function, ["float32"])):
        text = f"library.{name}({arguments})"
        with suppress(Exception):
            return text, eval(text, dict(names))
    return None


@pytest.mark.parametrize("module", MODULES)
def test_functions_of_other_modules(module: str) -> None:
    """Each, or a sample, with such an object in place of every operand: alone, and while it is traced."""
    plain = {**Values(cv).names(), "library": cv}

    def made(name: str) -> Callable[..., Any]:
        return lambda *args, **options: Stands(plain[name](*args, **options))

    standing = {**plain, **{name: made(name) for name in OPERANDS if plain[name] is not None}}
    space = importlib.import_module(f"covector.{module}")
    found = [
        n for n in space.__all__ if inspect.isroutine(getattr(space, n)) and n not in OF_PYTREES
    ]
    tested = 0
    for name in some(found, MODULES[module]):
        call = first_call(f"{module}.{name}", getattr(space, name), plain)
        if call is None or not all(isinstance(x, cv.Array) for x in cv.tree.leaves(call[1])):
            continue
        tested += 1
        text, wanted = call
        run = lambda text=text: eval(text, dict(standing))  # noqa: E731
        for outs in (run(), cv.jit(run)()):
            for x, y in zip(values(outs), values(wanted), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4, err_msg=text)
    assert tested > MODULES[module] / 3


def test_slopes_go_through_them() -> None:
    for f in (nn.softplus, cv.scipy.special.logsumexp, lax.sin, cnp.sum, cnp.linalg.norm):
        same(
            cv.grad(lambda x, f=f: cnp.sum(f(Stands(x * x))))(A),
            cv.grad(lambda x, f=f: cnp.sum(f(x * x)))(A),
        )


def test_transformations_take_arrays_and_pytrees_alone() -> None:
    for run in (cv.jit(cnp.sum), cv.grad(cnp.sum), cv.vmap(cnp.sum), cv.checkpoint(cnp.sum)):
        with pytest.raises(TypeError, match=r"Stands.*convert it with covector.numpy.asarray"):
            run(Stands(A))


def test_a_pytree_stays_one() -> None:
    @cv.tree_util.register_pytree_node_class
    class Boxed(Stands):
        def tree_flatten(self) -> Any:
            return (self.value,), None

        @classmethod
        def tree_unflatten(cls, _: None, children: Any) -> Boxed:
            return cls(*children)

    out = cv.jit(lambda b: Boxed(cnp.sin(b)))(Boxed(A))
    assert type(out) is Boxed
    same(out.value, cnp.sin(A))
    carried = lax.fori_loop(0, 2, lambda i, b: Boxed(cnp.add(b, 1)), Boxed(A))
    same(carried.value, A + 2)
    assert type(lax.cond(True, lambda b: b, lambda b: b, Boxed(A))) is Boxed


def test_an_array_without_elements_is_shown_in_shapes_that_numpy_has_not() -> None:
    x = cnp.zeros((0, 2**62))
    assert repr(x) == "Array([], shape=(0, 4611686018427387904), dtype=float32)"
    assert (x + 1).shape == x.shape
