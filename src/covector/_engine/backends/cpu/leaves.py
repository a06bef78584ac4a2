"""Leaves of expressions in a loop, loads and locals, and stores: for one element or for lanes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from covector._engine.backends.cpu.hoist import is_uniform
from covector._engine.backends.cpu.indices import IndexEmitter
from covector._engine.backends.cpu.instructions import (
    literal,
    memory_element,
    memory_type,
    register_element,
    suffix,
    vector,
)  # fmt: skip
from covector._engine.backends.cpu.patterns import Places, order_of, places_of, rows
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import Buffer, Store, index_values, nodes
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim, Polynomial


class LoopEmitter(IndexEmitter):
    """Emits expressions inside loops, as its base class does indices."""

    # -- leaves ----------------------------------------------------------------------------------

    def leaf(self, e: Expr) -> str:
        match e.op:
            case "load":
                return self.load(e)
            case "index":
                return self.index_value(e)
            case "local":
                slot, width = self.frame.locals.get(
                    e, ("", 1)
                )  # none: the function is given its value
                if width == self.width and slot:
                    return self.line(f"load {self.type(e.dtype)}, ptr {slot}")
                return self.spread(self.one.value(e), register_element(e.dtype))
            case _:
                raise AssertionError(f"no rule for {e.op}")

    def load(self, e: Expr) -> str:
        """One element a lane."""
        buffer, d = e.attr  # type: ignore[misc]
        if self.width == 1:
            return self._load_one(e, buffer, d)
        if buffer in self.frame.lane_buffers:
            type_ = memory_type(e.dtype, self.width)
            if self.uniform_index(d):
                raw = self.line(f"load {type_}, ptr {self._lane_address(buffer, d)}")
                return self.from_memory(raw, e.dtype)
            mask = self.mask_of(e.args[0] if e.args else None)
            raw = self.gather(self._lane_addresses(buffer, d), type_, e.dtype, mask)
            return self.from_memory(raw, e.dtype)
        if self.uniform_index(d) and (not e.args or is_uniform(e.args[0], self.lane)):
            return self.spread(self.one.value(e), register_element(e.dtype))
        mask = self.mask_of(e.args[0] if e.args else None)
        stride, safe = self.stride(d), self._instead(buffer, d) if e.args else None
        type_, near = memory_type(e.dtype, self.width), self.frame.target.loops.near
        if stride == 1:
            address = self.address(buffer, self.scalar_index(d))
            if mask is None:
                raw = self.line(f"load {type_}, ptr {address}, align {e.dtype.itemsize}")
            else:
                raw = self.masked_load(address, type_, e.dtype, mask, safe)
            return self.from_memory(raw, e.dtype)
        if isinstance(stride, int) and 0 < abs(stride) <= near:
            return self.from_memory(self._near(e, stride, mask, safe), e.dtype)
        if stride is None and mask is None and (picked := self._rows(e)) is not None:
            return self.from_memory(picked, e.dtype)
        if (raw := self._gather_narrow(buffer, d, mask)) is None:
            raw = self.gather(self.addresses(buffer, d), type_, e.dtype, mask)
        return self.from_memory(raw, e.dtype)

    def _gather_narrow(self, buffer: Buffer, d: Dim, mask: str | None) -> str | None:
        """Elements of one or two bytes, cut out of four that are gathered; None if that is no instruction.

        The last ones are read from where four bytes end with the buffer.
        """
        dtype, size, lanes, words = buffer.dtype, buffer.size, self._ints(64), self._ints(32)
        most = 4 // dtype.itemsize
        if (
            self.frame.target.vector_bits < 512
            or most < 2
            or not isinstance(size, int)
            or size < most
        ):
            return None
        place, least = self.vector_index(d), f"@llvm.smin.{suffix('i64', self.width)}"
        self.module.declare(least, f"declare {lanes} {least}({lanes}, {lanes})")
        start = self.line(
            f"call {lanes} {least}({lanes} {place}, {lanes} {self._int(64, size - most)})"
        )
        beyond = self.line(f"trunc {lanes} {self.line(f'sub {lanes} {place}, {start}')} to {words}")
        shift = self.line(f"mul {words} {beyond}, {self._int(32, 8 * dtype.itemsize)}")
        shift = self.line(
            f"and {words} {shift}, {self._int(32, 31)}"
        )  # of lanes that are masked out, any
        element = memory_element(dtype)
        addresses = self.line(
            f"getelementptr {element}, ptr {self.frame.pointer(buffer)}, {lanes} {start}"
        )
        raw = self.line(
            f"lshr {words} {self.gather(addresses, words, dtypes.int32, mask, 1)}, {shift}"
        )
        return self.line(f"trunc {words} {raw} to {memory_type(dtype, self.width)}")

    def _instead(self, buffer: Buffer, d: Dim) -> str | None:
        """What to read where no lane does; None if all places are in the buffer, or close to it."""
        (low, high), size, beside = dims.bounds(d), buffer.size, self.frame.target.loops.beside
        if low is None or high is None or not isinstance(size, int):
            return self.frame.pointer(buffer)
        return None if low >= -beside and high < size + beside else self.frame.pointer(buffer)

    def _near(self, e: Expr, stride: int, mask: str | None, safe: str | None) -> str:
        """Elements that lie a few apart, or backwards: whole vectors are loaded, and the elements picked from them.

        Nothing is read before the first element or after the last; with a mask, nothing but its lanes' elements.
        """
        (buffer, d), dtype = e.attr, e.dtype  # type: ignore[misc]
        width, step, type_ = self.width, abs(stride), memory_type(dtype, self.width)
        last = (width - 1) * step  # where the furthest element is, from the nearest
        if stride < 0:
            d = d - last
        starts = [min(n * width, last + 1 - width) for n in range(step)]
        places = [last - n * step if stride < 0 else n * step for n in range(width)]
        picked = "poison"
        for number, start in enumerate(starts):
            address = self.address(buffer, self.scalar_index(d + start))
            if mask is None:
                raw = self.line(f"load {type_}, ptr {address}, align {dtype.itemsize}")
            else:
                own = self._spread_apart(mask, [p - start for p in places])
                raw = self.masked_load(address, type_, dtype, own, safe)
            order = [
                p - start if min(p // width, step - 1) == number else n + width
                for n, p in enumerate(places)
            ]
            picked = self.line(f"shufflevector {type_} {raw}, {type_} {picked}, {order_of(order)}")
        return picked

    def _pattern(self, d: Dim) -> Places | None:
        """How far apart the places of all lanes are, if no stride says it."""
        return None if self.lane is None or index_values(d) else places_of(d, self.lane, self.width)

    def _rows(self, e: Expr) -> str | None:
        """Elements of several short rows, or one for each of these: picked from a vector, or put together."""
        (buffer, d), dtype = e.attr, e.dtype  # type: ignore[misc]
        places = self._pattern(d)
        if places is None:
            return None
        low, width = min(places), self.width
        count = max(places) - low + 1
        if count <= width:
            type_ = memory_type(dtype, count) if count > 1 else f"<1 x {memory_element(dtype)}>"
            address = self.address(buffer, self.scalar_index(d + low))
            raw = self.line(f"load {type_}, ptr {address}, align {dtype.itemsize}")
            taken = order_of([p - low for p in places])
            return self.line(f"shufflevector {type_} {raw}, {type_} poison, {taken}")
        begins = rows(places, self.frame.target.loops.least_row)
        if begins is None:
            return None
        type_, parts = memory_type(dtype, width // len(begins)), list[str]()
        for begin in begins:
            address = self.address(buffer, self.scalar_index(d + begin))
            parts.append(self.line(f"load {type_}, ptr {address}, align {dtype.itemsize}"))
        return self._side_by_side(parts, width // len(begins), dtype)

    def _side_by_side(self, parts: list[str], length: int, dtype: np.dtype) -> str:
        """One vector of several."""
        while len(parts) > 1:
            type_, both = memory_type(dtype, length), order_of(range(2 * length))
            parts = [
                self.line(f"shufflevector {type_} {a}, {type_} {b}, {both}")
                for a, b in zip(parts[::2], parts[1::2], strict=True)
            ]
            length *= 2
        return parts[0]

    def _spread_apart(self, mask: str, places: Sequence[int]) -> str:
        """The mask with lane n at places[n]; where there is none, nothing."""
        lane_at = {p: n for n, p in enumerate(places)}
        return self._mask_at(mask, [lane_at.get(n, self.width) for n in range(self.width)])

    def _mask_at(self, mask: str, places: Sequence[int]) -> str:
        """Of each lane what the mask has at a place; beyond its lanes it has nothing."""
        type_ = vector("i1", self.width)
        return self.line(
            f"shufflevector {type_} {mask}, {type_} zeroinitializer, {order_of(places)}"
        )

    def _load_one(self, e: Expr, buffer: Buffer, d: Dim) -> str:
        address = self.address(buffer, self.scalar_index(d))
        if e.args:  # where the condition is false, read a zero that is always there
            self.module.declare(
                "@cv.zero", "@cv.zero = private constant [8 x i8] zeroinitializer, align 8"
            )
            address = self.line(f"select i1 {self.value(e.args[0])}, ptr {address}, ptr @cv.zero")
        raw = self.line(f"load {memory_element(e.dtype)}, ptr {address}, align {e.dtype.itemsize}")
        return self.from_memory(raw, e.dtype)

    def mask_of(self, condition: Expr | None) -> str | None:
        """The lanes that exist and for which the condition holds; None: all."""
        if condition is None:
            return self.mask
        return self.both(self.value(condition))

    def both(self, condition: str) -> str:
        """The lanes that are here and for which a condition holds; what it is in others does not matter."""
        if self.mask is None:
            return condition
        masks = vector("i1", self.width)
        return self.line(
            f"select {masks} {self.mask}, {masks} {condition}, {masks} zeroinitializer"
        )

    def address(self, buffer: Buffer, index: str) -> str:
        """Where an element of a buffer is."""
        if index == "0":
            return self.frame.pointer(buffer)
        return self.line(
            f"getelementptr inbounds {memory_element(buffer.dtype)}, ptr {self.frame.pointer(buffer)}, i64 {index}"
        )

    def _lane_address(self, buffer: Buffer, d: Dim) -> str:
        """Where an element of each lane's own copy of a buffer is."""
        type_, index = memory_type(buffer.dtype, self.width), self.scalar_index(d)
        return self.line(
            f"getelementptr inbounds {type_}, ptr {self.frame.pointer(buffer)}, i64 {index}"
        )

    def _lane_addresses(self, buffer: Buffer, d: Dim) -> str:
        """Where the lanes' elements are, each in the lane's own copy of a buffer, at a place of its own."""
        lanes, width = vector("i64", self.width), self.width
        numbers = ", ".join(f"i64 {n}" for n in range(width))
        row = self.line(f"mul nsw {lanes} {self.vector_index(d)}, splat (i64 {width})")
        place = self.line(f"add nsw {lanes} {row}, <{numbers}>")
        return self.line(
            f"getelementptr inbounds {memory_element(buffer.dtype)}, ptr {self.frame.pointer(buffer)}, "
            f"{lanes} {place}"
        )

    def addresses(self, buffer: Buffer, d: Dim) -> str:
        """Where the lanes' elements of a buffer are, from the place that is the same for all of them.

        An index of 32 bits from there is gathered by half as many instructions as addresses.
        """
        element, lanes = memory_element(buffer.dtype), vector("i64", self.width)
        terms = () if isinstance(d, int) else [Polynomial((term,)) for term in d.terms]
        apart = sum([term for term in terms if not self.uniform_index(term)], cast(Dim, 0))
        start, places = self.address(buffer, self.scalar_index(d - apart)), self.vector_index(apart)
        return self.line(f"getelementptr {element}, ptr {start}, {lanes} {places}")

    def all_lanes(self) -> str:
        return "splat (i1 true)"

    def masked_load(
        self, address: str, type_: str, dtype: np.dtype, mask: str, safe: str | None = None
    ) -> str:
        """A vector from memory: lanes that are masked out read nothing, and if all are, the address is the safe one.

        Another may lie in no page of the process: that is no fault, but takes hundreds of cycles to find out.
        """
        masks = vector("i1", self.width)
        if safe is not None:
            bits = self.line(f"bitcast {masks} {mask} to i{self.width}")
            some = self.line(f"icmp ne i{self.width} {bits}, 0")
            address = self.line(f"select i1 {some}, ptr {address}, ptr {safe}")
        name = f"@llvm.masked.load.{suffix(memory_element(dtype), self.width)}.p0"
        self.module.declare(name, f"declare {type_} {name}(ptr, i32, {masks}, {type_})")
        return self.line(
            f"call {type_} {name}(ptr {address}, i32 {dtype.itemsize}, {masks} {mask}, {type_} zeroinitializer)"
        )

    def gather(
        self, addresses: str, type_: str, dtype: np.dtype, mask: str | None, align: int = 0
    ) -> str:
        pointers, masks = vector("ptr", self.width), vector("i1", self.width)
        name = f"@llvm.masked.gather.{suffix(memory_element(dtype), self.width)}.v{self.width}p0"
        self.module.declare(name, f"declare {type_} {name}({pointers}, i32, {masks}, {type_})")
        here, align = mask or self.all_lanes(), align or dtype.itemsize
        return self.line(
            f"call {type_} {name}({pointers} {addresses}, i32 {align}, {masks} {here}, {type_} zeroinitializer)"
        )

    def store(self, buffer: Buffer, d: Dim, value: Expr, condition: Expr | None) -> None:
        """Store one element a lane."""
        dtype = buffer.dtype
        operand = self.to_memory(self.value(value), dtype)
        type_ = memory_type(dtype, self.width)
        if self.width == 1:
            address = self.address(buffer, self.scalar_index(d))
            if condition is None:
                self._store_vector(type_, operand, address, dtype, None)
            else:
                self._store_if(type_, operand, address, dtype, condition)
            return
        mask = self.mask_of(condition)
        if buffer in self.frame.lane_buffers:
            if self.uniform_index(d):
                # Lanes that do not exist may be written, those that are elsewhere may not.
                here = mask if self.parted or condition is not None else None
                self._store_vector(type_, operand, self._lane_address(buffer, d), dtype, here)
            else:
                self._scatter(type_, operand, self._lane_addresses(buffer, d), dtype, mask)
            return
        stride = self.stride(d)
        if stride == 1:
            address = self.address(buffer, self.scalar_index(d))
            self._store_vector(type_, operand, address, dtype, mask)
        elif stride is None and mask is None and self._store_rows(type_, operand, buffer, d):
            pass
        elif isinstance(stride, int) and stride and mask is None:
            self._store_apart(type_, operand, buffer, d, stride)
        else:
            self._scatter(type_, operand, self.addresses(buffer, d), dtype, mask)

    def _store_rows(self, type_: str, operand: str, buffer: Buffer, d: Dim) -> bool:
        """Store lanes of several rows, each as a vector; False if they are not such."""
        places = self._pattern(d)
        begins = None if places is None else rows(places, self.frame.target.loops.least_row)
        if begins is None:
            return False
        dtype, length = buffer.dtype, self.width // len(begins)
        for n, begin in enumerate(begins):
            taken = order_of(range(n * length, (n + 1) * length))
            part = self.line(f"shufflevector {type_} {operand}, {type_} poison, {taken}")
            address = self.address(buffer, self.scalar_index(d + begin))
            self._store_vector(memory_type(dtype, length), part, address, dtype, None)
        return True

    def store_pair(self, first: Store, second: Store) -> bool:
        """Store two results that take turns in memory, as the parts of complex numbers do; False if they do not.

        Whole vectors are put together in registers: element by element, as `_store_apart` does it, takes twice as long.
        """
        buffer, d = first.buffer, first.index
        stride = self.stride(d)
        if stride != 2 or second.buffer is not buffer or (ix.rejoin(second.index - d)) != 1:
            return False
        if first.condition or second.condition or buffer in self.frame.lane_buffers:
            return False
        operands = [self.to_memory(self.value(first.value), buffer.dtype)]
        reads = self._reads(second.value, buffer, d)
        if self.mask and (self.parted or reads):
            return False
        if reads:
            self._store_apart(memory_type(buffer.dtype, self.width), operands[0], buffer, d, 2)
            self.store(buffer, second.index, second.value, None)
            return True
        operands.append(self.to_memory(self.value(second.value), buffer.dtype))
        width, type_ = self.width, memory_type(buffer.dtype, self.width)
        for begin in (0, width // 2):
            turns = [n for k in range(begin, begin + width // 2) for n in (k, k + width)]
            both = f"{type_} {operands[0]}, {type_} {operands[1]}, {order_of(turns)}"
            at = self.address(buffer, self.scalar_index(d + 2 * begin))
            pairs = [n % width for n in turns]
            here = self.mask and self._mask_at(self.mask, pairs)
            self._store_vector(type_, self.line(f"shufflevector {both}"), at, buffer.dtype, here)
        return True

    def _reads(self, e: Expr, buffer: Buffer, d: Dim) -> bool:
        """Whether a value that is not computed yet may read what is stored at a place."""
        for node in nodes((e,), set()):
            if node.op != "load" or node in self.values:
                continue
            source, at = node.attr  # type: ignore[misc]
            if self.frame.memory_of(source) is not self.frame.memory_of(buffer):
                continue
            apart = ix.rejoin(at - d)
            if not isinstance(apart, int) or apart % 2 == 0:
                return True
        return False

    def _store_vector(
        self, type_: str, operand: str, address: str, dtype: np.dtype, mask: str | None
    ) -> None:
        """Store lanes that lie side by side."""
        if mask is None:
            self.lines.append(f"  store {type_} {operand}, ptr {address}, align {dtype.itemsize}")
        elif mask.startswith("<i1 true, ") and mask.count("i1 true") == 1:
            # As a masked store, LLVM wrote the 8 bytes of an int64 that had been made an int32: over what lies behind.
            one = self.line(f"extractelement {type_} {operand}, i64 0")
            element = memory_element(dtype)
            self.lines.append(f"  store {element} {one}, ptr {address}, align {dtype.itemsize}")
        else:
            masks = vector("i1", self.width)
            name = f"@llvm.masked.store.{suffix(memory_element(dtype), self.width)}.p0"
            self.module.declare(name, f"declare void {name}({type_}, ptr, i32, {masks})")
            self.lines.append(
                f"  call void {name}({type_} {operand}, ptr {address}, i32 {dtype.itemsize}, {masks} {mask})"
            )

    def _store_apart(self, type_: str, operand: str, buffer: Buffer, d: Dim, stride: int) -> None:
        """Store lanes that lie a stride apart, one after the other: half of what an instruction for them takes."""
        element, align = memory_element(buffer.dtype), buffer.dtype.itemsize
        first = self.address(buffer, self.scalar_index(d))
        for n in range(self.width):
            one = self.line(f"extractelement {type_} {operand}, i64 {n}")
            at = self.line(f"getelementptr inbounds {element}, ptr {first}, i64 {n * stride}")
            self.lines.append(f"  store {element} {one}, ptr {at}, align {align}")

    def _scatter(
        self, type_: str, operand: str, addresses: str, dtype: np.dtype, mask: str | None
    ) -> None:
        """Store lanes each at its address."""
        masks = vector("i1", self.width)
        name = f"@llvm.masked.scatter.{suffix(memory_element(dtype), self.width)}.v{self.width}p0"
        pointers = vector("ptr", self.width)
        self.module.declare(name, f"declare void {name}({type_}, {pointers}, i32, {masks})")
        self.lines.append(
            f"  call void {name}({type_} {operand}, {pointers} {addresses}, i32 {dtype.itemsize}, "
            f"{masks} {mask or self.all_lanes()})"
        )

    def _store_if(
        self, type_: str, operand: str, address: str, dtype: np.dtype, condition: Expr
    ) -> None:
        stem = self.fresh()[1:]
        self.lines.append(f"  br i1 {self.value(condition)}, label %{stem}.do, label %{stem}.done")
        self.label(f"{stem}.do")
        self.lines.append(f"  store {type_} {operand}, ptr {address}, align {dtype.itemsize}")
        self.lines.append(f"  br label %{stem}.done")
        self.label(f"{stem}.done")

    def constant(self, value: np.generic, dtype: np.dtype) -> str:
        """A literal in all lanes."""
        return literal(value, dtype, self.width)
