"""What libraries reach for behind JAX's public names, where Covector proper has no name for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple

from covector._engine import primitives as prims
from covector._engine.api.jit import jit
from covector._engine.base import tree
from covector._engine.base.public import is_left_out
from covector._engine.control.open import BATCHERS, JVPS, OpenPrimitive
from covector._engine.control.parameters import Groups
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import EVAL, current, typeof
from covector._engine.runtime.late import BEFORE_COMPILING
from covector.extend.backend import get_backend
from covector.tree_util import flatten_one_level

# Libraries give it a transpose: that of Covector's own, which is what lineax writes.  So it has tables of its own.
stop_gradient_p = OpenPrimitive("stop_gradient")
stop_gradient_p.def_abstract_eval(lambda x: x)
stop_gradient_p.def_lowering(lambda context, x: [prims.stop_gradient(x)])
JVPS[stop_gradient_p] = lambda primals, tangents: (
    stop_gradient_p.bind(*primals),
    Zero(typeof(*primals)),
)
BATCHERS[stop_gradient_p] = lambda args, dims: (stop_gradient_p.bind(*args), *dims)


def include_frame(frame: FrameType) -> bool:
    """Whether a frame is shown in tracebacks."""
    return not is_left_out(frame.f_code.co_filename)


def full_lower(x: Any) -> Any:
    """The value itself, or what a tracer of a user's trace says that it is."""
    lower = getattr(x, "full_lower", None)
    return x if lower is None else lower()


def nones(count: int) -> Groups:
    """A group of as many operands of a loop."""
    return Groups((count,))


def pack(groups: Iterable[Groups]) -> Groups:
    """Several groups as those of one loop."""
    return Groups(tuple([n for group in groups for n in group.sizes]))


class TypedInt(int):
    """What JAX makes of a Python number; numbers stay what they are here."""


class TypedFloat(float):
    """The same of a float."""


class TypedComplex(complex):
    """The same of a complex number."""


def trace_state_clean() -> bool:
    """Whether nothing is being traced or transformed."""
    return current() is EVAL


def backend_compile_and_load(backend: Any, *args: Any, **options: Any) -> None:
    """Called before anything is compiled: libraries put another function in its place, which may refuse."""


def _tell_compiler(platform: str) -> None:
    compiler = sys.modules.get("jax._src.compiler")
    if compiler is not None:
        compiler.backend_compile_and_load(get_backend(platform))


BEFORE_COMPILING.append(_tell_compiler)


class _GlobalState(NamedTuple):
    """What processes know of each other: there is one."""

    process_id: int = 0
    num_processes: int = 1
    client: None = None
    service: None = None
    coordinator_address: None = None


global_state = _GlobalState()
PjitFunction = type(jit(lambda x: x))
NOTHING = (
    SimpleNamespace()
)  # a module of which nothing is asked unless there are devices of another kind


class ExtendedDType:
    """The base of dtypes of a library's own.  Keys are the only such here: no array can have another."""


class _Known(NamedTuple):
    """How a container is taken apart and made again."""

    to_iter: Callable[[Any], tuple[tuple[Any, ...], Any]]
    from_iter: Callable[[Any, Iterable[Any]], Any]


class _Containers(Mapping[type, _Known]):
    """The classes that are containers, Python's own and those that were registered."""

    def __getitem__(self, cls: type) -> _Known:
        if cls is dict:
            return _Known(_taken_apart, lambda keys, values: dict(zip(keys, values, strict=True)))
        if cls in _OWN:
            return _Known(_taken_apart, lambda data, children: cls(children))
        if (found := tree.registered(cls)) is None:
            raise KeyError(cls)
        return _Known(
            _taken_apart, lambda data, children: found.from_children(data, tuple(children))
        )

    def __iter__(self) -> Iterator[type]:
        yield from (*_OWN, *tree.registered_classes())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _taken_apart(x: Any) -> tuple[tuple[Any, ...], Any]:
    if type(x) is dict:
        keys = tuple(sorted(x))
        return tuple([x[key] for key in keys]), keys
    children, data = flatten_one_level(x)
    return tuple(children), data


_OWN = (tuple, list, dict)
containers = _Containers()
