"""Wrong arguments: whatever they are, an error says the function, what it got, and the user's line."""

from __future__ import annotations

import inspect
import random
import warnings
from collections.abc import Callable
from importlib import import_module
from types import GenericAlias
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import lax, numpy as cnp

NAMES = """dtypes experimental.ode experimental.random flatten_util image lax lax.linalg nn nn.initializers numpy
    numpy.fft numpy.linalg ops random scipy.cluster.vq scipy.fft scipy.integrate scipy.linalg
    scipy.ndimage scipy.optimize scipy.signal scipy.sparse.linalg scipy.special scipy.stats scipy.stats.beta
    scipy.stats.binom scipy.stats.dirichlet scipy.stats.gamma scipy.stats.multivariate_normal scipy.stats.norm
    scipy.stats.truncnorm tree tree_util""".split()  # noqa: SIM905
MODULES = {name: import_module(f"covector.{name}") for name in NAMES}
LEFT_OUT = {
    "save", "savez", "load", "fromfile", "fromstring", "frombuffer", "set_printoptions", "printoptions",
    "fori_loop", "while_loop", "identity", "eye", "tri", "bernoulli",  # of huge sizes
    "hadamard", "invhilbert", "invpascal", "pascal",
}  # fmt: skip
# Those of a call that does not fit the signature are Python's own.
ALLOWED = (TypeError, ValueError, IndexError, OverflowError, NotImplementedError, BufferError)


class Odd:
    def __repr__(self) -> str:
        return "Odd()"


WRONG: list[Any] = [
    None, "x", -1, 5, 1.5, float("nan"), (), (0, 0), (5,), [1, [2]], {"a": 1}, Odd(), b"q", 2**70, 1j,
    np.array(["a"]), object, cnp.zeros((0,)), slice(1, 2), ..., (-1, 2), ("a", "b"), np.zeros(3, "datetime64[s]"),
    "float99", cnp.ones(3, complex), cnp.zeros((2, 2), bool),
]  # fmt: skip
RIGHT: list[Any] = [
    cnp.ones((2, 3)),
    cnp.ones((3, 3)),
    cnp.arange(4),
    1.0,
    2,
    (2, 3),
    cnp.ones((2, 3, 3)),
    "float32",
]


def a_call(pick: random.Random) -> tuple[str, Callable[[], Any]]:
    """A random public function with random arguments, more than half of them wrong."""
    module = MODULES[pick.choice(sorted(MODULES))]
    names = [
        n
        for n in dir(module)
        if not n.startswith("_")
        and not n.endswith("_p")
        and n not in LEFT_OUT
        and callable(getattr(module, n))
        and not isinstance(getattr(module, n), type | GenericAlias)
    ]
    function = getattr(module, pick.choice(names))
    parameters = list(inspect.signature(function).parameters.values())
    must = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    may = [p for p in parameters if p.default is not p.empty and p.kind is not p.POSITIONAL_ONLY]
    given = {p.name: _one_for(p, pick) for p in must}
    kwargs = {p.name: pick.choice(WRONG) for p in may if pick.random() < 1 / len(may)}
    kwargs |= {p.name: given.pop(p.name) for p in must if p.kind is p.KEYWORD_ONLY}
    return function.__name__, lambda: function(*given.values(), **kwargs)


def _one_for(parameter: inspect.Parameter, pick: random.Random) -> Any:
    if parameter.name == "key" and pick.random() < 0.8:
        return cv.random.key(0)
    return pick.choice(RIGHT if pick.random() < 0.5 else WRONG)


def told(call: Callable[[], Any]) -> str | None:
    """What the error of a call says, if it has one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of what it may not understand one day
            cv.block_until_ready(call())
    except NameError:
        return None
    except ALLOWED as error:
        return str(error)
    return None


@pytest.mark.parametrize("seed", range(4))
def test_random_calls(seed: int) -> None:
    pick = random.Random(seed)
    for _ in range(50):
        name, call = a_call(pick)
        text = told(call)
        assert text is None or name in text, (name, text)


def test_the_call_is_told() -> None:
    """What says only what is wrong says which call that was, too."""
    with pytest.raises(
        TypeError, match=r"got 'x' \(at .*; called as exponential\(key=key<fry>\[\], shape='x'\)"
    ):
        cv.random.exponential(cv.random.key(0), shape="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"unflatten cannot take treedef=5, leaves=\[3\] \(at"):
        cv.tree.unflatten(5, [3])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"map cannot take .*list arity mismatch"):
        cv.tree.map(lambda a, b: a, [1], [1, 2])


# What was taken, and something made of it.
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: cnp.broadcast_shapes(1.5, 1), TypeError, r"broadcast_shapes must be .*1\.5"),
    (lambda: cnp.broadcast_shapes("ab", (1,)), TypeError, "broadcast_shapes must be .*'ab'"),  # type: ignore[arg-type]
    (lambda: cnp.broadcast_shapes((-1,), 1), ValueError, "broadcast_shapes .* negative"),
    (lambda: lax.iota(None, 3), ValueError, "iota needs a dtype"),
    (lambda: lax.broadcasted_iota(None, (3,), 0), ValueError, "broadcasted_iota needs a dtype"),
    (lambda: cnp.array([1], order="X"), ValueError, "array: order must be .* got 'X'"),
    (lambda: cnp.copy(1, order=cnp.ones(2)), ValueError, "copy: order must be"),  # type: ignore[arg-type]
    (lambda: cnp.asarray(1, None, 1j), ValueError, "asarray: order must be .* got 1j"),  # type: ignore[arg-type]
    (lambda: cnp.can_cast(cnp.ones(2), None), TypeError, "None is no dtype .*can_cast"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED, ids=[r[2][:25] for r in REFUSED])
def test_what_is_refused(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


KNOWN: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: cnp.mask_indices(0, (2, 3)),
        TypeError,
        r"mask_indices cannot take n=0, mask_func=\(2, 3\) \(at .*",
    ),  # type: ignore[arg-type]
    (
        lambda: cnp.diagonal(cnp.ones((2, 2)), 1.5),
        TypeError,
        r"diagonal cannot take a=float32\[2,2\], offset=1.5 \(at",
    ),  # type: ignore[arg-type]
    (
        lambda: lax.polynomial(cnp.ones(2), 3),
        TypeError,
        r"polynomial cannot take x=float32\[2\], coeffs=3",
    ),  # type: ignore[arg-type]
    (
        lambda: cnp.finfo("int8"),
        ValueError,
        r"finfo cannot take dtype='int8' \(at .*: data type .*int8.* not inexact",
    ),
    (
        lambda: lax.round(1.0, 7),
        ValueError,
        r"round cannot take x=1.0, rounding_method=7 \(at .*: 7 is not a valid RoundingMethod",
    ),  # type: ignore[arg-type]
    (
        lambda: cnp.fft.fft(cnp.ones(3), norm=cnp.ones(2)),
        TypeError,
        r"fft cannot take a=float32\[3\], norm=float32\[2\]",
    ),  # type: ignore[arg-type]
    (
        lambda: cnp.histogram_bin_edges(cnp.ones(3), range=(1, 2, 3)),
        ValueError,
        r"range=\(1, 2, 3\) \(at",
    ),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "kind", "text"), KNOWN, ids=[text[:20] for _, _, text in KNOWN])
def test_what_was_not_foreseen_is_told(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        call()
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None


def test_of_keys_too() -> None:
    """Functions that move keys do so by other ones, whose errors are the functions'."""
    key = cv.random.key(0)
    with pytest.raises(ValueError, match=r"out of bounds .*called as rot90\(m=key<fry>\[\]\)"):
        cnp.rot90(key)
    with pytest.raises(ValueError, match=r"called as concatenate\(arrays=key<fry>\[\]\)"):
        cnp.concatenate(key)
    with pytest.raises(TypeError, match=r"dtype\('O'\) is not a dtype"):
        cv.dtypes.scalar_type_of(np.array([object()]))


def test_what_users_raise_passes_as_it_is() -> None:
    def wrong(x: Any) -> Any:
        return x.nowhere

    with pytest.raises(AttributeError, match="nowhere") as caught:
        cv.vmap(wrong)(cnp.ones(2))
    assert caught.value.__cause__ is None
    with pytest.raises(TypeError, match=r"^unsupported operand|^can only") as caught:
        lax.map(lambda x: [] + 1, cnp.ones(2))  # type: ignore[operator]
    assert caught.value.__cause__ is None
