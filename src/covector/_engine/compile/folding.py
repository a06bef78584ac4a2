"""A fold in the making: its locals, how they start, what they take in, what comes out."""

from __future__ import annotations

from collections.abc import Sequence

from covector._engine.compile.fuse import fold_of
from covector._engine.core.families import State
from covector._engine.ir.builder import Names
from covector._engine.ir.index import Index
from covector._engine.ir.kernel import Assign, Combination, Fold, Init, Statement
from covector._engine.ir.program import Eqn
from covector._engine.ir.scalar import Expr, Scalar


class Folding:
    """One fold: its locals, how they start, what they take in, what comes out."""

    def __init__(self, eqn: Eqn, names: Names):
        self.eqn = eqn
        self.dtype = eqn.inputs[0].aval.dtype
        self.fold = fold_of(eqn)
        self.starts: State = self.fold.start(self.dtype)
        self.locals = tuple(names.local(e.dtype, "f") for e in self.starts)
        self.operation: str | None = self.fold.operation(self.dtype)
        self._combination: Combination | None = None

    def init(self) -> list[Statement]:
        return [Init(local, start) for local, start in zip(self.locals, self.starts, strict=True)]

    def take(self, values: Sequence[Scalar], index: Index) -> list[Statement]:
        """Fold in what the operands have at a point of the space."""
        return self.merge(self.fold.lift(index, *values), in_order=True)

    def merge(self, state: State, in_order: bool = False) -> list[Statement]:
        """Fold in the state of other elements; `in_order` says that it is one that comes after those before."""
        if self.operation is not None:
            triples = zip(self.locals, state, self.starts, strict=True)
            return [Fold(local, self.operation, v, start) for local, v, start in triples]
        if self._combination is None:
            taken = tuple([Expr("local", (), e.dtype, f"{e.attr}'") for e in self.locals])
            together = self.fold.combine(self.locals, taken)
            self._combination = Combination(self.starts, taken, tuple(together))
        combine = self.fold.follow if in_order else self.fold.combine
        values = tuple(combine(self.locals, state))
        return [Assign(self.locals, values, self._combination)]

    def result(self) -> Scalar:
        return self.fold.finish(self.locals, self.dtype)
