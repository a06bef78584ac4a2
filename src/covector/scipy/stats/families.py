"""What distributions share: from a few rules of a distribution, all the functions that it is asked for.

Rules are of the standard form, at z = (x - loc) / scale, and need to hold only where it has a density.
"""

from __future__ import annotations

import inspect
from ast import literal_eval
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.fused import compiled
from covector.numpy.operands import converted, together
from covector.numpy.selection import where
from covector.scipy.stats.examples import TEXT

__all__ = ["Family", "all_positive", "function", "is_share", "joint"]

Rule = Callable[..., Any]
_SETUP = "\n\n>>> from covector import numpy as cnp\n>>> from covector.scipy import stats\n>>> "
_EXAMPLES = {
    piece.partition("(")[0].removeprefix("stats."): f"{_SETUP}{piece}\n"
    for piece in TEXT.strip().removeprefix(">>> ").split("\n>>> ")
}


def all_positive(*shapes: Any) -> Any:
    """Whether shapes that must be positive are."""
    found = el.greater(shapes[0], 0)
    for s in shapes[1:]:
        found = el.logical_and(found, el.greater(s, 0))
    return found


def is_share(p: Any) -> Any:
    """Whether it is a probability."""
    return el.logical_and(el.greater_equal(p, 0), el.less_equal(p, 1))


class Kind(NamedTuple):
    """A function that distributions have."""

    doc: str
    placed: bool = True  # whether its first argument is a value, and not a probability


_KINDS = {
    "pdf": Kind("The density at x."),
    "logpdf": Kind("The logarithm of the density at x; -inf where there is none."),
    "pmf": Kind("The probability of k; 0 of what is no whole number."),
    "logpmf": Kind("The logarithm of the probability of k; -inf where that is 0."),
    "cdf": Kind("The probability of values up to this one."),
    "logcdf": Kind("The logarithm of the probability of values up to x, exact far out too."),
    "sf": Kind("The probability of values above x, exact far out too."),
    "logsf": Kind("The logarithm of the probability of values above x, exact far out too."),
    "ppf": Kind("The value up to which the probability is this one; NaN outside of [0, 1].", False),
    "isf": Kind("The value above which the probability is this one; NaN outside of [0, 1].", False),
}
_COMMON = (
    "\n\nArguments are broadcast together and promoted to one float dtype; differentiable in each.  "
    "Parameters without a meaning give NaN.  TypeError for complex numbers.{}"
)


def function(name: str, parameters: str, rule: Rule, doc: str) -> Any:
    """A function of arrays with these parameters (`loc=0` has a default), one Program when it is called with arrays.

    `name` is that of the distribution and of the function.
    """
    texts = [text.partition("=") for text in parameters.split()]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [
            inspect.Parameter(
                n, kind, default=literal_eval(default) if default else inspect.Parameter.empty
            )
            for n, _, default in texts
        ]
    )

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{name}: {error}{errors.at_user_line()}; it takes {signature}"
            ) from None
        bound.apply_defaults()
        return rule(*bound.arguments.values())

    call.__name__ = call.__qualname__ = name.rpartition(".")[2]
    call.__module__ = f"covector.scipy.stats.{name.partition('.')[0]}"
    call.__doc__ = f"{doc}{_EXAMPLES[name]}"
    call.__signature__ = signature  # type: ignore[attr-defined]
    return compiled(*signature.parameters)(call)


def joint(name: str, parameters: str, log: Rule, names: str, doc: str) -> list[Any]:
    """The logarithm of a density or probability of vectors, and its exponential."""
    logs, plain = names.split()
    return [
        function(f"{name}.{logs}", parameters, log, f"The logarithm of {doc}"),
        function(f"{name}.{plain}", parameters, lambda *xs: el.exp(log(*xs)), f"T{doc[1:]}"),
    ]


class Family(NamedTuple):
    """A distribution of one number: its rules, at standard values inside of its support."""

    name: str
    log: Rule  # log of the density or probability of z, and shapes
    shapes: str = ""  # names of the shape parameters
    place: str = "loc=0 scale=1"
    low: Any = None  # the support: numbers, functions of the shapes, or no bound
    high: Any = None
    # A value inside, or a function of the shapes, where the rules have no finite derivative at the bounds.
    inner: Any = None
    whole: bool = False  # whether values are whole numbers
    means: Rule | None = (
        None  # whether the shapes have a meaning; a scale has one if it is positive
    )
    cdf: Rule | None = None
    sf: Rule | None = None
    logcdf: Rule | None = None
    logsf: Rule | None = None
    probability: str = "q"  # what ppf and isf call theirs
    ppf: Rule | None = None
    isf: Rule | None = None
    source: str = ""  # a sentence about the distribution

    def functions(self, names: str) -> list[Any]:
        """The functions of these names, in their order."""
        return [self._function(kind) for kind in names.split()]

    def _function(self, kind: str) -> Any:
        about = _KINDS[kind]
        variable = ("k" if self.whole else "x") if about.placed else self.probability
        parameters = f"{variable} {self.shapes} {self.place}"
        doc = f"{about.doc}{_COMMON.format(f'  {self.source}' if self.source else '')}"
        name = f"{self.name}.{kind}"
        count = len(self.shapes.split())

        def rule(*xs: Any) -> Any:
            x, *rest = _floats(name, xs)
            shapes, place = rest[:count], rest[count:]
            if about.placed:
                found = self._at(kind, x, shapes, place)
            else:
                found = self._from(kind, x, shapes, place)
            for condition in self._conditions(shapes, place):
                found = where(condition, found, np.nan)
            return converted(found, x.dtype, x.weak_type)

        return function(name, parameters, rule, doc)

    def _conditions(self, shapes: list[Any], place: list[Any]) -> list[Any]:
        """What must hold of the parameters."""
        positive = [el.greater(scale, 0) for scale in place[1:]]
        return positive if self.means is None else [self.means(*shapes), *positive]

    def _standard(self, x: Any, place: list[Any]) -> Any:
        z = el.subtract(x, place[0]) if place else x
        return el.divide(z, place[1]) if len(place) > 1 else z

    def _bounds(self, shapes: list[Any]) -> tuple[Any, Any]:
        low, high = (b(*shapes) if callable(b) else b for b in (self.low, self.high))
        return low, high

    def _at(self, kind: str, x: Any, shapes: list[Any], place: list[Any]) -> Any:
        """A function of a value, which need not be inside of the support."""
        if kind in ("pdf", "pmf"):
            return el.exp(self._at(f"log{kind}", x, shapes, place))
        low, high = self._bounds(shapes)
        # What is outside, or infinite, is computed somewhere inside: so no NaN comes from it, nor into derivatives.
        z = self._standard(where(el.isinf(x), place[0] if place else 0.0, x), place)
        below, above = el.equal(x, -np.inf), el.equal(x, np.inf)
        below = el.logical_or(below, el.equal(z, -np.inf) if low is None else el.less(z, low))
        above = el.logical_or(above, el.equal(z, np.inf) if high is None else el.greater(z, high))
        inner = self.inner(*shapes) if callable(self.inner) else self.inner
        if inner is None:
            inner = next((bound for bound in (low, high) if bound is not None), 1.0)
        inside = where(el.logical_or(below, above), inner, z)
        if kind in ("logpdf", "logpmf"):
            return self._log(z, inside, [below, above], shapes, place)
        found = self._tail(kind, el.floor(inside) if self.whole else inside, shapes)
        nothing, everything = (-np.inf, 0.0) if kind.startswith("log") else (0.0, 1.0)
        if kind.endswith("sf"):
            nothing, everything = everything, nothing
        return where(above, everything, where(below, nothing, found))

    def _log(
        self, z: Any, inside: Any, outside: list[Any], shapes: list[Any], place: list[Any]
    ) -> Any:
        found = self.log(inside, *shapes)
        if len(place) > 1:
            found = el.subtract(found, el.log(place[1]))
        if self.whole:  # NaN, and so not greater, of NaN
            outside.append(el.greater(el.subtract(z, el.floor(z)), 0))
        for condition in outside:
            found = where(condition, -np.inf, found)
        return found

    def _tail(self, kind: str, z: Any, shapes: list[Any]) -> Any:
        own = getattr(self, kind)
        if own is not None:
            return own(z, *shapes)
        if kind == "sf":
            return el.subtract(1, self._tail("cdf", z, shapes))
        share = self._tail(kind.removeprefix("log"), z, shapes)
        nothing = el.equal(
            share, 0
        )  # as outside of the support: not the slope of the logarithm of 0
        return where(nothing, -np.inf, el.log(where(nothing, 1.0, share)))

    def _from(self, kind: str, q: Any, shapes: list[Any], place: list[Any]) -> Any:
        """The value at a probability."""
        own = getattr(self, kind)
        z = own(q, *shapes) if own else self.ppf(el.subtract(1, q), *shapes)  # type: ignore[misc]
        if len(place) > 1:
            z = el.multiply(z, place[1])
        x = el.add(z, place[0]) if place else z
        return where(is_share(q), x, np.nan)


def _floats(name: str, xs: tuple[Any, ...]) -> list[Any]:
    found = together(name, "inexact", *xs)
    if dtypes.is_complex(found[0].dtype):
        raise errors.DtypeError(
            f"{name} takes real numbers, got complex ones{errors.at_user_line()}"
        )
    return found
