"""Pullbacks: what `vjp` returns, and where it puts the cotangents of references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import compress
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.arguments import as_array, check_values, flatten, zero_tangent
from covector._engine.api.prefixes import mirrored
from covector._engine.base import errors, tree
from covector._engine.base.public import bounded
from covector._engine.base.record import record
from covector._engine.core.numbers import number
from covector._engine.core.refs import Cell, check_aliases
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import Array, Tracer, typeof
from covector._engine.ir.program import Program
from covector._engine.runtime.tape import Recording, serves_cotangents
from covector._engine.transforms.forward import Tape
from covector._engine.transforms.transpose import pull, transpose_flat
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.nothing import leaf_paths


class _Mark:
    """An entry of `Pullback.with_refs`, or what stands for a gradient."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class GradValue(_Mark):
    """An entry of `with_refs`: the gradient is returned, as without it.

    >>> import covector
    >>> _, pullback = covector.vjp(lambda x: x * x, 3.0)
    >>> print(pullback.with_refs(covector.ad.GradValue())(1.0)[0])
    6.0
    """

    __slots__ = ()


class DontWant(_Mark):
    """An entry of `with_refs`: the gradient is not asked for.

    >>> import covector
    >>> _, pullback = covector.vjp(lambda x, y: x * y, 3.0, 4.0)
    >>> x, y = pullback.with_refs(covector.ad.GradValue(), covector.ad.DontWant())(1.0)
    >>> print(x, y)
    4.0 DidntWant()
    """

    __slots__ = ()


class GradRef(_Mark):
    """In the place of a gradient: it was added to the Ref that `with_refs` bound.

    >>> import covector
    >>> _, pullback = covector.vjp(lambda x: x * x, 3.0)
    >>> ref = covector.new_ref(1.0)
    >>> pullback.with_refs(ref)(1.0), ref
    ((GradRef(),), Ref(7., dtype=float32))
    """

    __slots__ = ()


class DidntWant(_Mark):
    """In the place of a gradient: it was not asked for.

    >>> import covector
    >>> covector.ad.DidntWant()
    DidntWant()
    """

    __slots__ = ()


class NotNeeded(_Mark):
    """In the place of an argument in `pullback.args_res`: the pullback does not use it as it is.

    >>> import covector
    >>> _, pullback = covector.vjp(lambda x: 2 * x, 3.0, saveable_args=False)
    >>> pullback.args_res
    [NotNeeded()]
    """

    __slots__ = ()


class NotSaveable(_Mark):
    """In the place of an argument in `pullback.args_res`: it has to be put there before the pullback is called.

    >>> import covector
    >>> x = covector.numpy.arange(3.0)
    >>> y, pullback = covector.vjp(lambda x: x * x, x, saveable_args=False)
    >>> pullback.args_res
    [NotSaveable()]
    >>> pullback.args_res = [x]
    >>> pullback(y)
    (Array([ 0.,  2., 16.], dtype=float32),)
    """

    __slots__ = ()


for _mark in (NotNeeded, NotSaveable):  # they hold no values
    tree.register_node(_mark, lambda mark: ((), None), lambda _, __, cls=_mark: cls())


def cotangent_value(ct: Any, aval: ShapedArray) -> Any:
    """A cotangent as users get it: of the type of the argument, weak types included; zeros for a symbolic one."""
    return as_weak_as(prims.zeros(aval) if ct is None or type(ct) is Zero else ct, aval)


def as_weak_as(x: Any, aval: ShapedArray) -> Any:
    """The value as an array, weakly typed if the argument is that it is a derivative for."""
    x = as_array(x)
    return x if x.weak_type == aval.weak_type else prims.Convert(x.dtype, aval.weak_type)(x)


@record(eq=False)
class Signature:
    """What a pullback takes and gives."""

    in_tree: tree.TreeDef
    out_tree: tree.TreeDef
    primals: tuple[ShapedArray, ...]
    moving: tuple[bool, ...]  # the leaves of the arguments that have tangents which are not zero
    results: tuple[ShapedArray, ...]
    refs: tuple[int, ...] = ()  # the leaves of the arguments that are references
    written: tuple[
        int, ...
    ] = ()  # those that the function wrote: their last values follow the results


Targets = tuple[Any, ...]  # for each leaf of the arguments: a reference, GradValue or DontWant


@record(eq=False)
class Static:
    """What a pullback or pushforward is beside its residuals: a Program, from these and tangents to `live` results."""

    signature: Signature
    program: Program
    live: tuple[bool, ...]
    targets: Targets = ()
    places: tuple[int, ...] | None = None  # for each residual the leaf that it is, or -1


Staged = tuple[Static, list[Any]]
Linear = Recording | Tape | Staged


def saved(
    linear: Recording | Tape, signature: Signature, leaves: Sequence[Any], saveable: Sequence[bool]
) -> Staged:
    """A linear function that knows which arguments are its residuals, without those that it may not keep."""
    static, residuals = staged(linear, signature)
    numbers = {id(x): i for i, x in enumerate(leaves)}
    places = tuple([numbers.get(id(r), -1) for r in residuals])
    kept = [
        r if i < 0 or saveable[i] else NotSaveable() for i, r in zip(places, residuals, strict=True)
    ]
    return Static(signature, static.program, static.live, (), places), kept


def out_nzs(linear: Linear, signature: Signature) -> Any:
    """Which results have tangents that are not zero: a tree of their form."""
    live = staged(linear, signature)[0].live
    return mirrored(signature.out_tree, live[: len(signature.results)])


def staged(linear: Linear, signature: Signature, targets: Targets = ()) -> Staged:
    """A linear function as a pytree holds it: a Program, and its residuals."""
    if isinstance(linear, Recording):
        linear = linear.linear(len(signature.results) + len(signature.written))
    if isinstance(linear, Tape):
        program, residuals = linear.program()
        live = tuple([i is not None for i in linear.outputs])
        return Static(signature, program, live, targets), residuals
    return linear


@bounded
class Pullback:
    """What `vjp` returns: from cotangents of the results to those of the arguments.

    It is a pytree, whose leaves are its residuals, so that jitted functions can return it and take it.
    """

    __slots__ = ("_linear", "_signature", "_targets")

    def __init__(self, signature: Signature, linear: Linear, targets: Targets = ()):
        self._signature, self._linear, self._targets = signature, linear, targets

    @property
    def out_nzs(self) -> Any:
        """Which results depend on the arguments that have tangents: a tree of the results' form.

        >>> import covector
        >>> _, pullback = covector.vjp(lambda x, y: (x, x * y), 2.0, 3.0, in_nzs=(False, True))
        >>> pullback.out_nzs
        (False, True)
        """
        return out_nzs(self._linear, self._signature)

    @property
    def args_res(self) -> list[Any]:
        """The arguments that it uses as they are, where `vjp` was told which may be saved: a list of their form.

        `ad.NotNeeded()` stands for the others, `ad.NotSaveable()` for those that have to be put here before it is
        called.
        """
        places, residuals = self._saved("args_res")
        found: list[Any] = [NotNeeded()] * len(self._signature.primals)
        for i, r in zip(places, residuals, strict=True):
            if i >= 0:
                found[i] = r
        return list(mirrored(self._signature.in_tree, found))

    @args_res.setter
    def args_res(self, given: Any) -> None:
        places, residuals = self._saved("args_res")
        entries = mirrored(self._signature.in_tree, range(len(self._signature.primals)))
        leaves = tree.leaves(list(given), lambda x: isinstance(x, NotNeeded | NotSaveable))
        if len(leaves) != len(self._signature.primals):
            raise ValueError(
                f"args_res has the form {list(entries)}{errors.at_user_line()}: it cannot be {given!r}"
            )
        for k, i in enumerate(places):
            if i >= 0 and not isinstance(leaves[i], NotSaveable):
                residuals[k] = self._restored(i, leaves[i])

    def _restored(self, i: int, x: Any) -> Any:
        """What takes the place of an argument: a value of its type."""
        aval = self._signature.primals[i]
        check_values([x], lambda: [f"args_res[{i}]"], "args_res")
        if typeof(x).shape != aval.shape or typeof(x).dtype != aval.dtype:
            raise ValueError(
                f"args_res: in the place of {aval.text()} there is {typeof(x).text()}{errors.at_user_line()}"
            )
        return as_weak_as(x, aval)

    def _saved(self, what: str) -> tuple[tuple[int, ...], list[Any]]:
        linear = self._linear
        if isinstance(linear, tuple) and linear[0].places is not None:
            return linear[0].places, linear[1]
        raise AttributeError(
            f"the pullback of vjp has no {what}{errors.at_user_line()}: it does not keep the arguments apart from what "
            "else it holds; tell vjp which may be saved, as in vjp(f, x, saveable_args=(True,))"
        )

    def with_refs(self, *entries: Any) -> Pullback:
        """The same, which adds gradients to references.

        An entry for each argument, or a tree of them: a Ref, to which the gradient is added; `ad.GradValue()`, which
        returns it; `ad.DontWant()`.  An argument that is a Ref needs a Ref, or `ad.DontWant()`.
        """
        in_tree = self._signature.in_tree
        arguments = tree.unflatten(in_tree, range(in_tree.num_leaves))
        targets = tree.broadcast_prefix(entries, arguments, "the entries of with_refs")
        found, _ = flatten(entries)
        cells = [t for t in targets if isinstance(t, Cell)]
        check_aliases("with_refs", cells)
        for t in found:
            if not isinstance(t, Cell | GradValue | DontWant):
                raise TypeError(
                    f"with_refs takes Refs, ad.GradValue() and ad.DontWant(), got {t!r}{errors.at_user_line()}"
                )
        for t, aval in zip(targets, self._signature.primals, strict=True):
            if isinstance(t, Cell) and typeof(t._read()) != ShapedArray(aval.shape, aval.dtype):
                raise TypeError(
                    f"with_refs: the gradient of {aval.text()} cannot be added to {t!r}{errors.at_user_line()}"
                )
        return Pullback(self._signature, self._linear, tuple(targets))

    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        signature, targets = self._signature, self._targets
        targets = targets or (GradValue(),) * len(signature.primals)
        for i in signature.refs:
            if isinstance(targets[i], GradValue) and signature.primals[i].differentiable():
                raise TypeError(
                    "the pullback of vjp with respect to a Ref: its gradient must be accumulated into a ref"
                    f"{errors.at_user_line()}; bind one, pullback.with_refs(ref)(cotangent)"
                )
        cts = check_tangents(
            "the pullback of vjp",
            signature.out_tree,
            signature.results,
            cotangent,
            "result",
            "cotangent",
            ValueError,
        )
        for i in signature.written:
            cell = targets[i]
            cts.append(cell._read() if isinstance(cell, Cell) else Zero(signature.primals[i]))
        backs = iter(self._pulled(cts))
        found = [
            self._delivered(i, t, next(backs) if moves else None)
            for i, (moves, t) in enumerate(zip(signature.moving, targets, strict=True))
        ]
        return tree.unflatten(signature.in_tree, found)

    def _delivered(self, i: int, target: Any, ct: Any) -> Any:
        """What is returned for a leaf of the arguments, whose cotangent is put where it is wanted."""
        signature = self._signature
        aval = signature.primals[i]
        if isinstance(target, DontWant):
            return DidntWant()
        if not aval.differentiable():
            return zero_tangent(aval)
        if not isinstance(target, Cell):
            return cotangent_value(ct, aval)
        if i in signature.written:  # what it held was the cotangent of the last value
            target._write(cotangent_value(ct, ShapedArray(aval.shape, aval.dtype)))
        elif ct is not None and not is_zero(ct):
            target._write(
                prims.add(target._read(), as_weak_as(ct, ShapedArray(aval.shape, aval.dtype)))
            )
        return GradRef()

    def _pulled(self, cts: Sequence[Any]) -> Iterable[Any]:
        """The cotangents of the floating arguments."""
        linear = self._linear
        if isinstance(linear, Recording) and not serves_cotangents(cts):
            linear = self._linear = linear.linear(len(cts))
        if isinstance(linear, Recording):
            return linear.pull(cts)
        if isinstance(linear, Tape):
            return pull(linear, cts)
        static, residuals = linear
        if any(isinstance(r, NotSaveable) for r in residuals):
            raise ValueError(
                f"the pullback of vjp uses arguments that it may not save{errors.at_user_line()}: put them in the "
                f"places of NotSaveable() first, pullback.args_res = ...; it is {self.args_res}"
            )
        types = static.program.in_avals[len(residuals) :]
        mask = [False] * len(residuals) + [True] * len(types)
        given = list(compress(cts, static.live))
        return transpose_flat(static.program, [*residuals, *types], mask, given)

    def _flatten(self) -> tuple[list[Any], Static]:
        self._linear = static, residuals = staged(self._linear, self._signature, self._targets)
        return residuals, static


def _pullback(static: Static, residuals: Iterable[Any]) -> Pullback:
    return Pullback(static.signature, (static, list(residuals)), static.targets)


tree.register_node(Pullback, Pullback._flatten, _pullback)


def check_tangents(
    api: str,
    treedef: tree.TreeDef,
    avals: Sequence[ShapedArray],
    given: Any,
    what: str,
    tangent: str,
    wrong: type[Exception] | None = None,
    integers: bool = False,
) -> list[Any]:
    """The leaves of tangents (or cotangents) for values of these types, Zero for float0.

    TypeError, or ValueError for shapes, where they do not fit; or `wrong` for all.  With `integers`, integers have
    tangents of their own dtype.
    """
    leaves, found = flatten(given)
    if found != treedef:
        raise (wrong or TypeError)(
            f"{api}: the {tangent} must have the structure of the {what}, {treedef}, but it has {found}"
            f"{errors.at_user_line()}"
        )
    result: list[Any] = []
    for i, (aval, t) in enumerate(zip(avals, leaves, strict=False)):
        if getattr(t, "dtype", None) == dtypes.float0:
            if aval.differentiable() or np.shape(t) != aval.shape:
                raise (wrong or TypeError)(
                    f"{api}: {tangent} of dtype float0 for {aval.text()}{errors.at_user_line()}"
                )
            result.append(Zero(aval))
            continue
        path = partial(_path, treedef, i)
        check_values([t], lambda path=path: [tangent + path()], api)
        result.append(_fit_tangent(api, aval, t, what, tangent, wrong, integers, path))
    return result


def _path(treedef: tree.TreeDef, i: int) -> str:
    """For messages: how a leaf of a pytree is reached."""
    return leaf_paths(tree.unflatten(treedef, range(treedef.num_leaves)))[i]


def _is_traceable(x: Any) -> bool:
    return type(x) is Array or isinstance(x, Tracer)


def _fit_tangent(
    api: str,
    aval: ShapedArray,
    t: Any,
    what: str,
    tangent: str,
    wrong: type[Exception] | None,
    integers: bool,
    path: Callable[[], str],
) -> Any:
    type_ = typeof(t)
    if not aval.differentiable() and not integers:
        if tangent == "cotangent" and type_.shape == aval.shape:
            return Zero(aval)  # its one cotangent, however it is written
        raise (wrong or TypeError)(
            f"{api}: the {what} is {aval.text()}, whose {tangent}s have the dtype float0 "
            f"(numpy.zeros({aval.shape}, covector.dtypes.float0)); got {type_.text()} for {what}{path()}"
            f"{errors.at_user_line()}"
        )
    if type_.shape != aval.shape:
        raise (wrong or errors.ShapeError)(
            f"{api}: a {what} and its {tangent} must have the same shape, got {aval.text()} and {type_.text()}"
            f" for {what}{path()}{errors.at_user_line()}"
        )
    # Python's numbers take the dtype, if they are of its kind or of a lower one.
    taken = type_.weak_type and not _is_traceable(t)
    fits = dtypes.promote((aval.dtype, False), (type_.dtype, True))[0] if taken else type_.dtype
    if fits != aval.dtype:
        raise (wrong or TypeError)(
            f"{api}: a {what} and its {tangent} must have the same dtype, got {aval.text()} and "
            f"{type_.text()} for {what}{path()}{errors.at_user_line()}"
        )
    return t if _is_traceable(t) or type_.shape else number(t, aval)
