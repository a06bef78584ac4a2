"""Every error of a function of numpy says the function, whatever argument was wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.amount import some
from tests.surface.test_wrong_arguments import LEFT_OUT, Odd, told

import covector as cv
from covector import lax, numpy as cnp


@pytest.fixture(autouse=True)
def reference() -> None:
    """In place of the folder's fixture, whose frames would be taken for a user's."""


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
        if isinstance(
            function, cnp.ufunc
        ):  # these name the operation, by which several are computed
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


@pytest.mark.parametrize("name", some(RIGHT_CALLS, 12))
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
        with pytest.raises(ValueError, match=r"^axis 7 is out of bounds.*called as sum\("):
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
