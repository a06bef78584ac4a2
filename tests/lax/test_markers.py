"""What marks values and gives them back, primitives that are several operations, and keywords of `lax`'s functions."""

import inspect

import numpy as np
import pytest

import covector as cv
from covector import lax, numpy as cnp
from covector.extend.core import primitives

X = np.arange(12, dtype=np.float32).reshape(3, 4)
POINTS = lax.ScatterDimensionNumbers((), (0,), (0,))
PLACES = np.array([[1], [1], [9]], np.int32)


def traced(f, *args):
    return cv.jit(f)(*args)


VALUES = {
    "broadcast_like": (lambda x: lax.broadcast_like(x[0], x), np.broadcast_to(X[0], (3, 4))),
    "stage": (lax.stage, X),
    "index_take": (lambda x: lax.index_take(x, [cnp.array([0, -1]), cnp.array([1, 5])], (0, 1)), X[[0, 2], [1, 1]]),
    "index_take of rows": (lambda x: lax.index_take(x, [cnp.array([3, -4])], (1,)), X[:, [3, 0]].T),
    "composite": (lambda x: lax.composite(lambda x, *, k: x * k, "scaled")(x, k=3.0), 3 * X),
    "log2": (lambda x: lax.log2(x + 1), np.log2(X + 1)),
    "one_minus_square": (lax.one_minus_square, 1 - X * X),
    "polynomial": (lambda x: lax.polynomial(x, [1.0, 2.0, 0.5]), 1 + 2 * X + X * X / 2),
    "polynomial of none": (lambda x: lax.polynomial(x, []), 0 * X),
    "mul": (lambda x: lax.mul(x, x, out_dtype=cnp.int32), (X * X).astype(np.int32)),
    "scatter_apply": (
        lambda x: lax.scatter_apply(x[0], PLACES, lambda v: v * 3, POINTS, update_shape=(3,)), X[0] * [1, 9, 1, 1]
    ),
    "scatter_sub": (lambda x: lax.scatter_sub(x[0], PLACES, x[1, :3], POINTS), X[0] - [0, 9, 0, 0]),
    "with_sharding_constraint": (lambda x: lax.with_sharding_constraint(x, None), X),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    f, wanted = VALUES[name]
    for out in (f(cnp.asarray(X)), traced(f, X), cv.vmap(f)(X[None])[0]):
        np.testing.assert_allclose(np.asarray(out), wanted, rtol=1e-6)
        assert np.asarray(out).dtype == np.asarray(wanted, X.dtype if name != "mul" else None).dtype


BOUND = {
    "sort_p": (lambda x: lax.sort_p.bind(x, dimension=1, is_stable=True, num_keys=1)[0], np.sort(X)),
    "top_k_p": (lambda x: lax.top_k_p.bind(x, k=2, axis=1)[0], X[:, :1:-1]),
    "squeeze_p": (lambda x: lax.squeeze_p.bind(x[None], dimensions=(0,)), X),
    "split_p": (lambda x: lax.split_p.bind(x, sizes=(1, 3), axis=1)[1], X[:, 1:]),
    "tile_p": (lambda x: lax.tile_p.bind(x, reps=(2, 1)), np.tile(X, (2, 1))),
    "select_n_p": (lambda x: lax.select_n_p.bind(x > 3, x, -x), np.where(X > 3, -X, X)),
    "stack_p": (lambda x: lax.stack_p.bind(x, x, axis=1), np.stack([X, X], 1)),
    "unstack_p": (lambda x: lax.unstack_p.bind(x, axis=0)[1], X[1]),
    "scatter_add_p": (
        lambda x: lax.scatter_add_p.bind(
            x[0], PLACES, x[1, :3], dimension_numbers=POINTS, indices_are_sorted=False, unique_indices=False,
            mode=lax.GatherScatterMode.FILL_OR_DROP, update_jaxpr=None, update_consts=(),
        ),
        X[0] + [0, 9, 0, 0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUND)
def test_primitives_that_are_operations(name: str) -> None:
    f, wanted = BOUND[name]
    assert getattr(lax, name) is getattr(primitives, name)
    np.testing.assert_array_equal(np.asarray(traced(f, X)), wanted)
    assert cv.grad(lambda x: cnp.sum(f(x)))(X).shape == X.shape


def test_tokens_and_sinks() -> None:
    assert lax.after_all().shape == lax.after_all(lax.create_token(), lax.create_token()).shape
    program = cv.make_jaxpr(lambda x: (lax.dce_sink({"a": x * 2}), x)[1])(1.0)
    assert "mul" in str(program)
    assert lax.shape_as_value((2, 3)).tolist() == [2, 3]


def test_operands_by_name_and_accuracy() -> None:
    """All have JAX's names of operands, and can be asked for an accuracy where JAX's can."""
    assert lax.add(x=1, y=2).item() == 3
    assert list(inspect.signature(lax.igamma).parameters) == ["a", "x"]
    assert list(inspect.signature(lax.polygamma).parameters) == ["m", "x"]
    assert list(inspect.signature(lax.betainc).parameters) == ["a", "b", "x"]
    assert list(inspect.signature(lax.erfc).parameters) == ["x", "accuracy"]
    assert lax.sin(0.0, accuracy=lax.Tolerance(atol=1e-3)).item() == 0
    slope = cv.grad(lax.one_minus_square)(np.float32(1e-4))
    assert slope == np.float32(-2e-4)


def test_composites_take_and_give_arrays() -> None:
    found = lax.composite(lambda x, *, k: (x * k, x.dtype), "my.scaled")(2.0, k=3.0)[0]
    assert (type(found), found.weak_type) == (cv.Array, True)


def test_a_choice_by_integers() -> None:
    for which in (np.array([2, 0, -1]), np.array([1, 0, 1], np.int8)):
        found = lax.select(which, np.ones(3), np.zeros(3))
        assert found.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (TypeError, lambda: lax.exp(0.0, accuracy="high")),
        (ValueError, lambda: lax.Tolerance()),
        (ValueError, lambda: lax.Tolerance(atol=-1.0)),
        (TypeError, lambda: lax.composite(np.sin, 3)),  # type: ignore[arg-type]
        (TypeError, lambda: lax.with_sharding_constraint(X, "cpu")),
        (TypeError, lambda: lax.sort_p.def_impl(np.sort)),
        (ValueError, lambda: lax.convert_element_type(X, None)),
    ],
)
def test_wrong_arguments(error, call) -> None:
    with pytest.raises(error):
        call()
