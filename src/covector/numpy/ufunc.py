"""Elementwise functions: promotion and broadcasting around a primitive or a recipe, as native ufuncs.

A function made here is a `_native.Ufunc`.  Called with arrays and numbers it runs a compiled kernel,
kept by the operands' dtypes; called with anything else, tracers above all, it runs its Python form,
which is its meaning: the operands in one dtype and shape, then the recipe.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.base.locks import import_late
from covector._engine.core.numbers import NUMBERS, SCALARS
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dtypes
from covector.numpy.examples import EXAMPLES
from covector.numpy.promotion import (
    DIRECT,
    Array,
    Kind,
    convert_scalar,
    fitted,
    from_numpy,
    lift,
    promoted,
    target,
    type_key,
)

Recipe = Callable[..., Any]


def _compile(python: Callable[..., Any], signature: Any) -> Any:
    """The kernel of a function for a signature.  The compiler is imported when it is first needed."""
    return import_late("covector._engine.runtime.eager").compile_ufunc(python, signature)


# The ufuncs that other things than arrays have a meaning of their own for: those that compare, or hand on, keys.
_OF_OTHERS = frozenset(
    (
        "conjugate",
        "equal",
        "isfinite",
        "isinf",
        "isnan",
        "isneginf",
        "isposinf",
        "not_equal",
        "positive",
        "real",
    )
)


def _handing_on(python: Callable[..., Any]) -> Callable[..., Any]:
    """The Python form, which hands calls to operands that take them (`__covector_function__`)."""

    @wraps(python)
    def form(*args: Any, **kwargs: Any) -> Any:
        for x in args:
            if take := getattr(type(x), "__covector_function__", None):
                found = take(x, form, args, kwargs)
                if found is not NotImplemented:
                    return found
        return python(*args, **kwargs)

    return form


def make(name: str, python: Callable[..., Any], nin: int, doc: str) -> Any:
    """A native ufunc whose meaning is a Python function of `nin` operands."""
    python = _handing_on(python) if name in _OF_OTHERS else python
    python.__name__ = python.__qualname__ = name
    python.__doc__ = doc
    python.__module__ = "covector.numpy"
    return _native.Ufunc(name, python, lambda signature: _compile(python, signature), nin)


# What every function made here has in its docstring, beside its own line and its example.
_DTYPES: dict[Kind, str] = {
    "any": "",
    "numeric": "; bool counts as int32",
    "inexact": "; integers and bool count as floats",
    "with int": "; bool counts as weak integers",
    "with float": "; integers and bool count as weak floats",
    "inexact with int": "; integers and bool count as floats, bool as weak ones",
}
_ONE = "\n\nElement by element, of any shape and dtype{}.  TypeError for what is no array or number, lists too."
_SEVERAL = """

The operands are broadcast together and promoted to one dtype{}.  ShapeError if their shapes do not
fit together, TypeError for what is no array or number, lists too."""


ALL_KINDS = "biufc"  # of dtypes, for `strong`
WITH_AXES = "axes"  # for `strong`: results are, but for those of shape ()
COMPLEX_WITH_AXES = "complex axes"  # the same, of complex numbers only
_BY_SHAPE = {WITH_AXES: ALL_KINDS, COMPLEX_WITH_AXES: "c"}

# The parameters of ufuncs, by name; those of JAX's ufunc objects, and where theirs are not `x, /` and `x1, x2, /`.
_OBJECT = "*args, out=None, where=None"
_PARAMETERS = {
    **dict.fromkeys(
        ("add", "bitwise_and", "bitwise_or", "bitwise_xor", "logaddexp", "logaddexp2"), _OBJECT
    ),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor", "maximum", "minimum"), _OBJECT),
    **dict.fromkeys(("multiply", "negative", "subtract"), _OBJECT),
    **dict.fromkeys(("fmax", "fmin"), "x1, x2"),
    **dict.fromkeys(
        ("bitwise_left_shift", "equal", "float_power", "greater", "greater_equal"), "x, y, /"
    ),
    **dict.fromkeys(("left_shift", "less", "less_equal", "nextafter", "not_equal"), "x, y, /"),
    **dict.fromkeys(("i0", "iscomplex", "isreal", "trunc"), "x"),
    **dict.fromkeys(("imag", "real"), "val, /"),
    **dict.fromkeys(("isneginf", "isposinf"), "x, /, out=None"),
}
_BY_OPERANDS = {1: "x, /", 2: "x1, x2, /"}


@cache
def signature_of(parameters: str) -> inspect.Signature:
    """What `inspect` shows of parameters that are written as in a definition, with literals as defaults."""
    shown: list[inspect.Parameter] = []
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for text in parameters.split(", "):
        name, _, default = text.partition("=")
        if text == "/":
            shown = [p.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for p in shown]
        elif text.startswith("*"):
            if name[1:]:
                shown.append(inspect.Parameter(name[1:], inspect.Parameter.VAR_POSITIONAL))
            kind = inspect.Parameter.KEYWORD_ONLY
        else:
            empty = ast.literal_eval(default) if default else inspect.Parameter.empty
            shown.append(inspect.Parameter(name, kind, default=empty))
    return inspect.Signature(shown)


def _refuse_options(name: str, out: Any, where: Any) -> None:
    option = "out" if out is not None else "where"
    use = "use the result" if out is not None else "use covector.numpy.where(condition, result, x)"
    raise NotImplementedError(
        f"{name} with {option}={type(where if out is None else out).__name__}{errors.at_user_line()}: arrays are "
        f"immutable; {use}"
    )


def elementwise(
    name: str,
    recipe: Recipe,
    kind: Kind,
    nin: int,
    doc: str,
    example: str | None = None,
    parameters: str | None = None,
    strong: str = "",
    apart: bool = False,
) -> Any:
    """A ufunc: operands promoted as `kind` says and broadcast together, then the recipe.

    The result is weakly typed where all operands are once they are promoted (with `apart`, as they are given), but
    for those of the kinds in `strong`.
    """
    steps = recipe if isinstance(recipe, Primitive) and not strong else _weakly(recipe, strong)
    python = {1: _unary, 2: _binary}.get(nin, _general)(name, steps, kind)
    python = _weak_apart(python) if apart else python
    rules = (_ONE if nin == 1 else _SEVERAL).format(_DTYPES[kind])
    shown = EXAMPLES.get(name, "") if example is None else example
    text = parameters or _PARAMETERS.get(name) or _BY_OPERANDS.get(nin)
    if text is not None:
        python = _named(name, python, signature_of(text))
    python.weak_by_shape = _BY_SHAPE.get(strong, "")  # type: ignore[attr-defined]
    return make(name, python, nin, f"{doc}{rules}{shown}")


def _named(
    name: str, python: Callable[..., Any], signature: inspect.Signature
) -> Callable[..., Any]:
    """The Python form with these parameters, where it calls its operands otherwise."""
    code = python.__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    names = [n for n, p in signature.parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    form = python
    if any(n not in own for n in names):

        def form(*args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != len(names):
                try:
                    args = signature.bind(*args, **kwargs).args
                except TypeError as error:
                    raise TypeError(f"{name}: {error}{errors.at_user_line()}") from None
            return python(*args)

    form.__signature__ = signature  # type: ignore[attr-defined]
    return form


def unary(
    name: str,
    recipe: Recipe,
    kind: Kind,
    doc: str,
    example: str | None = None,
    parameters: str | None = None,
    strong: str = "",
) -> Any:
    """A ufunc of one operand."""
    return elementwise(name, recipe, kind, 1, doc, example, parameters, strong)


def binary(
    name: str,
    recipe: Recipe,
    kind: Kind,
    doc: str,
    example: str | None = None,
    strong: str = "",
    apart: bool = False,
) -> Any:
    """A ufunc of two operands."""
    return elementwise(name, recipe, kind, 2, doc, example, strong=strong, apart=apart)


def _weakly(recipe: Recipe, strong: str) -> Recipe:
    """The recipe, with a weak result where all operands are weak: constants in it do not count.

    Operands of the kinds in `strong` have results that are never weak.
    """
    by_shape, kinds = strong in _BY_SHAPE, _BY_SHAPE.get(strong, strong)

    def steps(*args: Any) -> Any:
        out = recipe(*args)
        aval = typeof(out)
        weak = dtypes.kind(typeof(args[0]).dtype) not in kinds or (by_shape and not aval.shape)
        for x in args:
            weak = weak and getattr(x, "weak_type", False)
        return out if aval.weak_type == weak else prims.Convert(aval.dtype, weak)(out)

    return steps


def _weak_apart(python: Callable[..., Any]) -> Callable[..., Any]:
    """The function of two operands with a result that is strong if one of them is, weak as both may be together."""

    def form(x1: Any, x2: Any, *, out: None = None, where: None = None) -> Any:
        found = python(x1, x2, out=out, where=where)
        numbers = type(x1) in NUMBERS and type(x2) in NUMBERS  # truth values of Python are not weak
        if found.weak_type and not numbers and not all(type_key(x)[1] for x in (x1, x2)):
            return prims.Convert(found.dtype)(found)
        return found

    return form


def _unary(name: str, recipe: Recipe, kind: Kind) -> Callable[..., Any]:
    direct = DIRECT[kind]

    def python(x: Any, *, out: None = None, where: None = None) -> Any:
        if out is not None or where is not None:
            _refuse_options(name, out, where)
        if (isinstance(x, Tracer) or type(x) is Array) and x.dtype in direct:
            return recipe(x)
        (x,) = promoted(name, kind, (lift(name, x),))
        return recipe(x)

    return python


def _binary(name: str, recipe: Recipe, kind: Kind) -> Callable[..., Any]:
    direct = DIRECT[kind]
    with_scalar: dict[tuple[object, ...], tuple[np.dtype, bool]] = {}

    def beside(x: Any, number: Any) -> Any:
        """The number in x's dtype, if that is the one to compute in; else None."""
        aval = x.aval
        state = config.numpy_dtype_promotion, config.enable_x64
        key = aval.dtype, aval.weak_type, type(number), state
        found = with_scalar.get(key)
        if found is None:
            other = type_key(number)
            found = with_scalar[key] = target(kind, (aval.dtype, aval.weak_type), other)
        return convert_scalar(number, *found) if found[0] is aval.dtype else None

    def python(x1: Any, x2: Any, *, out: None = None, where: None = None) -> Any:
        if out is not None or where is not None:
            _refuse_options(name, out, where)
        x, y = x1, x2
        if isinstance(x, Tracer):
            if isinstance(y, Tracer):
                a, b = x.aval, y.aval
                same = a.shape == b.shape or not a.shape or not b.shape
                if a.dtype is b.dtype and same and a.dtype in direct:
                    return recipe(x, y)
            elif type(y) in SCALARS and (number := beside(x, y)) is not None:
                return recipe(x, number)
        elif isinstance(y, Tracer) and type(x) in SCALARS and (number := beside(y, x)) is not None:
            return recipe(number, y)
        return recipe(*operands(name, kind, (x, y)))

    return python


def _general(name: str, recipe: Recipe, kind: Kind) -> Callable[..., Any]:
    def python(*args: Any) -> Any:
        return recipe(*operands(name, kind, args))

    return python


def operands(name: str, kind: Kind, args: tuple[Any, ...]) -> list[Any]:
    """The operands in one dtype and one shape; single numbers stay scalars."""
    return fitted(name, [lifted(name, x) for x in promoted(name, kind, args)])


def lifted(name: str, x: Any) -> Any:
    """A NumPy array as an Array; anything else as it is."""
    return from_numpy(name, x) if isinstance(x, np.ndarray) else x


def like(x: Any, value: Any) -> np.generic:
    """A constant in the dtype of an operand."""
    return x.dtype.type(value)


def is_bool(x: Any) -> bool:
    """Whether an operand is of bool."""
    return x.dtype == dtypes.bool_


def is_integer(x: Any) -> bool:
    """Whether an operand is of integers or bool."""
    return not dtypes.is_inexact(x.dtype)


def refuse(name: str, x: Any) -> errors.DtypeError:
    """The error of a function that does not take an operand's dtype."""
    return errors.DtypeError(f"{name} does not take {typeof(x).text()}{errors.at_user_line()}")
