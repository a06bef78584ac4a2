"""The stages of a jitted function after its trace: ready to compile, and compiled.  Both can be looked at."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from covector._engine import _native
from covector._engine.api.arguments import flatten
from covector._engine.api.options import compiler_flags
from covector._engine.api.references import Touched, lent, run
from covector._engine.base import errors, tree
from covector._engine.base.config import config
from covector._engine.base.locks import import_late
from covector._engine.base.public import bounded
from covector._engine.base.record import record
from covector._engine.core.refs import Cell
from covector._engine.core.trace import Tracer
from covector._engine.ir.program import Program, Var, atoms_read
from covector._engine.runtime.batched import level_entry
from covector._engine.runtime.device import devices
from covector._engine.runtime.eager import as_array, as_function, aval_of
from covector._engine.runtime.late import compile_program
from covector._engine.runtime.linearized import fitted
from covector._engine.transforms.widen import with_numbers
from covector._engine.types.avals import ShapedArray, ShapeDtypeStruct
from covector._engine.types.nothing import leaf_paths

if TYPE_CHECKING:
    from covector._engine.runtime.executable import MemoryStats


def _placement() -> Any:
    """Where arrays are and how they lie, which few programs ask."""
    return import_late("covector._engine.runtime.placement")


@record
class ArgInfo:
    """What is known of an argument: its type, and whether the caller gives its memory away."""

    aval: ShapedArray
    donated: bool

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape."""
        return self.aval.shape

    @property
    def dtype(self) -> Any:
        """The dtype."""
        return self.aval.dtype


@bounded
class Traced:
    """A function traced for one signature: its Program, and what comes of it."""

    def __init__(
        self,
        name: str,
        program: Program,
        trees: tuple[tree.TreeDef, tree.TreeDef],
        donated: tuple[bool, ...],
        options: Mapping[str, Any],
        touched: Touched,
        numbers: tuple[bool, ...],
        committed: bool = False,
    ):
        self.fun_name, self.program, self.touched = name, program, touched
        self.numbers, self.committed = numbers, committed
        self.in_types = program.in_avals[: len(program.inputs) - len(touched.captured)]
        self.out_types = program.out_avals[: trees[1].num_leaves]
        self.in_tree, self.out_tree = trees
        self.donated = donated
        self.taken = self._usable() if any(donated) else ()
        self.closed = program.close()
        self._options = options
        self._compiled_program: Program | None = None
        self._executables: dict[Any, Any] = {}

    def _usable(self) -> tuple[int, ...]:
        """The donated leaves whose memory results can take over, or that nothing reads; a warning names the others."""
        left = Counter([(a.size, a.dtype) for a in self.out_types])
        read = atoms_read(self.program)
        taken, useless = list[int](), list[str]()
        for i, (v, aval) in enumerate(zip(self.program.inputs, self.in_types, strict=False)):
            kind = aval.size, aval.dtype
            if not self.donated[i]:
                continue
            if v not in read or left[kind] > 0:
                left[kind] -= v in read
                taken.append(i)
            else:
                useless.append(f"{self.path_of(i)}, {aval.text()}")
        if useless:
            warnings.warn(errors.useless_donations(self.fun_name, useless), stacklevel=2)
        return tuple(taken)

    @property
    def jaxpr(self) -> Any:
        """The Program, as JAX's users read it: a `ClosedJaxpr`."""
        return import_late("covector._engine.api.jaxprs").ClosedJaxpr.of(self.program)

    @property
    def args_info(self) -> Any:
        """What is known of each argument, in the structure of (args, kwargs)."""
        donated = self.donated or (False,) * len(self.in_types)
        infos = [ArgInfo(a, d) for a, d in zip(self.in_types, donated, strict=True)]
        return tree.unflatten(self.in_tree, infos)

    def path_of(self, leaf: int) -> str:
        """For messages: how a leaf of the arguments is reached."""
        args, kwargs = tree.unflatten(self.in_tree, range(len(self.in_types)))
        path = (leaf_paths({"args": args, "kwargs": kwargs}))[leaf]
        first, rest = path.split("]", 1)
        return first[2:-1] + rest

    @property
    def in_avals(self) -> Any:
        """The types of the arguments, in the structure of (args, kwargs)."""
        return tree.unflatten(self.in_tree, self.in_types)

    @property
    def out_avals(self) -> Any:
        """The types of the results, in the function's structure."""
        return tree.unflatten(self.out_tree, self.out_types)

    @property
    def donate_argnums(self) -> tuple[int, ...]:
        """The positions of donated leaves."""
        return tuple([i for i, d in enumerate(self.donated) if d])

    @property
    def out_info(self) -> Any:
        """The results' shapes and dtypes, in the function's structure."""
        return tree.unflatten(
            self.out_tree,
            [ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in self.out_types],
        )

    @property
    def compiled_program(self) -> Program:
        """What is compiled: the Program in which the numbers among the arguments keep all their bits."""
        if self._compiled_program is None:
            self._compiled_program = with_numbers(self.program, self.numbers)
        return self._compiled_program

    def executable(
        self, donated: tuple[int, ...], options: Mapping[str, Any] = MappingProxyType({})
    ) -> Any:
        """The compiled Program; constants are operands that it supplies itself."""
        if not self._options and not options:
            return self._compiled(donated)
        with config.override(**{**self._options, **options}):
            return self._compiled(donated)

    def _compiled(self, donated: tuple[int, ...]) -> Any:
        key = donated, config.code_key()
        found = self._executables.get(key)
        if found is None:
            found = self._executables[key] = compile_program(self.compiled_program, donated)
            if config.log_compiles:
                types = ", ".join([a.text() for a in self.in_types])
                took = found.seconds * 1e3
                errors.log("compiled %s for (%s) in %.1f ms", self.fun_name, types, took)
        return found

    def run(self, leaves: Sequence[Any], donated: Sequence[int]) -> Any:
        """The function's result on values, outside of any trace; references may be among them."""
        lending = lent(self.program, self.touched, leaves)
        executable = self.executable(lending)
        leaves = self.fitted(leaves)
        return self.placed(run(executable, self.touched, leaves, lending, donated))

    def placed(self, outs: Sequence[Any]) -> Sequence[Any]:
        """The results, committed if a place was asked for."""
        return tree.map(_native.commit, outs) if self.committed else outs

    def fitted(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves of the arguments as what is compiled takes them: numbers are Arrays."""
        avals = self.compiled_program.in_avals
        return [
            x if isinstance(x, Cell) else fitted(x, a) for x, a in zip(leaves, avals, strict=False)
        ]

    def lower(self, *, lowering_platforms: Sequence[str] | None = None) -> Lowered:
        """The next stage; ValueError for a platform that is none of the devices'."""
        for platform in lowering_platforms or ():
            devices(platform)
        return Lowered(self)

    def entry(self, refs: Sequence[int] = ()) -> Any:
        """What the native side keeps: executable, which leaves it takes, the recipe of the result.

        `refs` are the leaves that are references.  Of those that are written the memory is taken.
        """
        program = self.compiled_program
        positions = {v: i for i, v in enumerate(program.inputs)}
        cells, written = self.touched.cells(refs, len(self.in_types))
        taken = [cells[i] for i in written]
        donated = (*self.taken, *taken)
        executable = self.executable(donated)
        if executable.native is None:
            return None
        specs = []
        for n, a in enumerate(program.outputs):
            forwarded = isinstance(a, Var) and a in positions and positions[a] not in donated
            forwarded = forwarded and not self.committed  # it is another array then
            specs.append(("input", positions[a]) if forwarded else ("leaf", n))  # type: ignore[index]
        results = len(self.out_types)
        out_spec = tree.recipe(self.out_tree, specs[:results])
        constants = [as_array(c) for c in program.constants]
        kept = list(range(len(positions)))
        if not self.touched:
            given = executable.native, kept, constants, out_spec, list(donated)
            return _native.Entry(*given, committed=self.committed)
        captured = tuple([u.cell for u in self.touched.captured])
        spec = "tuple", [out_spec, *specs[results:]]
        given = executable.native, kept, constants, spec, list(donated)
        return _native.Entry(*given, captured=captured, written=written, committed=self.committed)

    def level_entry(self, leaves: Sequence[Any]) -> Any:
        """The same for leaves of which some are values of the innermost level; None: by the Python twin."""
        specs = [("leaf", n) for n in range(len(self.out_types))]
        spec = tree.recipe(self.out_tree, specs)
        return level_entry(
            self.closed, leaves, self.program.constants, spec, as_function, self.committed
        )


class Stage:
    """What all stages know of a function: names and meanings as in `jax.stages`."""

    _traced: Traced

    @property
    def in_tree(self) -> tree.TreeDef:
        """The structure of (args, kwargs)."""
        return self._traced.in_tree

    @property
    def out_tree(self) -> tree.TreeDef:
        """The structure of the result."""
        return self._traced.out_tree

    @property
    def in_avals(self) -> Any:
        """The types of the arguments, in the structure of (args, kwargs)."""
        return self._traced.in_avals

    @property
    def out_avals(self) -> Any:
        """The types of the results, in the function's structure."""
        return self._traced.out_avals

    @property
    def args_info(self) -> Any:
        """What is known of each argument, in the structure of (args, kwargs)."""
        return self._traced.args_info

    @property
    def out_info(self) -> Any:
        """The results' shapes and dtypes, in the function's structure."""
        return self._traced.out_info

    @property
    def donate_argnums(self) -> tuple[int, ...]:
        """The positions of donated leaves."""
        return self._traced.donate_argnums


@bounded
class Lowered(Stage):
    """A traced function ready to compile."""

    def __init__(self, traced: Traced):
        self._traced = traced

    def as_text(self, dialect: str | None = None, *, debug_info: bool = False) -> str:
        """The Program as text; there is no other dialect.  It tells the user's lines, so `debug_info` adds none."""
        return str(self.compiler_ir(dialect))

    def compiler_ir(self, dialect: str | None = None) -> Program:
        """The Program; ValueError for another dialect than "program"."""
        if dialect not in (None, "program"):
            raise ValueError(
                f"there is no dialect {dialect!r}{errors.at_user_line()}; what is lowered is a Program, which "
                "`as_text()` tells; `compile().as_text()` takes the names of the stages after it: kernels, llvm, asm"
            )
        return self._traced.program

    def cost_analysis(self) -> dict[str, float]:
        """Estimates of the compiled function: operations, bytes accessed, nanoseconds."""
        return self.compile().cost_analysis()

    def compile(self, compiler_options: Mapping[str, Any] | None = None) -> Compiled:
        """The next stage; the options are those of `jit`, beside those that the function has."""
        traced = self._traced
        options = compiler_flags("compile", compiler_options)
        return Compiled(traced, traced.executable(traced.taken, options))


@bounded
class Compiled(Stage):
    """A compiled function: call it with arguments of the signature it was compiled for."""

    def __init__(self, traced: Traced, executable: Any):
        self._traced, self._executable = traced, executable

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run it; TypeError if the arguments are not those that it was compiled for."""
        leaves, treedef = flatten((args, kwargs))
        if treedef != self.in_tree:
            raise TypeError(
                f"{self._traced.fun_name} is compiled for arguments of the structure {self.in_tree}, called with "
                f"{treedef}{errors.at_user_line()}"
            )
        if any(isinstance(x, Tracer) for x in leaves):
            raise TypeError(
                f"the compiled {self._traced.fun_name} was called under a transformation{errors.at_user_line()}: it is "
                "machine code, which has no derivative and cannot be part of another function; call the jitted function"
            )
        touched = self._traced.touched
        touched.check("a compiled function", leaves)
        leaves = self._traced.fitted(leaves)
        taken = self._traced.compiled_program.in_avals
        for i, (x, aval) in enumerate(zip(leaves, taken, strict=False)):
            got = x._inner if isinstance(x, Cell) else aval_of(x)
            fits = len(got.shape) == len(aval.shape) and all(
                not isinstance(d, int) or d == n for d, n in zip(aval.shape, got.shape, strict=True)
            )
            if got.dtype != aval.dtype or not fits:
                raise TypeError(
                    f"{self._traced.fun_name} is compiled for {aval.text()} as {self._traced.path_of(i)}, called with "
                    f"{got.text()}{errors.at_user_line()}; convert it, or lower the function for such arguments"
                )
        outs = run(self._executable, touched, leaves, (), self._traced.taken)
        return tree.unflatten(self.out_tree, self._traced.placed(outs))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def as_text(self, stage: str | None = None) -> str:
        """One of the stages as text: program, kernels, llvm, asm; without a name, what the backend was given."""
        return self._executable.as_text(stage)

    def runtime_executable(self) -> Any:
        """What the backend runs."""
        return self._executable

    def cost_analysis(self) -> dict[str, float]:
        """Estimates: operations, bytes accessed, nanoseconds."""
        return self._executable.cost_analysis()

    def memory_analysis(self) -> MemoryStats:
        """Bytes of arguments, results, scratch memory, and of results that reuse donated arguments."""
        return self._executable.memory_analysis()

    @property
    def input_shardings(self) -> Any:
        """Where the arguments are, in the structure of (args, kwargs)."""
        return tree.map(_placement().sharding_of, self.in_avals)

    @property
    def output_shardings(self) -> Any:
        """Where the results are, in the function's structure."""
        return tree.map(_placement().sharding_of, self.out_avals)

    @property
    def input_formats(self) -> Any:
        """How the arguments lie in memory, in the structure of (args, kwargs): by rows."""
        return tree.map(_placement().format_of, self.in_avals)

    @property
    def output_formats(self) -> Any:
        """How the results lie in memory, in the function's structure: by rows."""
        return tree.map(_placement().format_of, self.out_avals)
