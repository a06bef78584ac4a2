"""Branches and loops with a condition: for one element, or for lanes of which each goes its own way.

Lanes go their own ways under masks: a loop runs until the condition holds in no lane, and lanes that are done keep
what they have; of a branch both sides run, each for its lanes.  Mandelbrot's set, 512 x 512, took 11.4 ms one element
at a time, and takes 1.9.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence, Set
from contextlib import contextmanager

from covector._engine.backends.cpu import stops
from covector._engine.backends.cpu.frame import Frame
from covector._engine.backends.cpu.instructions import vector
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.compile.survey import text_size
from covector._engine.ir.kernel import Assign, If, Loop, Statement, While, walk
from covector._engine.ir.scalar import Expr


class ControlFlow(ABC):
    """What a writer of statements knows about locals, and where control flow parts and joins."""

    frame: Frame
    emitter: LoopEmitter
    across: Set[Expr]  # the locals that lanes fold into together
    begun: dict[
        Expr, str | None
    ]  # the lanes that were here where a local began: others have no value of it

    @abstractmethod
    def body(self, statements: Sequence[Statement]) -> None:
        """Write statements in order."""

    def ask(self, turn: Sequence[Statement]) -> None:
        """Ask, in each turn of a loop that these statements make, whether it has to stop."""
        stops.ask(self.emitter, stops.turn(turn, self.frame.target))

    # -- locals ----------------------------------------------------------------------------------

    def init(self, local: Expr, value: Expr) -> None:
        """A new local."""
        emitter = self.emitter
        type_ = emitter.type(local.dtype)
        slot = self.frame.alloca(type_)
        self.frame.locals[local] = slot, emitter.width
        self.begun[local] = emitter.mask
        self.frame.lines.append(f"  store {type_} {emitter.value(value)}, ptr {slot}")

    def set_local(self, local: Expr, operand: str) -> None:
        """Give a local another value, in the lanes that are here."""
        emitter = self.emitter
        slot, width = self.frame.locals[local]
        assert width == emitter.width, "a local is assigned by as many lanes as it has"
        type_ = emitter.type(local.dtype)
        parted = emitter.parted and self.begun.get(local, "") != emitter.mask
        if emitter.mask is not None and (parted or local in self.across):
            old = emitter.line(f"load {type_}, ptr {slot}")
            masks = f"{vector('i1', width)} {emitter.mask}"
            operand = emitter.line(f"select {masks}, {type_} {operand}, {type_} {old}")
        self.frame.lines.append(f"  store {type_} {operand}, ptr {slot}")
        emitter.values[local] = operand

    def changed(self, statements: Sequence[Statement]) -> list[Expr]:
        """The locals from outside that statements change, of those whose value is in a register now."""
        known = self.emitter.values, self.emitter.one.values
        targets = self.frame.module.changes.of(statements)
        return [t for t in targets if any(t in values for values in known)]

    def read_again(self, locals_: Sequence[Expr]) -> None:
        """Take locals from memory: control flow joins here, or comes back to here."""
        for emitter in (self.emitter.one, self.emitter):
            for local in locals_:
                if local in emitter.values:
                    emitter.values[local] = emitter.leaf(local)

    # -- one element -----------------------------------------------------------------------------

    def branch(self, statement: If) -> None:
        """A branch."""
        if self.emitter.width > 1:
            self._branch_of_lanes(statement)
            return
        emitter, lines = self.emitter, self.frame.lines
        condition = emitter.value(statement.condition)
        changed = self.changed((statement,))
        stem = emitter.fresh()[1:]
        otherwise = "else" if statement.orelse else "end"
        lines.append(f"  br i1 {condition}, label %{stem}.then, label %{stem}.{otherwise}")
        for label, body in (("then", statement.body), ("else", statement.orelse)):
            if body or label == "then":
                emitter.label(f"{stem}.{label}")
                self.read_again(changed)
                mark = emitter.mark()
                self.body(body)
                emitter.reset(mark)
                lines.append(f"  br label %{stem}.end")
        emitter.label(f"{stem}.end")
        self.read_again(changed)

    def repeat(self, statement: While) -> None:
        """A loop: the test stands at the top, and is seen by the body.

        A short one is written several times, for each of which it asks once whether it has to stop.
        """
        if self.emitter.width > 1:
            self._repeat_lanes(statement)
            return
        emitter, lines = self.emitter, self.frame.lines
        changed = self.changed((statement,))
        stem = emitter.fresh()[1:]
        turn = *statement.test, *statement.body
        turns = stops.turns(turn, self.frame.target)
        lines.append(f"  br label %{stem}.test")
        emitter.label(f"{stem}.test")
        for n in range(turns):
            self.read_again(changed)
            mark = emitter.mark()
            self.body(statement.test)
            condition = emitter.value(statement.condition)
            lines.append(f"  br i1 {condition}, label %{stem}.body{n}, label %{stem}.end")
            emitter.label(f"{stem}.body{n}")
            if n == 0:
                self.ask(turn * turns)
            self.body(statement.body)
            emitter.reset(mark)
        lines.append(f"  br label %{stem}.test")
        emitter.label(f"{stem}.end")
        self.read_again(changed)

    # -- lanes -----------------------------------------------------------------------------------

    @contextmanager
    def _only(self, mask: str) -> Generator[None]:
        """What is written here is done in these lanes."""
        emitter = self.emitter
        outer = emitter.mask, emitter.parted
        emitter.mask, emitter.parted = mask, True
        yield
        emitter.mask, emitter.parted = outer

    def _any(self, mask: str) -> str:
        """Whether a mask holds in any lane."""
        width = self.emitter.width
        bits = self.emitter.line(f"bitcast {vector('i1', width)} {mask} to i{width}")
        return self.emitter.line(f"icmp ne i{width} {bits}, 0")

    def _branch_of_lanes(self, statement: If) -> None:
        """Both sides, each for its lanes; a long one is passed over if it has none."""
        emitter, lines = self.emitter, self.frame.lines
        masks = vector("i1", emitter.width)
        condition = emitter.value(statement.condition)
        opposite = emitter.line(f"xor {masks} {condition}, {emitter.all_lanes()}")
        if self._is_choice(statement):
            self._choose(statement, condition, opposite)
            return
        changed = self.changed((statement,))
        for holds, body in ((condition, statement.body), (opposite, statement.orelse)):
            if not body:
                continue
            mask, stem = emitter.both(holds), emitter.fresh()[1:]
            long = self._is_long(body)
            if long:
                some = self._any(mask)
                lines.append(f"  br i1 {some}, label %{stem}.do, label %{stem}.done")
                emitter.label(f"{stem}.do")
            mark = emitter.mark()
            with self._only(mask):
                self.body(body)
            emitter.reset(mark)
            if long:
                lines.append(f"  br label %{stem}.done")
                emitter.label(f"{stem}.done")
            self.read_again(changed)

    def _is_choice(self, statement: If) -> bool:
        """Whether all that both sides do is to give the same locals values."""
        if len(statement.body) != 1 or len(statement.orelse) != 1:
            return False
        (first,), (second,) = statement.body, statement.orelse
        if not isinstance(first, Assign) or not isinstance(second, Assign):
            return False
        same = {*first.locals} == {*second.locals} and self.across.isdisjoint(first.locals)
        return same and not self._is_long(statement.body) and not self._is_long(statement.orelse)

    def _choose(self, statement: If, condition: str, opposite: str) -> None:
        """Both values, of which each lane takes one: what it had before is not looked at twice."""
        emitter, masks = self.emitter, vector("i1", self.emitter.width)
        sides: list[dict[Expr, str]] = []
        for holds, (s,) in ((condition, statement.body), (opposite, statement.orelse)):
            assert isinstance(s, Assign)
            mark = emitter.mark()
            with self._only(emitter.both(holds)):
                sides.append({x: emitter.value(v) for x, v in zip(s.locals, s.values, strict=True)})
            emitter.reset(mark)
        for local, value in sides[0].items():
            type_ = emitter.type(local.dtype)
            both = f"{type_} {value}, {type_} {sides[1][local]}"
            self.set_local(local, emitter.line(f"select {masks} {condition}, {both}"))

    def _is_long(self, body: Sequence[Statement]) -> bool:
        limits = self.frame.target.limits
        if any(isinstance(s, (Loop, While)) for s in walk(body)):
            return True
        return text_size(body, limits.call) > limits.both_sides

    def _repeat_lanes(self, statement: While) -> None:
        """A loop until the condition holds in no lane."""
        emitter, lines = self.emitter, self.frame.lines
        changed, masks = self.changed((statement,)), vector("i1", emitter.width)
        slot, stem = self.frame.alloca(masks), emitter.fresh()[1:]
        lines.append(f"  store {masks} {emitter.mask or emitter.all_lanes()}, ptr {slot}")
        lines.append(f"  br label %{stem}.test")
        emitter.label(f"{stem}.test")
        self.read_again(changed)
        mark = emitter.mark()
        with self._only(emitter.line(f"load {masks}, ptr {slot}")):
            self.body(statement.test)
            going = emitter.both(emitter.value(statement.condition))
            lines.append(f"  store {masks} {going}, ptr {slot}")
            lines.append(f"  br i1 {self._any(going)}, label %{stem}.body, label %{stem}.end")
            emitter.label(f"{stem}.body")
            self.ask((*statement.test, *statement.body))
            with self._only(going):
                self.body(statement.body)
        emitter.reset(mark)
        lines.append(f"  br label %{stem}.test")
        emitter.label(f"{stem}.end")
        self.read_again(changed)
