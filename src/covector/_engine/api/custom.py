"""`custom_jvp` and `custom_vjp` over pytrees: what users write, checked, as rules of flat values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    argument_names,
    as_array,
    check_callable,
    check_values,
    flatten,
    function_name,
    function_place,
    operand,
    zero_tangent,
)
from covector._engine.api.rules import (
    CustomVJPPrimal,
    SymbolicZero,
    fitted,
    resolved,
)
from covector._engine.base import errors, tree
from covector._engine.base.belongings import holds
from covector._engine.base.exact import exact
from covector._engine.base.public import bounded
from covector._engine.control.custom import Memory, Outcome
from covector._engine.control.custom_jvp import OnlineJVP
from covector._engine.control.custom_vjp import Backward, OnlineVJP
from covector._engine.core.refs import Among
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

P = ParamSpec("P")
R = TypeVar("R")
Function = Callable[..., Any]


class _Custom(Generic[P, R]):
    """A function with a custom rule."""

    api: str

    def __init__(
        self,
        fun: Callable[P, R],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ):
        check_callable(fun, self.api)
        functools.update_wrapper(cast("Function", self), fun)
        self.fun = fun
        names = (nondiff_argnames,) if isinstance(nondiff_argnames, str) else nondiff_argnames
        self.nondiff_argnums = _positions(self.api, fun, nondiff_argnums, tuple(names))
        self._staged: dict[Any, Any] = {}

    def _split(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[dict[int, Any], tuple[Any, ...]]:
        """The arguments that are not differentiated, by position, and the others."""
        args = resolved(self.fun, args, kwargs, self.api)
        if self.nondiff_argnums and not -len(args) <= min(self.nondiff_argnums) <= max(
            self.nondiff_argnums
        ) < len(args):
            raise ValueError(
                f"{self.api}: nondiff_argnums={self.nondiff_argnums} for {function_place(self.fun)}, which was called "
                f"with {len(args)} arguments{errors.at_user_line()}"
            )
        positions = sorted({i % len(args) for i in self.nondiff_argnums})
        static = {i: args[i] for i in positions}
        return static, tuple([a for i, a in enumerate(args) if i not in static])

    def _call(self, online: type, static: dict[int, Any], args: tuple[Any, ...], rule: type) -> Any:
        leaves, in_tree = flatten(args)
        call = _Call(self, static, in_tree, leaves)
        plain = call.among.others(leaves)
        check_values(plain, call.names, f"{self.api} of {function_name(self.fun)}")
        values = [operand(x) for x in plain]
        memory = Memory(self._staged, call.key())
        made = online(function_name(self.fun), call.fun, rule(call), call.outcome, memory)
        outs = made(*values)
        return tree.unflatten(call.outcome.value, map(as_array, outs))

    def _undefined(self, how: str) -> AttributeError:
        return AttributeError(
            f"no rule is defined for the {self.api} function {function_place(self.fun)}{errors.at_user_line()}: "
            f"give it one with {how}"
        )


def _positions(
    api: str, fun: Function, argnums: int | Sequence[int], names: tuple[str, ...]
) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if any(not hasattr(i, "__index__") for i in numbers):
        raise TypeError(
            f"{api}: nondiff_argnums must be ints, got {argnums!r}{errors.at_user_line()}"
        )
    if names:
        parameters = list(inspect.signature(fun).parameters)
        for name in names:
            if name not in parameters:
                raise ValueError(
                    f"{api}: {function_place(fun)} has no argument {name!r}, which nondiff_argnames names"
                    f"{errors.at_user_line()}"
                )
        numbers = tuple(dict.fromkeys((*numbers, *map(parameters.index, names))))
    return numbers


class _Call:
    """One call of a function with a custom rule: what the flat functions need to know."""

    def __init__(
        self,
        owner: _Custom[..., Any],
        static: dict[int, Any],
        in_tree: tree.TreeDef,
        leaves: list[Any],
    ):
        self.owner, self.static, self.in_tree = owner, static, in_tree
        self.leaves = len(leaves)
        # References among the arguments: the rules get them too, but they are no values.
        self.among = Among(f"{owner.api} of {function_name(owner.fun)}", leaves)
        self.outcome = Outcome()

    def key(self) -> Any:
        """What the staged function depends on beside the types of its arguments; None if that has no hash."""
        if self.among.refs:  # they may be of a trace
            return None
        key = exact(tuple(self.static.items())), tree.content(self.in_tree)
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def names(self) -> list[str]:
        """For messages: the expression that reaches each value among the leaves of the arguments."""
        args = tree.unflatten(self.in_tree, range(self.leaves))
        names = argument_names(self.owner.fun, len(args) + len(self.static))
        names = [n for i, n in enumerate(names) if i not in self.static]
        return [
            name + tree.keystr(path)
            for name, arg in zip(names, args, strict=True)
            for path, place in tree.leaves_with_path(arg)
            if place not in self.among.refs
        ]

    def arguments(self, values: Sequence[Any]) -> Any:
        """The arguments with these values, references in their places."""
        return tree.unflatten(self.in_tree, self.among.merged(values))

    def merged(self, leaves: Sequence[Any]) -> list[Any]:
        """All arguments, in their order."""
        rest = iter(self.arguments(leaves))
        return [
            self.static[i] if i in self.static else next(rest)
            for i in range(len(self.static) + self.in_tree.num_children)
        ]

    def fun(self, *leaves: Any) -> list[Any]:
        """The function itself, of flat values."""
        return self.noted(self.owner.fun(*self.merged(leaves)), self.owner.fun)

    def noted(self, out: Any, fun: Function) -> list[Any]:
        """The leaves of a result, whose structure is noted."""
        results, self.outcome.value = flatten(out)
        check_values(
            results,
            lambda: [
                f"the result{tree.keystr(path)} of {function_place(fun)}"
                for path, _ in tree.leaves_with_path(out)
            ],
            self.owner.api,
        )
        return [as_array(x) for x in results]

    def rule_text(self, rule: Function) -> str:
        """For messages: which rule of which function."""
        return f"the rule {function_place(rule)} of the {self.owner.api} function {function_place(self.owner.fun)}"


# ---------------------------------------------------------------------------------------------------- custom_jvp


@bounded
class custom_jvp(_Custom[P, R]):
    """A function with a derivative rule of the user's, for forward and reverse mode.

    `rule(primals, tangents)`, given to `defjvp`, returns the results and their tangents, which must be linear in the
    tangents.  Arguments in `nondiff_argnums` or `nondiff_argnames` may be anything; the rule gets them first, by
    position.

    >>> import covector
    >>> import covector.numpy as np
    >>> @covector.custom_jvp
    ... def f(x):
    ...     return np.log1p(np.exp(x))
    >>> @f.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return f(x), t / (1 + np.exp(-x))
    >>> print(covector.grad(f)(100.0))
    1.0
    """

    api = "custom_jvp"
    jvp: Function | None = None
    symbolic_zeros: bool = False

    def defjvp(self, jvp: Function, symbolic_zeros: bool = False) -> Function:
        """Give it the rule; returns the rule.  With `symbolic_zeros` zero tangents come as `SymbolicZero`."""
        check_callable(jvp, "defjvp")
        self.jvp, self.symbolic_zeros = jvp, symbolic_zeros
        self._staged.clear()
        return jvp

    def defjvps(self, *jvps: Function | None) -> None:
        """Give it a rule for each argument, `rule(tangent, result, *primals)`; None where the tangent is zero."""
        if self.nondiff_argnums:
            raise TypeError(
                f"custom_jvp: defjvps does not go with nondiff_argnums{errors.at_user_line()}; use defjvp"
            )

        def jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
            if len(jvps) != len(primals):
                raise TypeError(
                    f"custom_jvp: {len(jvps)} rules were given to defjvps of {function_place(self.fun)}, which was "
                    f"called with {len(primals)} arguments{errors.at_user_line()}"
                )
            out = self(*primals)  # type: ignore[call-arg]
            pushed = [
                rule(t, out, *primals)
                for rule, t in zip(jvps, tangents, strict=True)
                if rule is not None
            ]
            if not pushed:
                return out, tree.map(lambda x: zero_tangent(typeof(x)), out)
            return out, tree.map(lambda *ts: functools.reduce(_add_tangents, ts), *pushed)

        self.defjvp(jvp)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.jvp is None:
            raise self._undefined("defjvp")
        static, args_ = self._split(args, kwargs)
        static = {i: _constant(x) for i, x in static.items()}
        return self._call(OnlineJVP, static, args_, _JVP)


def _add_tangents(a: Any, b: Any) -> Any:
    if getattr(a, "dtype", None) == dtypes.float0:
        return b
    return a if getattr(b, "dtype", None) == dtypes.float0 else prims.add(a, b)


def _constant(x: Any) -> Any:
    """An argument that is not differentiated: floating tracers in it are constants."""
    found, treedef = flatten(x)
    if not any(isinstance(leaf, Tracer) for leaf in found):
        return x
    return tree.unflatten(
        treedef,
        [
            prims.stop_gradient(leaf)
            if isinstance(leaf, Tracer) and leaf.aval.differentiable()
            else leaf
            for leaf in found
        ],
    )


class _JVP:
    """The rule of a `custom_jvp` function, of flat values."""

    def __init__(self, call: _Call):
        owner = call.owner
        assert isinstance(owner, custom_jvp)
        self.call, self.owner = call, owner

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        call, rule = self.call, self.owner.jvp
        assert rule is not None
        given = [self._tangent(t) for t in tangents]
        pair = rule(
            *call.static.values(),
            call.arguments(primals),
            call.arguments(given),
        )
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"{call.rule_text(rule)} must return a pair (results, their tangents), it returned {_text(pair)}"
                f"{errors.at_user_line()}"
            )
        outs = call.noted(pair[0], rule)
        pushed, found = tree.flatten(pair[1], is_leaf=lambda x: isinstance(x, SymbolicZero))
        if found != call.outcome.value:
            raise TypeError(
                f"{call.rule_text(rule)} must return tangents with the structure of its results"
                f"{errors.at_user_line()}:\n    results  {call.outcome.value}\n    tangents {found}"
            )
        checked = [fitted(t, typeof(x)) for x, t in zip(outs, pushed, strict=True)]
        wrong = [
            f"\n    result{tree.keystr(path)} is {typeof(x).text()}, its tangent {t}"
            for (path, _), x, t in zip(tree.leaves_with_path(pair[0]), outs, checked, strict=True)
            if isinstance(t, str)
        ]
        if wrong:
            raise TypeError(
                f"{call.rule_text(rule)} must return tangents of the types of its results{errors.at_user_line()}:"
                f"{''.join(wrong)}"
            )
        return outs, checked

    def _tangent(self, t: Any) -> Any:
        if not is_zero(t):
            return t
        return SymbolicZero(t.aval) if self.owner.symbolic_zeros else zero_tangent(t.aval)


def _text(x: Any) -> str:
    text = repr(x)
    return f"{text if len(text) < 200 else text[:200] + '...'} of type {type(x).__name__}"


# ---------------------------------------------------------------------------------------------------- custom_vjp


@bounded
class custom_vjp(_Custom[P, R]):
    """A function with a rule of the user's for reverse mode.

    `fwd`, given to `defvjp` and called as the function, returns a pair: the result, and residuals; `bwd(residuals,
    cotangent)` returns a tuple with the cotangent of each argument, None where it is zero.  Arguments in
    `nondiff_argnums` or `nondiff_argnames` may be anything but traced values; `bwd` gets them first.

    >>> import covector
    >>> import covector.numpy as np
    >>> @covector.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1, 1),))
    >>> print(covector.grad(lambda x: 10 * clipped(x))(2.0))
    1.0
    """

    api = "custom_vjp"
    fwd: Function | None = None
    bwd: Function | None = None
    symbolic_zeros: bool = False
    optimize_remat: bool = False

    def defvjp(
        self,
        fwd: Function,
        bwd: Function,
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Give it the rules.

        With `symbolic_zeros`, `fwd` gets each argument as a `CustomVJPPrimal`, and `bwd` zero cotangents as
        `SymbolicZero`.  `optimize_remat` asks that under `checkpoint` the first run forwards computes the function and
        not `fwd`; it does so always.
        """
        check_callable(fwd, "defvjp")
        check_callable(bwd, "defvjp")
        if symbolic_zeros and optimize_remat:
            raise NotImplementedError(
                f"custom_vjp: optimize_remat does not go with symbolic_zeros{errors.at_user_line()}"
            )
        self.fwd, self.bwd = fwd, bwd
        self.symbolic_zeros, self.optimize_remat = symbolic_zeros, optimize_remat
        self._staged.clear()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.fwd is None:
            raise self._undefined("defvjp")
        static, args_ = self._split(args, kwargs)
        for i, x in static.items():
            if any(isinstance(leaf, Tracer) for leaf in tree.leaves(x)):
                raise errors.UnexpectedTracerError(
                    f"custom_vjp: argument {i} of {function_place(self.fun)} is a traced value{errors.at_user_line()}, "
                    "but nondiff_argnums says that it is not differentiated. Only values that are no arrays belong "
                    "there: take it out, and let bwd return None for its cotangent"
                )
        return self._call(OnlineVJP, static, args_, _VJP)


class _VJP:
    """The rules of a `custom_vjp` function, of flat values."""

    def __init__(self, call: _Call):
        owner = call.owner
        assert isinstance(owner, custom_vjp)
        self.call, self.owner = call, owner

    def __call__(
        self, primals: Sequence[Any], perturbed: Sequence[bool], constants: Sequence[Any]
    ) -> tuple[list[Any], list[Any], Backward]:
        call, fwd = self.call, self.owner.fwd
        assert fwd is not None
        given = primals
        if self.owner.symbolic_zeros:
            given = [CustomVJPPrimal(x, p) for x, p in zip(primals, perturbed, strict=True)]
        pair = fwd(*call.merged(given))
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"{call.rule_text(fwd)} must return a pair (results, residuals), it returned {_text(pair)}"
                f"{errors.at_user_line()}"
            )
        outs = call.noted(pair[0], fwd)
        leaves, res_tree = flatten(pair[1])
        among = Among(f"the residuals of {function_name(fwd)}", leaves, numbers=True)
        residuals = among.others(leaves)
        check_values(
            residuals,
            lambda: [
                f"the residual{tree.keystr(path)} of {function_place(fwd)}"
                for i, (path, _) in enumerate(tree.leaves_with_path(pair[1]))
                if i not in among.kept
            ],
            "custom_vjp",
        )
        types = [typeof(o) for o in outs]
        back = _Backward(
            self, (res_tree, among), call.outcome.value, types, [typeof(x) for x in primals]
        )
        return [as_array(x) for x in residuals], outs, back


class _Backward:
    """The `bwd` rule, of flat values."""

    def __init__(
        self, rule: _VJP, residuals: tuple[tree.TreeDef, Among],
        out_tree: tree.TreeDef, outs: list[ShapedArray], args: list[ShapedArray],
    ):  # fmt: skip
        self.call, self.owner = rule.call, rule.owner
        self.residuals = residuals  # their structure, and the references among them
        self.out_tree, self.outs, self.args = out_tree, outs, args

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        call, bwd = self.call, self.owner.bwd
        assert bwd is not None
        given = [self._cotangent(c, aval) for c, aval in zip(cts, self.outs, strict=True)]
        res_tree, among = self.residuals
        out = bwd(
            *call.static.values(),
            tree.unflatten(res_tree, among.merged(residuals)),
            tree.unflatten(self.out_tree, given),
        )
        found = self._leaves(out, bwd)
        backs = [
            Zero(aval) if b is None or not aval.differentiable() else fitted(b, aval)
            for b, aval in zip(found, self.args, strict=True)
        ]
        wrong = (
            [
                f"\n    {name} is {aval.text()}, its cotangent {b}"
                for name, aval, b in zip(call.names(), self.args, backs, strict=True)
                if isinstance(b, str)
            ]
            if any(isinstance(b, str) for b in backs)
            else []
        )
        if wrong:
            raise ValueError(
                f"{call.rule_text(bwd)} must return cotangents of the types of the arguments{errors.at_user_line()}:"
                f"{''.join(wrong)}"
            )
        return backs

    def _cotangent(self, c: Any, aval: ShapedArray) -> Any:
        if not is_zero(c):
            return c
        return SymbolicZero(aval) if self.owner.symbolic_zeros else zero_tangent(aval)

    def _leaves(self, out: Any, bwd: Function) -> list[Any]:
        """The cotangents of the leaves of the arguments, None where `bwd` says so for them or what they are in."""
        call = self.call
        n = call.in_tree.num_children
        if isinstance(out, list):
            out = tuple(out)
        if not isinstance(out, tuple) or len(out) != n:
            raise TypeError(
                f"{call.rule_text(bwd)} must return a tuple of {n} cotangents, one for each argument, it returned "
                f"{_text(out)}{errors.at_user_line()}"
            )
        found, treedef = tree.flatten(out, is_leaf=_is_symbolic)
        if treedef == call.in_tree and not call.among.refs:
            return found
        args = tree.unflatten(call.in_tree, range(call.leaves))
        try:
            result = tree.broadcast_prefix(out, args, "cotangents", _is_symbolic)
        except ValueError:
            result = None
        if result is None or sum(x is not None for x in result) != len(found):
            raise TypeError(
                f"{call.rule_text(bwd)} must return cotangents with the structure of the arguments"
                f"{errors.at_user_line()}:\n    arguments  {call.in_tree}\n    cotangents {treedef}"
            )
        if any(result[i] is not None for i in call.among.refs):
            raise TypeError(
                f"{call.rule_text(bwd)} must return None for the cotangent of an argument that is a Ref"
                f"{errors.at_user_line()}"
            )
        return [x for i, x in enumerate(result) if i not in call.among.refs]


def _is_symbolic(x: Any) -> bool:
    return isinstance(x, SymbolicZero)


holds(custom_jvp)
holds(custom_vjp)
