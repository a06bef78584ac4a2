"""What libraries use of `jax.interpreters.partial_eval`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from covector._engine.api.jaxprs import ClosedJaxpr, Jaxpr
from covector._engine.base.public import bounded, publish
from covector._engine.core import trace
from covector._engine.core.trace import StagedTracer as DynamicJaxprTracer
from covector._engine.ir.program import Program, Var, map_eqns, without_dead_code
from covector._engine.transforms.forward import record_flat
from covector._engine.types.avals import ShapedArray
from covector.extend.linear_util import WrappedFun
from covector.random.keys import key_words, wrap_key_data

__all__ = [
    "DynamicJaxprTracer",
    "PartialVal",
    "abstract_eval_fun",
    "close_jaxpr",
    "convert_constvars_jaxpr",
    "dce_jaxpr",
    "prune_closed_jaxpr_outputs",
    "trace_to_jaxpr_dynamic",
    "trace_to_jaxpr_nounits",
]


@bounded
class PartialVal(tuple[ShapedArray | None, Any]):
    """A value that is known, (None, value), or one of which only the type is, (type, None).

    >>> import covector
    >>> from covector.interpreters import partial_eval
    >>> x, y = partial_eval.PartialVal.known(2.0), partial_eval.PartialVal.unknown(covector.typeof(2.0))
    >>> x.is_known(), y.is_known(), x.get_known(), y.get_aval()
    (True, False, 2.0, ShapedArray(float32*[]))
    """

    __slots__ = ()

    @classmethod
    def known(cls, value: Any) -> PartialVal:
        """One that is known."""
        return cls((None, value))

    @classmethod
    def unknown(cls, aval: ShapedArray) -> PartialVal:
        """One of which the type is known."""
        return cls((aval, None))

    def is_known(self) -> bool:
        """Whether its value is known."""
        return self[0] is None

    def get_known(self) -> Any:
        """Its value, or None."""
        return self[1] if self.is_known() else None

    def get_aval(self) -> ShapedArray:
        """Its type."""
        aval, value = self
        return trace.typeof(value) if aval is None else aval


def trace_to_jaxpr_nounits(
    fun: Callable[..., Sequence[Any]] | WrappedFun,
    pvals: Sequence[PartialVal],
    instantiate: bool | Sequence[bool] = False,
) -> tuple[Jaxpr, list[PartialVal], list[Any]]:
    """What a function of flat values computes of those that are known, and the Jaxpr of the rest.

    The Jaxpr takes the unknown arguments to the unknown results; the values of its constants come last.  Results that
    `instantiate` says it of, or all, are unknown in any case.

    >>> import covector
    >>> from covector.interpreters.partial_eval import PartialVal, trace_to_jaxpr_nounits
    >>> given = [PartialVal.known(2.0), PartialVal.unknown(covector.typeof(3.0))]
    >>> jaxpr, results, consts = trace_to_jaxpr_nounits(lambda x, y: [x * x, x * y], given)
    >>> results
    [(None, 4.0), (ShapedArray(float32*[]), None)]
    """
    call = fun.call_wrapped if isinstance(fun, WrappedFun) else fun
    unknown = [not p.is_known() for p in pvals]
    given = [p[1] if p.is_known() else p[0] for p in pvals]
    outs, tape = record_flat(call, given, unknown)
    wanted = [instantiate] * len(outs) if isinstance(instantiate, bool) else instantiate
    for i, (x, want) in enumerate(zip(outs, wanted, strict=True)):
        if want:
            tape.add_known(i, x)
    results = [
        PartialVal.known(x) if at is None else PartialVal.unknown(trace.typeof(x))
        for x, at in zip(outs, tape.outputs, strict=True)
    ]
    program, residuals = tape.program("partial")
    n = len(residuals)
    left = Program(
        program.inputs[n:], program.eqns, program.outputs, program.inputs[:n], tuple(residuals)
    )
    closed = ClosedJaxpr.of(left)
    return closed.jaxpr, results, closed.consts


def trace_to_jaxpr_dynamic(
    fun: Callable[..., Sequence[Any]] | WrappedFun,
    in_avals: Sequence[ShapedArray],
    *,
    keep_inputs: Sequence[bool] | None = None,
    lower: bool = False,
    auto_dce: bool = False,
) -> tuple[Jaxpr, list[ShapedArray], list[Any]]:
    """The Jaxpr of a function of flat values, the types of its results, the values of its constants.

    Of keys the Jaxpr takes the words.  The function is given the inputs of `keep_inputs`, the Jaxpr takes all; with
    `auto_dce` it has what its results need alone.  `lower` says nothing: types have no lower ones here.

    >>> import covector
    >>> from covector.interpreters import partial_eval
    >>> jaxpr, avals, consts = partial_eval.trace_to_jaxpr_dynamic(lambda x: [x * x], [covector.typeof(1)])
    >>> print(jaxpr.eqns[0].primitive, avals, consts)
    mul [ShapedArray(int32*[])] []
    """
    call = fun.call_wrapped if isinstance(fun, WrappedFun) else fun
    words = [key_words(aval) for aval in in_avals]

    kept = [True] * len(words) if keep_inputs is None else keep_inputs

    def on_words(*xs: Any) -> Sequence[Any]:
        given = [x if w is None else wrap_key_data(x) for x, w in zip(xs, words, strict=True)]
        return call(*[x for x, keep in zip(given, kept, strict=True) if keep])

    types = [aval if w is None else w for aval, w in zip(in_avals, words, strict=True)]
    program = trace.stage(on_words, types)
    closed = ClosedJaxpr.of(without_dead_code(program) if auto_dce else program)
    return closed.jaxpr, list(closed.out_avals), closed.consts


def dce_jaxpr(
    jaxpr: Jaxpr,
    used_outputs: bool | Sequence[bool],
    instantiate: bool | Sequence[bool] = False,
    live_inputs: bool | Sequence[bool] = True,
) -> tuple[Jaxpr, list[bool]]:
    """The Jaxpr of some of the results, without what they do not need; and which of the inputs it takes.

    With `instantiate` it takes all inputs, or those that are named; a truth value says it of all.  What is written into
    references is kept, whether their contents are read later (`live_inputs`) or not.

    >>> import covector
    >>> from covector.interpreters import partial_eval
    >>> jaxpr = covector.make_jaxpr(lambda x, y: (x * x, y * y))(1, 2).jaxpr
    >>> left, used = partial_eval.dce_jaxpr(jaxpr, [False, True])
    >>> len(left.eqns), used
    (1, [False, True])
    """
    program = jaxpr.program
    chosen = (
        [used_outputs] * len(program.outputs) if isinstance(used_outputs, bool) else used_outputs
    )
    outputs = [v for v, used in zip(program.outputs, chosen, strict=True) if used]
    left = without_dead_code(map_eqns(program, program.eqns, outputs))
    read = {v for eqn in left.eqns for v in eqn.inputs if isinstance(v, Var)}
    read.update(v for v in outputs if isinstance(v, Var))
    wanted = [instantiate] * len(program.inputs) if isinstance(instantiate, bool) else instantiate
    used = [v in read or keep for v, keep in zip(program.inputs, wanted, strict=True)]
    inputs = tuple([v for v, u in zip(program.inputs, used, strict=True) if u])
    found = Program(inputs, left.eqns, left.outputs, left.constant_vars, left.constants, left.name)
    return ClosedJaxpr.of(found).jaxpr, used


def close_jaxpr(jaxpr: Jaxpr) -> ClosedJaxpr:
    """A Jaxpr without constants as a closed one.

    >>> import covector
    >>> from covector.interpreters import partial_eval
    >>> partial_eval.close_jaxpr(covector.make_jaxpr(lambda x: x + 1)(2.0).jaxpr).consts
    []
    """
    return ClosedJaxpr(jaxpr, ())


def convert_constvars_jaxpr(jaxpr: Jaxpr) -> Jaxpr:
    """The Jaxpr that takes its constants as its first inputs.

    >>> import covector
    >>> from covector.interpreters import partial_eval
    >>> y = covector.numpy.ones(2)
    >>> jaxpr = partial_eval.convert_constvars_jaxpr(covector.make_jaxpr(lambda x: x + y)(2.0).jaxpr)
    >>> len(jaxpr.constvars), [v.aval for v in jaxpr.invars]
    (0, [ShapedArray(float32[2]), ShapedArray(float32*[])])
    """
    p = jaxpr.program
    inputs = (*p.constant_vars, *p.inputs)
    return ClosedJaxpr.of(Program(inputs, p.eqns, p.outputs, (), (), p.name)).jaxpr


def abstract_eval_fun(
    fun: Callable[..., Any], *avals: ShapedArray, debug_info: Any = None, **params: Any
) -> Sequence[ShapedArray]:
    """The types of the list of results that a function gives for operands of these types.

    >>> import covector
    >>> from covector.interpreters import partial_eval
    >>> partial_eval.abstract_eval_fun(lambda x: [x > 1], covector.typeof(2.0))
    [ShapedArray(bool*[])]
    """
    return list(trace.stage(lambda *xs: fun(*xs, **params), avals).out_avals)


def prune_closed_jaxpr_outputs(jaxpr: ClosedJaxpr, used_outputs: Sequence[bool]) -> ClosedJaxpr:
    """The closed Jaxpr of some of the results, with all inputs, and without what these do not need.

    >>> import covector
    >>> from covector.interpreters import partial_eval
    >>> closed = covector.make_jaxpr(lambda x: (x * x, x + x))(1)
    >>> [e.primitive for e in partial_eval.prune_closed_jaxpr_outputs(closed, [False, True]).jaxpr.eqns]
    [add]
    """
    left, _ = dce_jaxpr(jaxpr.jaxpr, used_outputs, instantiate=True)
    known = dict(zip(jaxpr.jaxpr.constvars, jaxpr.consts, strict=True))
    return ClosedJaxpr(left, [known[v] for v in left.constvars])


publish(__name__)
