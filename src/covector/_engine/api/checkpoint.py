"""`checkpoint` over pytrees, the policies of what it keeps, and what a function keeps for its gradient."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    check_values,
    flatten,
    flatten_marked,
    function_name,
    operand,
    result_names,
)
from covector._engine.api.rules import resolved
from covector._engine.base import errors, tree
from covector._engine.base.exact import exact
from covector._engine.base.public import boundary
from covector._engine.control.checkpoint import Checkpoint, Policy
from covector._engine.control.custom import Memory
from covector._engine.core.refs import Among, Uses, held, settled, stage_open
from covector._engine.core.trace import Tracer, stage, typeof
from covector._engine.ir.program import Program, Var, inline_calls, without_dead_code
from covector._engine.transforms.programs import interned, linearize_program
from covector._engine.types.avals import ShapedArray

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def checkpoint(
    fun: Callable[P, R],
    *,
    prevent_cse: bool | tuple[bool, ...] = True,
    policy: Policy | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Callable[P, R]:
    """The function, whose derivative keeps the arguments and what `policy` says, and computes the rest again.

    So the gradient of a long computation takes less memory, and more time.  Policies are in
    `covector.checkpoint_policies`; they reach into loops and branches.  A loop of unknown length (`while_loop`,
    `fori_loop` with traced bounds) keeps what the policy says of 1,024 steps or 1 MB (else say `tape_bytes` there), and
    some of its states; what there is no room for is computed again from these.  With `prevent_cse=False` the compiler
    may share what is computed again with the first time it was.  Static arguments are used as they are; others must be
    arrays or numbers.

    >>> import covector
    >>> import covector.numpy as np
    >>> f = covector.checkpoint(lambda x: np.sin(np.sin(x)))
    >>> print(covector.grad(f)(0.0))
    1.0
    """
    check_callable(fun, "checkpoint")
    call: Callable[..., Any] = fun
    if policy is not None and not callable(policy):
        raise TypeError(
            f"checkpoint: policy must be a function, got {policy!r} of type {type(policy).__name__}"
            f"{errors.at_user_line()}; see covector.checkpoint_policies"
        )
    if isinstance(prevent_cse, tuple):  # an entry for each argument: what is computed again is one
        prevent_cse = any(prevent_cse)
    errors.check_flags("checkpoint", prevent_cse=prevent_cse)
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    table: dict[Any, Any] = {}

    @boundary
    @wraps(fun)
    def checkpoint_f(*args: Any, **kwargs: Any) -> Any:
        count = len(args)
        positions = _static_positions(fun, numbers, count)
        static = {i: args[i] for i in sorted(positions)}
        keywords = {k: kwargs[k] for k in sorted(kwargs) if k in names}
        dynamic = tuple([a for i, a in enumerate(args) if i not in positions])
        rest = {k: v for k, v in kwargs.items() if k not in names}
        leaves, in_tree = flatten((dynamic, rest))
        api = f"checkpoint of {function_name(fun)}"
        among = Among(api, leaves)
        check_values(leaves := among.others(leaves), lambda: _leaf_names(dynamic, rest), api)
        out_tree: list[Any] = []

        def flat(*values: Any) -> list[Any]:
            given, named = tree.unflatten(in_tree, among.merged(values))
            others = iter(given)
            full = [static[i] if i in positions else next(others) for i in range(count)]
            out = call(*full, **named, **keywords)
            results, treedef = flatten_marked(out)
            check_values(results, lambda: result_names(fun, out), "checkpoint")
            out_tree[:] = [treedef]
            return results

        values = [operand(x) for x in leaves]
        memory = Memory(table, None if among.refs else _key(static, keywords, count, in_tree))
        avals = tuple([typeof(x) for x in values])
        found = memory.get(avals)
        if found is None:
            closed, constants, uses = _staged(flat, avals, function_name(fun))
            found = Checkpoint(closed, policy, prevent_cse), constants, out_tree[0], uses
            if not uses and not any(isinstance(c, Tracer) for c in constants):
                memory.keep(avals, found)
        primitive, constants, treedef, uses = found
        acts = primitive.program.outputs or primitive.effects
        outs = primitive(*values, *held(uses), *constants) if acts else ()
        return tree.unflatten(treedef, settled(uses, outs))

    return checkpoint_f


def _static_positions(fun: Callable[..., Any], numbers: Sequence[int], count: int) -> set[int]:
    """The positions of static arguments, from the front; ValueError for what is not there."""
    if not all(-count <= i < count for i in numbers):
        raise ValueError(
            f"checkpoint: static_argnums={tuple(numbers)} for {function_name(fun)}, which was called with {count} "
            f"{'argument' if count == 1 else 'arguments'} by position{errors.at_user_line()}"
        )
    return {i % count for i in numbers}


def _staged(
    flat: Callable[..., list[Any]], avals: Sequence[ShapedArray], name: str
) -> tuple[Program, tuple[Any, ...], Uses]:
    """The function as a closed Program, its constants, the references from outside that it touches."""
    program, uses = stage_open(flat, avals, name)
    program = without_dead_code(program)
    constants = program.constants
    traced = any(isinstance(c, Tracer) for c in constants)
    return program.close() if traced else interned(program.close()), constants, uses


def _key(static: dict[int, Any], keywords: dict[str, Any], count: int, in_tree: Any) -> Any:
    """What the staged function depends on beside types; None if that has no hash."""
    key = (
        exact(tuple(static.items())),
        exact(tuple(keywords.items())),
        count,
        tree.content(in_tree),
    )
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _leaf_names(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    return [f"argument{tree.keystr(path[1:])}" for path, _ in tree.leaves_with_path((args, kwargs))]


def checkpoint_name(x: T, name: str) -> T:
    """The value, or values of a pytree, under a name that policies of `checkpoint` know.

    >>> import covector
    >>> from covector.ad_checkpoint import checkpoint_name
    >>> print(checkpoint_name(2.0, "hidden"))
    2.0
    """
    label: Any = name
    if not isinstance(label, str):
        raise TypeError(
            f"checkpoint_name: the name must be a str, got {label!r}{errors.at_user_line()}"
        )
    leaves, treedef = flatten(x)
    check_values(
        leaves,
        lambda: [f"x{tree.keystr(p)}" for p, _ in tree.leaves_with_path(x)],
        "checkpoint_name",
    )
    return tree.unflatten(treedef, [prims.Named(label)(as_array(v)) for v in leaves])


def saved_residuals(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> list[tuple[Any, str]]:
    """What the gradient of `fun` in all floating arguments keeps: the type of each value, and where it comes from."""
    check_callable(fun, "saved_residuals")
    args = resolved(fun, args, kwargs, "saved_residuals")
    leaves, in_tree = flatten(args)
    names = [f"argument{tree.keystr(path)}" for path, _ in tree.leaves_with_path(args)]
    check_values(leaves, lambda: names, "saved_residuals")

    def flat(*values: Any) -> list[Any]:
        return tree.leaves(fun(*tree.unflatten(in_tree, values)))

    avals = [typeof(x) for x in leaves]
    program = without_dead_code(stage(flat, avals, function_name(fun)))
    mask = [*[a.differentiable() for a in avals], *[False] * len(program.constants)]
    split = linearize_program(program.close(), tuple(mask))
    known = inline_calls(split.known)
    atoms = (*known.inputs, *known.outputs)
    producer = {v: e for e in known.eqns for v in e.outputs}
    found: list[tuple[Any, str]] = []
    for i in split.residuals:
        v = atoms[i]
        if i < len(names):
            origin = f"from {names[i]}"
        elif not isinstance(v, Var) or v not in producer:
            origin = "from a constant"
        else:
            eqn = producer[v]
            label: str | None = getattr(eqn.primitive, "label", None)
            what = f"named {label!r}" if label else f"output of {eqn.primitive.name}"
            origin = what if eqn.source is None else f"{what} from {eqn.source}"
        found.append((v.aval, origin))
    return found


def print_saved_residuals(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print what the gradient of `fun` keeps, a value a line.

    >>> import covector
    >>> import covector.numpy as np
    >>> from covector.ad_checkpoint import print_saved_residuals
    >>> print_saved_residuals(covector.checkpoint(lambda x: np.sin(np.sin(x))), 1.0)
    float32*[] from argument[0]
    """
    found = saved_residuals(fun, *args, **kwargs)
    sys.stdout.write("".join([f"{aval.text()} {origin}\n" for aval, origin in found]))
