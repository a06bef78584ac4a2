"""Tracebacks end where the user's code does: our own frames are cut out, and nothing else of an exception."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, nn, random, tree
from covector._engine import primitives as prims
from covector._engine.base.public import boundary
from covector._engine.core.trace import evaluate

PACKAGE = str(Path(cv.__file__).parent) + os.sep
x = cnp.ones((2, 3))
scalar = cnp.ones(())


@pytest.fixture(autouse=True)
def trimmed() -> Iterator[None]:
    with cv.config.override(trim_tracebacks=True):
        yield


def frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(trace))


def ours(error: BaseException) -> list[traceback.FrameSummary]:
    return [f for f in frames(error.__traceback__) if f.filename.startswith(PACKAGE)]


def caught(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("there was no error")


class Own(Exception):
    """A user's."""


def fails(*_args: Any) -> Any:
    raise Own("from a user's function")


def mismatch(v: Any) -> Any:
    return cnp.dot(v, cnp.ones(7)).sum()


def branch(v: Any) -> Any:
    return v if (v > 0).all() else -v


ERRORS: dict[str, Callable[[], Any]] = {
    # our checks, called without any transformation
    "function": lambda: cnp.dot(x, x),
    "nested helpers": lambda: cnp.concatenate([x, scalar]),
    "operator": lambda: x + cnp.ones(5),
    "reflected operator": lambda: [1] @ x,
    "method": lambda: x.reshape(4),
    "index": lambda: x[5, 5],
    "update": lambda: x.at[0].set(cnp.ones(7)),
    "ufunc": lambda: cnp.sin("a"),
    "lax": lambda: lax.slice(x, (0,), (1,)),
    "nn": lambda: nn.one_hot(x, "a"),
    "random": lambda: random.normal(3, "a"),
    "tree": lambda: tree.map(lambda a, b: a, [1], [1, 2]),
    "einsum": lambda: cnp.einsum("ij,jk", x, x),
    "option": lambda: cv.jit(lambda v: v, static_argnames="w"),
    "decorator": lambda: cv.jit(donate_argnums=0)(3),
    "flag": lambda: cv.config.update("no_such_flag", 1),
    "device": lambda: cv.device_put(x, "no such device"),
    "flatten": lambda: tree.unflatten(tree.structure([1, 2]), [1]),
    # our checks, inside of the user's functions
    "jit": lambda: cv.jit(mismatch)(x),
    "grad": lambda: cv.grad(mismatch)(x),
    "vmap": lambda: cv.vmap(mismatch)(x),
    "jit of grad": lambda: cv.jit(cv.grad(mismatch))(x),
    "grad of vmap of jit": lambda: cv.grad(lambda v: cv.vmap(cv.jit(mismatch))(v).sum())(x),
    "hessian": lambda: cv.hessian(mismatch)(x),
    "scan": lambda: lax.scan(lambda c, _: (mismatch(x), None), scalar, None, length=3),
    "fori_loop": lambda: lax.fori_loop(0, 3, lambda i, c: mismatch(x), scalar),
    "grad of scan": lambda: cv.grad(
        lambda c: lax.scan(lambda c, _: (mismatch(x), None), c, None, length=3)[0]
    )(scalar),
    "branch on a traced value": lambda: cv.jit(branch)(x),
    "lower": lambda: cv.jit(mismatch).lower(x),
    "eval_shape": lambda: cv.eval_shape(mismatch, x),
    "make_jaxpr": lambda: cv.make_jaxpr(mismatch)(x),
    # the user's own errors
    "own in jit": lambda: cv.jit(fails)(x),
    "own in jit of vmap of grad": lambda: cv.jit(cv.vmap(cv.grad(fails)))(x),
    "own in scan": lambda: lax.scan(fails, scalar, None, length=3),
    "own in tree.map": lambda: tree.map(fails, [1]),
    "own in vjp": lambda: cv.vjp(fails, x),
    "own in linearize": lambda: cv.linearize(fails, x),
    "own in apply": lambda: x.at[0].apply(fails),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_users_line_is_the_last(name: str) -> None:
    error = caught(ERRORS[name])
    assert ours(error) == []
    assert frames(error.__traceback__)[-1].filename == __file__


@pytest.mark.parametrize("name", ERRORS)
def test_the_exception_is_the_same_without_trimming(name: str) -> None:
    short = caught(ERRORS[name])
    with cv.config.override(trim_tracebacks=False):
        whole = caught(ERRORS[name])
    assert type(short) is type(whole)
    assert str(short) == str(whole)
    users = [f for f in frames(whole.__traceback__) if f.filename == __file__]
    kept = [(f.name, f.lineno) for f in frames(short.__traceback__)]
    assert kept[1:] == [(f.name, f.lineno) for f in users][1:]  # the first is this test's own call


def test_causes_contexts_and_notes_stay() -> None:
    def inner(v: Any) -> Any:
        return cnp.dot(v, cnp.ones(7))

    def outer(v: Any) -> Any:
        try:
            return inner(v)
        except Exception as error:
            chained = Own("with a cause")
            chained.add_note("a note")
            raise chained from error

    error = caught(lambda: cv.jit(cv.vmap(outer))(x))
    assert type(error) is Own
    assert error.__notes__ == ["a note"]
    assert error.__cause__ is error.__context__
    assert isinstance(error.__cause__, TypeError)
    assert [f.name for f in frames(error.__cause__.__traceback__)] == ["outer", "inner"]
    assert ours(error) == ours(error.__cause__) == []


def test_a_cause_that_is_all_ours_passes_several_boundaries() -> None:
    """Its traceback is None behind the first one."""
    again = lambda: cv.tree_util.register_pytree_with_keys(dict, lambda x: x, lambda _, x: x)  # noqa: E731
    error = caught(lambda: cv.jit(cv.vmap(lambda v: again() or v))(x))
    assert type(error) is type(error.__cause__) is ValueError
    assert error.__cause__.__traceback__ is None
    assert ours(error) == []


def test_a_cycle_of_causes_comes_to_an_end() -> None:
    def twice(_: Any) -> Any:
        one, two = Own("one"), Own("two")
        one.__cause__, two.__cause__ = two, one
        raise one

    error = caught(lambda: cv.jit(twice)(x))
    assert error.__cause__ is not None
    assert error.__cause__.__cause__ is error


def test_what_was_not_raised_on_purpose_shows_where_it_went_wrong() -> None:
    broken: Any = None  # no Program: our code fails on it without a `raise`
    error = caught(lambda: boundary(evaluate)(broken, ()))
    assert isinstance(error, AttributeError)
    assert 1 <= len(ours(error)) <= 3


def test_formatted_tracebacks_are_short() -> None:
    def layer(p: Any, v: Any) -> Any:
        return v @ p

    def loss(p: Any, v: Any) -> Any:
        return layer(p, v).sum()

    error = caught(lambda: cv.jit(cv.grad(loss))(cnp.ones((3, 4)), cnp.ones((2, 5))))
    text = "".join(traceback.format_exception(error))
    assert PACKAGE not in text
    assert text.index("in loss") < text.index("in layer")


@pytest.mark.parametrize(
    "run",
    [
        lambda p, x: lax.cond(p, lambda x: cnp.sin(x * 2), lambda x: x, x),
        lambda p, x: lax.scan(lambda c, _: (cnp.sin(c), None), x, None, length=3)[0],
        lambda p, x: lax.fori_loop(0, 3, lambda i, c: cnp.sin(c), x),
        lambda p, x: lax.switch(cnp.int32(p), [lambda x: x, lambda x: cnp.sin(x * 2)], x),
    ],
    ids=["cond", "scan", "fori_loop", "switch"],
)
@pytest.mark.parametrize("jitted", [False, True])
def test_a_defect_in_a_function_is_not_about_the_other_arguments(
    run: Any, jitted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = cnp.array(True)
    monkeypatch.setattr(type(prims.sin), "linearize", None)  # a defect of ours
    slope = cv.grad(lambda x: run(p, x))
    text = str(caught(lambda: (cv.jit(slope) if jitted else slope)(1.25)))
    assert "cannot take" not in text
    assert "'NoneType' object is not callable" in text


def test_deep_recursion_of_the_users_is_reported() -> None:
    def endless(v: Any) -> Any:
        return cv.jit(endless)(v)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        error = caught(lambda: endless(x))
    finally:
        sys.setrecursionlimit(limit)
    assert isinstance(error, RecursionError)


# ------------------------------------------------------------------ functions with a boundary


def test_public_functions_look_like_functions() -> None:
    assert cnp.dot.__name__ == cnp.dot.__qualname__ == "dot"
    assert cnp.dot.__module__ == "covector.numpy"
    assert cnp.dot.__doc__.startswith("The product")
    assert "precision" in inspect.signature(cnp.dot).parameters
    assert inspect.isroutine(cnp.dot)
    assert repr(cnp.dot).startswith("<function dot at")
    assert copy.deepcopy(cnp.dot) is copy.copy(cnp.dot) is cnp.dot
    assert pickle.loads(pickle.dumps(cnp.dot)) is cnp.dot


def test_a_function_with_a_boundary_is_the_function() -> None:
    plain = inspect.unwrap(cnp.dot)
    assert cnp.dot == plain == cnp.dot
    assert {plain: 1}[cnp.dot] == 1
    assert cnp.dot != cnp.matmul
    assert cnp.dot != 3


def test_transformed_functions_look_like_what_they_were() -> None:
    def loss(v: Any, scale: float = 2.0) -> Any:
        """A text."""
        return (v * scale).sum()

    for f in (cv.grad(loss), cv.value_and_grad(loss), cv.vmap(loss), cv.jit(loss)):
        assert f.__name__ == "loss"
        assert f.__doc__ == "A text."
        assert list(inspect.signature(f).parameters) == ["v", "scale"]


def test_functions_with_a_boundary_bind_as_methods() -> None:
    class Model:
        scale = 3.0
        gradient = cv.grad(lambda self, v: (v * self.scale).sum(), argnums=1)
        dot = cnp.dot

    np.testing.assert_array_equal(Model().gradient(cnp.ones(2)), [3.0, 3.0])
    assert Model.gradient is not None
    assert partial(cnp.reshape, shape=(3, 2))(x).shape == (3, 2)


def test_attributes_can_be_set() -> None:
    f = cv.grad(lambda v: v * v)
    f.note = 1
    assert f.note == 1
    with pytest.raises(AttributeError, match="missing"):
        _ = f.missing
