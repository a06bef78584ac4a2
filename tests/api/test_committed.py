"""`Array.committed`: whether the device of an array was asked for, or that of what it was computed from."""

import copy
import pickle

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp

DEVICE = cv.devices()[0]
SHARDING = cv.sharding.SingleDeviceSharding(DEVICE)
MESH = cv.make_mesh((1,), ("x",))
X = cnp.arange(3.0)


def put(x):
    return cv.device_put(x, DEVICE)


def key(x):
    return cv.random.normal(put(cv.random.PRNGKey(0)), (2,))


FROM_ONE = {
    "itself": lambda c: c,
    "put again": cv.device_put,
    "to_device": lambda c: X.to_device(DEVICE),
    "sharding": lambda c: cv.device_put(X, cv.sharding.SingleDeviceSharding(DEVICE)),
    "tree": lambda c: put({"a": X, "b": np.ones(2), "c": 3.0}),
    "operators": lambda c: (c + 1, c + X, X - c, -c, c > 1, c @ X),
    "functions": lambda c: (cnp.sin(c), c.sum(), cnp.sort(c), cnp.where(c > 1, X, X)),
    "indices": lambda c: (c[0], c[...], c[None], c[cnp.array([0, 1])], list(c)),
    "positions": lambda c: X[put(cnp.array([0, 1]))],
    "updates": lambda c: (c.at[0].set(1), X.at[0].set(c[0])),
    "shapes": lambda c: (c.reshape(3, 1), c[None].squeeze(), cnp.broadcast_to(c, (2, 3))),
    "copies": lambda c: (cnp.array(c), cnp.asarray(c), c.copy(), copy.copy(c), copy.deepcopy(c)),
    "types": lambda c: (c.astype(cnp.int32), c.view(cnp.int32), c.real),
    "several": lambda c: (cnp.concatenate([X, c]), cnp.split(c, 3), cnp.stack([X, c])),
    "jit": lambda c: cv.jit(lambda a: (a + 1, 2.0, a))(c),
    "donated": lambda c: cv.jit(lambda a: a + 1, donate_argnums=0)(put(X + 0)),
    "grad": lambda c: cv.grad(lambda a: (a**2).sum())(c),
    "closed over": lambda c: cv.value_and_grad(lambda a: (a * c).sum())(X),
    "forward": lambda c: (cv.jvp(cnp.sin, (c,), (X,)), cv.vjp(cnp.sin, c)[1](X)),
    "vmap": lambda c: cv.vmap(lambda a: a * 2)(c),
    "loops": lambda c: (cv.lax.scan(lambda s, a: (s + a, s), 0.0, c), cv.lax.cond(True, cnp.sin, cnp.cos, c)),
    "callback": lambda c: cv.pure_callback(np.asarray, X, c),
    "random": key,
    "linalg": lambda c: cnp.linalg.inv(put(cnp.eye(2))),
    "of its shape": lambda c: (cnp.zeros_like(c), cnp.ones_like(c), cnp.full_like(c, 2), cnp.empty_like(c)),
    "lists": lambda c: (cnp.array([c, c]), cnp.array([X, c])),
    "sets": lambda c: (cnp.unique(c), cnp.unique_all(c), cnp.unique_counts(c), cnp.nonzero(c), cnp.unstack(c)),
    "shards": lambda c: (c.addressable_shards[0].data, c.addressable_data(0)),
}  # fmt: skip

FROM_NONE = {
    "itself": lambda: X,
    "no device": lambda: cv.device_put(X),
    "operators": lambda: (X + 1, X @ X, X[0], X.at[0].set(1)),
    "key": lambda: cv.random.key_data(cv.random.key(0)),
    "constants": lambda: cv.jit(lambda a: (a + 1, a * put(X)))(X),
    "pickle": lambda: pickle.loads(pickle.dumps(put(X))),
}

# What makes arrays and takes a place for them.
MADE_AT = {
    "zeros": lambda place: cnp.zeros(3, device=place),
    "ones": lambda place: cnp.ones(3, device=place),
    "empty": lambda place: cnp.empty(3, device=place),
    "full": lambda place: (cnp.full(3, 2.0, device=place), cnp.full(3, X, device=place)),
    "likes": lambda place: [f(X, device=place) for f in (cnp.zeros_like, cnp.ones_like, cnp.empty_like)],
    "full_like": lambda place: (cnp.full_like(X, 1, device=place), cnp.full_like(X, X, device=place)),
    "arange": lambda place: cnp.arange(3, device=place),
    "linspace": lambda place: cnp.linspace(0, 1, 3, retstep=True, device=place)[0],
    "eye": lambda place: cnp.eye(3, device=place),
    "fftfreq": lambda place: (cnp.fft.fftfreq(4, device=place), cnp.fft.rfftfreq(4, device=place)),
    "array": lambda place: (cnp.array([1, 2], device=place), cnp.array(X, device=place)),
    "asarray": lambda place: (cnp.asarray(np.ones(2), device=place), cnp.asarray(X, device=place)),
    "astype": lambda place: (cnp.astype(X, int, device=place), X.astype(int, device=place)),
    "from_dlpack": lambda place: cnp.from_dlpack(np.ones(2), device=place),
}  # fmt: skip

# What always has a place, and what takes a sharding alone.
PLACED = {
    "dlpack": lambda: (cnp.from_dlpack(np.ones(2)), cv.dlpack.from_dlpack(X, copy=True)),
    "lax.full": lambda: (cv.lax.full((2,), 1, sharding=SHARDING), cv.lax.full_like(X, 1, sharding=SHARDING)),
    "constraint": lambda: cv.lax.with_sharding_constraint(X, SHARDING),
    "parts": lambda: (
        cv.make_array_from_callback((3,), SHARDING, lambda i: X[i]),
        cv.make_array_from_single_device_arrays((3,), SHARDING, [X]),
        cv.make_array_from_process_local_data(SHARDING, np.ones(2)),
    ),
    "shard_map": lambda: cv.shard_map(lambda x: x + 1, mesh=MESH, in_specs=cv.P("x"), out_specs=cv.P("x"))(X),
    "pmap": lambda: cv.pmap(lambda x: x + 1)(X[None]),
}  # fmt: skip

JITTED = [
    {"device": DEVICE},
    {"backend": "cpu"},
    {"in_shardings": SHARDING},
    {"out_shardings": SHARDING},
]


@pytest.mark.parametrize("place", [DEVICE, SHARDING, cv.NamedSharding(MESH, cv.P())], ids=str)
def test_what_is_made_at_a_place_is(place):
    for name, make in MADE_AT.items():
        assert all(x.committed for x in cv.tree.leaves(make(place))), name


@pytest.mark.parametrize("name", PLACED)
def test_what_is_placed_is(name):
    found = cv.tree.leaves(PLACED[name]())
    assert [x.committed for x in found] == [True] * len(found)


def test_a_place_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"zeros.*not a device here"):
        cnp.zeros(3, device="moon")
    with pytest.raises(ValueError, match=r"full.*not a device here"):
        cv.lax.full((3,), 1.0, sharding="moon")


def results(x):
    return x + 1, x, 2.0


@pytest.mark.parametrize("options", JITTED, ids=lambda options: next(iter(options)))
def test_results_of_what_is_compiled_for_a_place_are(options):
    f = cv.jit(results, **options)
    for found in (f(X), f(X), f.lower(X).compile()(X), cv.vjp(f, X)[0]):
        assert [x.committed for x in found] == [True] * 3
    with cv.config.override(fast_paths=False):
        assert [x.committed for x in f(X)] == [True] * 3
    assert [x.committed for x in cv.jit(results)(X)] == [False] * 3
    assert f(X)[1] is not X
    assert not X.committed


@pytest.mark.parametrize("name", FROM_ONE)
def test_results_of_committed_arrays_are(name):
    found = cv.tree.leaves(FROM_ONE[name](put(X)))
    assert [x.committed for x in found] == [True] * len(found)
    assert not X.committed
    if name not in ("operators", "indices", "jit", "closed over"):
        return
    with cv.config.override(fast_paths=False):
        found = cv.tree.leaves(FROM_ONE[name](put(X)))
    assert [x.committed for x in found] == [True] * len(found)


@pytest.mark.parametrize("name", FROM_NONE)
def test_others_are_not(name):
    found = cv.tree.leaves(FROM_NONE[name]())
    assert [x.committed for x in found] == [False] * len(found)
