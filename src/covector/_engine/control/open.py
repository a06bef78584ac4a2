"""`OpenPrimitive`: a primitive whose rules are put into tables, after it was made; as JAX's `extend.core.Primitive`.

Nothing else knows of it: applied with parameters it is a primitive like all others, `Lowered` (a `Composite`) where its
implementation is a function of operations, `Hosted` (an `OnHost`) where it has only one that runs on arrays.  Their
rules look into the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import bounded
from covector._engine.base.record import fields, record
from covector._engine.control.callback import keyed, plain
from covector._engine.control.composite import Composite, Expanded
from covector._engine.control.on_host import PURE, OnHost
from covector._engine.control.parameters import (
    AS_IT_IS,
    NAMES,
    Places,
    check_followed,
    form_of,
    picked,
    put_back,
    without_defaults,
)
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear
from covector._engine.core.trace import EVAL, Array, current, typeof
from covector._engine.ir.effects import Effect
from covector._engine.ir.program import Atom, Eqn, Program
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Rule = Callable[..., Any]
Params = tuple[tuple[str, Any], ...]


@bounded
class OpenPrimitive:
    """A primitive by its name alone: what it does is said by functions that are given to it and to the tables.

    `def_abstract_eval` says the types of its results, `def_impl` computes them on arrays, `interpreters.mlir` has
    `register_lowering` for what is compiled, `interpreters.ad` and `interpreters.batching` have the other rules.  With
    `multiple_results` results are lists.  To write a primitive as a class, see `covector.extend`.

    >>> import covector
    >>> import covector.numpy as np
    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import ad, mlir
    >>> double_p = Primitive("double")
    >>> _ = double_p.def_abstract_eval(lambda x: x)
    >>> mlir.register_lowering(double_p, mlir.lower_fun(lambda x: x + x, multiple_results=False))
    >>> ad.deflinear(double_p, lambda ct: [double_p.bind(ct)])
    >>> print(covector.jit(covector.grad(double_p.bind))(3.0))
    2.0
    """

    multiple_results: bool = False
    call_primitive: ClassVar[bool] = False
    map_primitive: ClassVar[bool] = False

    def __init__(self, name: str):
        self.name = name
        self.impl: Rule | None = None
        self.abstract_eval: Rule | None = None
        self.effects_of: Rule | None = None
        self.lowering: Rule | None = None

    def __repr__(self) -> str:
        return self.name

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply it under the current trace.

        >>> from covector import lax
        >>> print(lax.add_p.bind(1.0, 2.0))
        3.0
        """
        out = self.applied(params)(*args)
        return list(out) if self.multiple_results else out

    def applied(self, params: dict[str, Any]) -> Primitive:
        """The primitive of Covector's that it is with these parameters."""
        found: Params = tuple([(name, keyed(value)) for name, value in params.items()])
        if self.lowering is None and self.impl is not None:
            return Hosted(self, found)
        return Lowered(self, found)

    def get_bind_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters with which an equation that has these is bound: the same.

        >>> from covector import lax
        >>> lax.cumsum_p.get_bind_params({"axis": 0, "reverse": False})
        {'axis': 0, 'reverse': False}
        """
        return dict(params)

    def def_lowering(self, rule: Rule) -> Rule:
        """Say how it is compiled, as `interpreters.mlir.register_lowering` does.

        >>> from covector.extend.core import Primitive
        >>> _ = Primitive("identity").def_lowering(lambda context, x: [x])
        """
        self._check_open()
        self.lowering = rule
        return rule

    def _check_open(self) -> None:
        """TypeError if its rules cannot be changed."""

    def def_impl(self, impl: Rule) -> Rule:
        """Say what it does with arrays: used where it is not compiled, and there too if it has no lowering.

        >>> from covector.extend.core import Primitive
        >>> p = Primitive("plus")
        >>> _ = p.def_impl(lambda x, *, by: x + by)
        >>> print(p.bind(1.0, by=2.0))
        3.0
        """
        self._check_open()
        self.impl = impl
        return impl

    def def_abstract_eval(self, rule: Rule) -> Rule:
        """Say the type of the result, from the operands' types and the parameters.

        >>> from covector.extend.core import Primitive
        >>> p = Primitive("same")
        >>> _ = p.def_abstract_eval(lambda x: x)
        """
        self._check_open()
        self.abstract_eval = rule
        return rule

    def def_effectful_abstract_eval(self, rule: Rule) -> Rule:
        """As `def_abstract_eval`, of a rule that gives a pair: types, and a set of effects.

        >>> from covector.extend.core import Effect, Primitive
        >>> p = Primitive("noted")
        >>> _ = p.def_effectful_abstract_eval(lambda x: (x, {Effect("note")}))
        """
        self._check_open()
        self.abstract_eval = lambda *avals, **params: rule(*avals, **params)[0]
        self.effects_of = lambda *avals, **params: rule(*avals, **params)[1]
        return rule


class Known(Protocol):
    """What a table knows of a primitive that it has no entry for."""

    def __call__(self, primitive: OpenPrimitive) -> Rule | None: ...


class Table(dict[OpenPrimitive, Rule]):
    """Rules by primitive.  Those of Covector's own primitives are there, and cannot be changed."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.known: Known = lambda primitive: None

    def __missing__(self, primitive: OpenPrimitive) -> Rule:
        found = self.known(primitive)
        if found is None:
            raise KeyError(f"{primitive} has no rule in {self.name}")
        return found

    def __contains__(self, primitive: object) -> bool:
        known = isinstance(primitive, OpenPrimitive) and self.known(primitive) is not None
        return known or super().__contains__(primitive)

    def get(self, key: OpenPrimitive, default: Any = None) -> Any:
        """The rule, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

    def __setitem__(self, primitive: OpenPrimitive, rule: Rule) -> None:
        if self.known(primitive) is not None:
            raise TypeError(errors.own_primitive(primitive.name))
        super().__setitem__(primitive, rule)


JVPS = Table("ad.primitive_jvps")
TRANSPOSES = Table("ad.primitive_transposes")
BATCHERS = Table("batching.primitive_batchers")
AXIS_BATCHERS = Table("batching.fancy_primitive_batchers")


class _ByTables(Primitive):
    """The rules of an open primitive with its parameters."""

    of: OpenPrimitive
    params: Params
    users_batch: ClassVar[bool] = True
    users_slope: ClassVar[bool] = True

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.of.name

    @property
    def multiple(self) -> bool:  # type: ignore[override]
        return self.of.multiple_results

    def given(self) -> dict[str, Any]:
        """The parameters as they were given."""
        return {name: plain(value) for name, value in self.params}

    def text(self) -> str:
        params = ", ".join([f"{name}={value}" for name, value in self.given().items()])
        return f"{self.name}[{params}]" if params else self.name

    def _rule(self, table: Table, rule: str) -> Rule:
        found = dict.get(table, self.of)
        if found is None:
            raise errors.MissingRuleError(
                f"primitive '{self.name}' has no {rule} rule{errors.at_user_line()}; put one into {table.name}"
            )
        return found

    def type(self, *avals: ShapedArray) -> ShapedArray | tuple[ShapedArray, ...]:
        if self.of.abstract_eval is None:
            raise errors.MissingRuleError(
                f"primitive '{self.name}' has no type rule{errors.at_user_line()}; give it one with def_abstract_eval"
            )
        found = self.of.abstract_eval(*avals, **self.given())
        return tuple(map(_typed, found)) if self.multiple else _typed(found)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out, tangent = self._rule(JVPS, "jvp")(tuple(primals), tuple(tangents), **self.given())
        return (tuple(out), tuple(tangent)) if self.multiple else (out, tangent)

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        ct = list(ct) if self.multiple else ct
        found = self._rule(TRANSPOSES, "transpose")(ct, *args, **self.given())
        # A rule may give cotangents of what it is not asked for.
        return [
            back if isinstance(x, Linear) else None for back, x in zip(found, args, strict=True)
        ]

    @property
    def asks_axis(self) -> bool:
        return dict.__contains__(AXIS_BATCHERS, self.of)

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        if self.asks_axis:
            axis = SimpleNamespace(size=size, name=axis_name, spmd_name=None)
            out, axes = AXIS_BATCHERS[self.of](axis, tuple(args), tuple(dims), **self.given())
        else:
            out, axes = self._rule(BATCHERS, "batch")(tuple(args), tuple(dims), **self.given())
        if not self.multiple:
            return out, axes
        outs = tuple(out)
        return outs, tuple(axes) if isinstance(axes, Sequence) else (axes,) * len(outs)


def _typed(aval: Any) -> ShapedArray:
    return ShapedArray(
        tuple(aval.shape), dtypes.named_dtype(aval.dtype), getattr(aval, "weak_type", False)
    )


@record
class Lowered(_ByTables, Composite):  # type: ignore[misc]
    """An open primitive that is compiled: its lowering is a function of operations."""

    of: OpenPrimitive
    params: Params

    def __call__(self, *args: Any) -> Any:
        impl = self.of.impl
        if impl is not None and current() is EVAL:  # outside of all transformations
            out = impl(*args, **self.given())
            return tuple(out) if self.multiple else out
        return super().__call__(*args)

    def compute(self, *xs: Any) -> Any:
        if self.of.lowering is None:
            raise errors.MissingRuleError(
                f"primitive '{self.name}' has no implementation{errors.at_user_line()}; register a lowering "
                "(covector.interpreters.mlir.register_lowering), or give it one on arrays with def_impl"
            )
        avals = [typeof(x) for x in xs]
        types = self.type(*avals)
        context = SimpleNamespace(
            primitive=self.of,
            avals_in=avals,
            avals_out=list(types) if isinstance(types, tuple) else [types],
        )
        found = list(self.of.lowering(context, *xs, **self.given()))
        self._check(found, context.avals_out)
        return tuple(found) if self.multiple else found[0]

    def _check(self, found: Sequence[Any], types: Sequence[ShapedArray]) -> None:
        made = [typeof(x) for x in found]
        if [(t.shape, t.dtype) for t in made] != [(t.shape, t.dtype) for t in types]:
            raise TypeError(
                f"the lowering of '{self.name}' gives {', '.join(t.text() for t in made)}; by its abstract evaluation "
                f"that is {', '.join(t.text() for t in types)}{errors.at_user_line()}"
            )

    def has(self, rule: str) -> bool:
        return rule in ("type", "jvp", "transpose", "batch")


@record
class Hosted(_ByTables, OnHost):  # type: ignore[misc]
    """An open primitive that has only an implementation on arrays: compiled code calls that."""

    of: OpenPrimitive
    params: Params

    @property
    def effects(self) -> frozenset[Effect]:  # type: ignore[override]
        """It is done even if nobody reads its results, if its abstract evaluation says that it has effects."""
        return PURE if self.of.effects_of is None else frozenset({Effect(self.of.name)})

    def __call__(self, *args: Any) -> Any:
        if self.of.abstract_eval is None and current() is EVAL:  # nobody needs its type there
            assert self.of.impl is not None
            out = self.of.impl(*args, **self.given())
            return tuple(out) if self.multiple else out
        return super().__call__(*args)

    def results_on(self, *arrays: Any) -> Sequence[Any]:
        assert self.of.impl is not None
        found = self.of.impl(*arrays, **self.given())
        types = self.type(*map(typeof, arrays))
        return [
            x if type(x) is Array else self._checked(x, aval)
            for x, aval in zip(
                found if self.multiple else (found,),
                types if isinstance(types, tuple) else (types,),
                strict=True,
            )
        ]

    def reference(self, *xs: Any) -> Any:
        found = tuple([np.asarray(x) for x in self.run(*map(_native.array_from, xs))])
        return found if self.multiple else found[0]


def apply_primitive(primitive: OpenPrimitive, *args: Any, **params: Any) -> Any:
    """Apply a primitive as it is compiled: for `p.def_impl(partial(apply_primitive, p))`.

    >>> from covector import lax
    >>> from covector.interpreters import xla
    >>> print(xla.apply_primitive(lax.sin_p, 0.0))
    0.0
    """
    if isinstance(primitive, OwnPrimitive):
        return primitive.bind(*args, **params)
    found: Params = tuple([(name, keyed(value)) for name, value in params.items()])
    out = Composite.__call__(Lowered(primitive, found), *args)
    return list(out) if primitive.multiple_results else out


# ------------------------------------------------------------------------------------------ Covector's own primitives


class OwnPrimitive(OpenPrimitive):
    """A primitive of Covector's, or of a class of a user's: parameters by name are the fields of the class."""

    def __init__(self, name: str, what: Primitive | type[Primitive]):
        cls = type(what) if isinstance(what, Primitive) else what
        ours = cls.__module__.startswith("covector._engine.")
        super().__init__(NAMES.get(name, name) if ours else name)
        self.multiple_results = bool(what.multiple)
        self._what = what
        self._fields: tuple[str, ...] = getattr(cls, "_fields", ())
        self.form = form_of(self.name) if ours else AS_IT_IS

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply it under the current trace.

        >>> from covector import lax
        >>> print(lax.add_p.bind(1.0, 2.0))
        3.0
        """
        if self.form.following:
            check_followed(self.form, params, args)
        out = self.applied(params, args)(*picked(args, self.form.gives(params, args)))
        return list(out) if self.multiple_results else out

    def applied(self, params: dict[str, Any], args: Sequence[Any] = ()) -> Primitive:
        what = self._what
        params = without_defaults(params, self._fields, self.form)
        if isinstance(what, Primitive):
            if params:
                raise TypeError(f"{self.name} has no parameters, got {sorted(params)}")
            return what
        plain = {name: plain_program(x) for name, x in params.items()}
        return what(**self.form.taken(plain, args))

    def ordered(self, args: Sequence[Any], params: dict[str, Any]) -> tuple[Primitive, Places]:
        """The primitive, and where its operands are among these."""
        return self.applied(params, args), self.form.gives(params, args)

    def _check_open(self) -> None:
        raise TypeError(errors.own_primitive(self.name))


class _SelectN(OwnPrimitive):
    """A choice between two by truth values, which equations are; bound with more cases, or by number, several."""

    def bind(self, *args: Any, **params: Any) -> Any:
        which, *cases = args
        if len(cases) == 2 and typeof(which).dtype == dtypes.bool_:
            return super().bind(*args, **params)
        found = cases[-1]
        for i, case in reversed(list(enumerate(cases[:-1]))):
            found = super().bind(prims.gt(which, np.int32(i)), case, found)
        return found


# By instance, or by class and name for those that have parameters.
_own: dict[Any, OwnPrimitive] = {}


def own(name: str, what: Primitive | type[Primitive]) -> OwnPrimitive:
    """The open form of a primitive without parameters, or of a class of primitives of this name."""
    key: Any = what if isinstance(what, Primitive) else (what, name)
    made = _SelectN if what is prims.select else OwnPrimitive
    return _own.get(key) or _own.setdefault(key, made(name, what))


def _applied(primitive: Primitive) -> Primitive:
    """The primitive that was applied, of an equation's."""
    return primitive.composite if isinstance(primitive, Expanded) else primitive


def open_form(primitive: Primitive) -> OpenPrimitive:
    """What `eqn.primitive` is, in a view of an equation: the same for all parameters."""
    primitive = _applied(primitive)
    return primitive.of if isinstance(primitive, _ByTables) else _own_form(primitive)


def params_of(primitive: Primitive, avals: Sequence[ShapedArray]) -> dict[str, Any]:
    """The parameters with which its `open_form` is this primitive, for operands of these types."""
    primitive = _applied(primitive)
    if isinstance(primitive, _ByTables):
        return primitive.given()
    found = {name: getattr(primitive, name) for name in fields(primitive)}
    form = _own_form(primitive).form
    return {**form.shown(found), **form.follow(avals)}


def _own_form(primitive: Primitive) -> OwnPrimitive:
    return own(primitive.name, type(primitive) if fields(primitive) else primitive)


def operands_of(eqn: Eqn) -> tuple[Atom, ...]:
    """The operands that `bind` takes: without constants that a composite finds again."""
    p = eqn.primitive
    if isinstance(p, Expanded):
        return eqn.inputs[: p.count]
    if isinstance(p, _ByTables):
        return eqn.inputs
    places = _own_form(p).form.sees({name: getattr(p, name) for name in fields(p)})
    return tuple(picked(eqn.inputs, places))


def plain_program(value: Any) -> Any:
    """A parameter as a field of a primitive: a view of a Program becomes that Program."""
    if isinstance(value, tuple):
        return tuple(map(plain_program, value))
    return value.program if isinstance(value, ViewedProgram) else value


class ViewedProgram:
    """What shows a Program to users: as a parameter it stands for that."""

    __slots__ = ("program",)

    def __init__(self, program: Program):
        self.program = program


def _own_rule(name: str) -> Known:
    def known(primitive: OpenPrimitive) -> Rule | None:
        if not isinstance(primitive, OwnPrimitive):
            return None
        return partial(_OWN_RULES[name], primitive)

    return known


def _own_transpose(of: OwnPrimitive, ct: Any, *args: Any, **params: Any) -> Sequence[Any]:
    primitive, places = of.ordered(args, params)
    return put_back(primitive.transpose(ct, *picked(args, places)), places, len(args))


def _own_jvp(
    of: OwnPrimitive, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    primitive, places = of.ordered(primals, params)
    return primitive.jvp(picked(primals, places), picked(tangents, places))


def _own_batch(
    of: OwnPrimitive, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[Any, Any]:
    primitive, places = of.ordered(args, params)
    size = _batch_size(args, dims)
    return primitive.batch_named(picked(args, places), picked(dims, places), size, None)


def _own_batch_named(
    of: OwnPrimitive, axis: Any, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[Any, Any]:
    primitive, places = of.ordered(args, params)
    return primitive.batch_named(picked(args, places), picked(dims, places), axis.size, axis.name)


_OWN_RULES: dict[str, Rule] = {
    "transpose": _own_transpose,
    "jvp": _own_jvp,
    "batch": _own_batch,
    "batch_named": _own_batch_named,
}


def _batch_size(args: Sequence[Any], dims: Sequence[int | None]) -> Dim:
    return next(typeof(x).shape[d] for x, d in zip(args, dims, strict=True) if d is not None)


JVPS.known, TRANSPOSES.known = _own_rule("jvp"), _own_rule("transpose")
BATCHERS.known, AXIS_BATCHERS.known = _own_rule("batch"), _own_rule("batch_named")
