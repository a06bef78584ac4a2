"""From LLVM text to callable machine code: what the processor is, passes, object emission, loading.

    processor = host()
    data = emit_object(text, processor)         # bytes of an ELF (Mach-O, COFF) object, cacheable
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
from typing import Any, Protocol

from covector._engine import _native
from covector._engine.backends.base import Keep
from covector._engine.base.locks import COMPILING, guard_entered
from covector._engine.base.record import record


@record
class Processor:
    """The facts of a CPU that emission and code generation read."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int = 16
    fma: bool = False  # a fused multiply-add instruction; else it is emulated (slowly, to the last bit but one)
    half: bool = False  # conversions between float16 and float32 in hardware

    def pack(self) -> bytes:
        """The facts as bytes."""
        numbers = (self.vector_bytes, self.fma, self.half)
        return "\n".join((self.triple, self.cpu, self.features, *map(str, numbers))).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Processor:
        """The Processor that was packed."""
        triple, cpu, features, size, fma, half = data.decode().split("\n")
        return cls(triple, cpu, features, int(size), fma == "True", half == "True")

    @property
    def attributes(self) -> str:
        """LLVM's attributes that every emitted function carries."""
        return f'nounwind "prefer-vector-width"="{self.vector_bytes * 8}"'


class UnsupportedTarget(RuntimeError):
    """The CPU lacks what emitted code takes for granted."""


# Regions in which the scheduler compares accesses to memory with each other: of 1,000, LLVM's default, 1,000 `at[].set`
# took 500 ms, of 200 they take 180.  No code was found to run slower.
_REGION = "-dag-maps-huge-region=200"
# Scheduling after register allocation takes more than linear time in a long block (three quarters of that of 1,000
# `at[].set`), but elements of tanh(x) * sin(x) take 8 % less with it.  So it is left out of what has so long a block.
_NO_LATE_SCHEDULING = "-disable-post-ra"
_LONG_BLOCK = 1000
# Multiplications of indices become additions in loops, and counters one, which takes a quarter of the time of a small
# module: 1.3 ms of 4.9.  There is nothing to gain in one whose loops all go through their arrays a vector at a time.
_NO_STRENGTH_REDUCTION = "-disable-lsr"
# How indices with strides, loops that count one by one, and loops with a condition are emitted.
_COUNTED = ("mul nsw i64", ".i, 1\n", ".test:\n", ".head:\n")
# LLVM ends the process if it does not know an option, so only versions that do are told.
_TRIED = range(18, 23)


def longest_block(text: str) -> int:
    """The lines of the longest block of a module, about."""
    return max(part.count("\n") for part in text.split(":\n"))


class _Options:
    """What LLVM is told for all modules, and for the one that comes next."""

    def __init__(self) -> None:
        self._told: dict[str, bool] = {}

    def tell(self, llvm: Any, text: str) -> None:
        """Before code is made; under the lock."""
        if llvm.llvm_version_info[0] not in _TRIED:
            return
        if not self._told:
            llvm.set_option("covector", _REGION)
        wanted = {
            _NO_LATE_SCHEDULING: longest_block(text) > _LONG_BLOCK,
            _NO_STRENGTH_REDUCTION: not any(sign in text for sign in _COUNTED),
        }
        for option, on in wanted.items():
            if self._told.get(option) is not on:
                llvm.set_option("covector", f"{option}={str(on).lower()}")
        self._told = wanted


_options = _Options()


@functools.cache
def _llvm() -> Any:
    """llvmlite's binding module, with the native target ready."""
    with COMPILING:
        _check_memory(0)
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        guard_entered(
            llvm.ffi.lib._lock
        )  # of all its calls, also those that free a module anywhere
        return llvm


def describe(triple: str, cpu: str, features: Mapping[str, bool]) -> Processor:
    """The Processor of a CPU with these features; raises UnsupportedTarget below the floor.

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
        return Processor(
            triple, cpu, flat, bytes_, bool(features.get("fma")), bool(features.get("f16c"))
        )
    if arch in ("aarch64", "arm64"):
        return Processor(triple, cpu, flat, 16, True, True)
    return Processor(triple, cpu, flat, 16, False, False)


def host(keep: Keep | None = None) -> Processor:
    """The processor of this machine: as LLVM describes it, or did in another process, if `keep` keeps that."""
    if not _known:
        same = _identity() if keep else None
        data = keep(f"processor\n{same}", lambda: _asked().pack()) if keep and same else None
        _known.append(Processor.unpack(data) if data else _asked())
    return _known[0]


_known: list[Processor] = []


def _asked() -> Processor:
    llvm = _llvm()
    try:
        features = dict(llvm.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot ask this platform; AArch64's baseline has what is needed
        features = {"sse4.1": True} if platform.machine() in ("x86_64", "AMD64") else {}
    return describe(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


_MODEL = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")


def _identity() -> str | None:
    """What the system says of the first processor and its features; None where it says nothing (not x86 Linux)."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = list(itertools.takewhile(str.strip, file))
    except OSError:
        return None
    facts = [line for line in lines if line.split(":")[0].strip() in _MODEL]
    return "".join(facts) if len(facts) == len(_MODEL) else None


_names = itertools.count()


@functools.cache
def machine(processor: Processor, quick: bool = False) -> Any:
    """LLVM's target machine for a processor.

    The quick one is for modules of nothing but `optnone` functions: it leaves out what would find nothing to do there,
    and selects most instructions without building a graph (500 chained sines: 2.4 ms instead of 6.3).
    """
    llvm = _llvm()
    made = llvm.Target.from_triple(processor.triple).create_target_machine(
        cpu=processor.cpu,
        features=processor.features,
        opt=0 if quick else 2,
        reloc="pic",
        codemodel="small",
        jit=True,
    )
    made.set_asm_verbosity(0)
    return made


# How many objects one linker takes.  Of an object that was unloaded LLVM keeps 9 KB until its linker goes, and a linker
# goes with the last of its objects; making one takes 2 ms.
SHARE = 32


class _Linkers:
    """Hands out the linker for the next object; none is kept for longer than it is filled."""

    def __init__(self) -> None:
        self.current: Any = None
        self.room = 0

    def next(self) -> Any:
        """The linker to use; under the lock."""
        if self.room == 0:
            self.current, self.room = _make_linker(), SHARE
        self.room -= 1
        linker = self.current
        if self.room == 0:
            self.current = None
        return linker


def _make_linker() -> Any:
    return _llvm().create_lljit_compiler(machine(host()), use_jit_link=True)


_linkers = _Linkers()
_lasting = functools.cache(_make_linker)  # for what stays as long as the process

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


def optimise(module: Any, processor: Processor, passes: Iterable[str]) -> None:
    """Run the named passes, in order; the names are those of llvmlite's `add_<name>_pass` methods.

    llvmlite keeps 1.2 KB of each pass builder for ever, so this is for what the passes find something in.
    """
    llvm = _llvm()
    manager = llvm.create_new_module_pass_manager()
    for name in passes:
        getattr(manager, f"add_{name}_pass")()
    options = llvm.create_pipeline_tuning_options()
    manager.run(module, llvm.create_pass_builder(machine(processor), options))


def emit_object(
    text: str,
    processor: Processor | None = None,
    passes: Iterable[str] = (),
    verify: bool = False,
    quick: bool = False,
) -> bytes:
    """The object file of a module given as text; `quick`: of one whose functions are all `optnone`.

    The default has no passes: emitted IR is straight-line SSA with nothing for them to find, and code
    generation folds, schedules and hoists by itself.
    """
    processor = processor or host()
    with COMPILING:
        _check_memory(len(text))
        module = parse(text, verify)
        if passes:
            optimise(module, processor, passes)
        _options.tell(_llvm(), text)
        return machine(processor, quick).emit_object(module)


def emit_assembly(
    text: str,
    processor: Processor | None = None,
    passes: Iterable[str] = (),
    verify: bool = False,
    quick: bool = False,
) -> str:
    """The assembly text of a module: for people and for tests, never for running."""
    processor = processor or host()
    with COMPILING:
        module = parse(text, verify)
        if passes:
            optimise(module, processor, passes)
        _options.tell(_llvm(), text)
        return machine(processor, quick).emit_assembly(module)


class MachineCode(Protocol):
    """Machine code in memory; it is freed when this object goes."""

    def address(self, name: str, /) -> int:
        """Where an exported function begins."""
        ...


class LinkedByLlvm:
    """Machine code that LLVM's linker put into memory."""

    __slots__ = ("_linker", "_tracker")

    def __init__(self, tracker: Any, linker: Any):
        self._tracker, self._linker = tracker, linker

    def __del__(self) -> None:
        del self._tracker  # before its linker, which may go with it

    def address(self, name: str) -> int:
        """Where an exported function begins."""
        return self._tracker[name]


def load(
    data: bytes,
    symbols: Mapping[str, int] | None = None,
    exports: Iterable[str] = ("entry",),
    lasting: bool = False,
) -> MachineCode:
    """An object file linked into this process; `symbols` gives the addresses of what it calls.

    `lasting`: it stays as long as the process, so it is not put beside what may go.  Where the runtime's linker knows
    the format, LLVM is not even imported: that takes longer than all of fifty small Programs.
    """
    return _native.link(data, dict(symbols or {})) or load_by_llvm(data, symbols, exports, lasting)


def load_by_llvm(
    data: bytes,
    symbols: Mapping[str, int] | None = None,
    exports: Iterable[str] = ("entry",),
    lasting: bool = False,
) -> LinkedByLlvm:
    """The same, by LLVM's linker."""
    _check_memory(len(data))
    builder = _llvm().JITLibraryBuilder().add_object_img(data)
    for name, address in (symbols or {}).items():
        builder.import_symbol(name, address)
    for name in exports:
        builder.export_symbol(name)
    with COMPILING:
        linker = _lasting() if lasting else _linkers.next()
        return LinkedByLlvm(builder.link(linker, f"covector{next(_names)}"), linker)
