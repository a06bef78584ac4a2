"""The text of one LLVM module, and what its functions share."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence

from covector._engine.backends.base import Limits
from covector._engine.backends.cpu.link import Processor
from covector._engine.backends.cpu.plan import Function
from covector._engine.core.foreign import MachineFunction
from covector._engine.ir.kernel import Callback, Changes

LIMITS = Limits()


class ModuleText:
    """The text of one module: intrinsics declared once, functions defined once.

    `uses` says how often functions occur in the expressions to come, as far as that is known.
    """

    def __init__(
        self,
        processor: Processor,
        uses: Mapping[str, int] | None = None,
        limits: Limits = LIMITS,
        functions: Collection[str] = (),  # of the Kernel's own, which routines call by name
        long: Collection[int] = (),  # loops that take long: see stops.py
    ):
        self.processor, self.limits, self.functions = processor, limits, functions
        self.long = long
        self.asks = False  # whether a loop asks if it has to stop
        self.uses = uses or {}
        self.declarations: dict[str, str] = {}
        self.definitions: dict[str, str] = {}
        self.wanted: list[Function] = []  # functions that are called; see library.py
        self.calls: dict[tuple[object, ...], str] = {}  # the instruction that calls a function
        self.inlined: dict[str, int] = {}  # nodes written out at call sites, by function
        self.quick = True  # whether all functions are compiled quickly
        self.names: dict[str, str] = {}  # of functions, by their text
        self.tables: dict[str, str] = {}  # and of constant integers
        self.alike: dict[Hashable, str] = {}  # and by the shape of their statements
        self.changes = Changes()
        # Functions of the host's that are called, in the order of their numbers.  The code finds them in a table that
        # it is linked to, so that it is the same in each process.
        self.callbacks: list[Callback] = []
        self.foreign: dict[str, MachineFunction] = {}  # by the names of their symbols

    def declare(self, name: str, declaration: str) -> None:
        """Add the declaration of an outside function or intrinsic."""
        self.declarations.setdefault(name, declaration)

    def numbers(self, values: Sequence[str]) -> str:
        """The address of these integers; those of equal layers are the same ones.

        500 convolutions, with 41 numbers each: LLVM took 250 ms with them on the stack, and takes 60.
        """
        text = ", ".join([f"i64 {n}" for n in values])
        name = self.tables.setdefault(text, f"@numbers{len(self.tables)}")
        array = f"[{len(values)} x i64]"
        self.declare(name, f"{name} = private unnamed_addr constant {array} [{text}], align 8")
        return name

    def define(self, name: str, signature: str, lines: Sequence[str], quick: bool = False) -> None:
        """Add a function; `quick` gives up quality of its code for a short time to compile it."""
        assert name not in self.definitions, name
        quick = quick or sum(" call fastcc " in line for line in lines) > self.limits.quick_calls
        self.quick = self.quick and quick
        head = f"define {signature} #{int(quick)} {{"
        self.definitions[name] = "\n".join([head, *lines, "}"])

    def shared(self, parameters: str, lines: Sequence[str]) -> str:
        """The name of the internal function with these lines; if there is one already, it serves again."""
        text = "\n".join(lines)
        name = self.names.get(text)
        if name is None:
            name = self.names[text] = f"@loop{len(self.names)}"
            self.define(name, f"internal void {name}({parameters})", lines)
        return name

    def text(self) -> str:
        """The whole module."""
        return "\n".join(
            [
                f'target triple = "{self.processor.triple}"',
                *self.declarations.values(),
                *self.definitions.values(),
                f"attributes #0 = {{ {self.processor.attributes} }}",
                f"attributes #1 = {{ noinline optnone {self.processor.attributes} }}",
                "",
            ]
        )
