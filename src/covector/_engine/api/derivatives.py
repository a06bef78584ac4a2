"""Derivatives of functions over pytrees: grad, jvp, vjp, linearize, Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar, overload

from covector._engine.api.arguments import (
    as_array,
    check_callable,
    check_differentiable,
    check_values,
    flatten,
    function_place,
    is_value,
    leaf_names,
    normalize_argnums,
    ones,
    primal,
    zero_tangent,
)
from covector._engine.api.prefixes import truths
from covector._engine.api.pullback import (
    Linear,
    Pullback,
    Signature,
    check_tangents,
    cotangent_value,
    saved,
)
from covector._engine.api.pushforward import Pushforward
from covector._engine.base import errors, tree
from covector._engine.base.public import boundary, wraps
from covector._engine.core.numbers import WEAK_NUMBERS
from covector._engine.core.refs import StandIns
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import Array, Tracer, typeof
from covector._engine.runtime.pushed import push
from covector._engine.runtime.tape import Recording, serves
from covector._engine.transforms.forward import Tape, linearize_flat, record_flat
from covector._engine.transforms.transpose import pull
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray, ShapeDtypeStruct, described

Function = Callable[..., Any]
P = ParamSpec("P")
R = TypeVar("R")
Aux = TypeVar("Aux")


class Flattened:
    """A function of pytrees as one of flat values: it remembers the structure of its last result, and the aux."""

    __slots__ = ("api", "aux", "call", "fun", "has_aux", "in_tree", "n", "out_tree")

    def __init__(
        self,
        api: str,
        fun: Function,
        in_tree: tree.TreeDef,
        has_aux: bool,
        call: Function | None = None,
    ):
        self.api, self.fun = api, fun  # for messages
        self.call = fun if call is None else call
        self.in_tree, self.has_aux = in_tree, has_aux
        self.out_tree: Any = None
        self.aux: Any = None
        self.n = 0  # how many results come before the leaves of aux

    def __call__(self, *leaves: Any) -> list[Any]:
        out = self.call(*tree.unflatten(self.in_tree, leaves))
        aux: list[Any] = []
        if self.has_aux:
            if not isinstance(out, tuple | list) or len(out) != 2:
                raise TypeError(
                    f"with has_aux=True the function must return a pair (result, auxiliary data), but "
                    f"{function_place(self.fun)} returned {_describe(out)}{errors.at_user_line()}"
                )
            out, aux_tree = out
            aux, self.aux = flatten(aux_tree)
        results, self.out_tree = flatten(out)
        self.n = len(results)
        for x in results:
            _check_result(x, self.fun, self.api)
        return results + aux

    def unflatten_aux(self, values: Sequence[Any]) -> Any:
        found = [as_array(x) if type(x) in WEAK_NUMBERS else x for x in values[self.n :]]
        return tree.unflatten(self.aux, found)


def _describe(x: Any) -> str:
    try:
        return typeof(x).text()
    except TypeError:
        return f"{x!r} of type {type(x).__name__}"


def _check_result(x: Any, fun: Function, api: str) -> None:
    if type(x) is not Array and not isinstance(x, Tracer):
        check_values([x], lambda: [f"the result of {function_place(fun)}"], api)


def on_arguments(
    fun: Function, args: Sequence[Any], kwargs: dict[str, Any], argnums: tuple[int, ...]
) -> Function:
    """The function of the chosen arguments alone."""

    def chosen(*values: Any) -> Any:
        full = list(args)
        for i, value in zip(argnums, values, strict=True):
            full[i] = value
        return fun(*full, **kwargs)

    return chosen


# ------------------------------------------------------------------------------------------------------ reverse


def _refuse_axes(api: str, reduce_axes: Sequence[Any]) -> None:
    """NotImplementedError for axes to sum gradients over, which JAX has a parameter for and refuses too."""
    if reduce_axes:
        raise NotImplementedError(
            f"{api} with reduce_axes={reduce_axes!r}{errors.at_user_line()}: sum the results with "
            "covector.lax.psum instead"
        )


def grad(
    fun: Callable[P, Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
) -> Callable[P, Any]:
    """A function that computes the gradient of `fun`, with respect to the arguments `argnums`.

    `fun` returns one floating-point number (shape ()), or with `has_aux` a pair of it and auxiliary data, which the
    gradient function returns beside the gradient.  Arguments are pytrees of arrays; the gradient has their structure,
    shapes and dtypes.  Given a sequence of `argnums`, it is a tuple.  With `holomorphic` arguments and result are
    complex.  Integer arguments are refused, or with `allow_int` have gradients of the dtype float0.

    >>> import covector
    >>> print(covector.grad(lambda x: x**3)(2.0))
    12.0
    """
    check_callable(fun, "grad")
    _refuse_axes("grad", reduce_axes)

    @boundary
    @wraps(fun)
    def grad_f(*args: Any, **kwargs: Any) -> Any:
        _, aux, gradient = _value_and_grad(
            "grad", fun, args, kwargs, argnums, has_aux, holomorphic, allow_int
        )
        return (gradient, aux) if has_aux else gradient

    return grad_f


def value_and_grad(
    fun: Callable[P, R],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
) -> Callable[P, tuple[R, Any]]:
    """As `grad`, but the function returns (value, gradient), or ((value, aux), gradient) with `has_aux`.

    >>> import covector
    >>> value, gradient = covector.value_and_grad(lambda x: x**3)(2.0)
    >>> float(value), float(gradient)
    (8.0, 12.0)
    """
    check_callable(fun, "value_and_grad")
    _refuse_axes("value_and_grad", reduce_axes)

    @boundary
    @wraps(fun)
    def value_and_grad_f(*args: Any, **kwargs: Any) -> Any:
        value, aux, gradient = _value_and_grad(
            "value_and_grad", fun, args, kwargs, argnums, has_aux, holomorphic, allow_int
        )
        return ((value, aux) if has_aux else value), gradient

    return value_and_grad_f


def _value_and_grad(
    api: str, fun: Function, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: int | Sequence[int],
    has_aux: bool, holomorphic: bool, allow_int: bool,
) -> tuple[Any, Any, Any]:  # fmt: skip
    numbers = normalize_argnums(argnums, len(args), api)
    dynamic = tuple([args[i] for i in numbers])
    leaves, in_tree = flatten(dynamic)
    names = partial(leaf_names, fun, dynamic, numbers)
    mask = check_differentiable(leaves, names, api, holomorphic, allow_int, real=False)
    flat = Flattened(api, fun, in_tree, has_aux, on_arguments(fun, args, kwargs, numbers))
    primals = [primal(x) for x in leaves]
    if serves(primals, mask):
        recording = Recording(flat, primals, mask)
        outs = recording.outs
        cotangents = recording.pull([_seed(api, fun, flat, outs, holomorphic)], consume=True)
    else:
        outs, tape = linearize_flat(flat, primals, mask)
        seed = _seed(api, fun, flat, outs, holomorphic)
        cotangents = pull(tape, [seed, *[Zero(x) for x in outs[1:]]], consume=True)
    backs = iter(cotangents)
    gradients = [
        cotangent_value(next(backs), typeof(x)) if live else zero_tangent(typeof(x))
        for x, live in zip(leaves, mask, strict=True)
    ]
    gradient = tree.unflatten(in_tree, gradients)
    aux = flat.unflatten_aux(outs) if has_aux else None
    return as_array(outs[0]), aux, gradient if isinstance(argnums, Sequence) else gradient[0]


def _seed(api: str, fun: Function, flat: Flattened, outs: Sequence[Any], holomorphic: bool) -> Any:
    """The cotangent 1 of the result; TypeError if that is not one number of a fitting dtype."""
    if flat.n != 1 or flat.out_tree != tree.structure(0):
        found = f"a tree of {flat.n} arrays, {flat.out_tree}"
        raise TypeError(errors.not_a_scalar(api, function_place(fun), found))
    aval = typeof(outs[0])
    if aval.shape:
        raise TypeError(errors.not_a_scalar(api, function_place(fun), aval.text()))
    wanted = dtypes.is_complex if holomorphic else dtypes.is_float
    if not wanted(aval.dtype):
        hint = "holomorphic=True needs a complex result" if holomorphic else (
            "it needs a real floating-point result; for holomorphic functions pass holomorphic=True"
        )  # fmt: skip
        raise TypeError(
            f"{api}: {function_place(fun)} returned {aval.text()}{errors.at_user_line()}: {hint}"
        )
    return ones(aval)


@overload
def vjp(
    fun: Callable[..., R],
    *primals: Any,
    has_aux: Literal[False] = False,
    reduce_axes: Sequence[Any] = (),
    saveable_args: Any = True,
    in_nzs: Any = None,
) -> tuple[R, Pullback]:
    """(results, pullback)."""


@overload
def vjp(
    fun: Callable[..., tuple[R, Aux]],
    *primals: Any,
    has_aux: Literal[True],
    reduce_axes: Sequence[Any] = (),
    saveable_args: Any = True,
    in_nzs: Any = None,
) -> tuple[R, Pullback, Aux]:
    """(results, pullback, auxiliary data)."""


def vjp(
    fun: Function, *primals: Any, has_aux: bool = False, reduce_axes: Sequence[Any] = (),
    saveable_args: Any = True, in_nzs: Any = None,
) -> Any:  # fmt: skip
    """(results of `fun`, pullback), and with `has_aux` the auxiliary data that `fun` returns beside its results.

    The pullback takes a cotangent with the structure, shapes and dtypes of the results (dtype float0 for integers),
    and returns a tuple of cotangents of the primals.  It may be called any number of times, and it is a pytree.

    >>> import covector
    >>> y, pullback = covector.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> [float(ct) for ct in pullback(1.0)]
    [3.0, 2.0]

    Arguments may be Refs; the gradient of one is added to a Ref, which `pullback.with_refs` binds:

    >>> ref, gradient = covector.new_ref(2.0), covector.new_ref(0.0)
    >>> y, pullback = covector.vjp(lambda r: r[...] ** 2, ref)
    >>> pullback.with_refs(gradient)(1.0), gradient
    ((GradRef(),), Ref(4., dtype=float32))

    `in_nzs` and `saveable_args` are truth values for the arguments, or trees of them.  What `in_nzs` is False for is a
    constant: its cotangent is zero; `pullback.out_nzs` has the results that depend on others.  An argument that
    `saveable_args` is False for is not kept: it has to be put into `pullback.args_res` before the pullback is called.
    """
    check_callable(fun, "vjp")
    _refuse_axes("vjp", reduce_axes)
    leaves, in_tree = flatten(primals)
    refs = StandIns("vjp", leaves)
    given = refs.values(leaves)
    check_values(given, partial(leaf_names, fun, primals), "vjp")
    avals = [typeof(x) for x in given]
    mask = _moving("vjp", in_nzs, in_tree, avals)
    saveable = None if saveable_args is True else truths("saveable_args", saveable_args, in_tree)
    flat = Flattened("vjp", fun, in_tree, has_aux)

    def with_last(*values: Any) -> list[Any]:
        """The results, the last values of references that were written, the auxiliary data."""
        outs = flat(*refs.put(leaves, values))
        return [*outs[: flat.n], *refs.take(), *outs[flat.n :]]

    run: Callable[..., list[Any]] = with_last if refs.places else flat
    values = [primal(x) for x in given]
    linear: Linear
    if serves(values, mask):
        linear = Recording(run, values, mask)
        outs = linear.outs
    else:
        outs, linear = linearize_flat(run, values, mask)
        del linear.outputs[flat.n + len(refs.written()) :]
    written = tuple(refs.written()) if refs.places else ()
    if written:
        last = outs[flat.n : flat.n + len(written)]
        for i, x in zip(written, last, strict=True):
            leaves[i]._write(as_array(x))
        outs = [*outs[: flat.n], *outs[flat.n + len(written) :]]
    types = tuple([typeof(x) for x in outs[: flat.n]])
    places = tuple(refs.places)
    signature = Signature(in_tree, flat.out_tree, tuple(avals), mask, types, places, written)
    if saveable is not None:
        linear = saved(linear, signature, values, saveable)
    pullback = Pullback(signature, linear)
    results = tree.unflatten(flat.out_tree, map(as_array, outs[: flat.n]))
    return (results, pullback, flat.unflatten_aux(outs)) if has_aux else (results, pullback)


def _moving(
    api: str, in_nzs: Any, in_tree: tree.TreeDef, avals: Sequence[ShapedArray]
) -> tuple[bool, ...]:
    """The leaves of the arguments that have tangents: those of floats, unless they are said to be zero."""
    floats = [a.differentiable() for a in avals]
    if in_nzs is None:
        return tuple(floats)
    wanted = truths(f"in_nzs of {api}", in_nzs, in_tree)
    return tuple([f and w for f, w in zip(floats, wanted, strict=True)])


# ------------------------------------------------------------------------------------------------------ forward


@overload
def jvp(
    fun: Callable[..., R],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: Literal[False] = False,
) -> tuple[R, R]:
    """(results, their tangents)."""


@overload
def jvp(
    fun: Callable[..., tuple[R, Aux]],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: Literal[True],
) -> tuple[R, R, Aux]:
    """(results, their tangents, auxiliary data)."""


def jvp(
    fun: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """(results, their tangents) of `fun` at `primals` along `tangents`; with `has_aux` also the auxiliary data.

    `primals` and `tangents` are tuples of one structure, with the same shapes and dtypes; tangents of integers have the
    dtype float0.

    >>> import covector
    >>> y, dy = covector.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(y), float(dy)
    (9.0, 6.0)
    """
    check_callable(fun, "jvp")
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise TypeError(
            f"jvp takes primals and tangents as tuples or lists, got {type(primals).__name__} and "
            f"{type(tangents).__name__}{errors.at_user_line()}"
        )
    leaves, in_tree = flatten(tuple(primals))
    check_values(leaves, partial(leaf_names, fun, primals), "jvp")
    given = check_tangents(
        "jvp", in_tree, [typeof(x) for x in leaves], tuple(tangents), "primal", "tangent"
    )
    flat = Flattened("jvp", fun, in_tree, has_aux)
    outs, pushed = push(flat, [primal(x) for x in leaves], given)
    results = tree.unflatten(flat.out_tree, map(as_array, outs[: flat.n]))
    out_tangents = tree.unflatten(flat.out_tree, map(tangent_value, pushed[: flat.n]))
    return (results, out_tangents, flat.unflatten_aux(outs)) if has_aux else (results, out_tangents)


def tangent_value(t: Any) -> Any:
    """A tangent as users get it: zeros for a symbolic one, float0 for integers."""
    return zero_tangent(t.aval) if type(t) is Zero else as_array(t)


@overload
def linearize(
    fun: Callable[..., R], *primals: Any, has_aux: Literal[False] = False, in_nzs: Any = None
) -> tuple[R, Callable[..., R]]:
    """(results, pushforward)."""


@overload
def linearize(
    fun: Callable[..., tuple[R, Aux]], *primals: Any, has_aux: Literal[True], in_nzs: Any = None
) -> tuple[R, Callable[..., R], Aux]:
    """(results, pushforward, auxiliary data)."""


def linearize(fun: Function, *primals: Any, has_aux: bool = False, in_nzs: Any = None) -> Any:
    """(results, pushforward), and with `has_aux` the auxiliary data.

    The pushforward takes tangents of the primals and returns those of the results, without computing `fun` again.  It
    is a pytree, so that jitted and mapped functions can return it.  `in_nzs` is a truth value for the arguments, or a
    tree of them.  What it is False for is a constant: its tangent is taken as zero, and `pushforward.out_nzs` has the
    results that depend on others.

    >>> import covector
    >>> y, pushforward = covector.linearize(lambda x: x * x, 3.0)
    >>> float(pushforward(1.0)), float(pushforward(2.0))
    (6.0, 12.0)
    """
    check_callable(fun, "linearize")
    leaves, in_tree = flatten(primals)
    check_values(leaves, partial(leaf_names, fun, primals), "linearize")
    avals = [typeof(x) for x in leaves]
    mask = _moving("linearize", in_nzs, in_tree, avals)
    flat = Flattened("linearize", fun, in_tree, has_aux)
    values = [primal(x) for x in leaves]
    linear: Recording | Tape
    if serves(values, mask):
        linear = Recording(flat, values, mask)
        outs = linear.outs
    else:
        outs, linear = linearize_flat(flat, values, mask)
        del linear.outputs[flat.n :]
    types = tuple([typeof(x) for x in outs[: flat.n]])
    pushforward = Pushforward(Signature(in_tree, flat.out_tree, tuple(avals), mask, types), linear)
    results = tree.unflatten(flat.out_tree, map(as_array, outs[: flat.n]))
    return (results, pushforward, flat.unflatten_aux(outs)) if has_aux else (results, pushforward)


def linear_transpose(
    fun: Callable[..., Any], *primals: Any, reduce_axes: Sequence[Any] = ()
) -> Callable[[Any], tuple[Any, ...]]:
    """The transpose of `fun`, which must be linear: from cotangents of its results to a tuple for its arguments.

    `primals` are arrays, or what has a shape and a dtype: only the types are used.  They and the results are
    floating-point numbers, or all integers; TypeError otherwise, and for what is not linear.  `reduce_axes` is there
    for old programs: NotImplementedError if it names any.

    >>> import covector
    >>> transposed = covector.linear_transpose(lambda x: 3.0 * x, 1.0)
    >>> float(transposed(2.0)[0])
    6.0
    """
    check_callable(fun, "linear_transpose")
    _refuse_axes("linear_transpose", reduce_axes)
    leaves, in_tree = flatten(primals)
    avals = [
        aval_of(x, partial(leaf_names, fun, primals), i, "linear_transpose")
        for i, x in enumerate(leaves)
    ]
    flat = Flattened("linear_transpose", fun, in_tree, False)
    outs, tape = record_flat(flat, avals, [True] * len(avals))
    types = [typeof(x) for x in outs]
    found = [a.dtype for a in (*avals, *types)]
    if not (all(map(dtypes.is_inexact, found)) or all(map(dtypes.is_integer, found))):
        raise TypeError(
            "linear_transpose takes functions from floating-point numbers to such, and from integers to integers; "
            f"{function_place(fun)} takes {', '.join(a.text() for a in avals)} and returns "
            f"{', '.join(a.text() for a in types)}{errors.at_user_line()}"
        )

    @boundary
    def transposed(cotangent: Any) -> Any:
        cts = check_tangents(
            "linear_transpose",
            flat.out_tree,
            types,
            cotangent,
            "result",
            "cotangent",
            TypeError,
            integers=True,
        )
        try:
            found = pull(tape, cts)
        except (AssertionError, AttributeError, TypeError, errors.MissingRuleError) as error:
            raise TypeError(
                f"linear_transpose: {function_place(fun)} is not linear in its arguments{errors.at_user_line()}: "
                f"{error}"
            ) from error
        return tree.unflatten(in_tree, map(cotangent_value, found, avals))

    return transposed


def aval_of(x: Any, names: Callable[[], list[str]], i: int, api: str) -> ShapedArray:
    """The type of an array, or of anything that has a shape and a dtype."""
    if isinstance(x, ShapeDtypeStruct | ShapedArray):
        return described(x)
    if not is_value(x) and isinstance(getattr(x, "shape", None), tuple) and hasattr(x, "dtype"):
        weak = bool(getattr(x, "weak_type", False))
        return ShapedArray(x.shape, dtypes.canonical(dtypes.as_dtype(x.dtype)), weak)
    check_values([x], lambda: [names()[i]], api)
    return typeof(x)
