"""Functions that emitted code calls: each compiled once, and shared by all Programs of the process.

A function that is written out at every call site would make Programs long, and one that each Program
brought along would be compiled again with each: a slow path that is hardly ever taken costs 2 ms every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from covector._engine.backends.cpu import link
from covector._engine.backends.cpu.plan import Function, pack_function, unpack_function
from covector._engine.base.locks import COMPILING, import_late

Make = Callable[[str, Callable[[], bytes]], bytes]


class Library:
    """The compiled functions of one processor; a function stays for as long as its library."""

    def __init__(self, processor: link.Processor, symbols: dict[str, int], cached: Make):
        self.processor, self.symbols, self.cached = processor, symbols, cached
        self.loaded: dict[str, link.MachineCode] = {}

    def resolve(self, wanted: Sequence[Function]) -> dict[str, int]:
        """The addresses of functions by name; what is not there yet is compiled."""
        with COMPILING:
            for function in wanted:
                if function.symbol not in self.loaded:
                    self._add(function)
            return {f.symbol: self.loaded[f.symbol].address(f.symbol) for f in wanted}

    def _add(self, function: Function) -> None:
        key = f"function\n{self.processor}\n{function.symbol}"
        wanted, data = unpack_function(self.cached(key, lambda: self._made(function)))
        symbols = self.symbols | self.resolve(wanted)
        self.loaded[function.symbol] = link.load(data, symbols, (function.symbol,), lasting=True)

    def _made(self, function: Function) -> bytes:
        module = import_late("covector._engine.backends.cpu.shared").define(
            function, self.processor
        )
        data = link.emit_object(module.text(), self.processor)
        return pack_function(tuple(module.wanted), data)
