"""What a backend is: a target as plain data, a list of passes, and `load`, which makes the last pass's IR run.

A backend takes Kernels or whole Programs; its passes end with what it takes.  Nothing above the backends knows which
one it speaks to (`backends/registry.py` finds them by name), and no pass knows a target but the one in its `Job`.
So passes run for targets that this machine is not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from covector._engine.base.explained import unheard
from covector._engine.base.record import record
from covector._engine.core.routine import ROUTINES
from covector._engine.ir.kernel import Kernel
from covector._engine.ir.program import Program
from covector._engine.types import dtypes

IR = Program | Kernel
Explain = Callable[[str], None]
Source = Callable[[], IR]  # what the passes gave: they run when somebody asks for it
# Looks bytes up by a key that says all that they depend on, or makes them (and keeps them).
Keep = Callable[[str, Callable[[], bytes]], bytes]
# Makes what is equal in other processes for what is compiled to the same code there; None if that is not known.
Key = Callable[[], str | None]


def unknown() -> None:
    """A `Key` of what is compiled anew in each process."""


_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "call": 12.0,
        "div": 4.0,
        "sqrt": 4.0,
        "rem": 8.0,
        "iterate": 200.0,
        "const": 0.0,
        "local": 0.0,
        "load": 0.5,
    }
)

# A multiplication of a product or of a factorization, an element that is transformed, put at its place, sorted.
_STEPS: Mapping[str, float] = MappingProxyType(
    {
        "multiplied": 0.02,
        "eliminated": 0.1,
        "transformed": 3.0,
        "moved": 1.0,
        "exchanged": 2.0,
        "sorted": 20.0,
    }
)


@record
class Costs:
    """What things take, in nanoseconds where it does not say otherwise.  Only ratios to the limits matter."""

    # Of one lane of a vector, at about 3 GHz.
    operation: float = 0.05
    # Operations that take longer than one, or less: how many they count as.
    weights: Mapping[str, float] = _WEIGHTS
    statement: float = 0.5  # of one run of a statement outside loops, or around them
    copied_element: float = 0.05
    turns: int = 3
    steps: Mapping[str, float] = _STEPS  # of routines, by what these do in one
    unknown_step: float = 20.0  # of a routine of a user's
    # How many times longer a point takes at which something is read across its rows.
    across: float = 16.0
    # The same where a tile of it is turned in registers before.
    turned: float = 4.0
    callback: float = 3_000.0  # into Python
    foreign: float = 20_000.0  # of a function of a user's, of which nothing is known: other threads of Python go on
    # A nest that takes less runs on the calling thread; a piece that takes less is not handed to another one.
    parallel: float = 20_000.0
    # A loop that takes more asks whether it has to stop, as those do that may go on for ever.
    long: float = 1e9
    grain: float = 8_000.0

    def weight(self, operation: str) -> float:
        """How many operations a scalar operation counts as."""
        return self.weights.get(operation, 1.0)

    def step(self, routine: str) -> float:
        """What a step of a routine takes."""
        known = ROUTINES.get(routine)
        return self.unknown_step if known is None else self.steps[known.step]


@record
class Limits:
    """Sizes at which the compiler decides otherwise."""

    # Recomputing a value of so many operations an element beats storing and loading it.
    recomputed: float = 3.0
    # The same within one root that reads a value at several places: the cost times the places beyond the first, where
    # one at which the same element is read again in other runs, as it is broadcast, counts as often.
    # One roll of `x + 1` is computed twice; of an unrolled stencil each step is stored, and so is exp(row) in
    # `matrix + exp(row)`: with 1,000 rows of 1,000 that took 330 us, and takes 97.
    repeated: float = 6.0
    # The most operations, each place counted, that are computed inside one root, and in one nest.  LLVM takes
    # more than linear time for a long body.
    longest: int = 1000
    # What an element at a place that comes from data weighs: everything that asks about the place looks at all of it.
    from_data: int = 25
    # And what a choice between operands by the place weighs, as in a concatenation: a nest is cut where it changes, and
    # each piece goes through all choices.  500 concatenations, one on the other, took 26 s, and take 1.3.
    by_place: int = 15
    # The most roots of a nest: each may be another stream to memory.
    many_roots: int = 64
    # Pieces of a space may be eight times as much code as the whole, and so much more in nodes.
    cut: int = 2000
    # A product of fewer multiplications is computed by loops of ours, inside the Program's function.
    small_product: int = 32 * 32 * 32
    # Steps from which a call of a routine runs on all threads itself: calls of less work run side by side.
    on_all_threads: int = 4_000_000
    # Below this number of elements nothing runs in parallel, so a fold may swallow its producer's loop.
    serial_elements: int = 32_768
    # A fold to so many results has enough of them to run in parallel over those.
    many_results: int = 64
    # A large fold to fewer results than the first is cut into the second, whatever the number of threads: what comes
    # out must not depend on it.
    few_results: int = 16
    fold_pieces: int = 64
    # Folds over columns of arrays of so many elements read them row by row, in pieces of so many rows at least.
    streamed: int = 131_072
    stream_pieces: int = 16
    stream_rows: int = 64
    # The largest row kept in a private buffer between passes, in elements.
    private_row: int = 16_384
    # A loop's body is written out element by element if no array of it has more than the first, nor all the second.
    tiny_array: int = 64
    tiny_body: int = 4_096
    # Elements of a vector loop that one unit of parallel work covers, at most, and at least: whole lines of the cache.
    parallel_block: int = 4_096
    least_block: int = 64
    # Operations in a body above which fewer copies of it are emitted, or a masked loop alone.
    body: int = 60
    # The same in the body of a loop with a condition that has lanes, above which one vector of them runs by itself: it
    # waits for little, and loops that end early wait for more others.  Beta variates took 4.2 ms, and 6.9 by two.
    long_body: int = 512
    # A side of a branch of so many operations runs without asking whether a lane goes there.
    both_sides: int = 12
    # Operations of loops after which they ask whether they have to stop; to ask takes as long as a few of them.
    asked: int = 4_096
    # The same that go by without asking where a turn is short: it is written several times, no more often than
    # `Loops.turns` says.
    unasked: int = 120
    # Operations that a call of a named function counts as in the size of a body.
    call: int = 12
    # Loops in a Kernel that had better look for equal ones.
    many_loops: int = 6
    # How many equations a function of the index alone, such as a shifted iota, may take to be looked through.
    looked_through: int = 12
    # An index of more factors, from reshapes of reshapes that do not fit, costs more than loading a value.
    long_index: int = 24
    # The longest turn that `scan(unroll=)` makes, in equations, or in elements if they are written out: what is
    # longer only takes longer to compile.
    turn: int = 4096
    # Donated arguments that are tried for a result that could take over several: each is a look at all accesses.
    donors: int = 4
    # How much of one function is written out at its call sites before the rest of the sites call it, in nodes.
    # Four sites of a sine; longer functions are written out once.
    inlined: int = 160
    # A function that occurs more often is called everywhere: where most sites call it, the few copies make
    # compilation slower (500 chained sines: by 10 ms of 52) and hardly the code faster.
    inlined_uses: int = 8
    # Calls of a function on so many numbers are one on lanes.
    packed: int = 4
    # A body with more calls is compiled quickly (LLVM's `optnone`).  No vector register survives a call, so there is
    # little for a register allocator to gain, and it takes 60 % of the time (500 sines: 10 ms or 4).
    # It is less than `many_roots`, so that a nest of sines that are all kept is such a body: 1,000 of a `custom_vjp`
    # under `vmap(grad)` took LLVM 380 ms, 230 with pointers made where they are
    # handed over, and 40 where all functions of the module are such.
    quick_calls: int = 48
    # Loops of one nest that become one function: a nest of pieces may have a thousand.
    loops_together: int = 16
    # Loops in the body of a loop that become functions: 40 of them, over 256 elements, took 10 % longer with the calls.
    many_inner_loops: int = 64
    # Equations of a Program, all inside counted, from which on what occurs often, or is deep, is a function of its own;
    # of so many equations, or levels, at least.  The gradient of 25 loops inside each other took 3.2 s and takes 1.4.
    written_out: int = 1024
    called: int = 24
    called_depth: int = 6
    # Statements that run once: from so many on they are compiled quickly.  1,000 `at[].set` took 220 ms, and take 20.
    many_statements: int = 256
    # Lines of a block that calls functions for its loops, about: for one of 8,000 LLVM took 3.1 s, and takes 0.2 with
    # one after the other.
    block: int = 256


@record
class Caches:
    """The memories between a core and the main one, in bytes."""

    line: int = 64
    first: int = 32 * 1024
    second: int = 1024 * 1024


@record
class Loops:
    """How loops run best."""

    # The side of a tile where rows are read across: 32 lines of the cache, and 4 KB of float32.
    tile: int = 32
    # The same of a tile that is turned in registers before it is read: `a + a.T` of 2048 x 2048 took 8.4 ms with
    # lanes that gather, 3.2 with tiles of 32, and takes 2.0 (by 128 a tenth less, but two fill the first cache).
    turned_tile: int = 64
    # Copies of the body of a fold side by side, whose sums do not wait for each other.
    unroll: int = 4
    # Rows of a product that are computed at once.
    rows: int = 4
    # Vectors of loops with conditions that run at once, if the body is not long.
    side_by_side: int = 4
    # A loop of fewer runs than the first gets no lanes; one of fewer than the second only if nothing else does.
    least_lanes: int = 3
    short: int = 16
    # Rows of no more than the first are too short for lanes: arrays that a loop keeps are turned if they have twice as
    # many, and all nests together take so many times longer as they lie.
    few: int = 4
    turned: int = 2
    # Elements up to this far apart are picked from whole vectors.  Gathered, the steps of an unrolled butterfly of
    # 4096 elements took 3 us each instead of 0.3.
    near: int = 4
    # Rows of no more elements than this are folded across, one a lane, and turned in registers: sums of 100,000 rows
    # of 10 took 1.8 of PyTorch's time, `argmax` 5 of jax's.
    longest_row: int = 32
    # Elements beyond an array at which a vector may lie of which no lane is read: in memory that is not there each
    # takes 200 ns (the sum of a stencil by rolls, of 64 x 64 elements, took 45 us and takes 2), and asking first 0.2.
    beside: int = 64
    # Runs of a short innermost loop that are written out: the gradient of 8 bodies, of which sums have three terms,
    # took 335 us, and takes 270.
    written_out: int = 4
    # Times that the turn of a short loop with a condition is written out.
    turns: int = 3
    # With loops with lanes inside, each one vector or copies of it, they may be so many times longer: 5 % of 8 bodies.
    written_lanes: int = 3
    # Several short rows share a vector if that takes less than so much of the time, counted in operations.
    filled: float = 0.85
    # Operations that a processor does while a sum waits for the term before.
    waiting: float = 8.0
    # Vectors that hold an array which may lie in registers.
    registers: int = 8
    # The shortest rows that are read and written one by one for such a vector.
    least_row: int = 4


@record
class Target:
    """The facts of a device that compile decisions read: plain data, also of devices that are not here."""

    name: str
    vector_bits: int  # of the registers that lanes lie in
    threads: int = 1
    most_lanes: int = 64  # a vector of bytes is no wider: 1,000 steps on 16,384 took 170 us with half as many, now 87
    caches: Caches = Caches()
    costs: Costs = Costs()
    limits: Limits = Limits()
    loops: Loops = Loops()

    def lanes(self, dtype: np.dtype) -> int:
        """How many elements of a dtype lie side by side in one vector; small floats are computed in 32 bits."""
        size = 4 if dtype.itemsize == 2 else dtypes.computed_in(dtype).itemsize
        return max(1, min(self.vector_bits // (8 * size), self.most_lanes))


@record
class Job:
    """What a compilation is asked for beside the Program."""

    target: Target
    donated: tuple[int, ...] = ()
    fuse: bool = True  # compute producers inside their consumers
    explain: Callable[[str], Explain] = lambda topic: unheard


@record
class Pass:
    """A named step.  `optional`: results are the same without it."""

    name: str
    run: Callable[[Any, Job], IR]
    optional: bool = False


class Loaded(ABC):
    """IR that can run, on Arrays: what `Backend.load` returns."""

    native: Any = (
        None  # the native core's Executable, which is called without Python; None: there is none
    )
    cost_ns: float = 0.0  # an estimate
    code_bytes: int = 0  # of machine code, with its tables

    @abstractmethod
    def __call__(self, operands: Sequence[Any], donate: Sequence[int]) -> list[Any]:
        """The results on Arrays, constants last; those donated are deleted."""

    def elementwise(self) -> tuple[int, Any] | None:
        """For native ufuncs, which bring no scratch memory: a function's address and what keeps it alive.

        None if there is none that can be called so.
        """
        return None

    def texts(self) -> Mapping[str, Callable[[], str]]:
        """What can be read of it, by name, beside the IR."""
        return {}


class Backend(ABC):
    """One kind of device: how to compile for it, and how to run what was compiled."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def passes(self) -> tuple[Pass, ...]:
        """What makes of a Program what this backend takes."""

    @abstractmethod
    def target(self, vector_bits: int = 0, keep: Keep | None = None) -> Target:
        """What Programs are compiled for here; `vector_bits` asks for other lanes than the machine's best.

        `keep` may have what was found out about the machine in another process.
        """

    def device_count(self) -> int:
        """How many such devices there are."""
        return 1

    @abstractmethod
    def load(
        self, source: Source, program: Program, job: Job, keep: Keep, key: Key = unknown
    ) -> Loaded:
        """What the passes give, ready to run; `program` says the types of operands and results."""
