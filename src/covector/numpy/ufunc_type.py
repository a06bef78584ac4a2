"""The class of ufuncs, and their methods beside the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.locks import import_late
from covector._engine.base.public import boundary
from covector.numpy.promotion import integer_of
from covector.numpy.ufunc import signature_of

__all__ = ["frompyfunc", "ufunc"]


class _UfuncType(type):
    """The class of `ufunc`: native ufuncs are its instances, too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return type(instance) is _native.Ufunc or super().__instancecheck__(instance)


class ufunc(metaclass=_UfuncType):  # NumPy's name
    """A function of elements of arrays, with methods that apply it along axes: `add`, `maximum`, ..., `frompyfunc`.

    `func` takes `nin` numbers and gives `nout`.  The call, of arrays that broadcast, and the methods are made of it,
    unless other functions, of arrays, are given for them; these get axes and so on by keyword.  `nargs` is a fact for
    readers, `nin` by default.

    >>> from covector import numpy as cnp
    >>> isinstance(cnp.add, cnp.ufunc), cnp.add.nin
    (True, 2)
    """

    def __init__(
        self,
        func: Callable[..., Any],
        /,
        nin: int,
        nout: int,
        *,
        name: str | None = None,
        nargs: int | None = None,
        identity: Any = None,
        call: Callable[..., Any] | None = None,
        reduce: Callable[..., Any] | None = None,
        accumulate: Callable[..., Any] | None = None,
        at: Callable[..., Any] | None = None,
        reduceat: Callable[..., Any] | None = None,
    ):
        self.nin, self.nout = nin, nout
        self.nargs = nin if nargs is None else nargs
        self.__name__ = getattr(func, "__name__", "ufunc") if name is None else name
        self.__doc__, self.identity = func.__doc__, identity
        self._func, self._call = func, call
        self._own = {"reduce": reduce, "accumulate": accumulate, "at": at, "reduceat": reduceat}

    def __call__(self, *args: Any, out: None = None, where: None = None) -> Any:
        name = self.__name__
        if len(args) != self.nin:
            raise TypeError(
                f"{name} takes {self.nin} operands, got {len(args)}{errors.at_user_line()}"
            )
        for option, value in (("out", out), ("where", where)):
            if value is not None:
                raise NotImplementedError(f"{name} takes no {option}{errors.at_user_line()}")
        if self._call is not None:
            return self._call(*args)
        return import_late("covector.numpy.vectorized").mapped(name, self._func, args)

    def __repr__(self) -> str:
        return f"<ufunc {self.__name__} of covector>"


def frompyfunc(func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None) -> Any:
    """A ufunc of a function of `nin` numbers that returns `nout`: of arrays that broadcast, with `reduce` and so on.

    `identity` is the result of a reduction of no elements.

    >>> from covector import numpy as cnp
    >>> add_squares = cnp.frompyfunc(lambda x, y: x + y * y, 2, 1, identity=0)
    >>> add_squares(cnp.array([1, 2]), 3)
    Array([10, 11], dtype=int32)
    >>> add_squares.reduce(cnp.array([1, 2, 3]))
    Array(14, dtype=int32)
    """
    nin, nout = integer_of(nin, "nin"), integer_of(nout, "nout")
    if nin < 1 or nout < 1:
        raise ValueError(
            f"frompyfunc: nin is {nin} and nout {nout}{errors.at_user_line()}, both must be at least 1"
        )
    if not callable(func):
        raise TypeError(f"frompyfunc takes a function, got {func!r}{errors.at_user_line()}")
    return ufunc(func, nin, nout, identity=identity)


def _method(name: str) -> Any:
    """A method of ufuncs, found when it is first called: few programs do."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        methods = import_late("covector.numpy.ufunc_methods")
        own = self._own.get(name) if type(self) is ufunc else None
        if own is not None:
            return methods.by_own(own, name, signature.bind(self, *args, **kwargs))
        return getattr(methods, name)(self, *args, **kwargs)

    signature = signature_of(f"self, {_PARAMETERS[name]}")
    method.__name__ = method.__qualname__ = name
    method.__doc__ = _DOCS[name]
    method.__signature__ = signature  # type: ignore[attr-defined]
    return boundary(method)


_PARAMETERS = {
    "reduce": "a, axis=0, dtype=None, out=None, keepdims=False, initial=None, where=None",
    "accumulate": "a, axis=0, dtype=None, out=None",
    "outer": "A, B, /",
    "at": "a, indices, b=None, /, *, inplace=True",
    "reduceat": "a, indices, axis=0, dtype=None, out=None",
}
_DOCS = {
    "reduce": """The results of all elements along an axis (0, several, or all with None), from the first to the last.

    `initial` stands in front; `where` says which elements count, and needs it, or an identity.  ValueError unless the
    ufunc has two operands, or of no elements with nothing in front.

    >>> from covector import numpy as cnp
    >>> cnp.subtract.reduce(cnp.array([9, 1, 2]))
    Array(6, dtype=int32)
    """,
    "accumulate": """The results of all elements up to each along an axis; the shape stays.

    ValueError unless the ufunc has two operands.

    >>> from covector import numpy as cnp
    >>> cnp.multiply.accumulate(cnp.array([2, 3, 4]))
    Array([ 2,  6, 24], dtype=int32)
    """,
    "outer": """The results of each element of one array with each of another: shape (*A.shape, *B.shape).

    ValueError unless the ufunc has two operands.

    >>> from covector import numpy as cnp
    >>> cnp.add.outer(cnp.array([10, 20]), cnp.array([1, 2]))
    Array([[11, 12],
           [21, 22]], dtype=int32)
    """,
    "at": """The array with the elements at an index replaced by the result of them (and of b), one after another.

    An element that is named twice is replaced twice.  ValueError unless `inplace=False`: arrays cannot be changed.

    >>> from covector import numpy as cnp
    >>> cnp.add.at(cnp.zeros(3), cnp.array([0, 0, 2]), 1.0, inplace=False)
    Array([2., 0., 1.], dtype=float32)
    """,
    "reduceat": """Reductions of pieces along an axis: from each index to the next, or the one element if that is none.

    ValueError unless the ufunc has two operands and the indices are a vector.

    >>> from covector import numpy as cnp
    >>> cnp.add.reduceat(cnp.arange(6), cnp.array([0, 3, 2]))
    Array([ 3,  3, 14], dtype=int32)
    """,
}

# What a reduction of no elements is.
_IDENTITIES: dict[str, Any] = {
    "add": 0,
    "bitwise_and": -1,
    "bitwise_or": 0,
    "bitwise_xor": 0,
    "logaddexp": -np.inf,
    "logaddexp2": -np.inf,
    "logical_and": True,
    "logical_or": False,
    "logical_xor": False,
    "multiply": 1,
}


def _give_methods() -> None:
    for name in _DOCS:
        method = _method(name)
        setattr(ufunc, name, method)
        setattr(_native.Ufunc, name, method)
    facts = {
        "nout": 1,
        "nargs": property(lambda f: f.nin),
        "identity": property(lambda f: _IDENTITIES.get(f.__name__)),
    }
    for name, fact in facts.items():
        setattr(_native.Ufunc, name, fact)


_give_methods()
