"""`Checkpoint`: a Program of which derivatives keep what a policy says, and compute the rest again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.depth import deep
from covector._engine.base.record import fields, record, replace
from covector._engine.control.call import Call, Transparent, spread
from covector._engine.control.custom import kept
from covector._engine.control.kept import is_of_a_tape, parts_of
from covector._engine.control.masked import changing
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import is_zero
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Program,
    Rewriting,
    Var,
    inline_transparent,
    map_eqns,
    without_dead_code,
)
from covector._engine.transforms.programs import Mask, linearize_program, without_duplicates
from covector._engine.transforms.widen import meets_64_bits


class Recompute:
    """What a policy may answer: the value is computed again."""


class Saveable:
    """What a policy may answer: the value is kept."""


class Offloadable:
    """What a policy may answer: the value is kept, in another memory.  On the CPU there is one memory only."""

    def __init__(self, src: str, dst: str):
        self.src, self.dst = src, dst


# Whether results of a primitive are kept, from it, the types of its operands, and its parameters.
Policy = Callable[..., Any]


@deep
def keeps(policy: Policy | None, eqn: Eqn) -> bool:
    """Whether results of an equation are kept: what has effects runs once.

    What has rules of its own is in one: it is kept if anything in it is.
    """
    if eqn.effects:
        return True
    if policy is None:
        return False
    p = eqn.primitive
    answer = policy(p, *[a.aval for a in eqn.inputs], **{n: getattr(p, n) for n in fields(p)})
    if _is_kept(answer):
        return True
    inside = None if p.transparent else p.inlined()
    return inside is not None and any(keeps(policy, e) for e in inside.eqns)


def _is_kept(answer: Any) -> bool:
    """What a policy's answer says; TypeError if it says nothing."""
    if isinstance(answer, bool | np.bool_):
        return bool(answer)
    if answer in (Recompute, Saveable):
        return answer is Saveable
    if isinstance(answer, Recompute | Saveable | Offloadable):
        return not isinstance(answer, Recompute)
    raise TypeError(
        "checkpoint: a policy must return a bool, Recompute, Saveable or an Offloadable; "
        f"it returned {answer!r}{errors.at_user_line()}"
    )


# --------------------------------------------------------------------------------------------------------- policies


def everything_saveable(prim: Any, *_: Any, **__: Any) -> bool:
    """Keep everything: as if there were no checkpoint."""
    return True


def nothing_saveable(prim: Any, *_: Any, **__: Any) -> bool:
    """Keep nothing but the arguments: what is asked for without a policy."""
    return False


def dots_saveable(prim: Any, *_: Any, **__: Any) -> bool:
    """Keep the results of products of matrices."""
    return isinstance(prim, prims.DotGeneral)


def dots_with_no_batch_dims_saveable(prim: Any, *_: Any, **__: Any) -> bool:
    """Keep the results of products of matrices that have no batch axes, as those with weights are."""
    return isinstance(prim, prims.DotGeneral) and not prim.lhs_batch


@record
class OffloadDots:
    """The policy of `offload_dot_with_no_batch_dims`."""

    src: str
    dst: str

    def __call__(self, prim: Any, *avals: Any, **params: Any) -> Any:
        dot = dots_with_no_batch_dims_saveable(prim)
        return Offloadable(self.src, self.dst) if dot else Recompute


@record
class Names:
    """A policy of the names that `checkpoint_name` gives.

    `kept` and `offloaded` ones are kept, or all named ones but those in `dropped`; unnamed values if `unnamed` says so.
    """

    kept: tuple[str, ...] = ()
    offloaded: tuple[str, ...] = ()
    dropped: tuple[str, ...] | None = None
    unnamed: bool = False

    def __call__(self, prim: Any, *avals: Any, **params: Any) -> bool:
        if not isinstance(prim, prims.Named):
            return self.unnamed
        if self.dropped is not None:
            return prim.label not in self.dropped
        return prim.label in self.kept or prim.label in self.offloaded


@record
class Both:
    """The policy that keeps what one of two keeps."""

    first: Policy
    second: Policy

    def __call__(self, prim: Any, *avals: Any, **params: Any) -> Any:
        found = self.first(prim, *avals, **params)
        return found if _is_kept(found) else self.second(prim, *avals, **params)


# -------------------------------------------------------------------------------------------------------- the primitive


@record(eq=False)
class KeptProgram:
    """A Program in two, as `SplitProgram`; what is not kept is computed again by `rest`.

    `forward`: the Program's results, then what is kept.  `rest`: from kept values and tangents to tangents.
    """

    forward: Program
    constants: tuple[Any, ...]
    rest: Program
    saved: tuple[int, ...]  # where each kept value is found in [inputs, outputs] of `forward`
    nonzero: Mask


@record
class Keeping:
    """The equations that a policy keeps, and those that loops of unknown length leave for their way back."""

    policy: Policy | None

    def __call__(self, eqn: Eqn) -> bool:
        return is_of_a_tape(eqn) or keeps(self.policy, eqn)


def _keeping(program: Program, policy: Policy | None) -> Program:
    """The Program whose loops with a condition keep what the policy says."""
    keep = Keeping(policy)

    def changed(program: Program, inside: Rewriting) -> Program:
        eqns = [
            Eqn(inside.inside(e.primitive).keeping(keep), e.inputs, e.outputs, e.source)
            if e.primitive.has_programs
            else e
            for e in program.eqns
        ]
        same = all(a.primitive is b.primitive for a, b in zip(eqns, program.eqns, strict=True))
        return program if same else map_eqns(program, eqns)

    return Rewriting(changed, (_keeping, policy))(program)


@record
class Checkpoint(Transparent):
    """The results of a closed Program, of which derivatives keep what the policy says and compute the rest again.

    Its derivatives are `differentiated`: what they compute again must be shared with nothing computed before, and not
    begun before the cotangents are there, unless `prevent_cse` is false.
    """

    program: Program
    policy: Policy | None = None
    prevent_cse: bool = True
    differentiated: bool = False
    name: ClassVar[str] = "checkpoint"

    def of(self, program: Program, backwards: bool = False) -> Primitive:
        return replace(self, program=program, differentiated=self.differentiated or backwards)

    def inlined(self) -> Program | None:
        if not (self.differentiated and self.prevent_cse):
            return self.program
        program = self.program
        inputs = tuple([Var(v.aval) for v in program.inputs])
        barrier = Eqn(prims.OptimizationBarrier(), inputs, program.inputs, None)
        return Program(inputs, (barrier, *program.eqns), program.outputs, name=program.name)

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([not is_zero(t) for t in tangents])
        found = kept(self, nonzero, self._kept)
        known = (*primals, *found.constants)
        outs = Call(found.forward)(*known)
        pushed: Sequence[Any] = ()
        if any(found.nonzero):
            values = [*known, *outs]
            saved = [values[i] for i in found.saved]
            pushed = self.of(found.rest, True)(*saved, *compress(tangents, nonzero))
        n = len(self.program.outputs)
        return outs[:n], tuple(spread(pushed, found.nonzero, self.program.out_avals))

    def _kept(self, nonzero: Mask) -> KeptProgram:
        split = linearize_program(_keeping(self.program, self.policy), nonzero)
        known = without_duplicates(inline_transparent(split.known))
        atoms = (*known.inputs, *known.outputs)
        residuals = [atoms[i] for i in split.residuals]
        parted = _Parted(known, self.policy)
        saved, again = parted.choose(residuals)
        stored = [v for v in saved if v not in known.inputs]
        outs = known.outputs[: len(self.program.outputs)]
        forward = without_dead_code(map_eqns(known, parted.forward, (*outs, *stored)))
        n = len(known.inputs) + len(outs)
        places = {v: n + i for i, v in enumerate(stored)}
        places |= {v: i for i, v in enumerate(known.inputs)}
        linear, m = split.linear, len(residuals)
        names: dict[Atom, Atom] = dict(zip(linear.inputs, residuals, strict=False))
        eqns = [
            Eqn(e.primitive, tuple([names.get(a, a) for a in e.inputs]), e.outputs, e.source)
            for e in linear.eqns
        ]
        rest = Program(
            (*saved, *linear.inputs[m:]), (*again, *eqns), linear.outputs, name=linear.name
        )
        taken = tuple([places[v] for v in saved])
        return KeptProgram(forward, split.constants, rest, taken, split.nonzero)


class _Parted:
    """The equations of a known Program, as they run forwards, and as they compute again what was not kept.

    What a policy keeps of what a loop's body or a branch computes, the loop gives too, and another one takes it.
    So it does what is read, place by place, of an array that is changed in place: else all of it would be kept.
    Where numbers meet 64 bits, what comes from numbers is computed again: it would be kept rounded.
    """

    def __init__(self, known: Program, policy: Policy | None):
        wide, change = meets_64_bits(known), changing(known)

        def keep(eqn: Eqn) -> bool:
            if eqn.primitive.reads_part and eqn.inputs[0] in change:
                return True
            rounded = wide and any(v.aval.wide() is not None for v in eqn.outputs)
            kept = is_of_a_tape(eqn) or keeps(policy, eqn)
            return kept and not (rounded and not eqn.effects)

        self.given, parts = known.inputs, parts_of(known.eqns, keep)
        self.forward, self.again = parts.forward, parts.again
        self.kept = dict.fromkeys(parts.kept)

    def choose(self, residuals: Sequence[Atom]) -> tuple[list[Var], list[Eqn]]:
        """The values to keep, and the equations that compute the residuals from them."""
        producer = {v: e for e in self.again for v in e.outputs}
        saved: dict[Var, None] = {}
        needed: set[Eqn] = set()
        pending = list(residuals)
        while pending:
            v = pending.pop()
            if not isinstance(v, Var) or v in saved:
                continue
            if v in self.kept or v not in producer:
                saved[v] = None
            elif producer[v] not in needed:
                needed.add(producer[v])
                pending.extend(producer[v].inputs)
        order = [v for v in (*self.given, *self.kept) if v in saved]
        return order, [e for e in self.again if e in needed]
