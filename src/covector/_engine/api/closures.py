"""Functions whose closures become arguments: `closure_convert`, and rules given as closures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine.api.arguments import (
    check_callable,
    check_values,
    flatten,
    function_name,
    function_place,
    operand,
)
from covector._engine.api.custom import custom_vjp
from covector._engine.api.rules import fitted, resolved
from covector._engine.base import errors, tree
from covector._engine.base.public import boundary, wraps
from covector._engine.control.call import Call
from covector._engine.control.linear import LinearCall
from covector._engine.core.refs import Reading
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import Tracer, stage, typeof
from covector._engine.ir.program import Program, without_dead_code
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

Function = Callable[..., Any]


def staged(
    api: str,
    fun: Function,
    args: Sequence[Any],
    avals: Sequence[ShapedArray] | None = None,
    at_once: bool = False,
) -> tuple[Program, Any, Any]:
    """A function of these arguments as a Program, all that it does, and the structures of arguments and result.

    A Program that is applied `at_once`, and never again, may read references.
    """
    leaves, in_tree = flatten(tuple(args))
    if avals is None:
        names = [f"argument{tree.keystr(p)}" for p, _ in tree.leaves_with_path(tuple(args))]
        check_values(leaves, lambda: names, api)
        avals = [typeof(x) for x in leaves]
    out_tree: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        out = fun(*tree.unflatten(in_tree, values))
        results, treedef = flatten(out)
        paths = [f"the result{tree.keystr(p)}" for p, _ in tree.leaves_with_path(out)]
        check_values(results, lambda: [f"{p} of {function_place(fun)}" for p in paths], api)
        out_tree[:] = [treedef]
        return results

    refs = Reading() if at_once else None
    return stage(flat, avals, function_name(fun), refs), in_tree, out_tree[0]


def closed(
    api: str,
    fun: Function,
    args: Sequence[Any],
    avals: Sequence[ShapedArray] | None = None,
    at_once: bool = False,
) -> tuple[Program, tuple[Any, ...], Any, Any]:
    """As `staged`, closed and without dead code: the Program, its constants, the structures."""
    program, in_tree, out_tree = staged(api, fun, args, avals, at_once)
    program = without_dead_code(program)
    return program.close(), program.constants, in_tree, out_tree


def closure_convert(fun: Function, *example_args: Any) -> tuple[Function, list[Any]]:
    """(a function without closure, the values closed over), for a rule that gets these as arguments.

    The function takes arguments like the examples, then the values: those floating ones that may be differentiated.

    >>> import covector
    >>> import covector.numpy as np
    >>> def f(c):
    ...     pure, values = covector.closure_convert(lambda x: x * c, 1.0)
    ...     return pure(3.0, *values)
    >>> print(covector.grad(f)(2.0))
    3.0
    """
    check_callable(fun, "closure_convert")
    program, constants, in_tree, out_tree = closed("closure_convert", fun, example_args)
    moved = [isinstance(c, Tracer) and c.aval.differentiable() for c in constants]
    types = program.in_avals[: in_tree.num_leaves]

    @boundary
    def converted(*args: Any) -> Any:
        n = len(args) - sum(moved)
        leaves, treedef = flatten(args[:n])
        if treedef != in_tree or any(
            typeof(x).shape != a.shape for x, a in zip(leaves, types, strict=True)
        ):
            raise TypeError(
                f"closure_convert: {function_place(fun)} was converted for arguments {in_tree} of the types "
                f"{', '.join(a.text() for a in types)}, but it got {treedef}{errors.at_user_line()}"
            )
        rest = iter(args[n:])
        given = [next(rest) if mine else c for c, mine in zip(constants, moved, strict=True)]
        return tree.unflatten(out_tree, Call(program)(*map(operand, leaves), *given))

    return converted, [c for c, mine in zip(constants, moved, strict=True) if mine]


class _Residual:
    """A rule with what it closes over: a pytree whose leaves are these values."""

    __slots__ = ("constants", "static")

    def __init__(self, static: tuple[Program, Any], constants: Sequence[Any]):
        self.static, self.constants = static, list(constants)


tree.register_node(_Residual, lambda r: (r.constants, r.static), _Residual)


def custom_gradient(
    fun: Any = None, *, with_logs: bool = False, remat: bool = False, with_accums: Any = None
) -> Any:
    """A function that returns (result, rule), with the rule as its derivative in reverse mode.

    `rule` takes the cotangent of the result and returns those of the arguments: a tuple, or one for one argument.
    With `with_logs` it returns a pair of these and a dict of logs, which nobody reads.  With `remat` the function
    returns (result, again): `again` takes the arguments and returns (result, rule).  Without a function it is a
    decorator.  NotImplementedError for `with_accums`, rules that add to what others gave.

    >>> import covector
    >>> @covector.custom_gradient
    ... def f(x):
    ...     return x**2, lambda ct: 5 * ct
    >>> print(covector.grad(f)(3.0))
    5.0
    """
    if with_accums is not None:
        raise NotImplementedError(
            f"custom_gradient: with_accums={with_accums!r}{errors.at_user_line()}: rules return cotangents here"
        )
    if fun is None:
        return lambda f: custom_gradient(f, with_logs=with_logs, remat=remat)
    check_callable(fun, "custom_gradient")

    def pair(*args: Any) -> Any:
        out = checked(fun(*args))
        return (out[0], checked(out[1](*args))[1]) if remat else out

    def checked(out: Any) -> Any:
        if not isinstance(out, tuple) or len(out) != 2 or not callable(out[1]):
            raise TypeError(
                f"custom_gradient: {function_place(fun)} must return (result, rule), it returned {out!r}"
                f"{errors.at_user_line()}"
            )
        return out

    @wraps(fun)
    def first(*args: Any) -> Any:
        return checked(fun(*args))[0]

    def fwd(*args: Any) -> Any:
        out, rule = pair(*args)
        leaves, out_tree = flatten(out)
        avals = [typeof(x) for x in leaves]
        live = [a.differentiable() for a in avals]

        def of_floating(*cts: Any) -> Any:
            rest = iter(cts)
            given = [
                next(rest) if mine else np.zeros(a.shape, dtypes.float0)
                for a, mine in zip(avals, live, strict=True)
            ]
            backs = rule(tree.unflatten(out_tree, given))
            return backs[0] if with_logs else backs

        types = [a.tangent() for a in avals if a.differentiable()]
        program, constants, _, back_tree = closed("custom_gradient", of_floating, types, types)
        return out, _Residual((program, back_tree), constants)

    def bwd(residual: _Residual, ct: Any) -> Any:
        program, back_tree = residual.static
        cts = [c for c in tree.leaves(ct) if getattr(c, "dtype", None) != dtypes.float0]
        backs = tree.unflatten(back_tree, Call(program)(*cts, *residual.constants))
        return backs if isinstance(backs, tuple | list) else (backs,)

    rule = custom_vjp(first)
    rule.defvjp(fwd, bwd)

    @boundary
    @wraps(fun)
    def custom_gradient_f(*args: Any, **kwargs: Any) -> Any:
        return rule(*resolved(fun, args, kwargs, "custom_gradient"))

    return custom_gradient_f


def linear_call(
    fun: Function, fun_transpose: Function, residual_args: Any, linear_args: Any
) -> Any:
    """`fun(residual_args, linear_args)`, linear in the second, with `fun_transpose(residual_args, cotangent)` for its
    transpose.

    >>> import covector
    >>> from covector.custom_derivatives import linear_call
    >>> def scaled(x):
    ...     return linear_call(lambda r, x: x * r, lambda r, ct: ct * r, 3.0, x)
    >>> print(covector.linear_transpose(scaled, 1.0)(2.0)[0])
    6.0
    """
    check_callable(fun, "linear_call")
    check_callable(fun_transpose, "linear_call")
    known, known_tree = flatten(residual_args)
    linear, linear_tree = flatten(linear_args)
    given = residual_args, linear_args
    program, constants, _, out_tree = closed("linear_call", fun, given)
    n, types = len(known), [typeof(x) for x in linear]

    def back(residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        out = fun_transpose(
            tree.unflatten(known_tree, residuals[:n]), tree.unflatten(out_tree, cts)
        )
        leaves, found = flatten(out)
        if found != linear_tree:
            raise TypeError(
                f"linear_call: {function_place(fun_transpose)} must return the structure of the linear arguments"
                f"{errors.at_user_line()}:\n    arguments {linear_tree}\n    result    {found}"
            )
        backs = [fitted(x, a) for x, a in zip(leaves, types, strict=True)]
        for b, a in zip(backs, types, strict=True):
            if isinstance(b, str):
                raise TypeError(
                    f"linear_call: {function_place(fun_transpose)} returned {b} for a linear argument of type "
                    f"{a.text()}{errors.at_user_line()}"
                )
        return [Zero(a) if type(b) is Zero else b for b, a in zip(backs, types, strict=True)]

    inputs, m = program.inputs, n + len(linear)
    ordered = Program(
        (*inputs[:n], *inputs[m:], *inputs[n:m]), program.eqns, program.outputs, name=program.name
    )
    call = LinearCall(ordered, back, n + len(constants))
    outs = call(*map(operand, known), *constants, *map(operand, linear))
    return tree.unflatten(out_tree, outs)


class custom_transpose:
    """A function `fun(residuals, x)`, linear in x, with a transpose of its own.

    It is called with the types of its results, residuals and x.  `def_transpose` is given its transpose,
    `transpose(residuals, cotangent)`, or one that gets the types of x too, in front.

    >>> import covector
    >>> from covector.custom_derivatives import custom_transpose
    >>> @custom_transpose
    ... def scaled(r, x):
    ...     return r * x
    >>> _ = scaled.def_transpose(lambda r, ct: r * ct)
    >>> print(covector.grad(lambda x: scaled(covector.typeof(x), 3.0, x))(1.0))
    3.0
    """

    def __init__(self, fun: Function):
        check_callable(fun, "custom_transpose")
        self.fun = fun
        self.transpose: Function | None = None

    def def_transpose(self, transpose: Function) -> Function:
        """Give it the transpose; returns it."""
        check_callable(transpose, "def_transpose")
        self.transpose = transpose
        return transpose

    def __call__(self, out_types: Any, residuals: Any, x: Any) -> Any:
        transpose = self.transpose
        if transpose is None:
            raise AttributeError(
                f"no transpose is defined for the custom_transpose function {function_place(self.fun)}"
                f"{errors.at_user_line()}: give it one with def_transpose"
            )
        if _takes(transpose, 3):
            transpose = functools.partial(transpose, tree.map(typeof, x))

        def fun(r: Any, x: Any) -> Any:
            out = self.fun(r, x)
            self._check(out, out_types)
            return out

        return linear_call(functools.wraps(self.fun)(fun), transpose, residuals, x)

    def _check(self, out: Any, out_types: Any) -> None:
        """TypeError unless results have these types."""
        found, wanted = tree.map(_type_text, out), tree.map(_type_text, out_types)
        if found != wanted:
            raise TypeError(
                f"custom_transpose: {function_place(self.fun)} was called with the result types {wanted}"
                f"{errors.at_user_line()}, its result has {found}"
            )


def _type_text(x: Any) -> str:
    aval = x if hasattr(x, "shape") and hasattr(x, "dtype") else typeof(x)
    return f"{aval.dtype}[{','.join(map(str, aval.shape))}]"


def _takes(f: Function, count: int) -> bool:
    """Whether a function takes so many arguments by position."""
    try:
        inspect.signature(f).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True
