"""Numbers that are converted, and small contracts of functions that JAX has too, as tables."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, nn, random, scipy
from covector._engine.base.config import config
from covector.experimental import checkify

BIG = 2**40
WAYS: dict[str, Callable[[Any, str], Any]] = {
    "convert_element_type": lax.convert_element_type,
    "the same in jit": lambda x, d: cv.jit(lambda: lax.convert_element_type(x, d))(),
    "astype": cnp.astype,
    "asarray": cnp.asarray,
    "array": lambda x, d: cnp.array([x], d)[0],
    "the type": lambda x, d: getattr(cnp, "bool_" if d == "bool" else d)(x),
    "full": lambda x, d: cnp.full((), x, d),
    "full_like": lambda x, d: cnp.full_like(np.zeros((), d), x),
    "lax.full": lambda x, d: lax.full((), x, d),
    "set": lambda x, d: cnp.zeros((), d).at[...].set(x),
    "pad": lambda x, d: cnp.pad(cnp.zeros(1, d), 1, constant_values=x)[0],
}
# What is 0 in 32 bits, and is not.
NUMBERS = (np.int64(BIG), np.int64(-BIG), np.uint64(2**63), np.array(BIG), BIG)
TO_BOOL = (*NUMBERS, 1j, np.complex64(1j), 1e-300, np.float64(1e-300), np.array(1e-300))


@pytest.fixture
def narrow() -> Iterator[None]:
    with config.override(enable_x64=False):
        yield


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("narrow")
def test_numbers_keep_their_bits_until_they_are_converted(way: str) -> None:
    for x in NUMBERS[: -1 if way == "astype" else None]:  # Python's are int32 there, as in JAX
        for dtype in ("float32", "float16", "complex64"):
            with np.errstate(over="ignore"):
                expected = np.asarray(x).astype(dtype)
            found = WAYS[way](x, dtype)
            assert (found.dtype, found.shape) == (expected.dtype, ()), (x, dtype)
            assert np.array_equal(found, expected), (x, dtype)


@pytest.mark.parametrize("way", ["convert_element_type", "the same in jit", "astype", "asarray"])
@pytest.mark.usefixtures("narrow")
def test_what_is_not_0_is_true(way: str) -> None:
    for x in TO_BOOL:
        if way == "astype" and type(x) is int:
            continue  # int32, which it does not fit
        assert bool(WAYS[way](x, "bool")), x
    assert not WAYS[way](0j, "bool")


@pytest.mark.usefixtures("narrow")
def test_floats_of_64_bits_become_the_integers_that_they_are() -> None:
    for x in (np.float64(16777217), 16777217.0, np.array([16777217.0])):
        assert int(lax.convert_element_type(x, "int32").sum()) == 16777217


class Member(enum.IntEnum):
    ONE = 1


V, M = cnp.ones(3), cnp.ones((2, 3))
KEYS = random.split(random.key(0), 4)
COLUMN = np.array([[1.0], [0.0]])
_to_integer = lambda x: (x * 2, cnp.arange(3))  # noqa: E731 -- a function in a table


def _device_within() -> Any:
    with cv.default_device(cv.devices()[0]):
        return config.jax_default_device == cv.devices()[0]


# What is done, and what it gives, as lists or shapes.
RESULTS: dict[str, tuple[Callable[[], Any], Any]] = {
    "isclose: atol": (lambda: cnp.isclose(V, 0 * V, atol=COLUMN), [[True] * 3, [False] * 3]),
    "isclose: rtol": (lambda: cnp.isclose(1.0, 1.5, rtol=COLUMN), [[True], [False]]),
    "isclose in jit": (
        lambda: cv.jit(cnp.isclose)(V, 0 * V, 0 * COLUMN, COLUMN),
        [[True] * 3, [False] * 3],
    ),
    "allclose: atol": (lambda: cnp.allclose(V, 0 * V, atol=COLUMN), False),
    "less of a member": (lambda: cnp.less(V, Member.ONE), [False] * 3),
    "V < member": (lambda: V < Member.ONE, [False] * 3),
    "member - V": (lambda: Member.ONE - V, [0.0] * 3),
    "add of a member": (lambda: cnp.add(V, Member.ONE), [2.0] * 3),
    "where of a member": (lambda: cnp.where(V > 0, Member.ONE, V), [1.0] * 3),
    "clip of a member": (lambda: cnp.clip(cnp.arange(3), Member.ONE, 2), [1, 1, 2]),
    "vectorize: keys": (
        lambda: list(cnp.vectorize(lambda k, x: random.uniform(k) + x)(KEYS, V[:1]).shape),
        [4],
    ),
    "vectorize: keys, a signature": (
        lambda: list(
            cnp.vectorize(lambda k, x: random.normal(k, x.shape), signature="(),(n)->(n)")(
                KEYS[:, None], V
            ).shape
        ),
        [4, 1, 3],
    ),
    "vectorize: keys come out": (
        lambda: list(cnp.vectorize(lambda k: random.fold_in(k, 1))(KEYS[None]).shape),
        [1, 4],
    ),
    "x64_enabled": (lambda: config.x64_enabled, bool(config.enable_x64)),
    "jax_default_device": (lambda: (config.jax_default_device, _device_within()), (None, True)),
    "fori_loop: floats": (lambda: lax.fori_loop(0.0, 3.0, lambda i, c: c + i, 0.0), 3.0),
    "fori_loop: no whole number": (lambda: lax.fori_loop(0.0, 2.5, lambda i, c: c + i, 0.0), 3.0),
    "fori_loop: floats in jit": (
        lambda: cv.jit(lambda a, b: lax.fori_loop(a, b, lambda i, c: c + i, 0.0))(0.0, 2.5),
        3.0,
    ),
    "fori_loop: nothing to do": (
        lambda: lax.fori_loop(0.0, float("nan"), lambda i, c: c + 1, 0.0),
        0.0,
    ),
    "fori_loop: slope": (
        lambda: cv.grad(lambda x: lax.fori_loop(0.0, 3.0, lambda i, c: c * x, 1.0))(2.0),
        12.0,
    ),
    "vjp: an integer for an integer": (
        lambda: cv.vjp(_to_integer, 2.0)[1]((1.0, np.arange(3)))[0],
        2.0,
    ),
    "vjp: float0 for an integer": (
        lambda: cv.vjp(_to_integer, 2.0)[1]((1.0, np.zeros(3, cv.dtypes.float0)))[0],
        2.0,
    ),
    **{
        f"{name}.{kind} at infinity": (
            lambda name=name, kind=kind: [
                float(slope(getattr(getattr(scipy.stats, name), kind), x))
                for slope in (
                    lambda f, x: cv.grad(f)(x),
                    lambda f, x: cv.jvp(f, (x,), (1.0,))[1],
                )
                for x in (np.inf, -np.inf)
            ],
            [0.0] * 4,
        )
        for name in ("norm", "cauchy", "gumbel_l", "gumbel_r", "laplace", "logistic")
        for kind in ("logpdf", "pdf")
    },
    "vjp: a truth value": (lambda: cv.vjp(lambda x: x > 1, 2.0)[1](True)[0], 0.0),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results(name: str) -> None:
    call, expected = RESULTS[name]
    found = call()
    assert (found.tolist() if isinstance(found, cv.Array) else found) == expected


def _failed(*args: Any, **kwargs: Any) -> Any:
    def f(x: Any) -> Any:
        checkify.check(x > 1, *args, **kwargs)
        return x

    return checkify.checkify(f)(0.0)[0].get()


SIZES = 2**40, 2**400
# What is refused, at once, with what, and what the message says.
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "vjp: shape": (
        lambda: cv.vjp(_to_integer, 2.0)[1]((1.0, np.arange(2))),
        ValueError,
        "cotangent",
    ),
    "fori_loop: kinds": (lambda: lax.fori_loop(0, 2.5, cnp.add, 0.0), TypeError, "integer"),
    "check: a name": (
        lambda: _failed("a {x} {y}", x=cnp.float32(1)),
        ValueError,
        r"'a \{x\} \{y\}' cannot be formatted with \(x=.*KeyError: 'y'",
    ),
    "check: a place": (
        lambda: _failed("a {} {}", cnp.float32(1)),
        ValueError,
        r"'a \{\} \{\}' cannot be formatted with .*IndexError",
    ),
    "check: a format": (
        lambda: _failed("{x:d}", x=cnp.float32(1)),
        ValueError,
        "cannot be formatted with .*code 'd'",
    ),
    "bernoulli": (lambda: random.bernoulli(KEYS[0], 0.5, (2**70,)), MemoryError, "random_bits"),
    **{
        f"{name}, {len(str(n))} digits": (
            lambda name=name, n=n: getattr(scipy.linalg, name)(n),
            MemoryError,
            f"{name}: there is no room for a matrix",
        )
        for name in ("dft", "hadamard", "helmert", "hilbert", "invhilbert", "invpascal", "pascal")
        for n in SIZES
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()


# What the flag `numpy_rank_promotion` refuses as JAX does, and what it allows.
RANKS: dict[str, tuple[Callable[[], Any], bool]] = {
    "cov: y": (lambda: cnp.cov(M, V), False),
    "cov: weights": (lambda: cnp.cov(M, aweights=V), True),
    "cov: both weights": (lambda: cnp.cov(M, fweights=cnp.arange(1, 4), aweights=V), True),
    "isclose": (lambda: cnp.isclose(M, V), False),
    "isclose: a number": (lambda: cnp.isclose(M, 1.0), True),
    "isclose: atol": (lambda: cnp.isclose(V, V, atol=M), False),
    "allclose": (lambda: cnp.allclose(M, V), False),
    "scipy logsumexp": (lambda: scipy.special.logsumexp(M, b=V), False),
    "nn.logsumexp": (lambda: nn.logsumexp(M, b=V), False),
    "logsumexp: a number": (lambda: nn.logsumexp(M, b=2.0), True),
    "linspace": (lambda: cnp.linspace(M, V, 3), False),
    "linspace: a number": (lambda: cnp.linspace(V, 1.0, 3), True),
    "logspace": (lambda: cnp.logspace(M, V, 3), False),
    "array_equiv": (lambda: cnp.array_equiv(M, V), True),
}


@pytest.mark.parametrize("name", RANKS)
def test_ranks(name: str) -> None:
    call, allowed = RANKS[name]
    call()
    with cv.numpy_rank_promotion("raise"):
        if allowed:
            call()
            return
        with pytest.raises(ValueError, match="numpy_rank_promotion"):
            call()
