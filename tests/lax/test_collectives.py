"""Collectives along named axes: against NumPy on all elements at once, their derivatives, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
import covector.numpy as cnp
from covector import lax

SIZE, ROWS, COLUMNS = 4, 8, 3
GROUPS = [[0, 3], [2, 1]]
X = np.random.default_rng(0).normal(size=(SIZE, ROWS, COLUMNS)).astype(np.float32)
SQUARE = X[:, :SIZE]  # (elements, as many rows, columns)


def same(x: np.ndarray) -> np.ndarray:
    """The same result for all elements."""
    return np.broadcast_to(x, (SIZE, *x.shape))


def in_groups(f: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of all elements, on the elements of each group."""

    def grouped(x: np.ndarray) -> np.ndarray:
        parts = {i: y for g in GROUPS for i, y in zip(g, f(x[g]), strict=True)}
        return np.stack([parts[i] for i in range(SIZE)])

    return grouped


def tiles(x: np.ndarray, axis: int) -> list[np.ndarray]:
    return np.split(x, SIZE, axis)


# name: (the collective, what it does to all elements, an array of all operands)
LINEAR: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray], np.ndarray]] = {
    "psum": (lambda x: lax.psum(x, "i"), lambda x: same(x.sum(0)), X),
    "psum of groups": (
        lambda x: lax.psum(x, "i", axis_index_groups=GROUPS),
        in_groups(lambda x: np.broadcast_to(x.sum(0), x.shape)),
        X,
    ),
    "psum of an axis too": (lambda x: lax.psum(x, (0, "i")), lambda x: same(x.sum((0, 1))), X),
    "pmean": (lambda x: lax.pmean(x, "i"), lambda x: same(x.mean(0)), X),
    "pmean of an axis too": (lambda x: lax.pmean(x, ("i", 1)), lambda x: same(x.mean((0, 2))), X),
    "all_gather": (
        lambda x: lax.all_gather(x, "i", axis=1),
        lambda x: same(np.moveaxis(x, 0, 1)),
        X,
    ),
    "all_gather tiled": (
        lambda x: lax.all_gather(x, "i", axis=1, tiled=True),
        lambda x: same(np.concatenate(list(x), 1)),
        X,
    ),
    "all_gather of groups": (
        lambda x: lax.all_gather(x, "i", axis_index_groups=GROUPS),
        in_groups(lambda x: np.broadcast_to(x, (len(x), *x.shape))),
        X,
    ),
    "psum_scatter": (lambda x: lax.psum_scatter(x, "i"), lambda x: x.sum(0), SQUARE),
    "psum_scatter tiled": (
        lambda x: lax.psum_scatter(x, "i", tiled=True),
        lambda x: np.stack(tiles(x.sum(0), 0)),
        X,
    ),
    "all_to_all": (
        lambda x: lax.all_to_all(x, "i", 0, 1),
        lambda x: np.stack([np.stack(list(x[:, k]), 1) for k in range(SIZE)]),
        SQUARE,
    ),
    "all_to_all tiled": (
        lambda x: lax.all_to_all(x, "i", 0, 1, tiled=True),
        lambda x: np.stack([np.concatenate([tiles(y, 0)[k] for y in x], 1) for k in range(SIZE)]),
        X,
    ),
    "pswapaxes": (lambda x: lax.pswapaxes(x, "i", 0), lambda x: np.swapaxes(x, 0, 1), SQUARE),
    "ppermute": (
        lambda x: lax.ppermute(x, "i", [(0, 2), (3, 1)]),
        lambda x: np.stack([0 * x[0], x[3], x[0], 0 * x[0]]),
        X,
    ),
    "pshuffle": (
        lambda x: lax.pshuffle(x, "i", [2, 0, 3, 1]),
        lambda x: x[np.array([2, 0, 3, 1])],
        X,
    ),
    "pbroadcast": (lambda x: lax.pbroadcast(x, "i", 2), lambda x: same(x[2]), X),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_collective_does_to_each_element_what_it_does_to_all(name: str) -> None:
    f, meaning, x = LINEAR[name]
    mapped = covector.vmap(f, axis_name="i")
    expected = meaning(x)
    np.testing.assert_allclose(mapped(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(covector.jit(mapped)(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        covector.vmap(covector.jit(f), axis_name="i")(x), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", LINEAR)
def test_derivatives_inside_are_those_outside(name: str) -> None:
    f, _, x = LINEAR[name]
    rng = np.random.default_rng(1)

    def nonlinear(x: Any) -> Any:
        return f(cnp.sin(x))

    mapped = covector.vmap(nonlinear, axis_name="i")
    out, pull = covector.vjp(mapped, x)
    ct = rng.normal(size=out.shape).astype(np.float32)
    (outside,) = pull(ct)

    def inner(x: Any, ct: Any) -> Any:
        return covector.vjp(nonlinear, x)[1](ct)[0]

    inside = covector.vmap(inner, axis_name="i")
    np.testing.assert_allclose(inside(x, ct), outside, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(covector.jit(inside)(x, ct), outside, rtol=1e-4, atol=1e-5)
    v = rng.normal(size=x.shape).astype(np.float32)
    _, pushed = covector.jvp(mapped, (x,), (v,))
    np.testing.assert_allclose(np.vdot(pushed, ct), np.vdot(v, outside), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", LINEAR)
def test_another_axis_does_not_matter(name: str) -> None:
    f, meaning, x = LINEAR[name]
    many = np.stack(
        [x, 2 * x, x - 1], 2
    )  # the further axis is the third of all, the second of an element

    def both(x: Any) -> Any:
        return covector.vmap(f, in_axes=1, out_axes=0)(x)

    out = np.asarray(covector.vmap(both, axis_name="i")(many))
    for k in range(3):
        np.testing.assert_allclose(out[:, k], meaning(many[:, :, k]), rtol=1e-5, atol=1e-5)
    outer = covector.vmap(covector.vmap(f, axis_name="i"), in_axes=2)(many)
    np.testing.assert_allclose(np.moveaxis(out, 1, 0), outer, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("f", "fold"), [(lax.pmax, np.max), (lax.pmin, np.min)])
def test_extremes(f: Callable[..., Any], fold: Callable[..., Any]) -> None:
    np.testing.assert_array_equal(
        covector.vmap(lambda x: f(x, "i"), axis_name="i")(X), same(fold(X, 0))
    )
    ties = np.array([1.0, 2.0, 2.0, 0.0], np.float32)

    def total(x: Any) -> Any:
        return covector.vmap(lambda x: f(x, "i"), axis_name="i", out_axes=None)(x)

    outside = covector.grad(total)(ties)
    wins = ties == fold(ties)
    np.testing.assert_allclose(outside, wins / wins.sum())
    # Inside, each of the elements has a cotangent of one.
    inside = covector.vmap(covector.grad(lambda x: f(x, "i")), axis_name="i")(ties)
    np.testing.assert_allclose(inside, SIZE * outside)


def test_numbers_bools_and_trees() -> None:
    def f(x: Any) -> Any:
        one = lax.psum(1, "i")
        assert type(one) is int
        assert one == SIZE == lax.axis_size("i")
        return lax.psum({"count": x > 0, "half": 0.5}, "i"), lax.psum(cnp.ones(2), "i")

    tree, ones = covector.vmap(f, axis_name="i", out_axes=None)(X[:, 0, 0])
    assert int(tree["count"]) == (X[:, 0, 0] > 0).sum()
    assert tree["count"].dtype == np.int32
    assert float(tree["half"]) == 2.0
    np.testing.assert_array_equal(ones, [4, 4])


def test_several_names() -> None:
    y = np.arange(6.0, dtype=np.float32).reshape(2, 3)

    def nest(f: Callable[[Any], Any]) -> np.ndarray:
        return np.asarray(covector.vmap(covector.vmap(f, axis_name="j"), axis_name="i")(y))

    np.testing.assert_array_equal(nest(lambda x: lax.psum(x, ("i", "j"))), np.full((2, 3), 15.0))
    np.testing.assert_array_equal(nest(lambda x: lax.pmax(x, ("j", "i"))), np.full((2, 3), 5.0))
    np.testing.assert_array_equal(
        nest(lambda x: lax.axis_index(("i", "j"))), np.arange(6).reshape(2, 3)
    )
    for names, order in ((("i", "j"), y), (("j", "i"), y.T)):
        every = nest(lambda x, names=names: lax.all_gather(x, names))
        np.testing.assert_array_equal(every, np.broadcast_to(order.ravel(), (2, 3, 6)))
        tiled = nest(lambda x, names=names: lax.all_gather(x[None], names, tiled=True))
        np.testing.assert_array_equal(tiled, every)
    whole = np.random.default_rng(2).normal(size=(2, 3, 12)).astype(np.float32)
    scattered = covector.vmap(
        covector.vmap(lambda x: lax.psum_scatter(x, ("i", "j"), tiled=True), axis_name="j"),
        axis_name="i",
    )(whole)
    np.testing.assert_allclose(scattered, whole.sum((0, 1)).reshape(2, 3, 2), rtol=1e-5)
    assert lax.axis_size(()) == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda x, n: lax.all_to_all(x, n, 1, 0),
        lambda x, n: lax.all_to_all(x, n, 1, 2),
        lambda x, n: lax.all_to_all(x, n, 1, 0, tiled=True),
        lambda x, n: lax.pswapaxes(x, n, 1),
        lambda x, n: lax.psum_scatter(x, n, scatter_dimension=1),
        lambda x, n: lax.psum_scatter(x, n, scatter_dimension=1, tiled=True),
        lambda x, n: lax.all_gather(x, n, axis=1),
        lambda x, n: lax.ppermute(x, n, [(0, 4), (1, 2), (2, 3), (3, 5), (5, 0)]),
        lambda x, n: lax.pshuffle(x, n, [1, 2, 3, 4, 5, 0]),
        lambda x, n: lax.pbroadcast(x, n, 4),
        lambda x, n: covector.vmap(lambda y: lax.pshuffle(y, n, [1, 2, 3, 4, 5, 0]), 1, 1)(x),
    ],
)
def test_several_axes_are_as_one(f: Any) -> None:
    """Of their sizes' product, the last one fastest; derivatives too."""
    x = cnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5, 6, 2)))

    def along_two(x: Any) -> Any:
        inner = covector.vmap(lambda x: f(x, ("i", "j")), axis_name="j")
        return covector.vmap(inner, axis_name="i")(x)

    def along_one(x: Any) -> Any:
        out = covector.vmap(lambda x: f(x, "k"), axis_name="k")(x.reshape(6, *x.shape[2:]))
        return out.reshape(2, 3, *out.shape[1:])

    np.testing.assert_allclose(along_two(x), along_one(x))
    found = covector.grad(lambda x: cnp.sum(along_two(x) ** 3))(x)
    np.testing.assert_allclose(found, covector.grad(lambda x: cnp.sum(along_one(x) ** 3))(x))


def test_several_axes_are_counted_in_the_order_of_their_names() -> None:
    x = np.arange(6.0).reshape(2, 3)

    def nest(f: Any) -> np.ndarray:
        return np.asarray(covector.vmap(covector.vmap(f, axis_name="j"), axis_name="i")(x))

    turned = nest(lambda x: lax.pshuffle(x, ("j", "i"), [1, 2, 3, 4, 5, 0]))
    np.testing.assert_array_equal(turned.T.ravel(), x.T.ravel()[[1, 2, 3, 4, 5, 0]])


def test_the_innermost_axis_of_a_name_counts() -> None:
    y = np.arange(6.0).reshape(3, 2)
    out = covector.vmap(covector.vmap(lambda x: lax.psum(x, "i"), axis_name="i"), axis_name="i")(y)
    np.testing.assert_array_equal(out, [[1, 1], [5, 5], [9, 9]])


def test_loops_and_calls_inside() -> None:
    def f(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            return c + covector.jit(lambda c: lax.psum(c, "i"))(c), lax.axis_index("i")

        return lax.scan(step, x, None, length=2)

    x = np.arange(3.0)
    last, indices = covector.vmap(f, axis_name="i")(x)
    after = x + x.sum()
    np.testing.assert_array_equal(last, after + after.sum())
    np.testing.assert_array_equal(indices, [[0, 0], [1, 1], [2, 2]])
    inner = covector.vmap(lambda x: covector.jit(lambda: lax.axis_index("i"))(), axis_name="i")
    np.testing.assert_array_equal(inner(x), [0, 1, 2])


def _body(c: Any, _: Any) -> Any:
    return c + lax.psum(1, "i") + lax.all_gather(c, "i").sum(), None


def test_what_is_kept_of_a_function_knows_the_size() -> None:
    gather = covector.jit(lambda x: lax.all_gather(x, "i").sum() + lax.psum(1, "i"))
    for n in (2, 5, 2):
        x = np.arange(float(n))
        np.testing.assert_array_equal(
            covector.vmap(gather, axis_name="i")(x), np.full(n, x.sum() + n)
        )
        scanned = covector.vmap(lambda x: lax.scan(_body, x, None, length=1)[0], axis_name="i")(x)
        np.testing.assert_array_equal(scanned, x + n + x.sum())
    for f in (gather, lambda x: lax.scan(_body, x, None, length=1)):
        with pytest.raises(NameError, match="unbound axis name: 'i'"):
            f(1.0)


def test_what_was_compiled_outside_a_name_is_not_taken_inside() -> None:
    @covector.jit
    def size(x: Any) -> Any:
        try:
            return x * lax.axis_size("i")
        except NameError:
            return x * 0

    assert float(size(1.0)) == 0
    out = covector.vmap(lambda x: x + size(1.0), axis_name="i")(np.zeros(3))
    np.testing.assert_array_equal(out, [3, 3, 3])
    assert float(size(1.0)) == 0


def test_ragged_all_to_all() -> None:
    rng = np.random.default_rng(3)
    n, rows = 3, 10
    sends = rng.integers(0, 3, (n, n))
    begins = np.cumsum(sends, 1) - sends
    starts = np.cumsum(sends, 0) - sends  # where each receiver has what comes from each sender
    operand = rng.normal(size=(n, rows, 2)).astype(np.float32)
    output = rng.normal(size=(n, rows, 2)).astype(np.float32)
    expected = output.copy()
    for i in range(n):
        for j in range(n):
            rows_sent = operand[i, begins[i, j] : begins[i, j] + sends[i, j]]
            expected[j, starts[i, j] : starts[i, j] + sends[i, j]] = rows_sent

    def f(*args: Any) -> Any:
        return lax.ragged_all_to_all(*args, axis_name="i")

    out = covector.vmap(f, axis_name="i")(operand, output, begins, sends, starts, sends.T)
    np.testing.assert_array_equal(out, expected)


def test_programs_with_axes_that_nobody_has_named_yet() -> None:
    program = covector.make_jaxpr(lambda x: lax.all_gather(x, "i"), axis_env=[("i", 5)])(1.0)
    assert program.out_avals[0].shape == (5,)
    assert "all_gather" in str(program)


def test_sums_of_elements_as_results() -> None:
    x = np.arange(6.0).reshape(2, 3)
    out = covector.vmap(lambda x: (x, x), out_axes=(0, None), sum_match=True)(x)
    np.testing.assert_array_equal(out[0], x)
    np.testing.assert_array_equal(out[1], x.sum(0))


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x: lax.psum(x, "k"), NameError, "unbound axis name: 'k'.*in scope are 'i'"),
        (lambda x: lax.axis_index("k"), NameError, "unbound"),
        (lambda x: lax.psum(x, ("i", "i")), ValueError, "named twice"),
        (
            lambda x: lax.psum(x, "i", axis_index_groups=[[0, 1], [2]]),
            ValueError,
            "hold each of the 4",
        ),
        (lambda x: lax.all_gather(x, "i", axis=5), ValueError, "axis"),
        (lambda x: lax.psum_scatter(x, "i"), ValueError, "must have the size 4 of the axis 'i'"),
        (
            lambda x: lax.all_to_all(x, "i", 1, 0, tiled=True),
            ValueError,
            "must have a multiple of the size 4",
        ),
        (lambda x: lax.ppermute(x, ("i", "j"), [(0, 1)]), NameError, "unbound axis name: 'j'"),
        (lambda x: lax.ppermute(x, "i", [(0, 1), (0, 2)]), ValueError, "must be different"),
        (lambda x: lax.ppermute(x, "i", [(0, 4)]), ValueError, r"the pair \(0, 4\) does not fit"),
        (lambda x: lax.pshuffle(x, "i", [0, 0, 1, 2]), ValueError, "a permutation of 0 to 3"),
        (lambda x: lax.pbroadcast(x, "i", 4), ValueError, "the source 4"),
        (lambda x: lax.psum("text", "i"), TypeError, "psum"),
        (lambda x: lax.pcast(x, "i", to="other"), ValueError, "'varying', 'reduced'"),
        (lambda x: lax.pcast(x, "j", to="varying"), NameError, "unbound axis name: 'j'"),
    ],
)
def test_wrong_arguments(f: Callable[[Any], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        covector.vmap(f, axis_name="i")(X)


def test_values_are_said_to_differ() -> None:
    varying = covector.vmap(lambda x: lax.pcast({"x": x}, "i", to="varying"), axis_name="i")(X)
    np.testing.assert_array_equal(varying["x"], X)
    slope = covector.vmap(
        covector.grad(lambda x: lax.pcast(x * x, "i", to="varying")), axis_name="i"
    )
    np.testing.assert_array_equal(slope(np.arange(3.0)), [0.0, 2.0, 4.0])
    mesh, spec = covector.make_mesh((1,), ("i",)), covector.sharding.PartitionSpec
    shards = covector.shard_map(
        lambda x: lax.pcast(x, ("i",), to="varying"),
        mesh=mesh,
        in_specs=spec(),
        out_specs=spec("i"),
    )
    np.testing.assert_array_equal(shards(np.arange(3.0)), np.arange(3.0))
    assert lax.pcast(1.0, (), to="anything") == 1.0
