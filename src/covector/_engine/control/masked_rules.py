"""Functions with rules of the user's that do what they do only where a truth value holds, and so do their rules.

A function may change an array in place, and so may the rule: an element of a batch that does not take the branch keeps
what is there, and its tangents and cotangents go past.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base.record import record
from covector._engine.control.call import Call, spread
from covector._engine.control.custom import Values, kept
from covector._engine.control.masked import (
    Changing,
    Where,
    changed_in_place,
    masked_program,
    only_where,
    slopes_only_where,
)
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir.program import Program
from covector._engine.transforms.programs import Mask


class Ruled(Changing):
    """A family: Programs with a rule, of `count` arguments and then constants, which have no tangents."""

    program: Program
    count: int

    def with_rule(self, program: Program, where: Mapping[int, int]) -> Primitive:
        """The same for a Program that takes a truth value and more constants.

        Results among `where` are the arguments that it says where the value does not hold.
        """
        raise self._missing("with_rule")

    def changed(self) -> Sequence[int | None]:
        found = changed_in_place([self.program])
        return [n if n is not None and n < self.count else None for n in found]

    def masked(self, mask: Any, where: Where, xs: Sequence[Any]) -> Sequence[Any]:
        if not any(where.kept):
            shared = zip(xs, where.shared, strict=True)
            return self(*[slopes_only_where(mask, x) if mine else x for x, mine in shared])
        found = masked_program(self.program, where)
        origins = zip(self.changed(), where.kept, strict=True)
        past = {k: n for k, (n, mine) in enumerate(origins) if mine and n is not None}
        return self.with_rule(found.program, past)(*xs, mask, *found.constants)


def _run(
    program: Program,
    past: Mapping[int, int],
    mask: Any,
    xs: Sequence[Any],
    tangents: Collection[int] = (),
) -> list[Any]:
    """The results of a Program where the mask holds; elsewhere, of those in `past`, the operands that it says.

    They are changed in place, if the Program does so.  Some of the operands are tangents.
    """
    origins = changed_in_place([program])
    own = tuple([n is not None and past.get(k) == n for k, n in enumerate(origins)])
    shared = tuple([n in past.values() for n, _ in enumerate(xs)])
    pushed = tuple([n in tangents for n, _ in enumerate(xs)])
    found = masked_program(program, Where(own, (True,) * len(xs), shared, pushed))
    outs = Call(found.program)(*xs, mask, *found.constants)
    return [
        only_where(mask, out, xs[past[k]]) if k in past and not mine else out
        for k, (out, mine) in enumerate(zip(outs, own, strict=True))
    ]


@record
class MaskedJVP:
    """The rule of a function that has its results where a truth value holds, which is among the constants."""

    base: Any  # the function without, a `CustomJVP`
    past: tuple[tuple[int, int], ...]

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, Values]:
        base, past, n = self.base, dict(self.past), len(self.base.program.inputs)
        own, mask = constants[: n - base.count], constants[n - base.count]
        nonzero = tuple([not is_zero(t) for t in tangents])
        found = kept(base, nonzero, base._staged)
        places = {o: n + k for k, o in enumerate(_chosen(nonzero))}  # of tangents among operands
        m = len(base.program.outputs)
        pushed = {m + j: k for j, k in enumerate(_chosen(found.nonzero))}
        more = {at: places[past[k]] for at, k in pushed.items() if past.get(k) in places}
        given = [
            x if o in past.values() else only_where(mask, x, prims.zeros(typeof(x)))
            for o, x in enumerate(tangents)
            if o in places
        ]
        xs = [*primals, *own, *given, *found.constants]
        outs = _run(found.program, {**past, **more}, mask, xs, places.values())
        result = list(spread(outs[m:], found.nonzero, base.program.out_avals))
        for k, t in enumerate(result):
            given = tangents[past[k]] if k in past else None
            at = next((at for at, other in pushed.items() if other == k), None)
            if at not in more and not (is_zero(t) and (given is None or is_zero(given))):
                result[k] = only_where(mask, _there(t), _there(given, t))
        return outs[:m], result


@record
class MaskedVJP:
    """The same of a rule backwards."""

    base: Any  # the function without, a `CustomVJP`
    past: tuple[tuple[int, int], ...]

    def __call__(
        self, primals: Sequence[Any], perturbed: Mask, constants: Sequence[Any]
    ) -> tuple[Values, Values, Any]:
        base, past, n = self.base, dict(self.past), len(self.base.program.inputs)
        own, mask = constants[: n - base.count], constants[n - base.count]
        found = kept(base, perturbed, base._forward)
        known = [*primals, *own, *found.constants]
        outs = _run(found.program, past, mask, known)
        values = [*known, *outs]
        residuals = [*[values[i] for i in found.residuals], mask]
        back = _MaskedBack(found, self.past, base.count)
        return residuals, outs[: len(base.program.outputs)], back


@record(eq=False)
class _MaskedBack:
    """The way back: of a result that is an argument where the mask does not hold, the cotangent goes to that."""

    forward: Any  # a `ForwardProgram`
    past: tuple[tuple[int, int], ...]
    count: int

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> Values:
        *residuals, mask = residuals  # type: ignore[assignment]
        given = tuple([not is_zero(c) for c in cts])
        found = self.forward.transposed(given)
        places = {k: len(residuals) + j for j, k in enumerate(_chosen(given))}
        from_result = {o: k for k, o in self.past}
        backs = dict(enumerate(_chosen(found.nonzero)))
        past = {j: places[from_result[o]] for j, o in backs.items() if from_result.get(o) in places}
        xs = [*residuals, *[c for c in cts if not is_zero(c)], *found.constants]
        outs = _run(found.program, past, mask, xs)
        result = list(spread(outs, found.nonzero, self.forward.args))
        for o, back in enumerate(result):
            ct = cts[from_result[o]] if o in from_result else None
            through = any(backs[j] == o for j in past)
            if not through and not (is_zero(back) and (ct is None or is_zero(ct))):
                result[o] = only_where(mask, _there(back), _there(ct, back))
        return result


def _chosen(mask: Sequence[bool]) -> Iterator[int]:
    return (n for n, mine in enumerate(mask) if mine)


def _there(x: Any, like: Any = None) -> Any:
    """A value in the place of a Zero; zeros of a type where there is none."""
    if x is not None:
        return prims.materialize(x)
    return prims.zeros(typeof(like) if not is_zero(like) else like.aval)
