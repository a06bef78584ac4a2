"""How dtypes and scalar operations are spelled in LLVM IR: types, literals, one-instruction templates.

Values in registers: bool is `i1`, integers are themselves, float32 and float64 are themselves, and a
smaller float is a `float` that holds a value of its format (rounded after every operation).  An integer of
less than a byte is an `i8` with a value in its range (wrapped after operations that leave it).  In memory
bool is `i8` and small floats are `i16` or `i8`.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from covector._engine.types import dtypes, narrow

BFLOAT16, FLOAT16, FLOAT32, FLOAT64 = (
    dtypes.bfloat16,
    dtypes.float16,
    dtypes.float32,
    dtypes.float64,
)
SMALL_FLOATS = dtypes.SMALL_FLOATS

Family = Literal["bool", "signed", "unsigned", "float"]
_FAMILIES: dict[str, Family] = {"b": "bool", "i": "signed", "u": "unsigned", "f": "float"}


@functools.cache
def family(dtype: np.dtype) -> Family:
    """The kind of arithmetic a dtype has."""
    found = _FAMILIES.get(dtypes.kind(dtype)) if dtype in dtypes.CODES else None
    if found is None:
        raise TypeError(f"no scalar arithmetic on dtype {dtype}")
    return found


@functools.cache
def register_element(dtype: np.dtype) -> str:
    """The LLVM type of one value in a register."""
    match family(dtype):
        case "bool":
            return "i1"
        case "float":
            return "double" if dtype == FLOAT64 else "float"
        case _:
            return f"i{dtype.itemsize * 8}"


@functools.cache
def memory_element(dtype: np.dtype) -> str:
    """The LLVM type of one element in memory."""
    if dtype in SMALL_FLOATS:
        return f"i{8 * dtype.itemsize}"
    return "i8" if family(dtype) == "bool" else register_element(dtype)


def vector(element: str, width: int) -> str:
    """The type of `width` elements; the element itself for width 1."""
    return element if width == 1 else f"<{width} x {element}>"


@functools.cache
def register_type(dtype: np.dtype, width: int) -> str:
    """The LLVM type of `width` values in registers."""
    return vector(register_element(dtype), width)


@functools.cache
def memory_type(dtype: np.dtype, width: int) -> str:
    """The LLVM type of `width` neighbours in memory."""
    return vector(memory_element(dtype), width)


_SUFFIXES = {"float": "f32", "double": "f64", "half": "f16"}


@functools.cache
def suffix(element: str, width: int) -> str:
    """How an intrinsic's name spells a type: v16f32, f64, v8i32."""
    short = _SUFFIXES.get(element, element)
    return short if width == 1 else f"v{width}{short}"


def float_bits(value: float) -> str:
    """A float literal, exact: LLVM writes float and double alike, as a double's bits."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


@functools.lru_cache(maxsize=65536)
def _literal(kind: str, itemsize: int, bits: bytes, width: int) -> str:
    """A literal from the bytes of a value of a NumPy dtype that is not a small float."""
    if kind == "f":
        text = float_bits(np.frombuffer(bits, f"f{itemsize}")[0].astype(np.float64).item())
        element = "float" if itemsize == 4 else "double"
    elif kind == "b":
        text, element = ("true" if bits != b"\0" else "false"), "i1"
    else:
        text, element = str(int.from_bytes(bits, "little", signed=True)), f"i{itemsize * 8}"
    return text if width == 1 else f"splat ({element} {text})"


def literal(value: np.generic, dtype: np.dtype, width: int) -> str:
    """A constant operand: every lane holds `value`."""
    wide = dtypes.computed_in(dtype)
    if wide != dtype:
        value, dtype = value.astype(wide), wide
    return _literal(dtype.kind, dtype.itemsize, value.tobytes(), width)


def splat(text: str, element: str, width: int) -> str:
    """The operand that has one scalar literal in every lane."""
    return text if width == 1 else f"splat ({element} {text})"


class Template(NamedTuple):
    """One instruction to be: its text, with `%s` for the result and the operands, and the intrinsic it declares.

    Or several instructions: their text has {0} for the result, {1} and so on for the operands.
    """

    text: str
    name: str | None  # of the intrinsic
    declaration: str | None
    rounds: bool  # the result may not be a value of its format: a small float's is rounded, a narrow integer's wrapped
    several: bool = False

    def line(self, result: str, operands: Sequence[str]) -> str:
        """The text, for a result and operands."""
        if self.several:
            return self.text.format(result, *operands)
        return self.text % (result, *operands)


_FLOAT_INSTRUCTIONS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_FLOAT_INTRINSICS = {"fma": "fma", "abs": "fabs", "min": "minimum", "max": "maximum", "sqrt": "sqrt"} | {
    "floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "roundeven", "copysign": "copysign"
}  # fmt: skip
_INTEGER_INSTRUCTIONS = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or"} | {
    "xor": "xor", "shl": "shl", "shr": "lshr", "sar": "ashr"
}  # fmt: skip
_BOOL_INSTRUCTIONS = {"add": "or", "mul": "and", "min": "and", "max": "or"} | {
    "and": "and", "or": "or", "xor": "xor", "ne": "xor"
}  # fmt: skip
_ROUNDING = {"add", "sub", "mul", "div", "fma", "sqrt"}
_SIGNED_RESULTS = {"neg", "copysign", "floor", "ceil", "trunc", "rint"}
_WRAPPING = {"add", "sub", "mul", "shl", "abs"}
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


def _plain(instruction: str, type_: str, rounds: bool = False) -> Template:
    text = f"  %s = {instruction} {type_} %s" + ("" if instruction == "fneg" else ", %s")
    return Template(text, None, None, rounds)


def _intrinsic(
    name: str, element: str, width: int, arity: int, extra: str = "", rounds: bool = False
):
    type_, full = vector(element, width), f"@llvm.{name}.{suffix(element, width)}"
    arguments = ", ".join([f"{type_} %s"] * arity) + (f", {extra}" if extra else "")
    types = ", ".join([type_] * arity) + (f", {extra.split()[0]}" if extra else "")
    return Template(
        f"  %s = call {type_} {full}({arguments})", full, f"declare {type_} {full}({types})", rounds
    )


def _leaves(op: str, dtype: np.dtype) -> bool:
    """Whether an operation that never rounds may give what the format does not have: a negative zero."""
    row = narrow.FLOATS.get(dtype)
    return row is not None and not row.signed_zero and op in _SIGNED_RESULTS


def _range(op: str, element: str, width: int) -> Template:
    """IEEE's minimum and maximum of AVX-512 registers: 3 instructions, where LLVM takes 6 for zeros and NaNs."""
    type_, lanes = vector(element, width), vector("i1", width)
    kind = "ps" if element == "float" else "pd"
    name = f"@llvm.x86.avx512.mask.range.{kind}.512"
    way = 5 if op == "max" else 4  # with the sign of what is chosen; a NaN is passed over
    options = f"i32 {way}, {type_} poison, i{width} -1, i32 4"
    text = f"""\
  {{0}}.range = call {type_} {name}({type_} {{1}}, {type_} {{2}}, {options})
  {{0}}.nan = fcmp uno {type_} {{1}}, {{2}}
  {{0}}.sum = fadd {type_} {{1}}, {{2}}
  {{0}} = select {lanes} {{0}}.nan, {type_} {{0}}.sum, {type_} {{0}}.range"""
    types = f"{type_}, {type_}, i32, {type_}, i{width}, i32"
    return Template(text, name, f"declare {type_} {name}({types})", False, several=True)


@functools.cache
def template(op: str, dtype: np.dtype, width: int, register: int = 16) -> Template | None:
    """The instruction that does `op` on operands of `dtype`; None if it takes more than one.

    `register` is the size in bytes of the longest vectors that the processor has.
    """
    kind, element = family(dtype), register_element(dtype)
    if op in ("min", "max") and kind == "float":
        size = 4 if element == "float" else 8
        if width * size == register == 64:
            return _range(op, element, width)
    type_ = vector(element, width)
    wraps = dtype in narrow.INTS and op in _WRAPPING
    if op == "select":
        return Template(
            f"  %s = select {vector('i1', width)} %s, {type_} %s, {type_} %s", None, None, False
        )
    if op in _COMPARE and not (kind == "bool" and op == "ne"):
        if kind == "float":
            return _plain(f"fcmp {'une' if op == 'ne' else 'o' + op}", type_)
        signed = "" if op in ("eq", "ne") else "s" if kind == "signed" else "u"
        return _plain(f"icmp {signed}{op}", type_)
    match kind:
        case "float" if op == "neg":
            return _plain("fneg", type_, _leaves(op, dtype))
        case "float" if op in _FLOAT_INSTRUCTIONS:
            return _plain(_FLOAT_INSTRUCTIONS[op], type_, dtype in SMALL_FLOATS)
        case "float" if op in _FLOAT_INTRINSICS:
            arity = {"fma": 3, "min": 2, "max": 2, "copysign": 2}.get(op, 1)
            rounds = (dtype in SMALL_FLOATS and op in _ROUNDING) or _leaves(op, dtype)
            return _intrinsic(_FLOAT_INTRINSICS[op], element, width, arity, rounds=rounds)
        case "bool" if op in _BOOL_INSTRUCTIONS:
            return _plain(_BOOL_INSTRUCTIONS[op], type_)
        case "signed" | "unsigned" if op in _INTEGER_INSTRUCTIONS:
            if op == "shr" and kind == "signed" and dtype in narrow.INTS:
                return None
            return _plain(_INTEGER_INSTRUCTIONS[op], type_, wraps)
        case "signed" | "unsigned" if op in ("min", "max"):
            return _intrinsic(("s" if kind == "signed" else "u") + op, element, width, 2)
        case "signed" if op == "abs":
            return _intrinsic("abs", element, width, 1, "i1 false", wraps)
        case "signed" | "unsigned" if op in ("clz", "popcount") and dtype in narrow.INTS:
            return None
        case "signed" | "unsigned" if op == "clz":
            return _intrinsic("ctlz", element, width, 1, "i1 false")
        case "signed" | "unsigned" if op == "popcount":
            return _intrinsic("ctpop", element, width, 1)
        case _:
            return None


def saturated(
    line: Callable[[str], str], x: str, source: np.dtype, target: np.dtype, width: int
) -> str:
    """Emit the integers nearest to floats, towards 0; the least or the largest beyond them, 0 of NaN.

    LLVM writes its own conversion that saturates lane by lane: 1M float32 took 3.9 of PyTorch's time, and take 0.7.
    """
    element, bits, signed = (
        register_element(source),
        target.itemsize * 8,
        family(target) == "signed",
    )
    floats, ints, lanes = (vector(e, width) for e in (element, f"i{bits}", "i1"))
    top = bits - 1 if signed else bits
    low = splat(float_bits(-(2.0**top) if signed else 0.0), element, width)
    high = splat(float_bits(2.0**top), element, width)
    above = line(f"fcmp ogt {floats} {x}, {low}")
    kept = line(f"select {lanes} {above}, {floats} {x}, {floats} {low}")
    over = line(f"fcmp oge {floats} {x}, {high}")
    kept = line(f"select {lanes} {over}, {floats} {low}, {floats} {kept}")
    made = line(f"fpto{'s' if signed else 'u'}i {floats} {kept} to {ints}")
    most = splat(str(2**top - 1), f"i{bits}", width)
    made = line(f"select {lanes} {over}, {ints} {most}, {ints} {made}")
    if not signed:
        return made
    nan = line(f"fcmp uno {floats} {x}, {x}")
    return line(f"select {lanes} {nan}, {ints} zeroinitializer, {ints} {made}")
