"""Calls keep nothing: neither objects, nor memory of arrays, nor references to what they were given."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import covector
import covector._engine._native as native
from covector import lax, numpy as cnp

WARM, MEASURED = 12, 60
SLACK = 20  # objects: what others collect and make meanwhile, fewer than one a call

X = cnp.arange(8.0)
SQUARE = cnp.ones((16, 16))
NDARRAY = np.ones(8, np.float32)
SHAPE = covector.ShapeDtypeStruct((8,), np.float32)


class Point(NamedTuple):
    a: Any
    b: Any


def _raise(*_: Any) -> Any:
    raise KeyError("told to")


@covector.custom_vjp
def _doubled(x: Any) -> Any:
    return 2 * x


_doubled.defvjp(lambda x: (2 * x, x), lambda x, t: (2 * t,))


@covector.custom_jvp
def _tripled(x: Any) -> Any:
    return 3 * x


_tripled.defjvp(lambda x, t: (3 * x[0], 3 * t[0]))

_tree = covector.jit(lambda a, b: {"s": a + b, "t": (a * b, [a])})
_donating = covector.jit(lambda a: a + 1, donate_argnums=0)
_named = covector.jit(lambda p: Point(p.b, p.a))
_called_back = covector.jit(lambda a: covector.pure_callback(lambda v: v + 1, SHAPE, a))
_failing = covector.jit(lambda a: covector.pure_callback(_raise, SHAPE, a))
_scanned = covector.jit(lambda a: lax.scan(lambda c, v: (c + v, c), 0.0, a))
_slope = covector.grad(lambda a: (cnp.sin(a) * a).sum())
_curved = covector.grad(lambda a: _slope(a).sum())
_mapped = covector.vmap(lambda a: cnp.sin(a) * 2 + a.sum())
_mapped_slope = covector.vmap(_slope)
_stored = covector.new_ref(X)
_storing = covector.jit(lambda ref, v: ref.__setitem__(slice(None), ref[:] + v))


def _refused(call: Callable[[], Any], *errors: type[Exception]) -> None:
    try:
        call()
    except errors:
        return
    raise AssertionError("it should have failed")


def _fresh_ref() -> None:
    ref = covector.new_ref(X)
    ref[...] = ref[...] + 1


def _pull() -> None:
    y, pull = covector.vjp(lambda a: cnp.tanh(a) * a, X)
    pull(y)


def _unused_pullback() -> None:
    covector.vjp(lambda a: cnp.tanh(a) * a, X)


def _queued() -> None:
    before = native.set_inline_threshold_ns(0)
    y = _tree(X, X)["s"]
    for _ in range(3):
        y = cnp.sin(_tree(y, y)["s"])
    native.set_inline_threshold_ns(before)


def _ends_in_the_middle(a: Any) -> Any:
    return _raise(cnp.sin(a) * a)


CASES: dict[str, Callable[[], Any]] = {
    "jit": lambda: _tree(X, X),
    "jit of ndarrays and numbers": lambda: _tree(NDARRAY, b=2.0),
    "donation": lambda: _donating(cnp.array(NDARRAY)),
    "named tuples": lambda: _named(Point(X, NDARRAY)),
    "the queue": _queued,
    "ufuncs": lambda: (cnp.sin(X), X + X, X * 2.0, -X, X == X, cnp.add(X, np.float32(1))),
    "indexing": lambda: (X[2], X[1:3], X.at[2].set(1.0), list(X)),
    "folds": lambda: (X.sum(), SQUARE.mean(axis=0), SQUARE @ SQUARE),
    "routines": lambda: (cnp.sort(X), lax.top_k(X, 3), cnp.linalg.cholesky(SQUARE), cnp.fft.fft(X)),
    "grad": lambda: _slope(X),
    "grad of grad": lambda: _curved(X),
    "a pullback": _pull,
    "a pullback that nobody calls": _unused_pullback,
    "a linear function": lambda: covector.linearize(lambda a: cnp.tanh(a) * a, X)[1](X),
    "jvp": lambda: covector.jvp(cnp.tanh, (X,), (X,)),
    "vmap": lambda: _mapped(SQUARE),
    "vmap of grad": lambda: _mapped_slope(SQUARE),
    "custom rules": lambda: covector.grad(lambda a: (_doubled(a) * _tripled(a)).sum())(X),
    "callbacks": lambda: _called_back(X),
    "references": lambda: (_storing(_stored, X), _fresh_ref()),
    "loops": lambda: _scanned(X),
    "dlpack": lambda: (np.from_dlpack(X), cnp.from_dlpack(NDARRAY), X.__dlpack__()),
    "views": lambda: (np.asarray(X), memoryview(X), cnp.asarray(NDARRAY), X.tolist(), float(X[0])),
    "a callback that raises": lambda: _refused(lambda: _failing(X), KeyError),
    "operands that do not fit": lambda: (
        _refused(lambda: X + cnp.ones(3), TypeError, ValueError),
        _refused(lambda: _tree(X, cnp.ones(3)), TypeError, ValueError),
        _refused(lambda: cnp.add(X, "a"), TypeError),  # type: ignore[arg-type]
    ),
    "a function that raises": lambda: (
        _refused(lambda: covector.grad(_ends_in_the_middle)(X), KeyError),
        _refused(lambda: covector.vmap(_ends_in_the_middle)(X), KeyError),
        _refused(lambda: covector.jit(_ends_in_the_middle)(X), KeyError),
    ),
}


def _counts() -> tuple[int, int, int, int]:
    native.synchronize()
    gc.collect()
    shared = sys.getrefcount(X), sys.getrefcount(NDARRAY)
    return len(gc.get_objects()), native.memory_stats()["bytes_in_use"], *shared


@pytest.mark.parametrize("name", CASES)
def test_calls_keep_nothing(name: str) -> None:
    call = CASES[name]
    for _ in range(WARM):
        call()
    before = _counts()
    for _ in range(MEASURED):
        call()
    after = _counts()
    grown = [y - x for x, y in zip(before, after, strict=True)]
    assert [grown[0] < SLACK, grown[1] < 64 * SLACK, max(grown[2:]) < SLACK] == [True] * 3, grown


@pytest.mark.parametrize("how", [lambda f: f, covector.jit, covector.grad, covector.vmap])
def test_classes_of_named_tuples_go(how: Callable[[Any], Any]) -> None:
    """Nobody registers them, and a program may make any number."""

    def made() -> list[weakref.ref[Any]]:
        class Pair(NamedTuple):
            a: Any
            b: Any

        def f(p: Any) -> Any:
            return (p.a + p.b).sum()

        how(f)(Pair(X, X))
        return [weakref.ref(Pair), weakref.ref(f)]

    refs = made()
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_a_class_in_the_place_of_a_named_tuple() -> None:
    """What was known of an address is forgotten with the class that was there."""
    total = covector.jit(lambda p: p.a + p.b)
    for n in range(50):

        class Pair(NamedTuple):
            a: Any
            b: Any

        assert float(total(Pair(1.0, n))) == n + 1
        del Pair
        plain = type("plain", (tuple,), {"a": 1.0})
        with pytest.raises(TypeError):
            total(plain((1.0, 2.0)))
        del plain
        total.clear_cache()
        gc.collect()
