"""What users read when something is wrong: the exception classes, the messages, the user's own line."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from types import CodeType
from typing import Any

import numpy as np

from covector._engine.base.config import config
from covector._engine.base.exceptions import *
from covector._engine.base.exceptions import KernelError as KernelError, StoppedError
from covector._engine.base.locks import import_late
from covector._engine.base.public import NO_USERS, PACKAGE


class Source:
    """Where the user's code was when an operation was recorded; resolved to text only when it is shown."""

    __slots__ = ("code", "line", "scope")

    def __init__(self, code: CodeType, line: int, scope: str = ""):
        self.code, self.line, self.scope = code, line, scope

    @property
    def file(self) -> str:
        return self.code.co_filename

    @property
    def name_stack(self) -> str:
        """The names of `named_scope` around, with slashes between them."""
        return self.scope

    def __str__(self) -> str:
        where = f"{os.path.basename(self.file)}:{self.line} ({self.code.co_name})"
        return f"{where} in {self.scope}" if self.scope else where


class _Scopes(threading.local):
    name = ""  # those around, the outermost first, with slashes between them


_scopes = _Scopes()


@contextmanager
def scope(name: str) -> Generator[None]:
    """A name for what is recorded in a block, shown where an operation is told to be."""
    before = _scopes.name
    _scopes.name = f"{before}/{name}" if before else name
    try:
        yield
    finally:
        _scopes.name = before


def noting(function: Callable[..., Any], name: str, source: Source | None) -> Callable[..., Any]:
    """The function with a note on what it raises: what called it, on which line of the user's.

    With the flag `callback_errors` it raises a RuntimeError with the traceback as its text.
    """

    def called(*args: Any) -> Any:
        try:
            return function(*args)
        except BaseException as error:
            if source is not None:
                error.add_note(f"raised in a {name} of the compiled function (at {source})")
            if config.callback_errors == "own" or not isinstance(error, Exception):
                raise
            text = "".join(traceback.format_exception(error))
            raise RuntimeError(f"INTERNAL: error calling callback: {text}") from error

    return called


def user_source() -> Source | None:
    """The innermost frame on the stack that is not ours; None if all are."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(NO_USERS):
            return Source(code, frame.f_lineno, _scopes.name)
        frame = frame.f_back
    return None


def at_user_line() -> str:
    """' at file:line (function)' of the user's code, or nothing."""
    source = user_source()
    return "" if source is None else f" (at {source})"


def made_invalid(
    operation: str, source: Source | None, operands: Iterable[str], result: str
) -> str:
    """For an operation that made a NaN or an infinity."""
    where = at_user_line() if source is None else f" (at {source})"
    given = ", ".join(operands)
    return f"{operation}{where}{' of ' if given else ''}{given}, which gave {result}"


def invalid_places(kind: str, count: int, size: int, first: tuple[int, ...]) -> str:
    """How much of an array is a NaN or an infinity."""
    if size == 1:
        return f": it is {kind}"
    return f": {count} of {size} elements are {kind}, the first at {list(first)}"


def check_in_compiled(where: str) -> str:
    """For a check in what is compiled without `checkify`."""
    return (
        f"a checkify.check{where} was compiled, but not functionalized: compiled code cannot raise.\n"
        "    wrong:  jit(f)(x)\n"
        "    right:  err, out = checkify.checkify(jit(f))(x); err.throw()\n"
        "checkify makes failures a result of the function; it belongs around jit, scan, vmap and the like, or inside. "
        "checkify.debug_check is a check that does nothing where it is not functionalized."
    )


def shape_mismatch(operation: str, shapes: list[str]) -> str:
    """For operands whose shapes do not fit together."""
    return (
        f"{operation} got shapes that do not fit together: {' and '.join(shapes)}{at_user_line()}"
    )


def traced_bool(description: str) -> str:
    """For `if` and `while` on a traced value."""
    return (
        f"the truth of {description} was asked for{at_user_line()}, but inside jit only its shape and dtype "
        "are known.\n"
        "    wrong:  if x > 0: y = f(x)\n"
        "    right:  y = covector.numpy.where(x > 0, f(x), g(x))\n"
        "If the branch depends on an argument that may be a compile-time constant, mark that argument with "
        "static_argnums or static_argnames of jit."
    )


def traced_value(description: str, wanted: str) -> str:
    """For a traced value where Python needs a number."""
    return (
        f"{description} was used as {wanted}{at_user_line()}, but inside jit only its shape and dtype are "
        "known. Use covector.numpy functions on it, or mark the argument it comes from with static_argnums "
        "or static_argnames of jit."
    )


def detached_value(type_: str, wanted: str) -> str:
    """A value that carries a tangent leaves the traces that follow derivatives."""
    return (
        f"a {type_} that is being differentiated was used as {wanted}{at_user_line()}: what is computed from that "
        "would count as a constant, and the derivative would be wrong.\n"
        "    wrong:  math.sin(x), numpy.dot(x, x), float(x) * y\n"
        "    right:  covector.numpy.sin(x), covector.numpy.dot(x, x), x * y\n"
        "To look at values return them beside the result (has_aux=True) or use covector.debug.print; to take one as a "
        "constant on purpose, float(covector.lax.stop_gradient(x))."
    )


def numpy_function(description: str, name: str, keywords: Iterable[str]) -> str:
    """NumPy's function was called with a traced value, and ours does not take its place."""
    how = f" and {', '.join(f'{k}=' for k in keywords)}" if keywords else ""
    return (
        f"numpy.{name} was called with {description}{how}{at_user_line()}, which NumPy cannot compute with. "
        "Use the functions of covector.numpy and covector.lax."
    )


def leaked_tracer(description: str, source: Source | None) -> str:
    """For a tracer that outlived its trace."""
    made = "" if source is None else f" It was made at {source}."
    return (
        f"{description} was used after the function it belongs to had been traced{at_user_line()}.{made} "
        "A traced value must not be kept in a global, an attribute or a list: return it from the function instead."
    )


def closed_over(kind: str, name: str, why: str = "") -> str:
    """For a value that a function with a custom rule closes over and that is being differentiated."""
    text = (
        f"{kind} of {name}{at_user_line()}: its function or its rule closes over a value that is being differentiated, "
        "or that outlived its trace. The rule only says how to differentiate with respect to arguments: pass the value "
        f"as an argument of {name} and give the rule its derivative, or close over covector.lax.stop_gradient of it."
    )
    return f"{text}\n{why}" if why else text


def depends_on_tangents(name: str) -> str:
    """For a jvp rule whose results are made of tangents."""
    return (
        f"the custom_jvp rule of {name} returns results that depend on the tangents{at_user_line()}: only the tangents "
        "of the results may, and only linearly"
    )


def no_forward_mode(name: str) -> str:
    """For a forward derivative of what has a rule for its vjp alone."""
    return (
        f"can't apply forward-mode differentiation (jvp) to a custom_vjp function: {name}{at_user_line()} only says "
        "how to pull cotangents back. Use reverse mode (vjp, grad, jacrev), or give it a custom_jvp rule."
    )


def missing_rule(primitive: str, rule: str, cls: type) -> str:
    """For a primitive without the rule that a transformation needs."""
    module = sys.modules.get(cls.__module__)
    file = os.path.relpath(getattr(module, "__file__", "") or "", PACKAGE)
    return f"primitive '{primitive}' has no {rule} rule; add it to class {cls.__name__} in {file}"


def own_primitive(name: str) -> str:
    """For an attempt to change what a primitive of Covector's does."""
    return f"{name} is a primitive of Covector's; its rules cannot be changed{at_user_line()}"


def not_differentiable(primitive: str, argument: str, why: str, source: Source | None) -> str:
    """For a derivative that a primitive does not have, on purpose; `source` is where it was applied, if known."""
    where = at_user_line() if source is None else f" (at {source})"
    return (
        f"{primitive} has no derivative with respect to {argument}{where}: {why}.\n"
        f"If {argument} is to count as a constant, say so with covector.lax.stop_gradient, or choose other "
        "arguments to differentiate with argnums."
    )


def effect_of_a_tangent(primitive: str, source: Source | None) -> str:
    """Something with an effect was asked for a value that is only known when a linear function is applied."""
    where = at_user_line() if source is None else f" (at {source})"
    return (
        f"{primitive} got a value that a linear function is transposed with respect to{where}: it would have to run "
        "backwards. Move it to values that are not differentiated."
    )


def not_linear() -> str:
    """For an operation on tangents that cannot be transposed."""
    return (
        f"reverse mode{at_user_line()} came to an operation on tangents that is not linear: a custom_jvp rule "
        "may do to tangents only what is linear in them, such as multiplying them by values or adding them"
    )


def not_an_array(value: object, where: str) -> str:
    """For a value that is no array, tracer or number."""
    found = f"{where} got {value!r} of type {type(value).__name__}{at_user_line()}"
    if isinstance(value, list | tuple):
        return f"{found}, which is not an array. Make it one with covector.numpy.asarray."
    if getattr(value, "_is_ref", False):
        return f"{found}, which is a mutable reference: read its value first, ref[...]."
    if getattr(value, "_is_linear", False):
        return not_linear()
    return (
        f"{found}, which is not an array, a number, or something NumPy can make an array of. "
        "Mark it static (static_argnums of jit) or convert it first."
    )


def masked_array(where: str) -> str:
    """For a masked array of NumPy, whose mask would be lost."""
    return (
        f"{where} got a masked array{at_user_line()}, whose mask arrays do not have. Fill it first, for example "
        "x.filled(0), and pass the mask, numpy.ma.getmaskarray(x), as an array of its own"
    )


def not_available(asked: str, taken: str) -> str:
    """For a dtype of 64 bits that is asked for where these are switched off.  (Filters of warnings know its begin.)"""
    return (
        f"Explicitly requested dtype {asked} is not available{at_user_line()}: {taken} is taken, as enable_x64 is "
        "False. With enable_x64 None dtypes are as written, with True numbers have 64 bits too: "
        'covector.enable_x64(...) in a `with` block, covector.config.update("enable_x64", ...) or COVECTOR_ENABLE_X64'
    )


def not_an_integer(name: str, value: object) -> str:
    """For a parameter that must be an integer."""
    return (
        f"{name} must be an integer, got {value!r} of type {type(value).__name__}{at_user_line()}"
    )


def too_large(what: str, found: str) -> str:
    """For an array that no memory could hold."""
    return f"{what} would be {found}{at_user_line()}, which is more than can be addressed"


def negative_size(operation: str, shape: object) -> str:
    """For a shape with a negative dimension."""
    return f"{operation} got the shape {shape}{at_user_line()}: no dimension can be negative"


def mapped_value(description: str, wanted: str) -> str:
    """A value under vmap was used as one value."""
    return (
        f"{description} was used as {wanted}{at_user_line()}, but under vmap it has another value for each element "
        "of the batch. Use covector.numpy functions on it (covector.numpy.where instead of `if`), or give the "
        "argument it comes from the in_axes entry None."
    )


# Methods of objects that stand for arrays.
ARRAY_PROTOCOL = ("__covector_array__", "__jax_array__")


def not_a_value(api: str, name: str, value: object) -> str:
    """An argument or result is no array."""
    text = f"{api}: {name} is {value!r} of type {type(value).__name__}{at_user_line()}; it must be an array or a number"
    if any(hasattr(type(value), method) for method in ARRAY_PROTOCOL):
        text += (
            ". It stands for an array, but transformations look into containers and must not guess: convert it with "
            "covector.numpy.asarray, or register its class as a pytree"
        )
    return text + returned_ref(value)


def useless_donations(name: str, arguments: list[str]) -> str:
    """Arguments are donated to a function that none of its results can take the memory of."""
    which = "".join([f"\n    {a}" for a in arguments])
    return (
        f"jit of {name}: some donated arguments cannot be used{at_user_line()}, as there is no result, or no other "
        f"one, of their size and dtype that could take their memory; they are kept:{which}"
    )


def returned_ref(value: object) -> str:
    """What is added where a value that is no array may be a reference."""
    if not getattr(value, "_is_ref", False):
        return ""
    return (
        ". A Ref can be an argument of jit, vmap, cond and switch, be in the xs of scan, and be closed over "
        "everywhere, but not be returned, carried, or differentiated: use its value, ref[...]"
    )


def integer_argument(api: str, name: str, found: str) -> str:
    """An integer is to be differentiated."""
    return (
        f"{api} differentiates with respect to floating-point arguments, but {name} is {found}{at_user_line()}.\n"
        f"    wrong:  {api}(f)(3)\n"
        f"    right:  {api}(f)(3.0)\n"
        "If it is an index or a count, choose the arguments to differentiate with argnums, or pass allow_int=True "
        "to get float0 zeros for it."
    )


def not_a_scalar(api: str, function: str, found: str) -> str:
    """The function to differentiate returns several numbers."""
    return (
        f"{api} needs a function whose result is one number, but {function} returned {found}{at_user_line()}. "
        "Reduce the result, for example with covector.numpy.sum, or use jacrev or vjp for results with many elements."
    )


def unbound_axis(name: object, known: Iterable[object]) -> str:
    """A named axis that is not in scope."""
    names = ", ".join(map(repr, known))
    scope = f"in scope are {names}" if names else "no named axis is in scope"
    return (
        f"unbound axis name: {name!r}{at_user_line()}; {scope}. A name is given by the transformation around the "
        f"function: vmap(f, axis_name={name!r})"
    )


def strict_promotion(dtypes: Iterable[str]) -> str:
    """Operands of different dtypes under strict promotion; weak types have a star."""
    return (
        f"the operands have the dtypes {', '.join(dtypes)}{at_user_line()}, and numpy_dtype_promotion is 'strict': "
        "convert them to one with astype"
    )


def rank_promotion(operation: str, shapes: Iterable[str]) -> str:
    """Operands of different ranks where that is not wanted."""
    return (
        f"{operation} got operands of different ranks, {' and '.join(shapes)}{at_user_line()}, and "
        "numpy_rank_promotion does not allow that: give them axes of size 1, x[None, :]"
    )


def guard_transfer(level: str, x: Any) -> None:
    """What the flag `transfer_guard` wants where a function is given an array of NumPy's."""
    text = (
        f"a NumPy array of shape {x.shape} and dtype {x.dtype} was given{at_user_line()}, and has to be made an array: "
        f"the flag transfer_guard is {level!r}; use covector.numpy.asarray"
    )
    if level.startswith("disallow"):
        raise RuntimeError(text)
    log("%s", text)


def log(text: str, *values: object) -> None:
    """A warning of the logger that the flag `logger` names."""
    # When it is wanted: loading it is 2 % of `import covector`.
    import_late("logging").getLogger(config.logger).warning(text, *values)


def leaked_tracers(function: str, tracers: Iterable[str]) -> str:
    """Tracers that outlive their trace."""
    return (
        f"tracing {function} has ended, but tracers of it are still there: {'; '.join(tracers)}. Something outside "
        "keeps them: a list, an attribute, a global or nonlocal variable, a closure. Return values from the function"
    )


def check_flags(api: str, **flags: Any) -> None:
    """TypeError for a flag that is neither True nor False: a text or an array would count as true.

    For functions of which JAX refuses such flags; of others any value counts by its truth.
    """
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            raise TypeError(
                f"{api}: {name} must be True or False, got {value!r} of type {type(value).__name__}{at_user_line()}"
            )


def stopped() -> Exception:
    """The error of a value whose computation was stopped."""
    return StoppedError(
        "the computation of this value, or of one that it needs, was stopped: Ctrl-C (or a signal handler that raised) "
        "ended a wait, and a loop before it went on for a second longer. Call the function again to compute it; arrays "
        "that were donated to it are gone. If its loop has no end, let the condition of while_loop count steps, too: "
        "`lambda c: (c[0] < most_steps) & ...`"
    )


def does_not_fit(x: int, dtype: str) -> str:
    """What is wrong with an integer that a dtype does not have, and which one has it."""
    if -(2**63) <= x < 2**64:
        wider = "give a wider dtype, for example covector.numpy." + (
            "int64" if x < 2**63 else "uint64"
        )
    else:
        wider = "no integer dtype is as wide: give a float dtype, where it is rounded"
    return f"the integer {x} does not fit {dtype}{at_user_line()}; {wider}"
