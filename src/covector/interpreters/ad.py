"""Derivatives of primitives: names and meanings are those of `jax.interpreters.ad`.

A rule in `primitive_jvps` takes operands and tangents (a `Zero` where one is known to be zero) and gives the result and
its tangent; one in `primitive_transposes` takes a cotangent and the operands, of which those that it is linear in are
`UndefinedPrimal`, and gives their cotangents, None for the others.

>>> import covector
>>> import covector.numpy as np
>>> from covector.extend.core import Primitive
>>> from covector.interpreters import ad, mlir
>>> cube_p = Primitive("cube")
>>> _ = cube_p.def_abstract_eval(lambda x: x)
>>> mlir.register_lowering(cube_p, mlir.lower_fun(lambda x: x**3, multiple_results=False))
>>> ad.defjvp(cube_p, lambda t, x: 3 * x**2 * t)
>>> print(covector.grad(cube_p.bind)(2.0))
12.0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from covector._engine import primitives as prims
from covector._engine.api.jaxprs import ClosedJaxpr
from covector._engine.base.public import publish
from covector._engine.control.names import named
from covector._engine.control.open import JVPS, TRANSPOSES, OpenPrimitive
from covector._engine.core.symbolic import Linear, Zero
from covector._engine.core.trace import typeof
from covector._engine.ir.program import Program
from covector._engine.transforms.forward import JVPTrace, JVPTracer, jvp_flat
from covector._engine.transforms.programs import jvp_program
from covector._engine.types.avals import ShapedArray
from covector.extend.linear_util import WrappedFun

__all__ = [
    "JVPTrace",
    "JVPTracer",
    "UndefinedPrimal",
    "Zero",
    "add_jaxvals",
    "add_jaxvals_p",
    "add_tangents",
    "defbilinear",
    "defjvp",
    "defjvp2",
    "deflinear",
    "deflinear2",
    "get_primitive_transpose",
    "instantiate_zeros",
    "is_undefined_primal",
    "jvp",
    "jvp_jaxpr",
    "primitive_jvps",
    "primitive_transposes",
    "zeros_like_aval",
]

UndefinedPrimal = Linear
primitive_jvps = JVPS
primitive_transposes = TRANSPOSES
add_jaxvals_p = named("add_p")


def is_undefined_primal(x: object) -> bool:
    """Whether it stands for an operand that the operation is linear in.

    >>> import covector
    >>> from covector.interpreters import ad
    >>> ad.is_undefined_primal(ad.UndefinedPrimal(covector.typeof(1.0))), ad.is_undefined_primal(1.0)
    (True, False)
    """
    return type(x) is UndefinedPrimal


def zeros_like_aval(aval: ShapedArray) -> Any:
    """Zeros of a type.

    >>> import covector
    >>> from covector.interpreters import ad
    >>> print(ad.zeros_like_aval(covector.typeof(covector.numpy.ones(2))))
    [0. 0.]
    """
    return prims.zeros(aval)


def instantiate_zeros(tangent: Any) -> Any:
    """A tangent as an array: zeros for a `Zero`.

    >>> import covector
    >>> from covector.interpreters import ad
    >>> print(ad.instantiate_zeros(ad.Zero(covector.typeof(covector.numpy.ones(2)))))
    [0. 0.]
    """
    return prims.materialize(tangent)


def add_jaxvals(x: Any, y: Any) -> Any:
    """The sum of two values of one type.

    >>> from covector.interpreters import ad
    >>> print(ad.add_jaxvals(1.0, 2.0))
    3.0
    """
    return prims.add(x, y)


def add_tangents(x: Any, y: Any) -> Any:
    """The sum of two tangents, each of which may be a `Zero`.

    >>> import covector
    >>> from covector.interpreters import ad
    >>> ad.add_tangents(ad.Zero(covector.typeof(1.0)), 2.0)
    2.0
    """
    if type(x) is Zero:
        return y
    return x if type(y) is Zero else prims.add(x, y)


def get_primitive_transpose(p: OpenPrimitive) -> Callable[..., Any]:
    """The transpose rule of a primitive; NotImplementedError if it has none.

    >>> from covector import lax
    >>> from covector.interpreters import ad
    >>> callable(ad.get_primitive_transpose(lax.neg_p))
    True
    """
    if p not in TRANSPOSES:
        raise NotImplementedError(f"there is no transpose rule for {p}")
    return TRANSPOSES[p]


def defjvp(primitive: OpenPrimitive, *jvprules: Callable[..., Any] | None) -> None:
    """Give a primitive of one result a rule for each operand: `rule(tangent, *operands, **params)`; None: it is zero.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import ad
    >>> ad.defjvp(Primitive("f"), lambda t, x, y: t * y, None)
    """
    rules = [None if r is None else _without_answer(r) for r in jvprules]
    defjvp2(primitive, *rules)


def _without_answer(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda t, out, *primals, **params: rule(t, *primals, **params)


def defjvp2(primitive: OpenPrimitive, *jvprules: Callable[..., Any] | None) -> None:
    """As `defjvp`, of rules that also take the result: `rule(tangent, result, *operands, **params)`.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import ad
    >>> ad.defjvp2(Primitive("exponential"), lambda t, y, x: t * y)
    """
    assert not primitive.multiple_results, (
        "defjvp is for one result; write a rule into primitive_jvps"
    )
    JVPS[primitive] = partial(_standard_jvp, primitive, jvprules)


def _standard_jvp(
    primitive: OpenPrimitive,
    rules: Sequence[Callable[..., Any] | None],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    **params: Any,
) -> tuple[Any, Any]:
    out = primitive.bind(*primals, **params)
    total: Any = Zero(typeof(out).tangent())
    for rule, t in zip(rules, tangents, strict=True):
        if rule is not None and type(t) is not Zero:
            total = add_tangents(total, rule(t, out, *primals, **params))
    return out, total


def deflinear(primitive: OpenPrimitive, transpose_rule: Callable[..., Any]) -> None:
    """Say that a primitive is linear in all operands together: `transpose_rule(ct, **params)` gives their cotangents.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import ad
    >>> half_p = Primitive("half")
    >>> ad.deflinear(half_p, lambda ct: [half_p.bind(ct)])
    """
    deflinear2(primitive, lambda ct, *operands, **params: transpose_rule(ct, **params))


def deflinear2(primitive: OpenPrimitive, transpose_rule: Callable[..., Any]) -> None:
    """As `deflinear`, of a rule that also takes the operands: `transpose_rule(ct, *operands, **params)`.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import ad
    >>> half_p = Primitive("half")
    >>> ad.deflinear2(half_p, lambda ct, x: [half_p.bind(ct)])
    """
    JVPS[primitive] = partial(_linear_jvp, primitive)
    TRANSPOSES[primitive] = transpose_rule


def _linear_jvp(
    primitive: OpenPrimitive, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    out = primitive.bind(*primals, **params)
    if all(type(t) is Zero for t in tangents):
        zeros = [Zero(typeof(x).tangent()) for x in (out if primitive.multiple_results else [out])]
        return out, zeros if primitive.multiple_results else zeros[0]
    return out, primitive.bind(*map(instantiate_zeros, tangents), **params)


def defbilinear(
    prim: OpenPrimitive, lhs_rule: Callable[..., Any], rhs_rule: Callable[..., Any]
) -> None:
    """Say that a primitive is linear in each of its two operands: `lhs_rule(ct, lhs, rhs, **params)`, and likewise.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import ad
    >>> times_p = Primitive("times")
    >>> ad.defbilinear(times_p, lambda ct, x, y: ct * y, lambda ct, x, y: ct * x)
    """
    defjvp(
        prim,
        lambda t, x, y, **params: prim.bind(t, y, **params),
        lambda t, x, y, **params: prim.bind(x, t, **params),
    )

    def transpose(ct: Any, x: Any, y: Any, **params: Any) -> Sequence[Any]:
        if is_undefined_primal(x):
            return (Zero(x.aval) if type(ct) is Zero else lhs_rule(ct, x, y, **params)), None
        return None, (Zero(y.aval) if type(ct) is Zero else rhs_rule(ct, x, y, **params))

    TRANSPOSES[prim] = transpose


def jvp_jaxpr(
    jaxpr: ClosedJaxpr, nonzeros: Sequence[bool], instantiate: bool | Sequence[bool]
) -> tuple[ClosedJaxpr, list[bool]]:
    """The Jaxpr of results and tangents, from the inputs and the tangents of those in `nonzeros`.

    With it, for which results there is a tangent: for those in `instantiate` also if it is zero.

    >>> import covector
    >>> from covector.interpreters import ad
    >>> closed = covector.make_jaxpr(lambda x, y: (x * x, y))(2.0, 3.0)
    >>> found, live = ad.jvp_jaxpr(closed, [True, False], False)
    >>> live, covector.core.jaxpr_as_fun(found)(2.0, 3.0, 1.0)[-1].item()
    ([True, False], 4.0)
    """
    count = len(jaxpr.out_avals)
    wanted = (instantiate,) * count if isinstance(instantiate, bool) else tuple(instantiate)
    found = jvp_program(jaxpr.program, tuple(nonzeros), wanted)
    p, n = found.program, len(found.program.inputs) - len(found.constants)
    closed = Program(p.inputs[:n], p.eqns, p.outputs, p.inputs[n:], tuple(found.constants), p.name)
    return ClosedJaxpr.of(closed), list(found.nonzero)


def jvp(
    fun: Any, has_aux: bool = False, instantiate: bool = True, transform_stack: bool = True
) -> Any:
    """A function of lists of operands and tangents, from one of operands: a pair of lists, results and their tangents.

    >>> from covector.interpreters import ad
    >>> (y,), (dy,) = ad.jvp(lambda x: [x * x])([3.0], [1.0])
    >>> print(y, dy)
    9.0 6.0
    """
    call: Callable[..., Any] = getattr(fun, "call_wrapped", fun)

    def pushed(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, ...]:
        aux: list[Any] = []

        def run(*xs: Any) -> Sequence[Any]:
            out = call(*xs)
            if has_aux:
                out, extra = out
                aux.append(extra)
            return out

        outs, dots = jvp_flat(run, list(primals), list(tangents))
        dots = [instantiate_zeros(t) for t in dots] if instantiate else list(dots)
        return (list(outs), dots, *aux)

    return WrappedFun(pushed) if isinstance(fun, WrappedFun) else pushed


publish(__name__)
