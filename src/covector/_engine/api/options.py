"""The options of `jit`: what they may be, and which arguments of a function they mean."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from operator import index
from typing import Any, TypedDict

import numpy as np

from covector._engine.api.arguments import function_place
from covector._engine.base import errors
from covector._engine.base.config import CODE_FLAGS, config
from covector._engine.base.record import record
from covector._engine.runtime.device import Device

ArgNums = int | Sequence[int] | None
ArgNames = str | Sequence[str] | None


class Inline(Enum):
    """When the body of a jitted function takes the place of a call in another one: what `jit(inline=)` may be.

    JAX_EARLY: as it is traced, so that the Program around it has no call.  The others are JAX's, and mean one thing
    here: the Program shows the call, and it is compiled as a part of what is around it.

    >>> import covector as cv
    >>> f = cv.jit(lambda x: x + 1, inline=cv.Inline.JAX_EARLY)
    >>> [str(eqn.primitive) for eqn in cv.make_jaxpr(f)(cv.numpy.ones(3)).jaxpr.eqns]
    ['add']
    """

    JAX_EARLY = "jax_early"
    JAX_LATE = "jax_late"
    XLA_EARLY = "xla_early"
    XLA_LATE = "xla_late"
    AUTO = "auto"


def is_early(inline: Any) -> bool:
    """Whether a function is inlined as it is traced; ValueError for what `inline` cannot be."""
    if isinstance(inline, bool | np.bool_ | Inline):
        return inline is Inline.JAX_EARLY
    raise ValueError(
        f"jit: inline must be True, False or one of covector.Inline, got {inline!r} of type {type(inline).__name__}"
        f"{errors.at_user_line()}"
    )


class JitOptions(TypedDict, total=False):
    """The options of `jit`, which says what they mean."""

    static_argnums: ArgNums
    static_argnames: ArgNames
    donate_argnums: ArgNums
    donate_argnames: ArgNames
    keep_unused: bool
    device: Device | None
    backend: str | None
    inline: bool | Inline
    compiler_options: Mapping[str, Any] | None
    in_shardings: object
    out_shardings: object


def compiler_flags(api: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The flags among compiler options; ValueError for what is none.  Options of XLA are named in a warning."""
    options: dict[str, Any] = {}
    if not given:
        return options
    for name, value in given.items():
        if name.startswith("xla_"):
            warnings.warn(f"{api}: the compiler option {name!r} has no effect here", stacklevel=3)
        elif name not in CODE_FLAGS:
            raise ValueError(
                f"{api}: there is no compiler option {name!r}{errors.at_user_line()}; there are {', '.join(CODE_FLAGS)}"
            )
        else:
            options[name] = value
    with config.override(**options):  # they are checked here, not when the function is called
        return options


@record
class Chosen:
    """Arguments that an option means, by position and by name."""

    option: str  # "static" or "donate"
    numbers: tuple[int, ...]
    names: tuple[str, ...]


NO_STATIC, NOT_DONATED = Chosen("static", (), ()), Chosen("donate", (), ())
_NOTHING = {"static": NO_STATIC, "donate": NOT_DONATED}


def chosen(option: str, argnums: ArgNums, argnames: ArgNames) -> Chosen:
    """The arguments that an option means, as it was given; TypeError for what can mean none."""
    if argnums is None and argnames is None:
        return _NOTHING[option]
    return Chosen(
        option, _ints(f"{option}_argnums", argnums), _names(f"{option}_argnames", argnames)
    )


def _ints(what: str, given: Any) -> tuple[int, ...]:
    if given is None:
        return ()
    try:
        return (index(given),) if hasattr(given, "__index__") else tuple(map(index, given))
    except TypeError:
        raise TypeError(_not_positions(what, given, "an int or a sequence of ints")) from None


def _names(what: str, given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    names = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(_not_positions(what, given, "a str or a sequence of str"))
    return names


def _not_positions(what: str, given: object, wanted: str) -> str:
    return f"jit: {what} must be {wanted}, got {given!r}{errors.at_user_line()}"


def matched(fun: Callable[..., Any], static: Chosen, donated: Chosen) -> tuple[Chosen, Chosen]:
    """Arguments given by number are meant by name too, and the other way round, as the function's signature tells.

    ValueError if it has no such argument, or if one is both static and donated.
    """
    if not (static.numbers or static.names or donated.numbers or donated.names):
        return static, donated
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        return static, donated
    static, donated = _matched(fun, parameters, static), _matched(fun, parameters, donated)
    both = sorted({*static.names} & {*donated.names})
    if both:
        raise ValueError(
            f"jit: {function_place(fun)}: the argument {both[0]!r} is both static and donated{errors.at_user_line()}"
        )
    return static, donated


def _matched(
    fun: Callable[..., Any], parameters: Sequence[inspect.Parameter], given: Chosen
) -> Chosen:
    kinds = {p.kind for p in parameters}
    positional = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    known = {p.name: p.kind for p in parameters if p.kind is not p.VAR_POSITIONAL}
    count = len(positional)
    numbers = given.numbers
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        for i in numbers:
            if not -count <= i < count:
                raise ValueError(
                    f"jit: {function_place(fun)} takes {count} positional arguments, but "
                    f"{given.option}_argnums={numbers}{errors.at_user_line()}"
                )
        numbers = tuple([i % count for i in numbers])
    for name in given.names:
        if known.get(name) is inspect.Parameter.POSITIONAL_ONLY:
            raise ValueError(
                f"jit: {given.option}_argnames: {function_place(fun)} takes {name!r} by position "
                f"only{errors.at_user_line()}; give its number as {given.option}_argnums"
            )
        if name not in known and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise ValueError(
                f"jit: {function_place(fun)} has no parameter {name!r}{errors.at_user_line()}"
            )
    more_names = [positional[i] for i in numbers if -count <= i < count]
    more_numbers = [positional.index(name) for name in given.names if name in positional]
    return Chosen(
        given.option,
        tuple(dict.fromkeys((*numbers, *more_numbers))),
        tuple(dict.fromkeys((*given.names, *more_names))),
    )
