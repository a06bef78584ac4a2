"""Functions of machine code in array programs: names and meanings are those of `jax.ffi`.

A *handler* takes a pointer to a call: operands, results, attributes, in the C layout of XLA's typed FFI.  One that was
compiled for XLA works here as it is; `include_dir` has a header in C for others.  It runs without the GIL.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from covector._engine import _native, primitives as prims
from covector._engine.api.arguments import as_array
from covector._engine.base import errors
from covector._engine.base.public import PACKAGE, publish
from covector._engine.control.callback import VMAP_METHODS
from covector._engine.control.foreign_call import (
    TARGETS,
    ForeignCall,
    Layout,
    Stages,
    attributes,
    register,
)
from covector._engine.core.foreign import address_of
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

__all__ = [
    "build_ffi_lowering_function",
    "ffi_call",
    "ffi_lowering",
    "include_dir",
    "pycapsule",
    "register_ffi_target",
    "register_ffi_target_as_batch_partitionable",
    "register_ffi_type",
    "register_ffi_type_id",
]

_STAGES = ("instantiate", "prepare", "initialize", "execute")

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def pycapsule(funcptr: Any) -> Any:
    """A capsule with the pointer to a function of `ctypes`, for `register_ffi_target`.

    >>> import ctypes
    >>> from covector import ffi
    >>> type(ffi.pycapsule(ctypes.CDLL(None).abs)).__name__
    'PyCapsule'
    """
    return _new_capsule(address_of(funcptr), None, None)


def include_dir() -> str:
    """The folder of the C header `covector/ffi.h`, which has the layout of calls.

    >>> import os
    >>> from covector import ffi
    >>> os.listdir(os.path.join(ffi.include_dir(), "covector"))
    ['ffi.h']
    """
    return os.path.join(PACKAGE, "include")


def register_ffi_target(
    name: str, fn: Any, platform: str = "cpu", api_version: int = 1, **kwargs: Any
) -> None:
    """Make a handler a target that `ffi_call` finds by name.

    `fn` is a capsule with the pointer to it, a function of `ctypes`, or a dictionary of these by stage ("instantiate",
    "prepare", "initialize", "execute").  Targets of other platforms than "cpu" are for devices that are not here: they
    are checked and not kept.  ValueError if another target has the name, or the handler was compiled for another
    version of the layout.

    >>> from covector import ffi
    >>> ffi.register_ffi_target("mine", {"prepare": None})
    Traceback (most recent call last):
    ValueError: register_ffi_target: the target 'mine' has no handler that executes
    """
    if api_version != 1:
        raise NotImplementedError(
            f"register_ffi_target: {name!r} is for api_version={api_version}{errors.at_user_line()}; only the typed "
            "FFI is supported, api_version=1"
        )
    if kwargs:
        raise TypeError(f"register_ffi_target got options that it does not know: {sorted(kwargs)}")
    given: Mapping[str, Any] = fn if isinstance(fn, Mapping) else {"execute": fn}
    unknown = sorted(set(given) - set(_STAGES))
    if unknown:
        raise ValueError(f"register_ffi_target: stages are {', '.join(_STAGES)}; got {unknown}")
    if given.get("execute") is None:
        raise ValueError(f"register_ffi_target: the target {name!r} has no handler that executes")
    found = [0 if given.get(s) is None else address_of(given[s]) for s in _STAGES]
    stages: Stages = (found[0], found[1], found[2], found[3])
    major, minor = _native.foreign_version(stages[3])
    if major != 0:
        raise ValueError(
            f"register_ffi_target: the handler of {name!r} was compiled for version {major}.{minor} of the FFI; "
            "this is version 0"
        )
    if platform.lower() in ("cpu", "host"):
        register(name, stages)


def register_ffi_type(
    name: str, type_registration: Mapping[str, Any], platform: str = "cpu"
) -> None:
    """Give a type of the state that handlers keep between stages its number.

    `type_registration` has a capsule with a pointer to the number, "type_id", and may have one to how it is deleted,
    "type_info".

    >>> import ctypes
    >>> from covector import ffi
    >>> number = ctypes.c_int64(0)
    >>> ffi.register_ffi_type("documented", {"type_id": ctypes.addressof(number)})
    >>> number.value > 0
    True
    """
    info = type_registration.get("type_info")
    _native.foreign_register_type(
        name, address_of(type_registration["type_id"]), 0 if info is None else address_of(info)
    )


def register_ffi_target_as_batch_partitionable(name: str) -> None:
    """Say that a target works on pieces of a batch; arrays lie on one device here, so it changes nothing.

    >>> from covector import ffi
    >>> ffi.register_ffi_target_as_batch_partitionable("mine")
    """


def ffi_call(
    target_name: str,
    result_shape_dtypes: Any,
    *,
    has_side_effect: bool = False,
    vmap_method: str | None = None,
    input_layouts: Sequence[Any] | None = None,
    output_layouts: Any = None,
    input_output_aliases: Mapping[int, int] | None = None,
    custom_call_api_version: int = 4,
    legacy_backend_config: str | None = None,
) -> Callable[..., Any]:
    """A function that calls a target on arrays; what it is given by keyword is an attribute of the call.

    `result_shape_dtypes` is an object with `shape` and `dtype`, or a sequence of these: the results come likewise.
    With `has_side_effect` it is called even if nobody reads the results.  `vmap_method` is as in `pure_callback`.
    Layouts name the axes from the slowest in memory to the fastest.  `input_output_aliases` says which operand lies
    where which result does: the handler overwrites it.  It has no derivative: define one with `custom_vjp`.

    An error that the handler returns is a RuntimeError (MemoryError for RESOURCE_EXHAUSTED).  Attributes are strings,
    numbers (Python's have 64 bits), arrays of one axis, or dictionaries of these.

    >>> import covector
    >>> from covector import ffi
    >>> ffi.ffi_call("nobody", covector.ShapeDtypeStruct((), float))(1.0)
    Traceback (most recent call last):
    ValueError: ffi_call: there is no target 'nobody' ...
    """
    if custom_call_api_version != 4 or legacy_backend_config is not None:
        raise NotImplementedError(
            f"ffi_call: only the typed FFI is supported, custom_call_api_version=4{errors.at_user_line()}"
        )
    if vmap_method is not None and vmap_method not in VMAP_METHODS:
        raise ValueError(
            f"ffi_call: vmap_method must be None or one of {', '.join(VMAP_METHODS)}, got {vmap_method!r}"
            f"{errors.at_user_line()}"
        )
    several = isinstance(result_shape_dtypes, Sequence)
    declared: Sequence[Any] = result_shape_dtypes if several else (result_shape_dtypes,)
    types = tuple(map(_type, declared))
    if output_layouts is not None and not several:
        output_layouts = (output_layouts,)

    def ffi_call_f(*args: Any, **kwargs: Any) -> Any:
        if target_name not in TARGETS:
            known = ", ".join(sorted(TARGETS)) or "none"
            raise ValueError(
                f"ffi_call: there is no target {target_name!r}{errors.at_user_line()}; register it with "
                f"covector.ffi.register_ffi_target. There are: {known}"
            )
        arrays = [as_array(x) for x in args]
        avals = [typeof(x) for x in arrays]
        ins = _layouts("input_layouts", input_layouts, avals)
        outs = _layouts("output_layouts", output_layouts, types)
        aliases = _aliases(input_output_aliases or {}, avals, types, ins, outs)
        primitive = ForeignCall(
            target_name,
            tuple([_in_memory(t, layout) for t, layout in zip(types, outs, strict=True)]),
            attributes(kwargs),
            vmap_method,
            has_side_effect,
            aliases,
            ins,
            outs,
        )
        given = [
            x if layout is None else prims.Transpose(layout)(x)
            for x, layout in zip(arrays, ins, strict=True)
        ]
        found = [
            x if layout is None else prims.Transpose(prims.inverse_permutation(layout))(x)
            for x, layout in zip(primitive(*given), outs, strict=True)
        ]
        return (tuple(found) if isinstance(declared, tuple) else found) if several else found[0]

    return ffi_call_f


def build_ffi_lowering_function(
    call_target_name: str, **options: Any
) -> Callable[..., Sequence[Any]]:
    """`ffi_lowering` under the name that JAX has for its lower part: a lowering gives results of operations here.

    >>> from covector import ffi
    >>> callable(ffi.build_ffi_lowering_function("mine", has_side_effect=True))
    True
    """
    return ffi_lowering(call_target_name, **options)


def register_ffi_type_id(name: str, obj: Any, platform: str = "cpu") -> None:
    """Give a type of the state that handlers keep its number, at which a capsule points; see `register_ffi_type`.

    >>> import ctypes
    >>> from covector import ffi
    >>> number = ctypes.c_int64(0)
    >>> ffi.register_ffi_type_id("documented too", ctypes.addressof(number))
    >>> number.value > 0
    True
    """
    register_ffi_type(name, {"type_id": obj}, platform)


def ffi_lowering(
    call_target_name: str,
    *,
    operand_layouts: Sequence[Any] | None = None,
    result_layouts: Sequence[Any] | None = None,
    operand_output_aliases: Mapping[int, int] | None = None,
    has_side_effect: bool = False,
) -> Callable[..., Sequence[Any]]:
    """The lowering that a target is, for `interpreters.mlir.register_lowering`: parameters become attributes.

    >>> from covector import ffi
    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import mlir
    >>> mlir.register_lowering(Primitive("mine"), ffi.ffi_lowering("mine"))
    """

    def rule(ctx: Any, *operands: Any, **params: Any) -> Sequence[Any]:
        call = ffi_call(
            call_target_name,
            list(ctx.avals_out),
            has_side_effect=has_side_effect,
            input_layouts=operand_layouts,
            output_layouts=result_layouts,
            input_output_aliases=operand_output_aliases,
        )
        return call(*operands, **params)

    return rule


def _type(declared: Any) -> ShapedArray:
    shape, dtype = getattr(declared, "shape", None), getattr(declared, "dtype", None)
    if shape is None or dtype is None:
        raise ValueError(
            "ffi_call: result_shape_dtypes must be an object with a shape and a dtype, such as "
            f"covector.ShapeDtypeStruct, or a sequence of these; got {declared!r}{errors.at_user_line()}"
        )
    return ShapedArray(tuple(shape), dtypes.canonical(dtypes.named_dtype(dtype)))


def _in_memory(aval: ShapedArray, layout: Layout) -> ShapedArray:
    return aval if layout is None else aval.with_shape(tuple([aval.shape[a] for a in layout]))


def _layouts(
    what: str, given: Sequence[Any] | None, avals: Sequence[ShapedArray]
) -> tuple[Layout, ...]:
    """The layouts of values; None for those whose axes are in their order."""
    if given is None:
        return (None,) * len(avals)
    if len(given) != len(avals):
        raise ValueError(
            f"ffi_call: {what} has {len(given)} entries for {len(avals)} values{errors.at_user_line()}"
        )
    found: list[Layout] = []
    for layout, aval in zip(given, avals, strict=True):
        axes = getattr(layout, "major_to_minor", layout)
        axes = tuple(range(aval.ndim)) if axes is None else tuple(axes)
        if sorted(axes) != list(range(aval.ndim)):
            raise ValueError(
                f"ffi_call: {what} has {axes} for {aval.text()}{errors.at_user_line()}; it must name each axis once"
            )
        found.append(None if axes == tuple(range(aval.ndim)) else axes)
    return tuple(found)


def _aliases(
    given: Mapping[int, int],
    avals: Sequence[ShapedArray],
    types: Sequence[ShapedArray],
    ins: Sequence[Layout],
    outs: Sequence[Layout],
) -> tuple[tuple[int, int], ...]:
    """The pairs (operand, result) that share memory, checked."""
    found = tuple([(int(i), int(o)) for i, o in sorted(given.items())])
    for i, o in found:
        if not (0 <= i < len(avals) and 0 <= o < len(types)):
            raise ValueError(
                f"ffi_call: input_output_aliases has {i}: {o}, but there are {len(avals)} operands and {len(types)} "
                f"results{errors.at_user_line()}"
            )
        one = (avals[i].shape, avals[i].dtype, ins[i]) == (types[o].shape, types[o].dtype, outs[o])
        if not one:
            raise ValueError(
                f"ffi_call: input_output_aliases has {i}: {o}, but the operand is {avals[i].text()} and the result "
                f"{types[o].text()}{errors.at_user_line()}; they must have one type and one layout"
            )
    if len({o for _, o in found}) != len(found):
        raise ValueError(
            f"ffi_call: input_output_aliases names a result twice{errors.at_user_line()}: {dict(given)}"
        )
    return found


publish(__name__)
