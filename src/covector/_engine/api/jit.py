"""`jit`: trace once per signature, compile, run natively.

The native JitFunction keeps compiled Programs by signature and runs them; what it cannot do itself comes back here:
`miss` compiles for a new signature, `bypass` is the Python twin, which also stages calls under a trace.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from threading import get_ident
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, Unpack, overload

import numpy as np

from covector._engine import _native
from covector._engine.api import arguments
from covector._engine.api.options import (
    NO_STATIC,
    NOT_DONATED,
    ArgNames,
    ArgNums,
    Chosen,
    Inline,
    JitOptions,
    chosen,
    compiler_flags,
    is_early,
    matched,
)
from covector._engine.api.references import Touched
from covector._engine.api.stages import Lowered, Traced
from covector._engine.base import errors, tree
from covector._engine.base.belongings import belongings, let_go, refers_to_nothing
from covector._engine.base.caches import forgotten_by, members
from covector._engine.base.collection import NO_FULL_COLLECTION
from covector._engine.base.config import config
from covector._engine.base.events import TRACED, measured
from covector._engine.base.exact import exact
from covector._engine.base.public import boundary
from covector._engine.control.call import Call, axis_names_of
from covector._engine.core import trace
from covector._engine.core.levels import MappedTracer, TapeTracer
from covector._engine.core.refs import Cell, StandIns, uses_of
from covector._engine.core.trace import Array, Tracer
from covector._engine.runtime.device import Device, check_places, devices, platforms
from covector._engine.runtime.late import digest_of
from covector._engine.types.avals import ShapedArray, ShapeDtypeStruct, described
from covector._engine.types.nothing import leaf_paths, marked

# All that are there, to be emptied together.
_all_calls: weakref.WeakSet[_native.Calls] = weakref.WeakSet()

_NO_NUMBERS = frozenset((Array, ShapeDtypeStruct, ShapedArray, TapeTracer, MappedTracer))

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class JitFunction(Protocol[P, R_co]):
    """What `jit` returns: a function with the same meaning, whose stages can be looked at."""

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function that was compiled."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """The Program for arguments like these; `ShapeDtypeStruct`s will do."""
        ...

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """As `trace`, and ready to compile."""
        ...

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shapes and dtypes of the results, as a tree of `ShapeDtypeStruct`s."""
        ...

    def clear_cache(self) -> None:
        """Forget all that was compiled."""
        ...

    def cache_size(self) -> int:
        """For how many signatures it is compiled."""
        ...

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: JitFunction[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
    ) -> Callable[Q, R]: ...


# What `Signature.key` is made of, for messages.
PARTS_OF_KEY = (
    "static arguments",
    "static keyword arguments",
    "structure of the arguments",
    "number of positional arguments",
    "types",
    "arguments that are Python numbers",
    "arguments that are Refs",
    "flags",
    "mesh",
    "named axes",
)


class Signature:
    """What a call is compiled for: the static arguments, the structure and the types of the others."""

    def __init__(self, owner: Jitted, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.owner = owner
        static = owner.static_positions(len(args))
        names = owner.static_names
        self.static_args = tuple((i, args[i]) for i in sorted(static) if i < len(args))
        self.static_kwargs = tuple((k, v) for k, v in sorted(kwargs.items()) if k in names)
        dynamic = tuple(a for i, a in enumerate(args) if i not in static)
        keywords = {k: v for k, v in sorted(kwargs.items()) if k not in names}
        self.count = len(args)
        self.leaves, self.treedef = arguments.flatten_marked((dynamic, keywords))
        self.refs = StandIns(f"jit of {owner.name}", self.leaves)
        self.out_tree: tree.TreeDef | None = None  # of the result, once it is traced
        self.written: tuple[
            int, ...
        ] = ()  # the references among the leaves that the function wrote
        self.donated = owner.donated_leaves(args, dynamic, keywords, static)
        for what, value in (*self.static_args, *self.static_kwargs):
            _check_hashable(owner, what, value)

    def avals(self) -> tuple[ShapedArray, ...]:
        """The types of the leaves; TypeError names the argument that has none."""
        try:
            return tuple([_leaf_type(x) for x in self.leaves])
        except TypeError:
            names = self.names()
            for i, x in enumerate(self.leaves):
                if not isinstance(
                    x, ShapeDtypeStruct | ShapedArray | Cell
                ) and not arguments.is_value(x):
                    raise TypeError(
                        errors.not_a_value(f"jit of {self.owner.name}", names[i], x)
                    ) from None
            raise

    def numbers(self) -> tuple[bool, ...]:
        """Which leaves are weakly typed and no arrays: Python numbers, and what traces have in their place."""
        return tuple([
            type(x) not in _NO_NUMBERS and aval.weak_type
            for x, aval in zip(self.leaves, self.avals(), strict=True)
        ])  # fmt: skip

    def names(self) -> list[str]:
        """For messages: the expression that reaches each leaf."""
        dynamic, keywords = tree.unflatten(self.treedef, self.leaves)
        positions = [i for i in range(self.count) if i not in dict(self.static_args)]
        names = arguments.leaf_names(self.owner.fun, dynamic, positions)
        return names + [
            k + tree.keystr(path)
            for k, v in keywords.items()
            for path, _ in tree.leaves_with_path(v)
        ]

    def key(self) -> Any:
        """Equal for calls that the same Program serves."""
        return (
            exact(self.static_args),
            exact(self.static_kwargs),
            tree.content(self.treedef),
            self.count,
            self.avals(),
            self.numbers(),
            tuple([(i, type(self.leaves[i])) for i in self.refs.places]),
            *trace.context(),
        )

    def unpacked(self, leaves: Sequence[Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The function's arguments, given the leaves."""
        static = dict(self.static_args)
        given = self.refs.put(self.leaves, leaves) if self.refs.places else leaves
        dynamic, keywords = tree.unflatten(self.treedef, given)
        rest = iter(dynamic)
        args = [static[i] if i in static else next(rest) for i in range(self.count)]
        return args, {**keywords, **dict(self.static_kwargs)}

    def packed(self, out: Any) -> Sequence[Any]:
        """The leaves of the function's result, whose structure is kept; TypeError names what is no value."""
        results, self.out_tree = arguments.flatten_marked(out)
        for i, x in enumerate(results):
            if not arguments.is_value(x):
                raise TypeError(
                    f"{arguments.function_place(self.owner.fun)} under jit returned at result{leaf_paths(out)[i]} "
                    f"{x!r} of type {type(x).__name__}, which is not an array or a number"
                    f"{errors.returned_ref(x)}"
                )
        self.written = tuple(self.refs.written())
        results = [arguments.as_array(x) if isinstance(x, np.ndarray) else x for x in results]
        return [*results, *self.refs.take()]


def _lasts(traced: Traced) -> bool:
    """Whether it can be kept: nothing in it is of a trace."""
    constants = traced.program.constants
    return not any(isinstance(c, Tracer) for c in constants) and traced.touched.lasting


def _leaf_type(x: Any) -> ShapedArray:
    if isinstance(x, ShapeDtypeStruct | ShapedArray):
        return described(x)
    return x._inner if isinstance(x, Cell) else trace.typeof(x)


def _check_hashable(owner: Jitted, what: Any, value: Any) -> None:
    try:
        hash(value)
    except TypeError:
        raise ValueError(
            f"jit of {owner.name}: the static argument {what!r} is {value!r} of type {type(value).__name__}, which is "
            f"not hashable{errors.at_user_line()}; static arguments are compile-time constants, so they must be "
            "hashable and not change: pass a tuple for a list, or do not mark it static"
        ) from None


class Jitted:
    """The Python side of a jitted function: its options, the traced Programs.

    It belongs to the function, and does not keep it alive.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        static: Chosen = NO_STATIC,
        donated: Chosen = NOT_DONATED,
        options: Mapping[str, Any] = MappingProxyType({}),
        committed: bool = False,
        early: bool = False,
    ):
        self._fun, self.name = _reference(fun), arguments.function_name(fun)
        self.static_argnums, self.static_names = static.numbers, frozenset(static.names)
        self.donate_argnums, self.donate_names = donated.numbers, frozenset(donated.names)
        self.options, self.committed, self.early = options, committed, early
        self.traced: dict[Any, Traced] = {}
        self.apart = False  # whether it touches references in a way that native calls do not know
        # By thread: what `miss` traced for the `bypass` that follows, as it captured tracers.
        self.captured: dict[int, Traced] = {}

    @property
    def fun(self) -> Callable[..., Any]:
        """The function, which whoever calls holds."""
        fun = self._fun()
        assert fun is not None, "it is called by what holds it"
        return fun

    def calls(self) -> _native.Calls:
        """The native table of what is compiled, which holds this.

        Not the other way round: what is dropped goes at once, machine code and all, not when the collector comes by.
        """
        made = _native.Calls(
            self.miss, self.bypass, self.static_argnums, tuple(self.static_names), self
        )
        _all_calls.add(made)
        return made

    def native(self) -> _native.JitFunction:
        """A native function in front."""
        return _native.JitFunction(self.fun, self.calls())

    def static_positions(self, count: int) -> set[int]:
        """The static arguments' positions in a call of so many."""
        return {i % count if count and i < 0 else i for i in self.static_argnums}

    def donated_leaves(
        self,
        args: tuple[Any, ...],
        dynamic: tuple[Any, ...],
        keywords: dict[str, Any],
        static: set[int],
    ) -> tuple[bool, ...]:
        """Which leaves the caller gives away."""
        if not self.donate_argnums and not self.donate_names:
            return ()
        donated = {i % len(args) if args and i < 0 else i for i in self.donate_argnums}
        positions = [i for i in range(len(args)) if i not in static]
        mask: list[bool] = []
        for i, a in zip(positions, dynamic, strict=True):
            mask += [i in donated] * len(marked(a)[0])
        for k, v in keywords.items():
            mask += [k in self.donate_names] * len(marked(v)[0])
        return tuple(mask)

    def trace(self, signature: Signature) -> Traced:
        """The traced Program of a signature, traced now if it is new."""
        key = signature.key()
        found = self.traced.get(key)
        if found is None:
            if config.no_tracing or config.explain_cache_misses:
                self._missed(signature, key)
            around = signature.unpacked, signature.packed
            base = trace.current() if trace.current().staging else trace.EVAL
            refs: dict[Any, Any] = {}
            with trace.using(base), NO_FULL_COLLECTION, measured(TRACED, self.name):
                program = trace.stage(
                    self.fun, signature.avals(), self.name, refs, around, signature.names
                )
            assert signature.out_tree is not None
            trees = signature.treedef, signature.out_tree
            touched = Touched(signature.written, uses_of(refs))
            found = Traced(
                self.name,
                program,
                trees,
                signature.donated,
                self.options,
                touched,
                signature.numbers(),
                self.committed,
            )
            if _lasts(found):
                self.traced[key] = found
                self._belongs(key, found)
        return found

    def _belongs(self, key: tuple[Any, ...], traced: Traced) -> None:
        """Let the function go if it cannot hold what is kept of it, and this may refer to it."""
        found = belongings(self.fun)
        if found is None or found.held:
            return
        static = (*key[:3], tree.content(traced.out_tree))
        if not refers_to_nothing(static) or digest_of(traced.program) is None:
            let_go(found)

    def _missed(self, signature: Signature, key: tuple[Any, ...]) -> None:
        """What the flags want where a call must be traced."""
        where = f"{arguments.function_place(self.fun)}{errors.at_user_line()}"
        if config.no_tracing:
            raise RuntimeError(
                f"no_tracing is set, but {where} has to be traced: {self._why(signature, key)}"
            )
        if config.explain_cache_misses:
            errors.log("tracing %s: %s", where, self._why(signature, key))

    def _why(self, signature: Signature, key: tuple[Any, ...]) -> str:
        """Why what was traced before does not do: what differs from the closest signature."""
        if not self.traced:
            return "it was not traced before"
        closest = max(
            self.traced, key=lambda old: sum(a == b for a, b in zip(old, key, strict=True))
        )
        found: list[str] = []
        for what, old, new in zip(PARTS_OF_KEY, closest, key, strict=True):
            if what == "types" and len(old) == len(new):
                names = signature.names()
                found += [
                    f"{names[i]} is {b.text()}, it was {a.text()}"
                    for i, (a, b) in enumerate(zip(old, new, strict=True))
                    if a != b
                ]
            elif old != new:
                found.append(f"other {what}")
        return f"of {len(self.traced)} signatures the closest differs: {'; '.join(found)}"

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """For the native side: what a new signature is compiled to; None if it cannot keep it."""
        if config.disable_jit or self.apart:
            return None
        signature = Signature(self, args, kwargs)
        traced_leaves = [x for x in signature.leaves if isinstance(x, Tracer)]
        if not all(map(_native.is_native_value, traced_leaves)) or (self.early and traced_leaves):
            return None
        traced = self.trace(signature)
        if not _lasts(traced):
            self.captured[get_ident()] = traced
        touches = bool(traced.touched) or bool(signature.refs.places)
        if touches and traced.program.effects:
            self.apart = True
            return None
        if not _lasts(traced) or (touches and traced_leaves):
            return None
        if trace.named_axes() and axis_names_of(traced.program):
            return None  # what reads them is a call in the batch that they are of
        if not traced_leaves:
            return traced.entry(signature.refs.places)
        try:
            return traced.level_entry(signature.leaves)
        except errors.OutsideRefError:
            return None

    def bypass(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The Python twin: under a trace the Program becomes a Call; else it is compiled and run from here."""
        if config.disable_jit:
            return self.fun(*args, **kwargs)
        signature = Signature(self, args, kwargs)
        traced = self.captured.pop(get_ident(), None) or self.trace(signature)
        program, touched = traced.program, traced.touched
        leaves = signature.leaves
        touched.check(f"jit of {self.name}", leaves)
        if not traced.closed.outputs and not traced.closed.eqns:
            return tree.unflatten(traced.out_tree, [])
        call = Call(traced.closed)
        if trace.current().staging or call.axis_names or touched.tracers(leaves, program.constants):
            operands = [*touched.values(leaves), *program.constants]
            try:
                outs = trace.evaluate(traced.closed, operands) if self.early else call(*operands)
            except errors.OutsideRefError:  # a rule touches references: it does so where it runs
                return self.fun(*args, **kwargs)
            results = touched.settled(leaves, outs)
        else:
            results = traced.run(leaves, traced.taken)
        return tree.unflatten(traced.out_tree, results)


@overload
def jit(fun: Callable[P, R], **options: Unpack[JitOptions]) -> JitFunction[P, R]:
    """The compiled function."""


@overload
def jit(
    fun: None = None, **options: Unpack[JitOptions]
) -> Callable[[Callable[P, R]], JitFunction[P, R]]:
    """With options alone: a decorator."""


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: ArgNums = None,
    static_argnames: ArgNames = None,
    donate_argnums: ArgNums = None,
    donate_argnames: ArgNames = None,
    keep_unused: bool = False,
    device: Device | None = None,
    backend: str | None = None,
    inline: bool | Inline = False,
    compiler_options: Mapping[str, Any] | None = None,
    in_shardings: object = None,
    out_shardings: object = None,
) -> Any:
    """Compile a function: trace it once for each structure, shapes and dtypes of its arguments, then run native code.

    Args:
        fun: a function of pytrees of arrays and numbers.  Without it, a decorator is returned.
        static_argnums, static_argnames: arguments that are compile-time constants; they must be hashable.
        donate_argnums, donate_argnames: arguments whose memory the results may take over; using such an
            array afterwards raises RuntimeError.
        device, backend, in_shardings, out_shardings: where to run, and where arguments and results are; there is
            one device, so it is a check.  Results are `committed` then.
        compiler_options: flags that change compiled code (those of `covector.config`), for this function alone.
        keep_unused, inline: accepted for programs that set them.  Unused arguments cost nothing, and a jitted
            function inside another one is compiled as a part of it.  With `Inline.JAX_EARLY` its equations are
            those of the function around it, which shows no call.

    Returns:
        A function with the same meaning, and the methods `lower`, `trace`, `eval_shape`, `clear_cache`.

    Raises:
        TypeError: `fun` is not callable; when called, for arguments that are not arrays.
        ValueError: no such device, sharding or option.

    >>> import covector as cv, covector.numpy as cnp
    >>> cv.jit(lambda x: x * 2 + 1)(cnp.arange(3.0))
    Array([1., 3., 5.], dtype=float32)
    """
    if fun is None:
        options = {
            "static_argnums": static_argnums,
            "static_argnames": static_argnames,
            "donate_argnums": donate_argnums,
            "donate_argnames": donate_argnames,
            "keep_unused": keep_unused,
            "device": device,
            "backend": backend,
            "inline": inline,
            "compiler_options": compiler_options,
            "in_shardings": in_shardings,
            "out_shardings": out_shardings,
        }
        return boundary(functools.partial(jit, **options))
    arguments.check_callable(fun, "jit")
    if keep_unused is not False:
        errors.check_flags("jit", keep_unused=keep_unused)
    early = inline is not False and is_early(inline)
    committed = backend is not None
    if not (device is None and in_shardings is None and out_shardings is None):
        committed = committed or bool(tree.leaves((device, in_shardings, out_shardings)))
        check_places("jit", "device", device)
        check_places("jit", "in_shardings", in_shardings)
        check_places("jit", "out_shardings", out_shardings)
    if backend not in (None, *platforms()):
        raise ValueError(f"jit: backend={backend!r}; the devices are {devices()}")
    static = chosen("static", static_argnums, static_argnames)
    donated = chosen("donate", donate_argnums, donate_argnames)
    calls = _calls(fun, static, donated, compiler_flags("jit", compiler_options), committed, early)
    native: Any = _native.JitFunction(fun, calls)
    functools.update_wrapper(native, fun, updated=())
    return native


def _calls(
    fun: Callable[..., Any],
    static: Chosen,
    donated: Chosen,
    options: dict[str, Any],
    committed: bool,
    early: bool,
) -> _native.Calls:
    """What is compiled of a function with these options: kept as long as the function is there."""
    key = static.numbers, static.names, donated.numbers, donated.names
    if committed:
        key = *key, "committed"
    if early:
        key = *key, "early"
    if options:
        key = *key, exact(tuple(sorted(options.items())))
    mine = belongings(fun)
    found = None if mine is None else mine.get(key)
    if found is not None:
        return found
    made = Jitted(fun, *matched(fun, static, donated), options, committed, early).calls()
    return made if mine is None else mine.setdefault(key, made)


def _reference(fun: Any) -> Callable[[], Any]:
    """What gives the function, and does not hold it if that is possible."""
    try:
        return weakref.ref(fun)
    except TypeError:
        return lambda: fun


class _Methods:
    """The methods of jitted functions that are Python's."""

    calls: _native.Calls

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """The Program for arguments like these."""
        owner = self.calls.owner
        return owner.trace(Signature(owner, args, kwargs))

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """The Program for arguments like these, ready to compile."""
        owner = self.calls.owner
        return owner.trace(Signature(owner, args, kwargs)).lower()

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shapes and dtypes of the results."""
        owner = self.calls.owner
        return owner.trace(Signature(owner, args, kwargs)).out_info

    def cache_size(self) -> int:
        """For how many signatures it is compiled."""
        return self.calls.size()

    _cache_size = cache_size  # as libraries ask

    def clear_cache(self) -> None:
        """Forget all that was traced and compiled of the function with these options."""
        _forget(self.calls)


for _name, _method in vars(_Methods).items():
    if not _name.startswith("__"):
        setattr(_native.JitFunction, _name, boundary(_method))


def _forget(calls: _native.Calls) -> None:
    calls.owner.traced.clear()
    calls.forget()


def _clear_all() -> None:
    for calls in members(_all_calls):
        _forget(calls)


forgotten_by(_clear_all)
