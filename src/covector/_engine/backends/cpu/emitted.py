"""A Kernel on its way to machine code: its module as text, what is known with it, and the object file of LLVM."""

from __future__ import annotations

import hashlib

from covector._engine.backends.base import IR, Job
from covector._engine.backends.cpu import link
from covector._engine.backends.cpu.contents import total_cost
from covector._engine.backends.cpu.emit import emit
from covector._engine.backends.cpu.plan import Plan
from covector._engine.base.errors import noting
from covector._engine.ir.kernel import Kernel, Routine, walk

# Emitted code is straight-line SSA but for the locals, which live in memory until `sroa` puts them into registers.
LLVM_PASSES: tuple[str, ...] = ("sroa",)


def passes_for(text: str, quick: bool) -> tuple[str, ...]:
    """The LLVM passes that find something to do in a module; in a quick one all would pass it by."""
    return LLVM_PASSES if " = alloca " in text and not quick else ()


class Emitted:
    """The module of a Kernel for a processor."""

    def __init__(self, kernel: IR, job: Job, processor: link.Processor):
        assert isinstance(kernel, Kernel)
        self.processor = processor
        self.module = emit(kernel, job.target, processor)
        self.text = text = self.module.text()
        self.quick = self.module.quick
        self.passes = passes_for(text, self.quick)
        key = f"{processor}\n{self.passes} {self.quick}\n{text}"
        kernels = kernel, *kernel.functions.values()
        statements = [s for k in kernels for s in walk(k.body)]
        self.plan = Plan(
            hashlib.sha256(key.encode()).hexdigest(),
            tuple(self.module.wanted),
            kernel.arena if isinstance(kernel.arena, int) else 0,
            float(total_cost(kernel, job.target.costs)),
            tuple(kernel.aliases),
            tuple(kernel.dims),
            any(isinstance(s, Routine) and s.name not in kernel.functions for s in statements),
            self.module.asks,
            kept=not (self.module.callbacks or self.module.foreign),
        )

    def called_back(self) -> tuple[object, ...]:
        """The functions of the host's that it calls, by their numbers."""
        callbacks = self.module.callbacks
        return tuple([noting(s.function, s.who.name, s.source) for s in callbacks])

    def object(self) -> bytes:
        """The object file."""
        return link.emit_object(self.text, self.processor, self.passes, quick=self.quick)

    def assembly(self) -> str:
        """The assembly, to read."""
        return link.emit_assembly(self.text, self.processor, self.passes, quick=self.quick)
