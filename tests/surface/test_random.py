"""Random numbers against JAX's, recorded in golden/random.json as bits.

Bits, integers, uniform floats, permutations and choices are equal bit for bit.  What goes through a
logarithm or another function may differ by the last places, as their implementations do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import random
from covector._engine.core.trace import evaluate, stage, typeof

K = random.key(42)
RAW = random.PRNGKey(7)
LOGITS = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]], np.float32))
P = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


def golden() -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, (dtype, shape, values) in json.loads(
        (Path(__file__).parent / "golden" / "random.json").read_text()
    ).items():
        d = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        if d.kind in "fV":
            found[name] = np.array(values, f"uint{8 * d.itemsize}").view(d).reshape(shape)
        else:
            found[name] = np.array(values, d).reshape(shape)
    return found


GOLDEN = golden()

EXACT: dict[str, Any] = {
    **{f"key {s}": (lambda s=s: random.key_data(random.key(s))) for s in
       (0, 1, 42, 2**31, 2**32 - 1, 2**32 + 5, -1, -(2**31), 2**40 + 3)},
    "split": lambda: random.key_data(random.split(K)),
    "split 5": lambda: random.key_data(random.split(K, 5)),
    "split 2 3": lambda: random.key_data(random.split(K, (2, 3))),
    "split raw": lambda: random.split(RAW),
    **{f"fold_in {d}": (lambda d=d: random.key_data(random.fold_in(K, d))) for d in (0, 1, 123456, 2**32 - 1)},
    **{f"bits {d}": (lambda d=d: random.bits(K, (3, 2), d)) for d in ("uint8", "uint16", "uint32", "uint64")},
    **{f"uniform {d}": (lambda d=d: random.uniform(K, (5,), d)) for d in ("float16", "bfloat16", "float32", "float64")},
    "uniform array": lambda: random.uniform(K, (2, 3), minval=cnp.arange(3.0), maxval=10.0),
    "randint 0 10": lambda: random.randint(K, (8,), 0, 10),
    "randint -5 5 int8": lambda: random.randint(K, (8,), -5, 5, "int8"),
    "randint 0 256 uint8": lambda: random.randint(K, (8,), 0, 256, "uint8"),
    "randint -128 128 int8": lambda: random.randint(K, (4,), -128, 128, "int8"),
    "randint all": lambda: random.randint(K, (4,), -(2**31), 2**31 - 1),
    "randint uint32": lambda: random.randint(K, (4,), 0, np.uint32(2**32 - 1), "uint32"),
    "randint empty": lambda: random.randint(K, (3,), 5, 5),
    "randint array": lambda: random.randint(K, (2, 3), cnp.array([0, 10, 20]), cnp.array([5, 15, 1000])),
    "randint int64": lambda: random.randint(K, (4,), 0, 10**12, "int64"),
    "bernoulli 0.3": lambda: random.bernoulli(K, 0.3, (16,)),
    "bernoulli high": lambda: random.bernoulli(K, 0.3, (16,), mode="high"),
    "bernoulli array": lambda: random.bernoulli(K, cnp.array([0.1, 0.5, 0.9])),
    "rademacher": lambda: random.rademacher(K, (8,)),
    "permutation 10": lambda: random.permutation(K, 10),
    "permutation 1": lambda: random.permutation(K, 1),
    "permutation 2000 head": lambda: random.permutation(K, 2000)[:16],
    "permutation matrix": lambda: random.permutation(K, cnp.arange(12).reshape(4, 3)),
    "permutation matrix 1": lambda: random.permutation(K, cnp.arange(12).reshape(4, 3), axis=1),
    "permutation independent": lambda: random.permutation(K, cnp.arange(12).reshape(4, 3), 0, independent=True),
    "permutation floats": lambda: random.permutation(K, cnp.arange(7.0) / 8),
    "choice 10": lambda: random.choice(K, 10, (5,)),
    "choice noreplace": lambda: random.choice(K, 10, (5,), replace=False),
    "choice p": lambda: random.choice(K, 4, (8,), p=P),
    "choice p noreplace": lambda: random.choice(K, 4, (3,), False, P),
    "choice rows": lambda: random.choice(K, cnp.arange(6).reshape(3, 2), (4,)),
    "categorical": lambda: random.categorical(K, LOGITS),
    "categorical shape": lambda: random.categorical(K, LOGITS, shape=(4, 2)),
    "categorical axis": lambda: random.categorical(K, LOGITS, axis=0),
    "categorical noreplace": lambda: random.categorical(K, LOGITS, shape=(2, 2), replace=False),
}  # fmt: skip

# Values, and to how many units in the last place (of numbers around 1, where they are smaller).
CLOSE: dict[str, tuple[Any, float]] = {
    **{f"uniform {d} -2 5": ((lambda d=d: random.uniform(K, (5,), d, -2, 5)), 1) for d in
       ("float16", "bfloat16", "float32")},
    **{f"normal {d}": ((lambda d=d: random.normal(K, GOLDEN[f"normal {d}"].shape, d)), 4) for d in
       ("float16", "bfloat16", "float32", "float64")},
    **{f"{f.__name__} {d}": ((lambda f=f, d=d: f(K, (5,), d)), 4) for d in ("float16", "bfloat16", "float32") for f in
       (random.exponential, random.gumbel, random.laplace, random.logistic)},
    **{f"cauchy {d}": ((lambda d=d: random.cauchy(K, (5,), d)), 32) for d in ("float16", "bfloat16", "float32")},
    "exponential float64": (lambda: random.exponential(K, (5,), "float64"), 4),
    "gumbel high": (lambda: random.gumbel(K, (5,), mode="high"), 8),
    "truncated_normal -1 2": (lambda: random.truncated_normal(K, -1.0, 2.0, (8,)), 8),
    "normal complex parts": (lambda: _parts(random.normal(K, (4,), "complex64")), 4),
    "maxwell": (lambda: random.maxwell(K, (4,)), 8),
    "rayleigh": (lambda: random.rayleigh(K, 2.0, (4,)), 8),
    "pareto": (lambda: random.pareto(K, 3.0, (4,)), 8),
    "weibull_min": (lambda: random.weibull_min(K, 2.0, 3.0, (4,)), 8),
    "lognormal": (lambda: random.lognormal(K, 0.5, (4,)), 8),
    "double_sided_maxwell": (lambda: random.double_sided_maxwell(K, 1.0, 2.0, (4,)), 16),
}  # fmt: skip


def _parts(z: Any) -> Any:
    return cnp.stack([z.real, z.imag])


def test_all_goldens_are_used() -> None:
    assert set(GOLDEN) == {*EXACT, *CLOSE, "vmap"}


@pytest.mark.parametrize("name", EXACT)
def test_equal_to_jax(name: str) -> None:
    got = np.asarray(EXACT[name]())
    wanted = GOLDEN[name]
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(
        got.view(np.uint8 if got.itemsize == 1 else f"uint{8 * got.itemsize}"),
        wanted.view(np.uint8 if got.itemsize == 1 else f"uint{8 * got.itemsize}"),
    )


@pytest.mark.parametrize("name", CLOSE)
def test_close_to_jax(name: str) -> None:
    f, ulps = CLOSE[name]
    got, wanted = np.asarray(f()), GOLDEN[name]
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    eps = float(cnp.finfo(got.dtype).eps)
    error = np.abs(got.astype(np.float64) - wanted.astype(np.float64)) / np.maximum(
        np.abs(wanted.astype(np.float64)), 1
    )
    assert error.max() <= ulps * eps, error.max() / eps


def traced(f: Any, *args: Any) -> Any:
    program = stage(lambda *xs: [f(*xs)], [typeof(a) for a in args])
    return evaluate(program, args)[0]


def test_keys_inside_programs() -> None:
    words = random.key_data(K)
    got = traced(lambda w: random.uniform(random.split(random.wrap_key_data(w))[1], (3,)), words)
    np.testing.assert_array_equal(
        np.asarray(got), np.asarray(random.uniform(random.split(K)[1], (3,)))
    )
    seed = traced(lambda s: random.key_data(random.key(s)), cnp.asarray(np.int32(-1)))
    np.testing.assert_array_equal(np.asarray(seed), GOLDEN["key -1"])
    data = traced(lambda d: random.key_data(random.fold_in(K, d)), cnp.asarray(123456))
    np.testing.assert_array_equal(np.asarray(data), GOLDEN["fold_in 123456"])


def test_keys_are_mapped() -> None:
    got = cv.vmap(lambda k: random.uniform(k, (3,)))(random.split(K, 4))
    np.testing.assert_array_equal(np.asarray(got), GOLDEN["vmap"])
    keys = cv.vmap(random.key)(cnp.arange(3))
    np.testing.assert_array_equal(np.asarray(keys.words), [[0, 0], [0, 1], [0, 2]])
    shuffled = cv.vmap(lambda k: random.permutation(k, 5))(random.split(K, 2))
    for row, k in zip(np.asarray(shuffled), random.split(K, 2), strict=True):
        np.testing.assert_array_equal(row, np.asarray(random.permutation(k, 5)))


def test_keys_as_arrays() -> None:
    keys = random.split(K, (2, 3))
    assert (keys.shape, keys.ndim, keys.size, len(keys)) == ((2, 3), 2, 6, 2)
    assert str(keys.dtype) == "key<fry>"
    assert keys[0, 1].shape == ()
    assert keys[:, None].shape == (2, 1, 3)
    assert [k.shape for k in keys] == [(3,), (3,)]
    assert keys.reshape(-1).shape == (6,)
    assert keys.reshape(3, 2).shape == (3, 2)
    assert bool((keys[0, 1] == keys[0, 1]) & (keys[0, 1] != keys[1, 1]))
    assert "key<fry>" in repr(keys)
    assert cv.tree.structure(keys).num_leaves == 1
    assert cnp.issubdtype(K.dtype, cv.dtypes.prng_key)
    one, _ = random.split(RAW)
    assert one.dtype == np.uint32
    np.testing.assert_array_equal(
        np.asarray(random.uniform(RAW, (2,))),
        np.asarray(random.uniform(random.wrap_key_data(RAW), (2,))),
    )


def test_truncated_normal_stays_inside() -> None:
    x = np.asarray(random.truncated_normal(K, -0.5, 0.25, (1000,)))
    assert x.min() > -0.5
    assert x.max() < 0.25


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (
            lambda: random.uniform(0),
            TypeError,
            r"uniform takes a key, got 0 of type int.*random.key\(seed\)",
        ),
        (lambda: random.uniform(cnp.ones(2)), TypeError, r"uniform takes a key, got float32\[2\]"),
        (
            lambda: random.uniform(random.split(K)),
            ValueError,
            "uniform takes a single key.*use vmap",
        ),
        (lambda: random.key(1.5), TypeError, "key takes an integer seed"),
        (lambda: random.key(0, impl="dice"), ValueError, "no generator 'dice'"),
        (lambda: random.uniform(K, dtype=int), ValueError, "uniform gives floats, not int32"),
        (lambda: random.randint(K, (2,), 0, 3, float), TypeError, "randint gives integers"),
        (
            lambda: random.randint(K, (2,), cnp.arange(3), 5),
            ValueError,
            "do not broadcast to the shape",
        ),
        (
            lambda: random.choice(K, 3, (4,), replace=False),
            ValueError,
            "choice of 4 out of 3 without replacement",
        ),
        (
            lambda: random.choice(K, 3, (4,), p=P),
            ValueError,
            r"p has the shape \(4,\), it needs \(3,\)",
        ),
        (lambda: random.permutation(K, 1.5), TypeError, "permutation takes an integer or an array"),
        (lambda: random.bernoulli(K, 1), TypeError, "bernoulli takes a float probability"),
        (lambda: random.fold_in(K, cnp.arange(2)), TypeError, "fold_in takes an integer scalar"),
    ],
)
def test_errors(f: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        f()
