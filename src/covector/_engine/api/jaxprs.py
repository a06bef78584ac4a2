"""Programs as JAX's users read them: `ClosedJaxpr`, `Jaxpr`, `JaxprEqn`, and what evaluates these.

`eqn.primitive.bind(*operands, **eqn.params)` does what the equation does, for every equation.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from covector._engine.api.jaxpr_text import text_of
from covector._engine.base import errors
from covector._engine.base.public import bounded
from covector._engine.control.open import (
    OpenPrimitive,
    ViewedProgram,
    open_form,
    operands_of,
    params_of,
)
from covector._engine.core import trace
from covector._engine.ir.effects import Effect
from covector._engine.ir.program import Atom, Eqn, Literal, Program, Var
from covector._engine.types.avals import ShapedArray


class JaxprEqn:
    """One equation: `outvars = primitive.bind(*invars, **params)`.

    >>> import covector
    >>> (eqn,) = covector.make_jaxpr(lambda x: x * x)(2.0).jaxpr.eqns
    >>> eqn.primitive, eqn.params, len(eqn.invars), len(eqn.outvars)
    (mul, {'out_dtype': None}, 2, 1)
    """

    __slots__ = ("ctx", "effects", "eqn", "invars", "outvars", "params", "primitive", "source_info")

    def __init__(
        self,
        invars: Sequence[Atom],
        outvars: Sequence[Var],
        primitive: OpenPrimitive,
        params: dict[str, Any],
        effects: frozenset[Effect] = frozenset(),
        source_info: Any = None,
        eqn: Eqn | None = None,
        ctx: Any = None,
    ):
        self.invars, self.outvars = list(invars), list(outvars)
        self.primitive, self.params = primitive, params
        self.effects, self.source_info = effects, source_info
        self.eqn = eqn  # what it is a view of, if it is one
        self.ctx = ctx  # of JAX's equations: what they were traced under, which means nothing here

    def replace(self, **changes: Any) -> JaxprEqn:
        """A copy with other values of some attributes.

        >>> import covector
        >>> from covector import lax
        >>> (eqn,) = covector.make_jaxpr(lambda x: x * x)(2.0).jaxpr.eqns
        >>> eqn.replace(primitive=lax.add_p).primitive
        add
        """
        names = ("invars", "outvars", "primitive", "params", "effects", "source_info", "ctx")
        return JaxprEqn(
            **{name: changes.pop(name, getattr(self, name)) for name in names}, **changes
        )

    def __repr__(self) -> str:
        params = ", ".join([f"{name}={value}" for name, value in self.params.items()])
        outs = ", ".join([v.aval.text() for v in self.outvars])
        ins = ", ".join([v.aval.text() for v in self.invars])
        return f"{outs} = {self.primitive.name}[{params}] {ins}"


def _view(eqn: Eqn) -> JaxprEqn:
    params: dict[str, Any] = {}
    for name, value in params_of(eqn.primitive, [a.aval for a in eqn.inputs]).items():
        if isinstance(value, Program):
            params[name] = ClosedJaxpr.of(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Program):
            params[name] = tuple([ClosedJaxpr.of(p) for p in value])
        else:
            params[name] = value
    return JaxprEqn(
        operands_of(eqn),
        eqn.outputs,
        open_form(eqn.primitive),
        params,
        frozenset([effect for effect in eqn.effects if effect.kept]),
        eqn.source,
        eqn,
    )


class Jaxpr:
    """Variables and equations: `outvars` of `invars` and `constvars`, by `eqns` in order.

    >>> import covector
    >>> jaxpr = covector.make_jaxpr(lambda x, y: (x * y, x))(2.0, 3.0).jaxpr
    >>> [v.aval for v in jaxpr.invars], [str(e.primitive) for e in jaxpr.eqns]
    ([ShapedArray(float32*[]), ShapedArray(float32*[])], ['mul'])
    """

    __slots__ = ("_eqns", "_program", "constvars", "debug_info", "invars", "outvars")

    def __init__(
        self,
        constvars: Sequence[Var],
        invars: Sequence[Var],
        outvars: Sequence[Atom],
        eqns: Sequence[JaxprEqn],
        effects: Any = None,
        debug_info: Any = None,
    ):
        self.constvars, self.invars, self.outvars = list(constvars), list(invars), list(outvars)
        self.debug_info = debug_info
        self._eqns: list[JaxprEqn] | None = list(eqns)
        self._program: Program | None = None

    @classmethod
    def _of(cls, program: Program) -> Jaxpr:
        made = cls(program.constant_vars, program.inputs, program.outputs, (), None, program.name)
        made._eqns, made._program = None, program
        return made

    @property
    def eqns(self) -> list[JaxprEqn]:
        """The equations in order.

        >>> import covector
        >>> len(covector.make_jaxpr(lambda x: x)(2.0).jaxpr.eqns)
        0
        """
        if self._eqns is None:
            assert self._program is not None
            self._eqns = [_view(eqn) for eqn in self._program.eqns]
        return self._eqns

    @property
    def effects(self) -> frozenset[Effect]:
        """What its equations do beside computing their results.

        >>> import covector
        >>> covector.make_jaxpr(lambda x: x * x)(2.0).jaxpr.effects
        frozenset()
        """
        return frozenset[Effect]().union(*[eqn.effects for eqn in self.eqns])

    @property
    def program(self) -> Program:
        """The Program that it is a view of, or that does the same; its constants are inputs, in front.

        >>> import covector
        >>> print(covector.make_jaxpr(lambda x: -x)(2.0).jaxpr.program.eqns[0].primitive)
        neg
        """
        if self._program is not None:
            return self._program
        count = len(self.constvars)

        def run(*xs: Any) -> Sequence[Any]:
            return eval_jaxpr(self, xs[:count], *xs[count:])

        avals = [v.aval for v in (*self.constvars, *self.invars)]
        with trace.using(trace.EVAL):
            found = trace.stage(run, avals, str(self.debug_info or "jaxpr"))
        if found.constants:
            raise errors.UnexpectedTracerError("a Jaxpr that was put together closes over arrays")
        return Program(
            found.inputs[count:], found.eqns, found.outputs, found.inputs[:count], (), found.name
        )

    def replace(self, **changes: Any) -> Jaxpr:
        """A copy with other values of some attributes.

        >>> import covector
        >>> jaxpr = covector.make_jaxpr(lambda x: (x, x + 1))(2.0).jaxpr
        >>> len(jaxpr.replace(outvars=jaxpr.outvars[1:]).outvars)
        1
        """
        names = ("constvars", "invars", "outvars", "eqns", "debug_info")
        changes.pop("effects", None)
        return Jaxpr(**{name: changes.pop(name, getattr(self, name)) for name in names}, **changes)

    def pretty_print(
        self, *, source_info: bool = False, print_shapes: bool = True, name_stack: bool = False
    ) -> str:
        """The text that JAX has for it; with the user's lines, or the names of `named_scope`, at the right.

        >>> import covector
        >>> print(covector.make_jaxpr(lambda x: covector.lax.sin(x))(2.0).jaxpr.pretty_print())
        { lambda ; a:f32[]. let b:f32[] = sin a in (b,) }
        """
        if not (source_info or name_stack):
            return text_of(self, print_shapes)

        def note(eqn: JaxprEqn) -> str:
            names = f"[{eqn.source_info.name_stack if eqn.source_info else ''}]"
            if not source_info:
                return names
            where = str(eqn.source_info or "")
            return f"{where} {names}" if name_stack else where

        return text_of(self, print_shapes, note)

    def __repr__(self) -> str:
        return str(self.program)


class ClosedJaxpr(ViewedProgram):
    """A Jaxpr with the values of its constants: a view of a `Program`, which is `program`.

    >>> import covector
    >>> from covector.extend.core import ClosedJaxpr
    >>> closed = covector.make_jaxpr(lambda x: x * x)(2.0)
    >>> isinstance(closed, ClosedJaxpr), closed.in_avals, closed.consts
    (True, [ShapedArray(float32*[])], [])
    >>> closed.eqns[0].primitive is covector.lax.mul_p
    True
    """

    __slots__ = ("_jaxpr", "consts")

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Any] = ()):
        if len(consts) != len(jaxpr.constvars):
            raise ValueError(
                f"ClosedJaxpr: {len(consts)} constants for a Jaxpr with {len(jaxpr.constvars)} of them"
            )
        p = jaxpr.program
        same = len(p.constants) == len(consts) and all(map(operator.is_, p.constants, consts))
        given = Program(p.inputs, p.eqns, p.outputs, p.constant_vars, tuple(consts), p.name)
        super().__init__(p if same else given)
        self._jaxpr, self.consts = jaxpr, list(consts)

    @classmethod
    def of(cls, program: Program) -> ClosedJaxpr:
        """The view of a Program.

        >>> import covector
        >>> from covector.extend.core import ClosedJaxpr
        >>> closed = covector.make_jaxpr(lambda x: x * x)(2.0)
        >>> ClosedJaxpr.of(closed.program).program is closed.program
        True
        """
        return cls(Jaxpr._of(program), program.constants)

    @property
    def jaxpr(self) -> Jaxpr:
        """Without the constants.

        >>> import covector
        >>> covector.make_jaxpr(lambda x: x * x)(2.0).jaxpr.constvars
        []
        """
        return self._jaxpr

    @property
    def literals(self) -> list[Any]:
        """The values of the constants.

        >>> import covector
        >>> covector.make_jaxpr(lambda x: x * x)(2.0).literals
        []
        """
        return self.consts

    @property
    def eqns(self) -> list[JaxprEqn]:
        """The equations in order, as those of `jaxpr`.

        >>> import covector
        >>> (eqn,) = covector.make_jaxpr(lambda x: x.sum(0))(covector.numpy.ones(3)).eqns
        >>> eqn.primitive.name, eqn.params, eqn.outvars[0].aval
        ('reduce_sum', {'axes': (0,), 'out_sharding': None}, ShapedArray(float32[]))
        """
        return self._jaxpr.eqns

    @property
    def in_avals(self) -> list[ShapedArray]:
        """The types of what it takes.

        >>> import covector
        >>> covector.make_jaxpr(lambda x: x * x)(2.0).in_avals
        [ShapedArray(float32*[])]
        """
        return [v.aval for v in self._jaxpr.invars]

    @property
    def out_avals(self) -> list[ShapedArray]:
        """The types of its results.

        >>> import covector
        >>> covector.make_jaxpr(lambda x: x > 0)(2.0).out_avals
        [ShapedArray(bool*[])]
        """
        return [v.aval for v in self._jaxpr.outvars]

    def pretty_print(
        self, *, source_info: bool = False, print_shapes: bool = True, name_stack: bool = False
    ) -> str:
        """The text of `jaxpr`, as JAX has it.

        >>> import covector
        >>> print(covector.make_jaxpr(lambda x: covector.lax.sin(x))(2.0).pretty_print())
        { lambda ; a:f32[]. let b:f32[] = sin a in (b,) }
        """
        options = {"source_info": source_info, "name_stack": name_stack}
        return self._jaxpr.pretty_print(print_shapes=print_shapes, **options)

    @property
    def effects(self) -> frozenset[Effect]:
        """What its equations do beside computing their results.

        >>> import covector
        >>> covector.make_jaxpr(lambda x: x * x)(2.0).effects
        frozenset()
        """
        return self._jaxpr.effects

    def __repr__(self) -> str:
        return str(self.program)


def eval_jaxpr(
    jaxpr: Jaxpr | ClosedJaxpr | Program,
    consts: Sequence[Any],
    *args: Any,
    propagate_source_info: bool = True,
) -> list[Any]:
    """The results of a Jaxpr, under the current trace, for these values of its constants and inputs.

    `propagate_source_info` is accepted: what is made names the line that runs the Jaxpr.

    >>> import covector
    >>> from covector import core
    >>> closed = covector.make_jaxpr(lambda x, y: x * y + 1)(2.0, 3.0)
    >>> print(core.eval_jaxpr(closed.jaxpr, closed.consts, 4.0, 5.0))
    [Array(21., dtype=float32)]
    """
    if isinstance(jaxpr, ClosedJaxpr):
        jaxpr = jaxpr.program
    if isinstance(jaxpr, Program):
        return trace.evaluate(jaxpr, args, consts or jaxpr.constants)
    if jaxpr._program is not None:
        return trace.evaluate(jaxpr._program, args, consts)
    env: dict[Atom, Any] = {}

    def read(v: Atom) -> Any:
        return trace._known(v) if isinstance(v, Literal) else env[v]

    env.update(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
        out = eqn.primitive.bind(*map(read, eqn.invars), **eqn.params)
        env.update(zip(eqn.outvars, out if eqn.primitive.multiple_results else (out,), strict=True))
    return list(map(read, jaxpr.outvars))


def jaxpr_as_fun(closed: ClosedJaxpr) -> Callable[..., list[Any]]:
    """The function that a closed Jaxpr is: from its inputs to a list of its results.

    >>> import covector
    >>> from covector.extend.core import jaxpr_as_fun
    >>> print(jaxpr_as_fun(covector.make_jaxpr(lambda x: x * x)(2.0))(4.0))
    [Array(16., dtype=float32)]
    """
    return lambda *args: eval_jaxpr(closed, (), *args)


def new_jaxpr_eqn(
    invars: Sequence[Atom],
    outvars: Sequence[Var],
    primitive: OpenPrimitive,
    params: dict[str, Any],
    effects: frozenset[Effect] = frozenset(),
    source_info: Any = None,
    ctx: Any = None,
) -> JaxprEqn:
    """An equation.

    >>> import covector
    >>> from covector import lax
    >>> from covector.extend import core
    >>> jaxpr = covector.make_jaxpr(lambda x: x)(2.0).jaxpr
    >>> y = core.Var(jaxpr.invars[0].aval)
    >>> core.new_jaxpr_eqn(jaxpr.invars, [y], lax.sin_p, {}).primitive
    sin
    """
    return JaxprEqn(invars, outvars, primitive, params, effects, source_info, ctx=ctx)


def jaxprs_in_params(params: dict[str, Any]) -> list[Jaxpr]:
    """The Jaxprs among an equation's parameters.

    >>> import covector
    >>> from covector.extend import core
    >>> (eqn,) = covector.make_jaxpr(covector.jit(lambda x: x * x))(2.0).jaxpr.eqns
    >>> len(core.jaxprs_in_params(eqn.params))
    1
    """
    found: list[Jaxpr] = []
    for value in params.values():
        for v in value if isinstance(value, tuple) else (value,):
            if isinstance(v, ClosedJaxpr):
                found.append(v.jaxpr)
            elif isinstance(v, Jaxpr):
                found.append(v)
    return found


def subjaxprs(jaxpr: Jaxpr) -> list[Jaxpr]:
    """The Jaxprs that the equations' parameters hold, at one level.

    >>> import covector
    >>> from covector.extend import core
    >>> len(core.subjaxprs(covector.make_jaxpr(covector.jit(lambda x: x * x))(2.0).jaxpr))
    1
    """
    return [inner for eqn in jaxpr.eqns for inner in jaxprs_in_params(eqn.params)]


for _cls in (JaxprEqn, Jaxpr, ClosedJaxpr):
    bounded(_cls)
