"""The module of a function that Programs share: written for so many lanes, or as a loop over them where it is rare."""

from __future__ import annotations

from covector._engine.backends.cpu.instructions import register_type
from covector._engine.backends.cpu.link import Processor
from covector._engine.backends.cpu.plan import Function
from covector._engine.backends.cpu.scalars import Emitter, ModuleText
from covector._engine.compile import functions


def define(function: Function, processor: Processor) -> ModuleText:
    """The module that defines a function and nothing else."""
    module = ModuleText(processor)
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
