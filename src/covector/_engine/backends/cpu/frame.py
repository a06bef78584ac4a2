"""What the body of one LLVM function knows: its lines, and how buffers, symbols and locals are named there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from covector._engine.backends.base import Target
from covector._engine.backends.cpu.module import ModuleText
from covector._engine.backends.cpu.scalars import fresh_names
from covector._engine.ir.kernel import Buffer
from covector._engine.ir.scalar import Expr


@dataclass
class Frame:
    """What the body of one LLVM function knows: its lines, and how to name buffers, symbols and locals."""

    module: ModuleText
    # Of buffers that share memory, the one that stands for all.
    memory_of: Callable[[Buffer], Buffer]
    target: Target
    lines: list[str] = field(default_factory=list)
    entry: list[str] = field(default_factory=list)  # allocas and what comes before everything
    symbols: dict[str, str] = field(default_factory=dict)  # dims symbol -> i64 operand
    pointers: dict[Buffer, str] = field(default_factory=dict)
    # Pointers that are made where they are first needed: with all made at the top, LLVM's time for registers grew
    # faster than their number.
    sources: dict[Buffer, Callable[[], str]] = field(default_factory=dict)
    brought: list[tuple[Buffer, Callable[[], str]]] = field(default_factory=list)
    # Of buffers whose pointer changes: where it is kept.
    slots: dict[Buffer, str] = field(default_factory=dict)
    locals: dict[Expr, tuple[str, int]] = field(default_factory=dict)  # alloca, lanes
    lane_buffers: set[Buffer] = field(
        default_factory=set
    )  # private buffers whose elements are vectors
    leaving: list[str] = field(default_factory=list)  # what comes before each return
    # Where a function that returns nothing leaves the status of what failed.
    failed_at: str | None = None
    asked: str | None = None  # where loops count what they do until they ask
    fresh: Callable[[], str] = field(default_factory=fresh_names)
    _words: dict[int, str] = field(default_factory=dict)

    def bring(self, buffers: Iterable[Buffer]) -> None:
        """Make the pointers of buffers, where all that follows can use them."""
        for buffer in buffers:
            if (source := self.sources.pop(buffer, None)) is not None:
                self.pointers[buffer] = source()
                self.brought.append((buffer, source))

    def take_back(self, mark: int) -> None:
        """Let pointers that were brought since then be made anew where they are needed next.

        Of the gradient of 500 layers, which come back to what was kept long before, registers for pointers that lived
        so long took two thirds of the time of compilation.
        """
        while len(self.brought) > mark:
            buffer, source = self.brought.pop()
            del self.pointers[buffer]
            self.sources[buffer] = source

    def knows(self, buffer: Buffer) -> bool:
        """Whether the buffer is memory from outside of the loops that are written here."""
        return buffer in self.pointers or buffer in self.sources

    def pointer(self, buffer: Buffer) -> str:
        """The operand that points to a buffer's first element."""
        slot = self.slots.get(buffer)
        if slot is None:
            return self.pointers[buffer]
        name = self.fresh()
        self.lines.append(f"  {name} = load ptr, ptr {slot}")
        return name

    def words(self, count: int) -> str:
        """Memory of this function's frame for integers and pointers, for one call: the next one has the same."""
        found = self._words.get(count)
        if found is None:
            found = self._words[count] = self.alloca(f"[{count} x i64]", 8)
        return found

    def alloca(self, type_: str, align: int = 64) -> str:
        """Memory of this function's frame."""
        name = self.fresh()
        self.entry.append(f"  {name} = alloca {type_}, align {align}")
        return name
