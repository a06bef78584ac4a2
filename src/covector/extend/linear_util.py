"""Functions wrapped in transformations of their arguments and results: what libraries use of `jax.extend.linear_util`.

A transformation is a generator: it gets the arguments, yields those for the function inside, is sent what that
returned, and yields what the caller shall get.

>>> from covector.extend import linear_util
>>> @linear_util.transformation
... def on_negated(offset, x):
...     result = yield (-x,), {}
...     yield result + offset
>>> on_negated(linear_util.wrap_init(lambda x: 2 * x), 10).call_wrapped(3)
4
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from covector._engine.base import errors
from covector._engine.base.public import bounded, publish

__all__ = [
    "StoreException",
    "WrappedFun",
    "merge_linear_aux",
    "transformation",
    "transformation_with_aux",
    "wrap_init",
]

Transformation = Callable[..., Generator[Any, Any, None]]


class StoreException(RuntimeError):
    """What a transformation keeps for whoever put it there was asked for before the function was called."""


@bounded
class WrappedFun:
    """A function with transformations around it, the last one outermost.

    >>> from covector.extend import linear_util
    >>> linear_util.wrap_init(abs).call_wrapped(-1)
    1
    """

    __slots__ = ("debug_info", "f")

    def __init__(self, f: Callable[..., Any], debug_info: Any = None):
        self.f, self.debug_info = f, debug_info

    @property
    def __name__(self) -> str:
        return getattr(self.f, "__name__", "<unnamed function>")

    def call_wrapped(self, *args: Any, **kwargs: Any) -> Any:
        """What it gives for these arguments.

        >>> from covector.extend import linear_util
        >>> linear_util.wrap_init(max).call_wrapped(1, 2)
        2
        """
        return self.f(*args, **kwargs)

    def __repr__(self) -> str:
        return f"WrappedFun({self.f!r})"


def wrap_init(
    f: Callable[..., Any], params: dict[str, Any] | None = None, *, debug_info: Any = None
) -> WrappedFun:
    """The function without transformations; `params` are arguments that it always gets.

    >>> from covector.extend import linear_util
    >>> linear_util.wrap_init(int, {"base": 2}).call_wrapped("11")
    3
    """
    return WrappedFun(functools.partial(f, **params) if params else f, debug_info)


def transformation(gen: Transformation, *around: Any) -> Any:
    """What puts a transformation around a `WrappedFun`, given that and the generator's first arguments.

    These may follow at once: `transformation(gen, fun, *arguments)` is the function with it.

    >>> from covector.extend import linear_util
    >>> @linear_util.transformation
    ... def twice(x):
    ...     result = yield (x,), {}
    ...     yield 2 * result
    >>> twice(linear_util.wrap_init(abs)).call_wrapped(-1)
    2
    """

    @functools.wraps(gen)
    def put_around(fun: WrappedFun, *static: Any) -> WrappedFun:
        def f(*args: Any, **kwargs: Any) -> Any:
            return _through(fun, gen(*static, *args, **kwargs))

        return WrappedFun(f, fun.debug_info)

    return put_around(*around) if around else put_around


def transformation_with_aux(gen: Transformation, *around: Any) -> Any:
    """As `transformation`, of a generator that last yields a pair: the second is for whoever put it there.

    That one gets, beside the function, another one that returns it after the call.

    >>> from covector.extend import linear_util
    >>> @linear_util.transformation_with_aux
    ... def counted(*args):
    ...     result = yield args, {}
    ...     yield result, len(args)
    >>> f, count = counted(linear_util.wrap_init(max))
    >>> f.call_wrapped(3, 4, 5), count()
    (5, 3)
    """

    @functools.wraps(gen)
    def put_around(fun: WrappedFun, *static: Any) -> tuple[WrappedFun, Callable[[], Any]]:
        kept: list[Any] = []

        def f(*args: Any, **kwargs: Any) -> Any:
            out, aux = _through(fun, gen(*static, *args, **kwargs))
            kept[:] = [aux]
            return out

        def aux() -> Any:
            if not kept:
                raise StoreException(f"{fun.__name__} was not called yet")
            return kept[0]

        return WrappedFun(f, fun.debug_info), aux

    return put_around(*around) if around else put_around


def merge_linear_aux(aux1: Callable[[], Any], aux2: Callable[[], Any]) -> tuple[bool, Any]:
    """Of two functions that `transformation_with_aux` gave the one that was called: whether it is the first; its value.

    StoreException if neither was, or both.

    >>> from covector.extend import linear_util
    >>> @linear_util.transformation_with_aux
    ... def counted(*args):
    ...     result = yield args, {}
    ...     yield result, len(args)
    >>> (f, of_f), (g, of_g) = counted(linear_util.wrap_init(max)), counted(linear_util.wrap_init(min))
    >>> g.call_wrapped(3, 4), linear_util.merge_linear_aux(of_f, of_g)
    (3, (False, 2))
    """
    found: list[tuple[bool, Any]] = []
    for aux in (aux1, aux2):
        with suppress(StoreException):
            found.append((aux is aux1, aux()))
    if len(found) != 1:
        raise StoreException(
            f"{'neither' if not found else 'both'} of the functions were called{errors.at_user_line()}"
        )
    return found[0]


def _through(fun: WrappedFun, running: Generator[Any, Any, None]) -> Any:
    args, kwargs = next(running)
    out = running.send(fun.call_wrapped(*args, **kwargs))
    running.close()
    return out


publish(__name__)
