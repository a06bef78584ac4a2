"""Wrong arguments: whatever they are, an error says the function, what it got, and the user's line."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.amount import some

import covector as cv
from covector import lax, numpy as cnp

MODULES = {"numpy": cnp, "lax": lax, "linalg": cnp.linalg, "fft": cnp.fft, "nn": cv.nn}
LEFT_OUT = {
    "save", "savez", "load", "fromfile", "fromstring", "frombuffer", "set_printoptions", "printoptions",
    "fori_loop", "while_loop", "identity", "eye", "tri",  # of huge sizes
}  # fmt: skip
# Python's own, of a call that does not fit the signature; names of axes are looked up as names are.
ALLOWED = (TypeError, ValueError, IndexError, OverflowError, NotImplementedError, NameError)


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
        and not isinstance(getattr(module, n), type)
    ]
    name = pick.choice(names)
    function = getattr(module, name)
    parameters = list(inspect.signature(function).parameters.values())
    must = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    may = [p for p in parameters if p.default is not p.empty and p.kind is not p.POSITIONAL_ONLY]
    args = [pick.choice(RIGHT if pick.random() < 0.5 else WRONG) for _ in must]
    kwargs = {p.name: pick.choice(WRONG) for p in may if pick.random() < 1 / len(may)}
    return name, lambda: function(*args, **kwargs)


def told(call: Callable[[], Any]) -> str | None:
    """What the error of a call says, if it has one."""
    try:
        cv.block_until_ready(call())
    except ALLOWED as error:
        return str(error)
    return None


@pytest.mark.parametrize("seed", range(4))
def test_random_calls(seed: int) -> None:
    pick = random.Random(seed)
    for _ in range(50):
        name, call = a_call(pick)
        text = told(call)
        assert text is None or "(at " in text or name in text, (name, text)


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


def test_what_users_raise_passes_as_it_is() -> None:
    def wrong(x: Any) -> Any:
        return x.nowhere

    with pytest.raises(AttributeError, match="nowhere") as caught:
        cv.vmap(wrong)(cnp.ones(2))
    assert caught.value.__cause__ is None
    with pytest.raises(TypeError, match=r"^unsupported operand|^can only") as caught:
        lax.map(lambda x: [] + 1, cnp.ones(2))  # type: ignore[operator]
    assert caught.value.__cause__ is None


# What no parameter of any function takes; those with options are asked for each of them.
NEVER: list[Any] = ["nonsense", Odd(), {}, [None], np.zeros(2, "datetime64[s]"), 1.5, 7, (0, 0)]


def wrong_calls(name: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A function of numpy with one wrong argument in a right call."""
    function, args = getattr(cnp, name), RIGHT_CALLS[name]
    for i in range(len(args)):
        for wrong in NEVER:
            yield f"argument {i}", partial(function, *args[:i], wrong, *args[i + 1 :])
    parameters = list(inspect.signature(function).parameters.values())
    for i, p in enumerate(parameters):
        if p.default is p.empty or p.kind is p.POSITIONAL_ONLY or i < len(args):
            continue
        for wrong in NEVER:
            yield p.name, partial(function, *args, **{p.name: wrong})
    yield "nonsense", partial(function, *args, nonsense=1)


def right_calls() -> dict[str, list[Any]]:
    """Functions of numpy with arrays that they take, for as many parameters as must be given."""
    found: dict[str, list[Any]] = {}
    for name in sorted(set(dir(cnp)) - LEFT_OUT):
        function = getattr(cnp, name)
        if name.startswith("_") or not callable(function) or isinstance(function, type):
            continue
        if isinstance(function, cnp.ufunc):  # these name the operation, by which several are computed
            continue
        parameters = inspect.signature(function).parameters.values()
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            continue
        must = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        for given in (SQUARE, NUMBERS, [SQUARE, SQUARE], 1):
            args = [given] * len(must)
            try:
                function(*args)
            except (TypeError, ValueError, IndexError, NotImplementedError):
                continue
            found[name] = args
            break
    return found


SQUARE, NUMBERS = cnp.ones((2, 2)), cnp.arange(3)
RIGHT_CALLS = right_calls()


@pytest.mark.parametrize("name", some(RIGHT_CALLS, 20))
def test_every_error_says_the_function(name: str) -> None:
    told_of = {name, getattr(cnp, name).__name__}
    for what, call in wrong_calls(name):
        text = told(call)
        assert text is None or any(n in text for n in told_of), (what, text)


def test_enough_functions_are_asked() -> None:
    assert len(RIGHT_CALLS) > 180


def test_the_first_function_on_the_way_is_named_once() -> None:
    """In a traced function of the user's it is the one that was called there, and no other beside it."""
    for call in (lambda: cnp.sum(SQUARE, 7), lambda: cv.jit(lambda x: cnp.sum(x, 7))(SQUARE)):
        with pytest.raises(ValueError, match=r"^sum: axis 7 is out of bounds"):
            call()
    with pytest.raises(TypeError, match=r"^mine$"):
        lax.map(lambda x: raised(TypeError("mine")), SQUARE)
    with pytest.raises(ValueError, match=r"^add got shapes"):  # an operator of the user's function
        lax.map(lambda x: x + cnp.ones(5), SQUARE)


def raised(error: Exception) -> Any:
    raise error


def test_one_error_after_the_other() -> None:
    """An error that nobody meant is told also where one before it, which was meant, lay at the same address."""
    for _ in range(50):
        with pytest.raises(ValueError, match="axis"):
            cnp.sum(SQUARE, 7)
        with pytest.raises(TypeError, match=r"diagonal cannot take a=float32\[2,2\], offset=1.5"):
            cnp.diagonal(SQUARE, 1.5)  # type: ignore[arg-type]
