"""The native core: arrays, memory, threads, the execution queue, jit and eager calls."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, SupportsIndex, TypeVar, final

import numpy as np
from numpy.typing import NDArray

R = TypeVar("R")

class _SupportsDLPack(Protocol):
    def __dlpack__(self) -> object: ...

_Axes = int | Sequence[int] | None

class _AtIndex(Protocol):
    """One place in an array, to be read or updated: every method returns a new array."""

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Array: ...
    def set(self, values: Any, /, **options: Any) -> Array: ...
    def add(self, values: Any, /, **options: Any) -> Array: ...
    def subtract(self, values: Any, /, **options: Any) -> Array: ...
    def multiply(self, values: Any, /, **options: Any) -> Array: ...
    def mul(self, values: Any, /, **options: Any) -> Array: ...
    def divide(self, values: Any, /, **options: Any) -> Array: ...
    def power(self, values: Any, /, **options: Any) -> Array: ...
    def min(self, values: Any, /, **options: Any) -> Array: ...
    def max(self, values: Any, /, **options: Any) -> Array: ...
    def apply(self, func: Callable[[Array], Any], /, **options: Any) -> Array: ...

class _At(Protocol):
    """What `x.at` is: indexed, it gives the place."""

    def __getitem__(self, index: Any, /) -> _AtIndex: ...

@final
class ArrayType(type):
    """The class of Array, for which isinstance holds for instances of registered classes too."""

    def register(cls, subclass: type) -> type:
        """Let the instances of a class count as arrays; returns the class."""

class Array(metaclass=ArrayType):
    """An immutable multidimensional array; its value may still be being computed.

    Reading waits for the value without the GIL, and raises what went wrong while it was computed.
    The Python side attaches the NumPy methods, and sets the functions behind the operators.
    """

    __array_priority__: Final = 100

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
    @property
    def weak_type(self) -> bool:
        """Whether the type came from a Python number, and gives way in promotion."""
    @property
    def ndim(self) -> int:
        """The number of axes."""
    @property
    def size(self) -> int:
        """The number of elements."""
    @property
    def nbytes(self) -> int:
        """The bytes that the elements take."""
    @property
    def itemsize(self) -> int:
        """The bytes that one element takes."""
    def is_ready(self) -> bool:
        """Whether the value is computed."""
    def block_until_ready(self) -> Array:
        """Wait until the value is computed, and return the array."""
    def is_deleted(self) -> bool:
        """Whether the memory was given up, by `delete` or by donation."""
    def delete(self) -> None:
        """Give the memory up; the array cannot be read again."""
    def item(self, *index: int) -> Any:
        """The only element, or the one at an index, as a Python number."""
    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
    def byteswap(self) -> Array:
        """Elements with their bytes in the other order."""
    def tobytes(self) -> bytes:
        """The elements in row-major order."""
    def unsafe_buffer_pointer(self) -> int:
        """The address of the first element."""
    # What `covector/numpy/methods.py` attaches, with the arguments of the functions of the same names.
    @property
    def T(self) -> Array:
        """The axes in the opposite order."""
    @property
    def mT(self) -> Array:
        """The last two axes exchanged."""
    @property
    def flat(self) -> Array:
        """The elements on one axis."""
    @property
    def real(self) -> Array:
        """The real part."""
    @property
    def imag(self) -> Array:
        """The imaginary part."""
    @property
    def at(self) -> _At:
        """Updates at an index: x.at[index].set(values) returns the changed array."""
    @property
    def device(self) -> Any:
        """Where the array lives."""
    @property
    def aval(self) -> Any:
        """What is known before the array is computed: shape, dtype, weak type."""
    @property
    def sharding(self) -> Any:
        """Which part of the array each device has."""
    @property
    def addressable_shards(self) -> list[Any]:
        """The parts of the array that are in this process."""
    @property
    def global_shards(self) -> list[Any]:
        """All parts of the array."""
    @property
    def format(self) -> Any:
        """The order of its axes in memory, and its sharding."""
    @property
    def committed(self) -> bool:
        """Whether its device was asked for, by `device_put`, or that of what it was made from."""
    @property
    def is_fully_addressable(self) -> bool:
        """Whether all parts are in this process."""
    @property
    def is_fully_replicated(self) -> bool:
        """Whether each device has all of the array."""
    def devices(self) -> set[Any]: ...
    def addressable_data(self, index: int) -> Array: ...
    def on_device_size_in_bytes(self) -> int: ...
    def copy_to_host_async(self) -> None: ...
    def all(
        self, axis: _Axes = None, out: None = None, keepdims: bool = False, *, where: Any = None
    ) -> Array: ...
    def any(
        self, axis: _Axes = None, out: None = None, keepdims: bool = False, *, where: Any = None
    ) -> Array: ...
    def argmax(
        self, axis: int | None = None, out: None = None, keepdims: bool | None = None
    ) -> Array: ...
    def argmin(
        self, axis: int | None = None, out: None = None, keepdims: bool | None = None
    ) -> Array: ...
    def argpartition(self, kth: int, axis: int = -1) -> Array:
        """The places that put the kth smallest where it belongs, smaller ones in front."""
    def argsort(
        self,
        axis: int | None = -1,
        *,
        kind: None = None,
        order: None = None,
        stable: bool = True,
        descending: bool = False,
    ) -> Array: ...
    def astype(self, dtype: Any, copy: bool = False, device: Any = None) -> Array: ...
    def choose(self, choices: Any, out: None = None, mode: str = "raise") -> Array:
        """For each element the element of the array that it numbers."""
    def clip(self, min: Any = None, max: Any = None) -> Array: ...
    def clone(self) -> Array:
        """A copy."""
    def compress(
        self,
        condition: Any,
        axis: int | None = None,
        *,
        out: None = None,
        size: int | None = None,
        fill_value: Any = 0,
    ) -> Array:
        """The elements, or slices along an axis, where the condition is true."""
    def conj(self) -> Array: ...
    def conjugate(self) -> Array: ...
    def copy(self, order: str | None = None) -> Array: ...
    def cumprod(self, axis: int | None = None, dtype: Any = None, out: None = None) -> Array: ...
    def cumsum(self, axis: int | None = None, dtype: Any = None, out: None = None) -> Array: ...
    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array: ...
    def dot(
        self,
        b: Any,
        *,
        precision: Any = None,
        preferred_element_type: Any = None,
        out_sharding: Any = None,
    ) -> Array: ...
    def flatten(self, order: str = "C") -> Array: ...
    def max(
        self,
        axis: _Axes = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Array: ...
    def mean(
        self,
        axis: _Axes = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        *,
        where: Any = None,
    ) -> Array: ...
    def min(
        self,
        axis: _Axes = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Array: ...
    def nonzero(self, *, size: int | None = None, fill_value: Any = None) -> tuple[Array, ...]: ...
    def platform(self) -> str:
        """The kind of the device that has it."""
    def prod(
        self,
        axis: _Axes = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
        promote_integers: bool = True,
    ) -> Array: ...
    def ptp(self, axis: _Axes = None, out: None = None, keepdims: bool = False) -> Array: ...
    def ravel(self, order: str = "C") -> Array: ...
    def repeat(
        self, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None
    ) -> Array: ...
    def reshape(self, *args: Any, order: str = "C", **kwargs: Any) -> Array: ...
    def round(self, decimals: int = 0, out: None = None) -> Array: ...
    def searchsorted(
        self, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan"
    ) -> Array: ...
    def sort(
        self,
        axis: int | None = -1,
        *,
        kind: None = None,
        order: None = None,
        stable: bool = True,
        descending: bool = False,
    ) -> Array: ...
    def squeeze(self, axis: int | Sequence[int] | None = None) -> Array: ...
    def std(
        self,
        axis: _Axes = None,
        dtype: Any = None,
        out: None = None,
        ddof: int = 0,
        keepdims: bool = False,
        *,
        where: Any = None,
        correction: Any = None,
    ) -> Array: ...
    def sum(
        self,
        axis: _Axes = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
        promote_integers: bool = True,
    ) -> Array: ...
    def swapaxes(self, axis1: int, axis2: int) -> Array: ...
    def take(
        self,
        indices: Any,
        axis: int | None = None,
        out: None = None,
        mode: str | None = None,
        unique_indices: bool = False,
        indices_are_sorted: bool = False,
        fill_value: Any = None,
    ) -> Array: ...
    def to_device(self, device: Any = None) -> Array: ...
    def trace(
        self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
    ) -> Array: ...
    def transpose(self, *args: Any) -> Array: ...
    def var(
        self,
        axis: _Axes = None,
        dtype: Any = None,
        out: None = None,
        ddof: int = 0,
        keepdims: bool = False,
        *,
        where: Any = None,
        correction: Any = None,
    ) -> Array: ...
    def view(self, dtype: Any = None, type: None = None) -> Array: ...
    def __round__(self, decimals: int = 0) -> Array: ...
    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[Any]: ...
    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __int__(self) -> int: ...
    def __float__(self) -> float: ...
    def __complex__(self) -> complex: ...
    def __index__(self) -> int: ...
    def __copy__(self) -> Array: ...
    def __deepcopy__(self, memo: object, /) -> Array: ...
    def __format__(self, spec: str, /) -> str: ...
    def __getitem__(self, index: Any, /) -> Array: ...
    def __setitem__(self, index: Any, value: Any, /) -> None: ...
    def __iter__(self) -> Iterator[Array]: ...
    def __contains__(self, item: Any, /) -> bool: ...
    def __add__(self, other: Any, /) -> Array: ...
    def __radd__(self, other: Any, /) -> Array: ...
    def __sub__(self, other: Any, /) -> Array: ...
    def __rsub__(self, other: Any, /) -> Array: ...
    def __mul__(self, other: Any, /) -> Array: ...
    def __rmul__(self, other: Any, /) -> Array: ...
    def __truediv__(self, other: Any, /) -> Array: ...
    def __rtruediv__(self, other: Any, /) -> Array: ...
    def __floordiv__(self, other: Any, /) -> Array: ...
    def __rfloordiv__(self, other: Any, /) -> Array: ...
    def __mod__(self, other: Any, /) -> Array: ...
    def __rmod__(self, other: Any, /) -> Array: ...
    def __divmod__(self, other: Any, /) -> tuple[Array, Array]: ...
    def __rdivmod__(self, other: Any, /) -> tuple[Array, Array]: ...
    def __pow__(self, other: Any, modulus: None = None, /) -> Array: ...
    def __rpow__(self, other: Any, modulus: None = None, /) -> Array: ...
    def __matmul__(self, other: Any, /) -> Array: ...
    def __rmatmul__(self, other: Any, /) -> Array: ...
    def __and__(self, other: Any, /) -> Array: ...
    def __rand__(self, other: Any, /) -> Array: ...
    def __or__(self, other: Any, /) -> Array: ...
    def __ror__(self, other: Any, /) -> Array: ...
    def __xor__(self, other: Any, /) -> Array: ...
    def __rxor__(self, other: Any, /) -> Array: ...
    def __lshift__(self, other: Any, /) -> Array: ...
    def __rlshift__(self, other: Any, /) -> Array: ...
    def __rshift__(self, other: Any, /) -> Array: ...
    def __rrshift__(self, other: Any, /) -> Array: ...
    def __neg__(self) -> Array: ...
    def __pos__(self) -> Array: ...
    def __abs__(self) -> Array: ...
    def __invert__(self) -> Array: ...
    def __eq__(self, other: object, /) -> Array: ...  # type: ignore[override]  # elementwise
    def __ne__(self, other: object, /) -> Array: ...  # type: ignore[override]  # elementwise
    def __lt__(self, other: Any, /) -> Array: ...
    def __le__(self, other: Any, /) -> Array: ...
    def __gt__(self, other: Any, /) -> Array: ...
    def __ge__(self, other: Any, /) -> Array: ...

def register_dtypes(dtypes: Sequence[np.dtype[Any]]) -> None:
    """Register the dtype objects; positions are the dtype codes.

    bool, int8 to int64, uint8 to uint64, float16, bfloat16, float32, float64, complex64,
    complex128.
    """

def array_from(
    obj: object, dtype: object = None, weak_type: bool = False, copy: bool = True
) -> Array:
    """Make an Array from a NumPy array or scalar, or an Array.

    Without `copy`, row-major memory that is aligned to 64 bytes is shared and kept alive.
    With a dtype, anything that NumPy can convert will do.
    """

def empty(shape: SupportsIndex | Sequence[int], dtype: object, weak_type: bool = False) -> Array:
    """Make an Array of uninitialised elements."""

def scalar(value: complex, dtype: object, weak: bool = False) -> Array:
    """Make an Array of shape () from a Python number."""

def from_dlpack(obj: _SupportsDLPack | object, share: bool = False) -> Array:
    """Make an Array over the memory of another library's array; strided memory is copied, or refused with `share`."""

def reshape(array: Array, shape: SupportsIndex | Sequence[int]) -> Array:
    """View the same memory under another shape."""

def is_masked(obj: object) -> bool:
    """Tell whether it is a masked array of NumPy."""

def bitcast(array: Array, dtype: object) -> Array:
    """View the same memory under another dtype of the same size."""

def commit(array: Array) -> Array:
    """The same memory as an array whose device somebody asked for."""

def with_weak_type(array: Array, weak: bool) -> Array:
    """View the same memory with this weak flag."""

def copy(array: Array, /) -> Array:
    """Copy the elements to fresh memory."""

@final
class Foreign:
    def __init__(
        self, name: str, stages: Sequence[int], attributes: Sequence[tuple[Any, ...]]
    ) -> None: ...
    def call(self, operands: int, values: Sequence[tuple[int, int, tuple[int, ...]]]) -> None: ...
    @property
    def address(self) -> int: ...

def foreign_version(handler: int) -> tuple[int, int]: ...
def foreign_register_type(name: str, type: int, info: int) -> int: ...

class Executable:
    """A compiled Program: a native function with the types of its inputs and outputs."""

    def __init__(
        self,
        address: int,
        inputs: Iterable[tuple[int, Sequence[int | None]]],
        outputs: Iterable[tuple[int, Sequence[int | None], bool]],
        arena_bytes: int = 0,
        cost_ns: int = 0,
        keepalive: object = None,
        aliases: Iterable[tuple[int, int]] = (),
        calls_back: bool = False,
        repeats: bool = False,
    ) -> None:
        """Inputs are (dtype, shape), outputs (dtype, shape, weak); None is a symbolic length.

        `aliases` are pairs (output, input) that may share memory when the input is donated.  With `calls_back` it calls
        Python functions, so the thread of its caller runs it, always; one that `repeats` runs as often as its data
        say, and is taken to cost what its last run did.
        """
    @property
    def address(self) -> int:
        """The address of the native function."""
    @property
    def inputs(self) -> list[tuple[int, tuple[int | None, ...]]]:
        """The dtype code and shape of each input."""
    @property
    def outputs(self) -> list[tuple[int, tuple[int | None, ...], bool]]:
        """The dtype code, shape and weak flag of each output."""
    @property
    def arena_bytes(self) -> int:
        """The scratch memory of one run."""
    @property
    def cost_ns(self) -> int:
        """The estimated time of one run."""
    @property
    def keepalive(self) -> object:
        """What owns the native function."""
    def execute(self, arrays: Sequence[Array], donate: Sequence[int] = ()) -> list[Array]:
        """Run the function, or queue it, and return its outputs."""
    def execute_symbolic(
        self,
        arrays: Sequence[Array],
        dims: Sequence[int],
        output_shapes: Sequence[Sequence[int]],
        donate: Sequence[int] = (),
        cost_ns: int | None = None,
    ) -> list[Array]:
        """Run it with the values of the symbolic dimensions and the shapes that follow."""

# (executable, or the function in its place for values of levels further out, or None; the inputs
# after residuals and cotangents, operands that get a cotangent, for each an output or, after those,
# an input).
Transposed = tuple[Any, tuple[Array, ...], Sequence[int], Sequence[int]]

@final
class Tape:
    """The tape of an eager derivative."""

    parent: None  # as a trace, it stands on no other
    outer: Tape | Batch | None  # the level that it stands on
    def __init__(self) -> None:
        """A tape that stands on the innermost level of now."""
    def input(self, value: Any, /) -> Any:
        """A tracer of a value of the level outside that is differentiated."""
    def record(
        self,
        operands: tuple[Any, ...],
        results: tuple[Any, ...],
        pullback: Callable[[tuple[Any | None, ...]], Sequence[Any | None]],
        /,
    ) -> tuple[Any, ...]:
        """Tracers of the results of a call whose transpose is a Python function."""
    def pull(
        self,
        outputs: tuple[Any, ...],
        cotangents: tuple[Any | None, ...],
        inputs: int,
        consume: bool,
        /,
    ) -> list[Any | None]:
        """The cotangents of the first inputs; None: zero. The tape must be closed."""
    def nodes(self) -> list[tuple[Any, tuple[Any, ...], tuple[int, ...], int, int]]:
        """(pullback, residuals, operands, first result, results) of each node, values by number."""
    def numbers(self, outputs: Sequence[Any], /) -> list[int | None]:
        """The numbers of values; None for what is not on it."""
    def close(self) -> None:
        """Nothing is recorded any more."""

@final
class Batch:
    """The batch of an eager `vmap`."""

    parent: None  # as a trace, it stands on no other
    outer: Tape | Batch | None  # the level that it stands on
    size: int
    def __init__(self, size: int) -> None:
        """A batch that stands on the innermost level of now."""
    def input(self, value: Any, axis: int, /) -> Any:
        """A tracer of a value of the level outside that has a batch axis."""
    def close(self) -> None:
        """What is in it is of no use any more."""

def tape_tracer_type(base: type, /) -> type:
    """The class of values on a tape, made from its Python base when first asked for."""

def mapped_tracer_type(base: type, /) -> type:
    """The class of values in a batch, made from its Python base when first asked for."""

def level() -> Tape | Batch | None:
    """The innermost level of this thread."""

def set_level(level: Tape | Batch | None, /) -> Tape | Batch | None:
    """Make it the innermost; the one before."""

def is_native_value(value: Any, /) -> bool:
    """Whether it is an Array, or a tracer of a level that calls are of now."""

def marks(leaves: Sequence[Any], /) -> tuple[tuple[Any, ...], bool]:
    """What the innermost level knows leaves by: None, True on a tape, the axis in a batch.

    And whether there are values of levels further out beneath.
    """

@final
class Entry:
    """How calls of one signature are run."""

    def __init__(
        self,
        executable: Executable | tuple[Callable[..., Any], Sequence[int], int],
        kept: Sequence[int],
        constants: Sequence[Array],
        out_spec: tuple[Any, ...],
        donate: Sequence[int] = (),
        live: Sequence[bool] = (),
        residuals: Sequence[int] = (),
        pullback: Callable[[int, bool], Transposed] | None = None,
        captured: Sequence[Any] | None = None,
        written: Sequence[int] = (),
        axes: Sequence[int | None] | None = None,
        committed: bool = False,
    ) -> None:
        """Describe a call.

        `kept` are the leaf positions that the executable takes, `constants` the Arrays after those,
        `donate` positions among the kept leaves. `out_spec` is the tree of results: ("leaf", i),
        ("input", j), ("const", obj), ("none",), ("tuple", specs), ("list", specs),
        ("dict", keys, specs), ("namedtuple", class, specs), ("custom", unflatten, specs),
        ("registered", unflatten, data, specs), ("object", class, names of its arguments, static
        ones, specs), ("fields", the same), where the arguments are attributes and nothing is
        called.

        Of a call with operands on a tape `live` says which outputs are on it, `residuals` where the
        residuals are among inputs and outputs, and `pullback` gives the transpose for a mask of the
        live outputs that have cotangents.

        Of a call that touches references `captured` are those whose values follow the leaves, and
        `written` those of the arguments', then of these, whose new values follow the result: that
        is the first item of a tuple then.

        Of a call in a batch `axes` are the outputs' batch axes.  For values of levels further out
        the executable is (function, dtypes of the kept leaves, number of outputs), and `pullback`
        gives a function in the place of its executable.

        With `committed` results are, whatever the arguments are.
        """
    @property
    def executable(self) -> Executable:
        """What runs."""
    @property
    def kept(self) -> list[int]:
        """The leaf positions that the executable takes."""

@final
class Calls:
    """Compiled Programs by the signatures of calls: what functions share that are made of one function alike."""

    def __init__(
        self,
        miss: Callable[[tuple[Any, ...], dict[str, Any]], Entry | None],
        bypass: Callable[[tuple[Any, ...], dict[str, Any]], Any],
        static_argnums: int | Iterable[int] = (),
        static_argnames: str | Iterable[str] = (),
        owner: object = None,
    ) -> None:
        """`miss` compiles a new signature; `bypass` runs calls that have none."""
    @property
    def owner(self) -> Any:
        """What Python keeps beside it."""
    def size(self) -> int:
        """The number of signatures that are compiled."""
    def forget(self) -> None:
        """Forget all compiled signatures."""

class JitFunction:
    """A callable that runs compiled Programs by the signature of its arguments."""

    __wrapped__: Callable[..., Any]
    def __init__(self, fun: Callable[..., Any], calls: Calls) -> None:
        """The function in front of what is compiled of it."""
    @property
    def calls(self) -> Calls:
        """What it shares with others that were made of the same function with the same options."""
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Callable[..., Any]: ...

@final
class Ufunc:
    """An elementwise function with kernels compiled by operand types, for any lengths."""

    __name__: str
    __qualname__: str
    __wrapped__: Callable[..., Any]
    def __init__(
        self,
        name: str,
        fallback: Callable[..., Any],
        compile: Callable[
            [tuple[tuple[int, bool, bool], ...]], tuple[int, int, bool, float, object] | None
        ],
        nin: int,
    ) -> None:
        """`compile` takes (dtype code, weak, is scalar) for each operand.

        It returns None (the fallback is used ever after) or (address, out dtype code, out weak,
        cost in ns an element, keepalive). A Python number is as wide as the arrays beside it: a
        float is float64 and weak beside float64 or complex128, an int is int64 beside int64 or
        uint64, or beside float64 if it needs to be.
        """
    @property
    def nin(self) -> int:
        """The number of operands."""
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def memory_stats() -> dict[str, int]:
    """Return the allocator's counters.

    bytes_in_use, peak_bytes_in_use, bytes_cached, num_allocs, cache_limit, memory_limit.
    """

def clear_memory_cache() -> None:
    """Give cached memory back to the system."""

@final
class ObjectCode:
    """Machine code in memory; it is freed when this object goes."""

    def address(self, name: str) -> int:
        """Where an exported function begins."""

def link(data: bytes, symbols: dict[str, int]) -> ObjectCode | None:
    """An object file linked into this process, or None if that is left to LLVM."""

def can_map(bytes: int) -> bool: ...
def reset_peak_memory() -> None:
    """Start peak_bytes_in_use again from now."""

def set_memory_limit(bytes: int) -> None:
    """Make allocations beyond this many bytes fail; 0 takes the limit away."""

def set_memory_cache_limit(bytes: int) -> None:
    """Set how many bytes of freed large blocks are kept for reuse."""

def num_threads() -> int:
    """The number of threads that compute."""

def synchronize() -> None:
    """Wait until all queued work is done."""

def vector_bytes() -> int:
    """Return the bytes of the longest vectors that routines use: 64, 32 or 16."""

def set_vectors(bytes: int) -> int:
    """Let routines use no longer vectors than of so many bytes; return the previous limit."""

def set_async(enabled: bool) -> bool:
    """Switch the execution queue on or off; return the previous setting."""

def set_inline_threshold_ns(ns: int) -> int:
    """Set the cost from which programs are queued; return the previous one."""

def symbols() -> dict[str, int]:
    """Return the addresses of the routines that compiled code calls."""

def set_blas(routines: Mapping[str, int]) -> None:
    """Set the addresses of routines of CBLAS and LAPACK with 32-bit integers.

    cblas_sgemm, cblas_dgemm, cblas_cgemm, cblas_zgemm, the same with gemv (for products with a
    vector), `lapack_names`, and openblas_set_num_threads, which is called with 1: the threads are
    ours.
    """

def lapack_names() -> list[str]:
    """Return the names of LAPACK's routines that `set_blas` takes."""

def set_tracing(on: bool) -> bool:
    """Switch the native fast paths off for this thread; return the previous setting."""

def set_scope(scope: int) -> None:
    """Set the number of the named axes in scope in this thread, a part of every signature; 0: there are none."""

def set_transforming(on: bool) -> None:
    """Say whether a transformation of this thread is in progress: references are then left to the Python twins."""

def set_cells(cell: type, held: type, bottom: Any) -> None:
    """Set the class of references, that of what they hold, and the lowest trace."""

def set_fast_paths(on: bool) -> bool:
    """Switch the native fast paths on or off for the process; return the previous setting."""

def with_room(f: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Call a function that has room on the stack for 500 of Python's frames, whatever is on it."""

def with_frames(count: int, f: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Call a function that has room on the stack for so many of Python's frames."""

class Boundary:
    """A function as its users call it: an exception that leaves it has none of our frames.

    `module` is the name of the module that offers it; calls go to `called`, which does what `fun` does.  With
    `arrays` arguments that stand for arrays become these.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        module: str | None = None,
        called: Callable[..., Any] | None = None,
        arrays: bool = False,
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def __wrapped__(self) -> Callable[..., Any]: ...

def set_trim_tracebacks(on: bool, /) -> None:
    """Set whether boundaries trim."""

def set_own_code(
    paths: tuple[str, ...], raise_opcode: int, called: tuple[str, ...], inside: tuple[str, ...], /
) -> None:
    """Set whose files' frames are cut out of tracebacks, and the opcode of a `raise` statement.

    The first path is ours; the others are of libraries (and of what only calls them), whose exceptions are about
    what the user gave.
    """

def set_config_epoch(epoch: int, x64: bool | None) -> int:
    """Set a number that is part of every signature, and the flag `enable_x64`; return the previous number."""

def set_thread_config(epoch: int, twins: bool, x64: bool | None) -> None:
    """Set the number of this thread's own flags (0: it has none).

    And whether they need the Python twins, and its `enable_x64`.
    """

def set_hooks(**hooks: Any) -> dict[str, Any]:
    """Set the Python functions that native code calls, and return the previous ones.

    flatten(obj) -> (children, data) | None, exact(value) -> key, tracer (a type), stands_for(obj) -> array,
    unforeseen(error, function, args, kwargs) -> error, stopped() -> error, getitem(x, index), iter(x),
    contains(x, item), repr(x), format(x, spec).
    """

def register_node(
    cls: type,
    children: tuple[str, ...] | None,
    statics: tuple[str, ...],
    flatten: Callable[[Any], Any],
) -> None:
    """Make instances of a class containers of jit's arguments.

    Children and static data are attributes, or with None for children `flatten(x)` gives both.
    """

def set_operators(operators: Mapping[str, Callable[..., Any] | None]) -> dict[str, Any]:
    """Set the functions behind the operators of Array, by name; return the previous ones."""
