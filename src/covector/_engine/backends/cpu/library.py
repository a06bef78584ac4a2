"""Functions that emitted code calls: each compiled once, and shared by all Programs of the process.

A function that is written out at every call site would make Programs long, and one that each Program
brought along would be compiled again with each: a slow path that is hardly ever taken costs 2 ms every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from covector._engine.backends.cpu import link
from covector._engine.backends.cpu.instructions import register_type
from covector._engine.backends.cpu.scalars import Emitter, Function, ModuleText
from covector._engine.base.locks import COMPILING
from covector._engine.compile import functions

Make = Callable[[str, Callable[[], bytes]], bytes]


class Library:
    """The compiled functions of one target; a function stays for as long as its library."""

    def __init__(self, target: link.Target, symbols: dict[str, int], cached: Make):
        self.target, self.symbols, self.cached = target, symbols, cached
        self.loaded: dict[str, link.Loaded] = {}

    def resolve(self, wanted: Sequence[Function]) -> dict[str, int]:
        """The addresses of functions by name; what is not there yet is compiled."""
        with COMPILING:
            for function in wanted:
                if function.symbol not in self.loaded:
                    self._add(function)
            return {f.symbol: self.loaded[f.symbol].address(f.symbol) for f in wanted}

    def _add(self, function: Function) -> None:
        module = define(function, self.target)
        text = module.text()
        data = self.cached(f"{self.target}\n{text}", lambda: link.emit_object(text, self.target))
        symbols = self.symbols | self.resolve(module.wanted)
        self.loaded[function.symbol] = link.load(data, symbols, (function.symbol,))


def define(function: Function, target: link.Target) -> ModuleText:
    """The module that defines a function and nothing else."""
    module = ModuleText(target)
    emitter = Emitter(module, function.width, [])
    names = [f"%x{i}" for i in range(len(function.dtypes))]
    parameters = ", ".join(
        f"{emitter.type(d)} {x}" for d, x in zip(function.dtypes, names, strict=True)
    )
    definition = functions.definition(function.name, function.dtypes)
    result = emitter.type(definition.result.dtype)
    if definition.rare and function.width > 1:
        value = _lane_by_lane(emitter, definition, names)
    else:
        value = emitter.inline(definition, names)
    module.define(
        function.symbol,
        f"fastcc {result} @{function.symbol}({parameters})",
        [*emitter.lines, f"  ret {result} {value}"],
        quick=definition.rare,
    )
    return module


def _lane_by_lane(emitter: Emitter, definition: functions.Definition, operands: list[str]) -> str:
    """A vector function as a loop of its scalar form: a third of the code, so of the time to compile."""
    module, lines, width = emitter.module, emitter.lines, emitter.width
    scalars: list[str] = []
    for i, (parameter, operand) in enumerate(zip(definition.parameters, operands, strict=True)):
        lines.append(f"  %in{i} = alloca {emitter.type(parameter.dtype)}")
        lines.append(f"  store {emitter.type(parameter.dtype)} {operand}, ptr %in{i}")
    dtype = definition.result.dtype
    lines += [
        f"  %out = alloca {emitter.type(dtype)}",
        "  br label %start",
        "start:",
        "  br label %lane",
    ]
    lines += ["lane:", "  %k = phi i64 [0, %start], [%next, %latch]"]
    for i, parameter in enumerate(definition.parameters):
        element = register_type(parameter.dtype, 1)
        lines.append(f"  %at{i} = getelementptr {element}, ptr %in{i}, i64 %k")
        lines.append(f"  %lane{i} = load {element}, ptr %at{i}")
        scalars.append(f"%lane{i}")
    value = Emitter(module, 1, lines, emitter.fresh).inline(definition, scalars)
    lines.append(f"  %to = getelementptr {register_type(dtype, 1)}, ptr %out, i64 %k")
    lines += [f"  store {register_type(dtype, 1)} {value}, ptr %to", "  %next = add i64 %k, 1"]
    lines += [f"  %more = icmp ult i64 %next, {width}", "  br i1 %more, label %latch, label %end"]
    lines += [
        "latch:",
        "  br label %lane",
        "end:",
        f"  %all = load {emitter.type(dtype)}, ptr %out",
    ]
    return "%all"
