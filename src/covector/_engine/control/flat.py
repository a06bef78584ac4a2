"""A nest of loops as one loop, each step of which is a stretch of straight code of the nest, a block.

So goes the gradient of a loop of unknown length inside of another one, where large arrays are in it that change.  By
itself the inner loop would keep all of each array as it begins, in each step of the outer one, to run again from it.
As one loop there is one tape, on which each block leaves what it read, and an array that is changed in place stays
where it is.

The loop carries the number of the block that comes next, and all that one block leaves for others.  What is handed
from one name to another, as an array goes from the carry of the outer loop to that of the inner one and back, has one
place for both, if they are never needed at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import compress, product
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.errors import at_user_line
from covector._engine.base.explained import explain
from covector._engine.base.record import record
from covector._engine.control.call import Call, over_lanes, spread
from covector._engine.control.derived import Layout
from covector._engine.control.masked import Changing, origin_of
from covector._engine.control.parted import linearize_body
from covector._engine.control.tape import bytes_of, get_row, put_row
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import evaluate, typeof
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Literal,
    Program,
    Var,
    inline_transparent,
    without_dead_code,
)
from covector._engine.transforms.programs import (
    Mask,
    dependents,
    derived,
    linearize_program,
    part_of,
    stage_closed,
)
from covector._engine.types.avals import ShapedArray, is_large
from covector._engine.types.dims import Dim

_INDEX = ShapedArray((), np.dtype(np.int32))
_TRUTH = ShapedArray((), np.dtype(np.bool_))
_END = -1  # the block after the last one


@derived
def has_large_loop(program: Program) -> bool:
    """Whether there is a loop of unknown length in it that takes large arrays."""
    return any(_is_split(eqn.primitive) for eqn in program.eqns)


def _is_split(p: Primitive) -> bool:
    return isinstance(p, Changing) and p.has_large_loop()


@derived
def bytes_kept(program: Program, on: Mask) -> int:
    """How much such loops keep of arrays that depend on the inputs in a mask."""
    found = dependents(program, on)
    total = 0
    for eqn in program.eqns:
        if _is_split(eqn.primitive):
            total += eqn.primitive.bytes_kept(tuple([a in found for a in eqn.inputs]))  # type: ignore[attr-defined]
    return total


def _small_ones_first(program: Program) -> Sequence[Eqn]:
    """The equations with what is split, and what makes large arrays, as late as may be.

    So what is read of an array is read before the array is changed in a loop: else both are needed.
    """
    if not has_large_loop(program):
        return program.eqns
    late = [
        _is_split(e.primitive) or any(is_large(v.aval) for v in e.outputs) for e in program.eqns
    ]
    maker = {v: n for n, e in enumerate(program.eqns) for v in e.outputs}
    needs = [{maker[a] for a in e.inputs if a in maker} for e in program.eqns]  # type: ignore[index]
    readers: list[list[int]] = [[] for _ in needs]
    for n, makers in enumerate(needs):
        for m in makers:
            readers[m].append(n)
    ready = [(late[n], n) for n, makers in enumerate(needs) if not makers]
    order: list[Eqn] = []
    while ready:
        _, n = heapq.heappop(ready)
        order.append(program.eqns[n])
        for reader in readers[n]:
            needs[reader].discard(n)
            if not needs[reader]:
                heapq.heappush(ready, (late[reader], reader))
    return order


# What makes a loop, of condition, body and the number of consts, and a choice between branches.
Kinds = tuple[
    Callable[[Program, Program, int], Primitive], Callable[[tuple[Program, ...]], Primitive]
]


class Block:
    """Equations, and values that carried variables have then, all at once.

    With a test, which of the blocks comes next: a truth value has two, an index so many as it says.
    """

    def __init__(self) -> None:
        self.eqns: list[Eqn] = []
        self.moves: dict[Var, Atom] = {}
        self.test: Atom | None = None
        self.targets: list[Block] = []

    def goes_to(self, *targets: Block, test: Atom | None = None) -> None:
        """What comes next."""
        self.targets, self.test = list(targets), test

    def behind(self) -> Block:
        """The first block from this one on that does something, or the last one."""
        b = self
        while b.targets and not (b.eqns or b.moves or b.test is not None):
            (b,) = b.targets
        return b

    def next(self) -> list[Block]:
        """The blocks that may come next."""
        return [t.behind() for t in self.targets]

    def sets(self) -> list[Var]:
        """What has another value after it."""
        return [*[v for eqn in self.eqns for v in eqn.outputs], *self.moves]

    def reads(self) -> set[Var]:
        """What it takes from before."""
        atoms = [a for eqn in self.eqns for a in eqn.inputs]
        atoms += [*self.moves.values(), *([] if self.test is None else [self.test])]
        made = {v for eqn in self.eqns for v in eqn.outputs}
        return {a for a in atoms if isinstance(a, Var)} - made


class Blocks:
    """A Program taken apart into blocks: `first`, others, and `last`, which does nothing."""

    kinds: Kinds  # as a loop of unknown length says

    def __init__(self, program: Program):
        self.inputs = program.inputs
        self.here = self.first = Block()
        self.all: list[Block] = []
        self.outputs = self.run(program, program.inputs)
        self.last = self.here

    def run(self, program: Program, operands: Sequence[Atom]) -> list[Atom]:
        """The results of a Program, whose equations come here."""
        env: dict[Atom, Atom] = dict(zip(program.inputs, operands, strict=True))
        for eqn in _small_ones_first(program):
            inputs = [env.get(a, a) for a in eqn.inputs]
            if _is_split(eqn.primitive):
                found = eqn.primitive.in_blocks(self, inputs)  # type: ignore[attr-defined]
                env.update(zip(eqn.outputs, found, strict=True))
                continue
            outputs = tuple([Var(v.aval) for v in eqn.outputs])
            env.update(zip(eqn.outputs, outputs, strict=True))
            self.here.eqns.append(Eqn(eqn.primitive, tuple(inputs), outputs, eqn.source))
        return [env.get(a, a) for a in program.outputs]

    def repeat(
        self, condition: Program, body: Program, consts: Sequence[Atom], init: Sequence[Atom]
    ) -> list[Var]:
        """The results of a loop with a condition."""
        carry = [Var(v.aval) for v in body.inputs[len(consts) :]]
        inside, after = self._new(), self._new()
        self._test(condition, consts, carry, init, inside, after)
        self.here = inside
        outs = self.run(body, [*consts, *carry])
        self._test(condition, consts, carry, outs, inside, after)
        self.here = after
        return carry

    def _test(
        self,
        condition: Program,
        consts: Sequence[Atom],
        carry: Sequence[Var],
        values: Sequence[Atom],
        inside: Block,
        after: Block,
    ) -> None:
        """The end of a block that hands on values of the carry: as the condition holds for them."""
        (holds,) = self.run(condition, [*consts, *values])
        self.here.moves.update(zip(carry, values, strict=True))
        self.here.goes_to(inside, after, test=holds)

    def choose(
        self, index: Atom, branches: Sequence[Program], operands: Sequence[Atom]
    ) -> list[Var]:
        """The results of the branch with this index."""
        outs = [Var(v) for v in branches[0].out_avals]
        begins, after = [self._new() for _ in branches], self._new()
        self.here.goes_to(*begins, test=index)
        for branch, begin in zip(branches, begins, strict=True):
            self.here = begin
            values = self.run(branch, operands)
            self.here.moves.update(zip(outs, values, strict=True))
            self.here.goes_to(after)
        self.here = after
        return outs

    def _new(self) -> Block:
        self.all.append(block := Block())
        return block


@derived
def one_loop(program: Program) -> Program:
    """The Program, of which all of what is split is one loop."""
    return _Machine(Blocks(inline_transparent(program, Changing))).program(program.name)


class _Machine:
    """The loop over blocks, and which place each variable has in its carry."""

    def __init__(self, blocks: Blocks):
        self.blocks, self.consts = blocks, set(blocks.inputs)
        self.steps = [b for b in blocks.all if b.behind() is b and b is not blocks.last]
        self.every = [blocks.first, *self.steps, blocks.last]
        self.number = {b: n for n, b in enumerate(self.steps)} | {blocks.last: _END}
        self.before = self._needed()
        order = [v for b in self.every for v in b.sets()]
        needed = set[Var]().union(*self.before.values())
        self.carried = dict.fromkeys([v for v in order if v in needed])
        self.place = {v: v for v in self.carried}  # the first of those in one place
        self._share()
        self.places = list(dict.fromkeys(self.place.values()))

    def _needed(self) -> dict[Block, set[Var]]:
        """What must be there before each block."""
        found = {b: b.reads() - self.consts for b in self.every}
        ends = {a for a in self.blocks.outputs if isinstance(a, Var)}
        found[self.blocks.last] |= ends - self.consts
        wider = True
        while wider:
            wider = False
            for b in reversed(self.every):
                after = set[Var]().union(*[found[t] for t in b.next()])
                more = after - set(b.sets()) - found[b]
                found[b] |= more
                wider = wider or bool(more)
        return found

    def _after(self, b: Block) -> set[Var]:
        """What must be there when a block is done."""
        return set[Var]().union(*[self.before[t] for t in b.next()])

    # ------------------------------------------------------------------------------------------- places

    def _share(self) -> None:
        """One place for what is handed from one variable to another, where nothing else needs both."""
        at_once = {v: set[Var]() for v in self.carried}
        for b in self.every:
            after = self._after(b)
            for v in after:
                at_once[v] |= after
        together = {v: [v] for v in self.carried}
        for b in self.every:
            for x, y in self._handed(b):
                to, others = self.place[x], self.place[y]
                ours, theirs = together[to], together[others]
                apart = to is not others and x.aval == y.aval
                if apart and not any(b in at_once[a] for a, b in product(ours, theirs)):
                    self.place.update(dict.fromkeys(theirs, to))
                    ours += theirs

    def _handed(self, b: Block) -> Iterator[tuple[Var, Var]]:
        """Variables that a block sets, and those whose value they are, changed in place or not at all."""
        maker = {v: (eqn, n) for eqn in b.eqns for n, v in enumerate(eqn.outputs)}
        for v in b.sets():
            a = b.moves.get(v, v)
            while isinstance(a, Var) and a in maker and (a is v or a not in self.carried):
                eqn, n = maker[a]
                origin = origin_of(eqn, n)
                if origin is None:
                    break
                a = eqn.inputs[origin]
            if v in self.carried and isinstance(a, Var) and a is not v and a in self.carried:
                yield v, a

    # ------------------------------------------------------------------------------------------- Programs

    def program(self, name: str) -> Program:
        """All of it: the first block, the loop, the results."""
        first, read = self.blocks.first, {v for b in self.steps for v in b.reads()}
        at, more = self._next(first)
        left, fills = self._left(first), list[Eqn]()
        begins = [left.get(p) or _zeros(p.aval, fills) for p in self.places]
        consts = [v for v in self.blocks.inputs if v in read]
        ends = {p: Var(p.aval) for p in self.places}
        loop = self._loop(consts, name)
        eqn = Eqn(loop, (*consts, at, *begins), (Var(_INDEX), *ends.values()), None)
        outs = [
            ends[self.place[a]] if isinstance(a, Var) and a in self.place else a
            for a in self.blocks.outputs
        ]
        eqns = (*first.eqns, *more, *fills, eqn)
        return Program(self.blocks.inputs, eqns, tuple(outs), name=f"flat_{name}")

    def _loop(self, consts: Sequence[Var], name: str) -> Primitive:
        """The loop that does a block in each step."""
        at, holds = Var(_INDEX), Var(_TRUTH)
        state, outs = [[Var(p.aval) for p in self.places] for _ in range(2)]
        test = Eqn(prims.ge, (at, _number(0)), (holds,), None)
        condition = Program((*consts, at, *state), (test,), (holds,), name="more")
        branches = tuple([self._branch(b, consts) for b in self.steps])
        loop, choice = self.blocks.kinds
        at, after = Var(_INDEX), Var(_INDEX)
        eqn = Eqn(choice(branches), (at, *consts, *state), (after, *outs), None)
        body = Program((*consts, at, *state), (eqn,), (after, *outs), name=name)
        return loop(condition, body, len(consts))

    def _branch(self, b: Block, consts: Sequence[Var]) -> Program:
        """What a block does to consts and state: the number of the next block, and the next state."""
        at, more = self._next(b)
        state = {p: Var(p.aval) for p in self.places}
        names: dict[Atom, Atom] = {v: state[self.place[v]] for v in self.before[b]}
        ends = {p: names.get(a, a) for p, a in self._left(b).items()}
        eqns = tuple(
            [
                Eqn(e.primitive, tuple([names.get(a, a) for a in e.inputs]), e.outputs, e.source)
                for e in (*b.eqns, *more)
            ]
        )
        outputs = (names.get(at, at), *[ends.get(p, v) for p, v in state.items()])
        return without_dead_code(Program((*consts, *state.values()), eqns, outputs, name="block"))

    def _left(self, b: Block) -> dict[Var, Atom]:
        """What a block leaves for others, and in which places."""
        after = self._after(b)
        return {self.place[v]: b.moves.get(v, v) for v in b.sets() if v in after}

    def _next(self, b: Block) -> tuple[Atom, list[Eqn]]:
        """The number of the block that comes after one, and the equations that compute it."""
        numbers = [_number(self.number[t]) for t in b.next()]
        if b.test is None:
            return numbers[0], []
        at = Var(_INDEX)
        if b.test.aval.dtype == _TRUTH.dtype:
            return at, [Eqn(prims.select, (b.test, *numbers), (at,), None)]
        eqns, (*others, a) = list[Eqn](), numbers
        for n, number in reversed(list(enumerate(others))):
            mine, at = Var(_TRUTH), Var(_INDEX)
            eqns.append(Eqn(prims.eq, (b.test, _number(n)), (mine,), None))
            eqns.append(Eqn(prims.select, (mine, number, a), (at,), None))
            a = at
        return a, eqns


def _number(n: int) -> Literal:
    return Literal(np.int32(n), _INDEX)


def _zeros(aval: ShapedArray, eqns: list[Eqn]) -> Atom:
    """Zeros of a type, by an equation that is added."""
    zero = Literal(aval.dtype.type(0), aval.with_shape(()))
    if not aval.shape:
        return zero
    made = Var(aval)
    eqns.append(Eqn(prims.Broadcast(aval.shape, tuple(range(aval.ndim))), (zero,), (made,), None))
    return made


# ------------------------------------------------------------------------------------------- loops that are counted


@record(eq=False)
class Counted:
    """A loop with a known number of steps as one with a condition: its consts and slices' arrays are consts.

    It carries the number of the step, its carry, and what it stacks, which `begin` makes, all but the carry.
    """

    begin: Program
    condition: Program
    body: Program


@derived
def counted(body: Program, layout: Layout, length: int, reverse: bool) -> Counted:
    """The loop of so many steps of a body."""
    takes, gives = layout.operands(body.in_avals), layout.results(body.out_avals)
    k, n = layout.consts + len(takes.xs), layout.carry
    arrays, stacks = [
        [a.with_shape((length, *a.shape)) for a in part] for part in (takes.xs, gives.ys)
    ]

    def step(*args: Any) -> list[Any]:
        t, carry, ys = args[k], args[k + 1 : k + 1 + n], args[k + 1 + n :]
        at = prims.sub(np.int64(length - 1), t) if reverse else t
        slices = [get_row(x, at) for x in args[layout.consts : k]]
        found = layout.results(evaluate(body, [*args[: layout.consts], *carry, *slices]))
        rows = [put_row(y, x, at) for y, x in zip(ys, found.ys, strict=True)]
        return [prims.add(t, np.int64(1)), *found.carry, *rows]

    types = [*takes.consts, *arrays, ShapedArray((), np.dtype(np.int64)), *takes.carry, *stacks]
    more = stage_closed(lambda *args: [prims.lt(args[k], np.int64(length))], types, "more")
    begin = stage_closed(lambda: [np.int64(0), *map(prims.zeros, stacks)], [], "begin")
    found = begin, more, stage_closed(step, types, body.name)
    assert not any(constants for _, constants in found), "these Programs are closed"
    return Counted(*[program for program, _ in found])


# ------------------------------------------------------------------------------------------- derivatives


@record
class Lanes:
    """What is done for each of many elements: a Program, leading axes, and which operands have them."""

    one: Program
    axes: tuple[Dim, ...] = ()
    mapped: Mask = ()


def linearized_flat(
    p: Primitive, lanes: Lanes, primals: Sequence[Any], tangents: Sequence[Any], kept: int
) -> tuple[Any, Any] | None:
    """The results of a loop, and the tangents that one loop for all that is in it pushes; None if that keeps more.

    `kept` is how many bytes of large arrays the loops inside would keep in each step of it.
    """
    nonzero = tuple([type(t) is not Zero for t in tangents])
    flat, why = _flat(p, lanes.one, nonzero, kept)
    if flat is None:
        explain("copy")(
            f"kept as they begin in each step, {kept:,} bytes of large arrays that loops in {p.name}{at_user_line()} "
            f"take: {why}"
        )
        return None
    flat, more = over_lanes(flat, lanes.axes, lanes.mapped)
    found = linearize_program(flat, (*nonzero, *[False] * len(more)))
    outs, known = p(*primals), (*primals, *more, *found.constants)
    n = len(flat.outputs)
    rest = part_of(found.known, tuple([k >= n for k, _ in enumerate(found.known.outputs)]))
    residuals = found.residual_values(known, [*outs, *Call(rest)(*known)])
    pushed = Call(found.linear)(*residuals, *compress(tangents, nonzero))
    return outs, tuple(spread(pushed, found.nonzero, [typeof(o) for o in outs]))


def _flat(p: Primitive, one: Program, nonzero: Mask, kept: int) -> tuple[Program | None, str]:
    """The Program as one loop, or why not."""
    if p.effects:
        return None, "as it has effects, it runs as it is"
    if p.axis_names:
        return None, "as it asks all elements of a batch, they go step by step"
    flat = one_loop(one)
    row = _row(flat, nonzero)
    if row * WORTH > kept:
        return None, f"as one loop with them it would leave {row:,} bytes in each of its steps"
    return flat, ""


# How many times less than arrays a step of the one loop must leave on its tape: the tape ends the sooner.
WORTH = 8


def alone(p: Primitive, avals: Sequence[ShapedArray]) -> Program:
    """The Program of one equation, of a primitive that holds Programs."""
    return _alone(p.programs()[-1], p, tuple(avals))


@derived
def _alone(_: Program, p: Primitive, avals: tuple[ShapedArray, ...]) -> Program:
    inputs = tuple(map(Var, avals))
    outputs = tuple(map(Var, p.type(*avals)))  # type: ignore[arg-type]
    return Program(inputs, (Eqn(p, inputs, outputs, None),), outputs, name=p.name)


@derived
def _row(flat: Program, nonzero: Mask) -> int:
    """How many bytes a step of the one loop leaves on its tape, or a little more."""
    moved, eqn = dependents(flat, nonzero), flat.eqns[-1]
    loop = eqn.primitive
    live = tuple([a in moved and a.aval.differentiable() for a in eqn.inputs])
    split = linearize_body(loop.body, loop.layout, live)  # type: ignore[attr-defined]
    return bytes_of(split.known.out_avals[loop.layout.carry :])  # type: ignore[attr-defined]
