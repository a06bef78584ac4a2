"""`Array.committed`: whether the device of an array was asked for, or that of what it was computed from."""

import copy
import pickle

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp

DEVICE = cv.devices()[0]
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
