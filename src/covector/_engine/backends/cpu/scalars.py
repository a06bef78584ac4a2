"""The emitter of scalar expressions: LLVM IR text, vectorised by construction.

An `Emitter` writes the instructions of expressions into the lines of one function, for `width` elements
side by side (1: scalar types).  It knows everything but the leaves.  To use it, subclass it:

    class LoopEmitter(Emitter):
        def leaf(self, e: Expr) -> str:
            match e.op:                           # "load", "index" or "local": emit, return the operand
                case "load":
                    raw = self.line(f"load {memory_type(e.dtype, self.width)}, ptr {address}, align 4")
                    return self.from_memory(raw, e.dtype)

    module = ModuleText(processor)
    lines: list[str] = []
    emitter = LoopEmitter(module, width=16, lines=lines)
    operand = emitter.value(expression)           # "%v12" or a literal; memoised by node identity
    emitter.line("store ...")                     # the type of a value: register_type(dtype, width)
    module.define("entry", "i32 @entry(...)", lines)
    text = module.text()                          # for link.emit_object

- `emitter.values[expr] = operand` binds a node beforehand (a local, an accumulator).
- `emitter.to_memory(operand, dtype)` gives what to store, of `memory_type(dtype, width)`.
- A value may end the current basic block and begin another (`iterate` is a loop).  So put a label of your
  own (`br label %x`, `x:`) in front of every phi, and a label for the latch, instead of relying on the
  name of the block you were in.
- A value dominates what is emitted later in the same block.  When you leave a loop body or a branch,
  drop what was emitted inside it: `saved = emitter.scope()` before, `emitter.restore(saved)` after.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from covector._engine.backends.cpu.instructions import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    SMALL_FLOATS,
    Template,
    family,
    float_bits,
    literal,
    memory_element,
    memory_type,
    register_element,
    register_type,
    saturated,
    splat,
    suffix,
    template,
    vector,
)  # fmt: skip
from covector._engine.backends.cpu.module import ModuleText
from covector._engine.backends.cpu.plan import Function
from covector._engine.compile import functions
from covector._engine.ir.scalar import Expr, Iteration
from covector._engine.types import dtypes
from covector._engine.types.narrow import FLOATS as NARROW_FLOATS, INTS as NARROW_INTS

__all__ = [
    "Emitter", "Function", "ModuleText", "memory_element", "memory_type", "register_element", "register_type"
]  # fmt: skip


def fresh_names() -> Callable[[], str]:
    """What gives a new name each time it is called; one for each function, so that equal ones have equal texts."""
    count = itertools.count().__next__
    return lambda: f"%v{count()}"


class Emitter:
    """Writes the instructions of scalar expressions; see the file's head for how to use it."""

    def __init__(
        self,
        module: ModuleText,
        width: int,
        lines: list[str],
        fresh: Callable[[], str] | None = None,
    ):
        self.module, self.width, self.lines = module, width, lines
        self.fresh = fresh or fresh_names()
        self.values: dict[Expr, str] = {}
        self.states: dict[
            Expr, tuple[str, ...]
        ] = {}  # what an iterate node's slots hold at the end
        self._templates: dict[tuple[str, int], Template | None] = {}
        self._codes: dict[str, str] = {}  # of narrow floats that were rounded

    # -- the interface ---------------------------------------------------------------------------

    def leaf(self, e: Expr) -> str:
        """The operand of a load, an index or a local; the subclass knows."""
        raise NotImplementedError(
            f"{type(self).__name__} has no rule for the leaf {e.op} {e.attr!r}"
        )

    def value(self, e: Expr) -> str:
        """The operand that holds `e`; emits what is not there yet, operands first, without recursion."""
        values = self.values
        found = values.get(e)
        if found is not None:
            return found
        stack = [e]
        while stack:
            node = stack[-1]
            if node in values:
                stack.pop()
                continue
            missing = [a for a in node.args if a not in values]
            if missing:
                missing.reverse()
                stack += missing
                continue
            stack.pop()
            values[node] = self._emit(node)
        return values[e]

    def line(self, instruction: str) -> str:
        """Emit `name = instruction` and return the new name."""
        name = self.fresh()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def label(self, name: str) -> None:
        """Begin the basic block `name` (without %)."""
        self.lines.append(f"{name}:")

    def type(self, dtype: np.dtype) -> str:
        """The type of a value of `dtype` in registers."""
        return register_type(dtype, self.width)

    def scope(self) -> tuple[int, int]:
        """How much is known now, for `restore` when a block's values go out of sight."""
        return len(self.values), len(self.states)

    def restore(self, saved: tuple[int, int]) -> None:
        """Forget what was emitted since `scope`: both tables keep the order of insertion."""
        while len(self.values) > saved[0]:
            self.values.popitem()
        while len(self.states) > saved[1]:
            self.states.popitem()

    def from_memory(self, text: str, dtype: np.dtype) -> str:
        """The register value of a loaded operand of `memory_type`."""
        if family(dtype) == "bool":
            return self.line(f"icmp ne {memory_type(dtype, self.width)} {text}, {self._int(8, 0)}")
        if dtype == BFLOAT16:
            wide = self.line(f"zext {self._ints(16)} {text} to {self._ints(32)}")
            high = self.line(f"shl {self._ints(32)} {wide}, {self._int(32, 16)}")
            return self._cast(high, self._ints(32), self.type(FLOAT32))
        if dtype == FLOAT16 and self.module.processor.half:
            half = self._cast(text, self._ints(16), vector("half", self.width))
            return self.line(f"fpext {vector('half', self.width)} {half} to {self.type(FLOAT32)}")
        if dtype == FLOAT16:
            return self.call("half_decode", [text], (dtypes.uint16,))
        if dtype in NARROW_FLOATS:
            return self.call(f"{dtype.name}_decode", [text], (dtypes.uint8,))
        return self._wrap(text, dtype) if dtype in NARROW_INTS else text

    def to_memory(self, text: str, dtype: np.dtype) -> str:
        """The operand of `memory_type` to store for a register value."""
        if family(dtype) == "bool":
            return self.line(f"zext {self.type(dtype)} {text} to {self._ints(8)}")
        if dtype == BFLOAT16:
            bits = self._cast(text, self.type(FLOAT32), self._ints(32))
            high = self.line(f"lshr {self._ints(32)} {bits}, {self._int(32, 16)}")
            return self.line(f"trunc {self._ints(32)} {high} to {self._ints(16)}")
        if dtype == FLOAT16 and self.module.processor.half:
            half = self.line(f"fptrunc {self.type(FLOAT32)} {text} to {vector('half', self.width)}")
            return self._cast(half, vector("half", self.width), self._ints(16))
        if dtype == FLOAT16:
            return self.call("half_encode", [text], (FLOAT32,))
        if dtype in NARROW_FLOATS:
            return self._codes.get(text) or self._encode(text, dtype)
        return self._low_bits(text, dtype) if dtype in NARROW_INTS else text

    # -- dispatch --------------------------------------------------------------------------------

    def _emit(self, node: Expr) -> str:
        """Emit one node whose operands are there."""
        op, args, values = node.op, node.args, self.values
        if op == "const":
            return literal(node.attr, node.dtype, self.width)  # type: ignore[arg-type]
        if args:
            key = (op, args[-1].dtype.num)
            try:
                row = self._templates[key]
            except KeyError:
                row = self._templates[key] = self._template(op, args[-1].dtype)
            if row is not None:
                name = self.fresh()
                self.lines.append(row.line(name, [values[a] for a in args]))
                return self._round(name, node.dtype) if row.rounds else name
            rule = _RULES.get(op)
            if rule is not None:
                return rule(self, node, [values[a] for a in args])
        return self.leaf(node)

    def _template(self, op: str, dtype: np.dtype) -> Template | None:
        if op == "fma" and not self.module.processor.fma:
            return None
        row = template(op, dtype, self.width, self.module.processor.vector_bytes)
        if row is not None and row.name is not None:
            assert row.declaration is not None
            self.module.declare(row.name, row.declaration)
        return row

    # -- small parts -----------------------------------------------------------------------------

    def _ints(self, bits: int) -> str:
        return vector(f"i{bits}", self.width)

    def _int(self, bits: int, value: int) -> str:
        return splat(str(value), f"i{bits}", self.width)

    def _cast(self, text: str, source: str, target: str) -> str:
        return text if source == target else self.line(f"bitcast {source} {text} to {target}")

    def _round(self, text: str, dtype: np.dtype) -> str:
        """A register value as one of the dtype: rounded to nearest even (NaN becomes quiet), or wrapped."""
        if dtype in NARROW_FLOATS:
            code = self._encode(text, dtype)
            value = self.from_memory(code, dtype)
            self._codes[value] = code
            return value
        if dtype in NARROW_INTS:
            return self._wrap(text, dtype)
        if dtype == FLOAT16:
            if not self.module.processor.half:
                return self.call("half_round", [text], (FLOAT32,))
            single, half = self.type(FLOAT32), vector("half", self.width)
            narrow = self.line(f"fptrunc {single} {text} to {half}")
            return self.line(f"fpext {half} {narrow} to {single}")
        assert dtype == BFLOAT16, dtype
        single, ints = self.type(FLOAT32), self._ints(32)
        bits = self._cast(text, single, ints)
        odd = self.line(
            f"and {ints} {self.line(f'lshr {ints} {bits}, {self._int(32, 16)}')}, {self._int(32, 1)}"
        )
        up = self.line(
            f"add {ints} {self.line(f'add {ints} {bits}, {self._int(32, 0x7FFF)}')}, {odd}"
        )
        nan = self.line(f"fcmp uno {single} {text}, {text}")
        quiet = self.line(f"or {ints} {bits}, {self._int(32, 0x400000)}")
        chosen = self.line(f"select {self._ints(1)} {nan}, {ints} {quiet}, {ints} {up}")
        high = self.line(f"and {ints} {chosen}, {self._int(32, -0x10000)}")
        return self._cast(high, ints, single)

    def _encode(self, text: str, dtype: np.dtype) -> str:
        return self.call(f"{dtype.name}_encode", [text], (FLOAT32,))

    def _low_bits(self, text: str, dtype: np.dtype) -> str:
        """The bits of a narrow integer, in a byte whose other bits are zero."""
        return self.line(
            f"and {self._ints(8)} {text}, {self._int(8, (1 << dtypes.bits(dtype)) - 1)}"
        )

    def _wrap(self, text: str, dtype: np.dtype) -> str:
        """The value of a narrow integer's bits, in a byte whose other bits may be anything."""
        if not NARROW_INTS[dtype].signed:
            return self._low_bits(text, dtype)
        ints, rest = self._ints(8), self._int(8, 8 - dtypes.bits(dtype))
        return self.line(f"ashr {ints} {self.line(f'shl {ints} {text}, {rest}')}, {rest}")

    def call(self, name: str, operands: list[str], dtypes: tuple[np.dtype, ...]) -> str:
        """A named function of operands in registers (no 16-bit floats): written out here, or called."""
        module, key = self.module, (name, dtypes, self.width)
        template = module.calls.get(key)
        if template is None:
            definition = functions.definition(name, dtypes)
            spent = module.inlined.get(name, 0)
            limits = module.limits
            room = spent == 0 or spent + definition.size <= limits.inlined
            if room and not definition.rare and module.uses.get(name, 1) <= limits.inlined_uses:
                module.inlined[name] = spent + definition.size
                return self.inline(definition, operands)
            template = module.calls[key] = self._declare_call(Function(*key), definition)
        return self.line(template % tuple(operands))

    def _declare_call(self, function: Function, definition: functions.Definition) -> str:
        """The instruction that calls a function, with `%s` for its operands."""
        result, types = self.type(definition.result.dtype), list(map(self.type, function.dtypes))
        self.module.declare(
            function.symbol, f"declare fastcc {result} @{function.symbol}({', '.join(types)})"
        )
        self.module.wanted.append(function)
        return f"call fastcc {result} @{function.symbol}({', '.join(f'{t} %s' for t in types)})"

    def inline(self, definition: functions.Definition, operands: list[str]) -> str:
        """The body of a function, written out here."""
        inner = Emitter(self.module, self.width, self.lines, self.fresh)
        inner._templates = self._templates
        inner.values.update(zip(definition.parameters, operands, strict=True))
        return inner.value(definition.result)

    # -- rules: operations that take more than one instruction ------------------------------------

    def _rule_call(self, node: Expr, operands: list[str]) -> str:
        assert isinstance(node.attr, str)
        dtypes = tuple([a.dtype for a in node.args])
        if dtypes[0] not in SMALL_FLOATS or functions.FUNCTIONS[node.attr].any_float:
            return self.call(node.attr, operands, dtypes)
        dtypes = tuple([FLOAT32 if d in SMALL_FLOATS else d for d in dtypes])
        result = self.call(node.attr, operands, dtypes)
        return self._round(result, node.dtype) if node.dtype in SMALL_FLOATS else result

    def _rule_fma(self, node: Expr, operands: list[str]) -> str:
        """Without the instruction: see compile/functions/emulated.py."""
        dtype = FLOAT32 if node.dtype in SMALL_FLOATS else node.dtype
        result = self.call("emulated_fma", operands, (dtype,) * 3)
        return self._round(result, node.dtype) if node.dtype in SMALL_FLOATS else result

    def _rule_neg(self, node: Expr, operands: list[str]) -> str:
        zero = self._int(node.dtype.itemsize * 8, 0)
        result = self.line(f"sub {self.type(node.dtype)} {zero}, {operands[0]}")
        return self._wrap(result, node.dtype) if node.dtype in NARROW_INTS else result

    def _rule_abs(self, node: Expr, operands: list[str]) -> str:
        return operands[0]  # unsigned

    def _rule_integral(self, node: Expr, operands: list[str]) -> str:
        return operands[0]  # floor, ceil, trunc, rint of integers

    def _rule_not(self, node: Expr, operands: list[str]) -> str:
        ones = splat("true", "i1", self.width) if family(node.dtype) == "bool" else None
        ones = ones or self._int(node.dtype.itemsize * 8, -1)
        result = self.line(f"xor {self.type(node.dtype)} {operands[0]}, {ones}")
        return self._wrap(result, node.dtype) if node.dtype in NARROW_INTS else result

    def _rule_bits(self, node: Expr, operands: list[str]) -> str:
        """What looks at the bits of a narrow integer: those of its byte above them are zero for it."""
        ints, bits = self._ints(8), dtypes.bits(node.dtype)
        x = self._low_bits(operands[0], node.dtype)
        if node.op == "shr":
            return self._wrap(self.line(f"lshr {ints} {x}, {operands[1]}"), node.dtype)
        row = template(node.op, dtypes.uint8, self.width)
        assert row is not None and row.name is not None and row.declaration is not None
        self.module.declare(row.name, row.declaration)
        count = self.fresh()
        self.lines.append(row.line(count, [x]))
        if node.op == "clz":
            count = self.line(f"sub {ints} {count}, {self._int(8, 8 - bits)}")
        return self._wrap(count, node.dtype)

    def _rule_div(self, node: Expr, operands: list[str]) -> str:
        """Truncating division of integers; on vectors through floats, which divide lanes side by side.

        The quotient of integers below 2^16 (2^32) cannot round up to the next integer in float32
        (float64): it is at least 1/y away from it, relative 2^-32 (2^-64 would be needed for 64 bits).
        """
        dtype, type_ = node.dtype, self.type(node.dtype)
        sign = "s" if family(dtype) == "signed" else "u"
        if self.width == 1 or dtype.itemsize == 8 or node.args[1].op == "const":
            return self.line(f"{sign}div {type_} {operands[0]}, {operands[1]}")
        wide = self.type(FLOAT64 if dtype.itemsize == 4 else FLOAT32)
        x, y = (self.line(f"{sign}itofp {type_} {o} to {wide}") for o in operands)
        return self.line(f"fpto{sign}i {wide} {self.line(f'fdiv {wide} {x}, {y}')} to {type_}")

    def _rule_rem(self, node: Expr, operands: list[str]) -> str:
        dtype, type_ = node.dtype, self.type(node.dtype)
        if family(dtype) == "float":
            wide = FLOAT32 if dtype in SMALL_FLOATS else dtype
            rest = self.call("fmod", operands, (wide, wide))
            return self._round(rest, dtype) if dtype in NARROW_FLOATS else rest  # exact but for -0
        if self.width == 1 or dtype.itemsize == 8 or node.args[1].op == "const":
            sign = "s" if family(dtype) == "signed" else "u"
            return self.line(f"{sign}rem {type_} {operands[0]}, {operands[1]}")
        quotient = self._rule_div(node, operands)
        product = self.line(f"mul {type_} {quotient}, {operands[1]}")
        return self.line(f"sub {type_} {operands[0]}, {product}")

    def _rule_mulhi(self, node: Expr, operands: list[str]) -> str:
        dtype, bits = node.dtype, dtypes.bits(node.dtype)
        if dtype in NARROW_INTS:
            product = self.line(
                f"mul {self._ints(8)} {operands[0]}, {operands[1]}"
            )  # at most 8 bits
            shift = "ashr" if family(dtype) == "signed" else "lshr"
            high = self.line(f"{shift} {self._ints(8)} {product}, {self._int(8, bits)}")
            return self._wrap(high, dtype)
        if bits == 64 and self.width > 1:
            return self.call("mulhi64", operands, (dtype, dtype))
        type_, wide = self.type(dtype), self._ints(2 * bits)
        extend = "sext" if family(dtype) == "signed" else "zext"
        x, y = (self.line(f"{extend} {type_} {o} to {wide}") for o in operands)
        product = self.line(f"mul {wide} {x}, {y}")
        high = self.line(f"lshr {wide} {product}, {self._int(2 * bits, bits)}")
        return self.line(f"trunc {wide} {high} to {type_}")

    def _rule_convert(self, node: Expr, operands: list[str]) -> str:
        (x,), source, target = operands, node.args[0].dtype, node.dtype
        if source == target:
            return x
        a, b, type_ = self.type(source), self.type(target), family(target)
        match family(source):
            case "bool" if type_ == "float":
                one = splat(float_bits(1.0), register_element(target), self.width)
                zero = splat(float_bits(0.0), register_element(target), self.width)
                return self.line(f"select {a} {x}, {b} {one}, {b} {zero}")
            case "bool":
                made = self.line(f"zext {a} {x} to {b}")
                return self._wrap(made, target) if target in NARROW_INTS else made
            case "float" if type_ == "float":
                return self._float_to_float(x, source, target)
            case "float" if type_ == "bool":
                return self.line(
                    f"fcmp une {a} {x}, {splat(float_bits(0.0), register_element(source), self.width)}"
                )
            case "float":
                made = self._float_to_int(x, source, target)
                return self._clamp(made, target) if target in NARROW_INTS else made
            case kind if type_ == "float":
                made = self.line(f"{kind[0]}itofp {a} {x} to {b}")
                return self._round(made, target) if target in SMALL_FLOATS else made
            case _ if type_ == "bool":
                return self.line(f"icmp ne {a} {x}, {self._int(source.itemsize * 8, 0)}")
            case _ if target in NARROW_INTS:
                low = x if source.itemsize == 1 else self.line(f"trunc {a} {x} to {b}")
                return self._wrap(low, target)
            case _ if source.itemsize > target.itemsize:
                return self.line(f"trunc {a} {x} to {b}")
            case kind if source.itemsize < target.itemsize:
                return self.line(f"{'sext' if kind == 'signed' else 'zext'} {a} {x} to {b}")
            case _:
                return x

    def _float_to_int(self, x: str, source: np.dtype, target: np.dtype) -> str:
        if self.width > 1:
            return saturated(self.line, x, source, target, self.width)
        a, b = register_element(source), register_element(target)
        name = f"@llvm.fpto{family(target)[0]}i.sat.{suffix(b, 1)}.{suffix(a, 1)}"
        self.module.declare(name, f"declare {b} {name}({a})")
        return self.line(f"call {b} {name}({a} {x})")

    def _clamp(self, x: str, dtype: np.dtype) -> str:
        """The nearest value of a narrow integer type."""
        info = dtypes.iinfo(dtype)
        wide = dtypes.computed_in(dtype)
        for op, bound in (("min", info.max), ("max", info.min)):
            row = self._template(op, wide)
            assert row is not None and row.name is not None and row.declaration is not None
            self.module.declare(row.name, row.declaration)
            name = self.fresh()
            self.lines.append(row.line(name, [x, self._int(8, int(bound))]))
            x = name
        return x

    def _float_to_float(self, x: str, source: np.dtype, target: np.dtype) -> str:
        if target == FLOAT64:
            return self.line(f"fpext {self.type(source)} {x} to {self.type(target)}")
        if target == FLOAT32:
            return x if source in SMALL_FLOATS else self.line(
                f"fptrunc {self.type(source)} {x} to {self.type(target)}"
            )  # fmt: skip
        if (
            source == FLOAT64
        ):  # through float32 rounded to odd, so that the second rounding is right
            x = self.call("narrow_to_odd", [x], (FLOAT64,))
        return self._round(x, target)

    def _rule_bitcast(self, node: Expr, operands: list[str]) -> str:
        (x,), source, target = operands, node.args[0].dtype, node.dtype
        x = self.to_memory(x, source)
        x = self._cast(x, memory_type(source, self.width), memory_type(target, self.width))
        return self.from_memory(x, target)

    def _rule_iterate(self, node: Expr, operands: list[str]) -> str:
        """A loop until the condition holds in no lane; lanes that are done keep their state."""
        body = node.attr
        assert isinstance(body, Iteration)
        stem, mask = self.fresh()[1:], self._ints(1)
        types = [self.type(e.dtype) for e in body.slots]
        slots, nexts = [self.fresh() for _ in types], [self.fresh() for _ in types]
        self.lines += [f"  br label %{stem}.before", f"{stem}.before:", f"  br label %{stem}.head"]
        self.label(f"{stem}.head")
        for type_, slot, start, next_ in zip(types, slots, operands, nexts, strict=True):
            self.lines.append(
                f"  {slot} = phi {type_} [{start}, %{stem}.before], [{next_}, %{stem}.latch]"
            )
        self.values.update(zip(body.slots, slots, strict=True))
        saved = self.scope()
        going = active = self.value(body.condition)
        if self.width > 1:
            bits = self.line(f"bitcast {mask} {going} to i{self.width}")
            going = self.line(f"icmp ne i{self.width} {bits}, 0")
        self.lines.append(f"  br i1 {going}, label %{stem}.body, label %{stem}.after")
        self.label(f"{stem}.body")
        results = [self.value(e) for e in body.step]
        for type_, slot, result, next_ in zip(types, slots, results, nexts, strict=True):
            self.lines.append(
                f"  {next_} = select {mask} {active}, {type_} {result}, {type_} {slot}"
            )
        self.lines += [f"  br label %{stem}.latch", f"{stem}.latch:", f"  br label %{stem}.head"]
        self.label(f"{stem}.after")
        self.restore(saved)
        self.states[node] = tuple(slots)
        return slots[0]

    def _rule_project(self, node: Expr, operands: list[str]) -> str:
        assert isinstance(node.attr, int)
        return self.states[node.args[0]][node.attr]


# Rules by operation.  An operation that also has a template for some dtypes uses the template there.
_RULES: dict[str, Callable[[Emitter, Expr, list[str]], str]] = {
    "call": Emitter._rule_call, "fma": Emitter._rule_fma, "neg": Emitter._rule_neg,
    "abs": Emitter._rule_abs, "floor": Emitter._rule_integral, "ceil": Emitter._rule_integral,
    "trunc": Emitter._rule_integral, "rint": Emitter._rule_integral, "not": Emitter._rule_not,
    "div": Emitter._rule_div, "rem": Emitter._rule_rem, "mulhi": Emitter._rule_mulhi,
    "shr": Emitter._rule_bits, "clz": Emitter._rule_bits, "popcount": Emitter._rule_bits,
    "convert": Emitter._rule_convert, "bitcast": Emitter._rule_bitcast,
    "iterate": Emitter._rule_iterate, "project": Emitter._rule_project,
}  # fmt: skip
