"""From LLVM text to callable machine code: target detection, passes, object emission, loading.

    target = host()
    data = emit_object(text, target)            # bytes of an ELF (Mach-O, COFF) object, cacheable
    loaded = load(data, {"cv_alloc": address})  # resolves the named outside symbols
    entry = loaded.address("entry")             # valid while `loaded` lives; freed with it

LLVM is imported at first use, not with this module.  Target machines and the linker are made once per
process; a module has its own LLVM context, which goes away with it.
"""

from __future__ import annotations

import functools
import itertools
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from covector._engine import _native
from covector._engine.base.locks import COMPILING, guard


@dataclass(frozen=True, slots=True)
class Target:
    """The facts of a CPU that emission and code generation read."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int = 16
    fma: bool = False  # a fused multiply-add instruction; else it is emulated (slowly, to the last bit but one)
    half: bool = False  # conversions between float16 and float32 in hardware

    @property
    def attributes(self) -> str:
        """LLVM's attributes that every emitted function carries."""
        return f'nounwind "prefer-vector-width"="{self.vector_bytes * 8}"'

    def lanes(self, itemsize: int) -> int:
        """How many elements of `itemsize` bytes one vector register holds."""
        return max(1, self.vector_bytes // itemsize)


class UnsupportedTarget(RuntimeError):
    """The CPU lacks what emitted code takes for granted."""


@functools.cache
def _llvm() -> Any:
    """llvmlite's binding module, with the native target ready."""
    with COMPILING:
        _check_memory(0)
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        guard(llvm.ffi.lib._lock)  # of all its calls, also those that free a module anywhere
        return llvm


def describe(triple: str, cpu: str, features: Mapping[str, bool]) -> Target:
    """The Target of a CPU with these features; raises UnsupportedTarget below the floor.

    The floor on x86 is SSE4.1 (x86-64-v2: rounding to integral values is an instruction).  Without FMA
    the operation `fma` is emulated.  Any AArch64 has all that is needed.
    """
    flat = ",".join(("+" if on else "-") + name for name, on in sorted(features.items()))
    arch = triple.split("-")[0]
    if arch in ("x86_64", "i386", "i686", "AMD64"):
        if not features.get("sse4.1"):
            raise UnsupportedTarget(
                f"Covector's compiled code needs SSE4.1 (x86-64-v2, any x86 CPU since 2008);"
                f" this CPU ({cpu}) does not report it."
            )
        wide = features.get("avx512f") and features.get("avx512dq") and features.get("avx512vl")
        bytes_ = 64 if wide and features.get("avx512bw") else 32 if features.get("avx2") else 16
        return Target(
            triple, cpu, flat, bytes_, bool(features.get("fma")), bool(features.get("f16c"))
        )
    if arch in ("aarch64", "arm64"):
        return Target(triple, cpu, flat, 16, True, True)
    return Target(triple, cpu, flat, 16, False, False)


@functools.cache
def host() -> Target:
    """The Target of this machine."""
    llvm = _llvm()
    try:
        features = dict(llvm.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot ask this platform; AArch64's baseline has what is needed
        features = {"sse4.1": True} if platform.machine() in ("x86_64", "AMD64") else {}
    return describe(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


_names = itertools.count()


@functools.cache
def machine(target: Target) -> Any:
    """LLVM's target machine for `target`."""
    llvm = _llvm()
    made = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small", jit=True
    )
    made.set_asm_verbosity(0)
    return made


@functools.cache
def _linker() -> Any:
    """The one linker of the process."""
    return _llvm().create_lljit_compiler(machine(host()), use_jit_link=True)


# LLVM ends the process when memory runs out.  Measured: 10 MB, and 30 bytes for each byte of text.
_LLVM_BYTES = 48 << 20
_LLVM_BYTES_OF_A_BYTE = 100


def _check_memory(length: int) -> None:
    """Raise MemoryError if LLVM could run out of memory on so long a text or object."""
    needed = _LLVM_BYTES + length * _LLVM_BYTES_OF_A_BYTE
    if not _native.can_map(needed):
        raise MemoryError(
            f"the compiler may need {needed >> 20} MiB, and the process cannot have so much more"
        )


def parse(text: str, verify: bool = False) -> Any:
    """An LLVM module of its own context from text; RuntimeError says where the text is wrong."""
    llvm = _llvm()
    module = llvm.parse_assembly(text, context=llvm.create_context())
    if verify:
        module.verify()
    return module


def optimise(module: Any, target: Target, passes: Iterable[str]) -> None:
    """Run the named passes, in order; the names are those of llvmlite's `add_<name>_pass` methods."""
    llvm = _llvm()
    manager = llvm.create_new_module_pass_manager()
    for name in passes:
        getattr(manager, f"add_{name}_pass")()
    options = llvm.create_pipeline_tuning_options()
    manager.run(module, llvm.create_pass_builder(machine(target), options))


def emit_object(
    text: str, target: Target | None = None, passes: Iterable[str] = (), verify: bool = False
) -> bytes:
    """The object file of a module given as text.

    The default has no passes: emitted IR is straight-line SSA with nothing for them to find, and code
    generation folds, schedules and hoists by itself.
    """
    target = target or host()
    with COMPILING:
        _check_memory(len(text))
        module = parse(text, verify)
        if passes:
            optimise(module, target, passes)
        return machine(target).emit_object(module)


def emit_assembly(
    text: str, target: Target | None = None, passes: Iterable[str] = (), verify: bool = False
) -> str:
    """The assembly text of a module: for people and for tests, never for running."""
    target = target or host()
    with COMPILING:
        module = parse(text, verify)
        if passes:
            optimise(module, target, passes)
        return machine(target).emit_assembly(module)


class Loaded:
    """Machine code in memory; it is freed when this object goes."""

    __slots__ = ("_tracker",)

    def __init__(self, tracker: Any):
        self._tracker = tracker

    def address(self, name: str) -> int:
        """Where an exported function begins."""
        return self._tracker[name]


def load(
    data: bytes, symbols: Mapping[str, int] | None = None, exports: Iterable[str] = ("entry",)
) -> Loaded:
    """An object file linked into this process; `symbols` gives the addresses of what it calls."""
    _check_memory(len(data))
    builder = _llvm().JITLibraryBuilder().add_object_img(data)
    for name, address in (symbols or {}).items():
        builder.import_symbol(name, address)
    for name in exports:
        builder.export_symbol(name)
    with COMPILING:
        return Loaded(builder.link(_linker(), f"covector{next(_names)}"))
