"""Implicit differentiation: of solutions of linear systems, and of roots, however they are found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    flatten,
    function_place,
    zero_tangent,
)
from covector._engine.api.closures import closed
from covector._engine.api.custom import custom_jvp
from covector._engine.api.derivatives import jvp
from covector._engine.base import errors, tree
from covector._engine.control.call import Call
from covector._engine.control.linear import LinearSolve
from covector._engine.core.trace import typeof
from covector._engine.ir.program import Program, replace_inputs
from covector._engine.transforms.programs import transpose_program
from covector._engine.types.avals import ShapedArray

Function = Callable[..., Any]


def _constants_first(program: Program, count: int) -> Program:
    """The Program with its constants, which follow `count` inputs, in front."""
    return replace_inputs(program, (*program.inputs[count:], *program.inputs[:count]))


def _check_like(
    api: str, what: str, fun: Function, found: tuple[Any, Sequence[ShapedArray]], b: Any
) -> None:
    """ShapeError, which is a TypeError and a ValueError, unless a function returned the structure and types of b."""
    leaves, treedef = flatten(b)
    avals = [typeof(x) for x in leaves]
    same = treedef == found[0] and all(
        (x.shape, x.dtype) == (y.shape, y.dtype) for x, y in zip(avals, found[1], strict=True)
    )
    if not same:
        raise errors.ShapeError(
            f"{api}: {what} ({function_place(fun)}) must return the structure and types of b{errors.at_user_line()}:\n"
            f"    b       {treedef} of {', '.join(a.text() for a in avals)}\n"
            f"    returns {found[0]} of {', '.join(a.text() for a in found[1])}"
        )


def _check_solved(
    api: str, solve: Function, found: tuple[Any, Sequence[ShapedArray]], b: Any, has_aux: bool
) -> None:
    """An error unless a solver returned something like b; with `has_aux` a pair, of which that is the first."""
    leaves, structure = flatten(_solution(api, solve, tree.unflatten(*found), has_aux))
    _check_like(api, "the solver", solve, (structure, leaves), b)


def _solution(api: str, solve: Function, returned: Any, has_aux: bool) -> Any:
    """What a solver found, of all that it returned; TypeError unless that is a pair where `has_aux` says so."""
    if not has_aux:
        return returned
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise TypeError(
            f"{api}: with has_aux=True {function_place(solve)} must return (x, auxiliary data)"
            f"{errors.at_user_line()}"
        )
    return returned[0]


def custom_linear_solve(
    matvec: Function,
    b: Any,
    solve: Function,
    transpose_solve: Function | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The solution x of `matvec(x) = b`, as `solve(matvec, b)` finds it, with derivatives of the equation itself.

    `matvec` is linear; it may close over values that are differentiated.  For reverse mode `transpose_solve(vecmat, b)`
    solves the transposed system, or `symmetric` says that it is the same.  With `has_aux` solvers return (x, auxiliary
    data), and so does this.

    >>> import covector
    >>> import covector.numpy as np
    >>> def f(a, b):
    ...     return covector.lax.custom_linear_solve(
    ...         lambda x: a * x, b, lambda matvec, b: b / matvec(1.0), symmetric=True
    ...     )
    >>> print(covector.grad(f)(2.0, 3.0))
    -0.75
    """
    api = "custom_linear_solve"
    for f in (matvec, solve, *([] if transpose_solve is None else [transpose_solve])):
        check_callable(f, api)
    b = tree.map(as_array, b)
    leaves, b_tree = flatten(b)
    n = len(leaves)
    program, a_consts, _, out_tree = closed(api, matvec, (b,), at_once=True)
    _check_like(api, "matvec", matvec, (out_tree, program.out_avals), b)
    forward = _constants_first(program, n)

    def solver(find: Function, of: Function) -> tuple[Program, tuple[Any, ...], Any]:
        found, constants, _, tree_ = closed(api, lambda right: find(of, right), (b,), at_once=True)
        _check_solved(api, find, (tree_, found.out_avals), b, has_aux)
        return _constants_first(found, n), constants, tree_

    solving, s_consts, result_tree = solver(solve, matvec)
    backward = back_solving = None
    v_consts: tuple[Any, ...] = ()
    t_consts: tuple[Any, ...] = ()
    if symmetric:
        backward, v_consts = forward, a_consts
        if transpose_solve is None:
            back_solving, t_consts = solving, s_consts
    elif transpose_solve is not None:
        k = len(a_consts)
        mask = (*[False] * k, *[True] * n)
        found = transpose_program(forward, mask, (True,) * n, (True,) * n)
        inputs = found.program.inputs
        backward = replace_inputs(
            found.program, (*inputs[:k], *inputs[k + n :], *inputs[k : k + n])
        )
        v_consts = (*a_consts, *found.constants)
    if transpose_solve is not None:
        assert backward is not None
        known, vecmat_program = v_consts, backward

        def vecmat(x: Any) -> Any:
            return tree.unflatten(b_tree, Call(vecmat_program)(*known, *tree.leaves(x)))

        back_solving, t_consts, _ = solver(transpose_solve, vecmat)
    counts = len(a_consts), len(v_consts), len(s_consts), len(t_consts)
    primitive = LinearSolve(forward, backward, solving, back_solving, counts)
    outs = primitive(*a_consts, *v_consts, *s_consts, *t_consts, *leaves)
    return tree.unflatten(result_tree, outs)


def custom_root(
    f: Function, initial_guess: Any, solve: Function, tangent_solve: Function, has_aux: bool = False
) -> Any:
    """A root x of `f`, as `solve(f, initial_guess)` finds it, with the derivatives of the implicit function.

    `f` may close over values that are differentiated.  `tangent_solve(g, y)` solves `g(x) = y` for a linear g; for
    reverse mode it is transposed, so that what it does to y must be linear (a `custom_linear_solve` is).  With
    `has_aux` `solve` returns (x, auxiliary data), and so does this.

    >>> import covector
    >>> import covector.numpy as np
    >>> def root(a):
    ...     return covector.lax.custom_root(
    ...         lambda x: x**2 - a, 1.0, lambda f, x: np.sqrt(a), lambda g, y: y / g(1.0)
    ...     )
    >>> print(covector.grad(root)(4.0))
    0.25
    """
    api = "custom_root"
    for function in (f, solve, tangent_solve):
        check_callable(function, api)
    guess = tree.map(as_array, initial_guess)
    program, constants, _, out_tree = closed(api, f, (guess,), at_once=True)
    _check_like(api, "f", f, (out_tree, program.out_avals), guess)
    solving, known, _, result_tree = closed(api, lambda x: solve(f, x), (guess,), at_once=True)
    found = tree.unflatten(result_tree, range(result_tree.num_leaves))
    at_root = tree.structure(_solution(api, solve, found, has_aux))
    if at_root != tree.structure(guess):
        raise TypeError(
            f"{api}: the solver ({function_place(solve)}) must return the structure of initial_guess"
            f"{errors.at_user_line()}:\n    initial_guess {tree.structure(guess)}\n    returns       {at_root}"
        )

    def at(values: Sequence[Any], x: Any) -> Any:
        return tree.unflatten(out_tree, Call(program)(*map(as_array, tree.leaves(x)), *values))

    def moving(values: Sequence[Any], x: Any, moved: Any) -> Any:
        """How x moves, so that f stays 0 while it moves by `moved` with its values."""

        def linear(t: Any) -> Any:
            return jvp(lambda y: at(values, y), (x,), (t,))[1]

        return tree.map(prims.neg, tangent_solve(linear, moved))

    # What `tangent_solve` closes over is an argument of the rule, too.
    tangent, more, _, moves = closed(api, moving, (list(constants), guess, guess), at_once=True)
    _check_like(api, "tangent_solve", tangent_solve, (moves, tangent.out_avals), guess)

    @custom_jvp
    def root(values: list[Any], known: list[Any], more: list[Any], start: Any) -> Any:
        return tree.unflatten(result_tree, Call(solving)(*tree.leaves(start), *known))

    @root.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (values, _, more, _), (pushed, *_) = primals, tangents
        out = root(*primals)
        x = out[0] if has_aux else out
        _, moved = jvp(lambda *vs: at(vs, x), tuple(values), tuple(pushed))
        operands = map(as_array, tree.leaves((values, x, moved)))
        x_dot = tree.unflatten(out_tree, Call(tangent)(*operands, *more))
        if not has_aux:
            return out, x_dot
        return out, (x_dot, tree.map(lambda y: zero_tangent(typeof(y)), out[1]))

    return root(list(constants), list(known), list(more), guess)
