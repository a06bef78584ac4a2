"""Every flag in one table: name, type, default, environment variable, text, and whether it changes compiled code."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from functools import partial
from typing import Any

from covector._engine import _native
from covector._engine.base import jax_flags
from covector._engine.base.public import bounded
from covector._engine.base.record import record

Value = bool | int | str | None


@record
class Flag:
    """One row of the table.  The environment variable is COVECTOR_ and the name in capitals."""

    name: str
    default: Value
    changes_code: bool
    text: str
    choices: tuple[Value, ...] = ()  # the legal values; of `several`, the legal parts
    several: bool = False  # a text of parts with commas between them
    least: int | None = None
    at_start: bool = False  # read once, when the process starts
    twins: bool = False  # native code does not know it: away from its default, twins are called

    @property
    def variable(self) -> str:
        return "COVECTOR_" + self.name.upper()

    @property
    def legal(self) -> str:
        """The values that the flag takes, for messages."""
        if self.default is None:
            return f"one of {', '.join(_THREE_STATES)}, in Python None, True or False"
        if isinstance(self.default, bool):
            return f"one of {', '.join(_BOOLS)}"
        if self.choices:
            names = ", ".join(map(str, self.choices))
            return (
                f"some of {names}, with commas between them" if self.several else f"one of {names}"
            )
        if isinstance(self.default, int):
            return "an integer" if self.least is None else f"an integer, at least {self.least}"
        return "a text"

    def takes(self, value: object) -> bool:
        """Whether a value has the flag's type: what is None by default takes truth values too."""
        if self.default is None:
            return value is None or type(value) is bool
        return type(value) is type(self.default)

    def parse(self, text: str) -> Value:
        """The value that an environment variable's text gives; ValueError names the flag and what fits."""
        value: Value = text
        if self.default is None or isinstance(self.default, bool):
            names = _THREE_STATES if self.default is None else _BOOLS
            if text.lower() not in names:
                raise self._wrong(self.variable, text)
            value = names[text.lower()]
        elif isinstance(self.default, int):
            try:
                value = int(text)
            except ValueError:
                raise self._wrong(self.variable, text) from None
        return self.check(value, self.variable)

    def check(self, value: Value, called: str) -> Value:
        """The value as it is kept; ValueError, with the name that the flag is called by, if it is not a legal one."""
        if self.several:
            parts = [part.strip() for part in str(value).split(",")]
            if any(part and part not in self.choices for part in parts):
                raise self._wrong(called, value)
            return ",".join(part for part in parts if part)
        if self.choices and value not in self.choices:
            raise self._wrong(called, value)
        if self.least is not None and isinstance(value, int) and value < self.least:
            raise self._wrong(called, value)
        return value

    def _wrong(self, called: str, value: object) -> ValueError:
        return ValueError(f"{called}={value!r}: expected {self.legal}")


_BOOLS = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
_THREE_STATES: dict[str, bool | None] = {"as_written": None, "none": None, "": None, **_BOOLS}
_PASSES = (
    "trace",
    "inline",
    "simplify",
    "layouts",
    "invariants",
    "lower",
    "turned",
    "schedule",
    "memory",
)

TRANSFER_LEVELS = ("allow", "log", "disallow", "log_explicit", "disallow_explicit")

FLAGS: tuple[Flag, ...] = (
    Flag(
        "backend",
        "cpu",
        True,
        "what Programs run on; reference: NumPy, slow, to compare with",
        choices=("cpu", "reference"),
    ),
    Flag(
        "callback_errors",
        "own",
        False,
        "what a failing callback raises in its caller; runtime: a RuntimeError whose text is the traceback, as in JAX",
        choices=("own", "runtime"),
    ),
    Flag("check_tracer_leaks", False, False, "find tracers that outlive their trace, when it ends"),
    Flag("cache", True, False, "keep compiled code on disk"),
    Flag(
        "cache_dir",
        "",
        False,
        "where compiled code is kept; empty: covector in the user's cache folder",
    ),
    Flag(
        "cache_limit_mb",
        1024,
        False,
        "how much compiled code is kept on disk; what was not used for longest is removed",
        least=0,
    ),
    Flag(
        "default_matmul_precision",
        "",
        False,
        "the precision of products where a call asks for none; on the CPU it is always the dtype's own",
        choices=(
            *("", "default", "high", "highest", "bfloat16", "tensorfloat32", "float32"),
            *("BF16_BF16_F32", "BF16_BF16_F32_X3", "BF16_BF16_F32_X6", "BF16_BF16_F32_X9"),
            *("TF32_TF32_F32", "TF32_TF32_F32_X3", "F32_F32_F32", "F64_F64_F64"),
            *("F16_F16_F16", "F16_F16_F32", "BF16_BF16_BF16"),
            *("ANY_F8_ANY_F8_F32", "ANY_F8_ANY_F8_F32_FAST_ACCUM", "ANY_F8_ANY_F8_ANY"),
            "ANY_F8_ANY_F8_ANY_FAST_ACCUM",
        ),
    ),
    Flag(
        "default_prng_impl",
        "threefry2x32",
        True,
        "the generator of keys that are made without a name of one",
        choices=("threefry2x32", "threefry4x32", "rbg", "unsafe_rbg", "philox2x32", "philox4x32"),
    ),
    Flag(
        "debug_infs",
        False,
        False,
        "look for infinities in all that is computed, and raise where one is made",
        twins=True,
    ),
    Flag(
        "debug_nans",
        False,
        False,
        "look for NaNs in all that is computed, and raise where one is made",
        twins=True,
    ),
    Flag("disable_jit", False, False, "run the body of jitted functions operation by operation"),
    Flag(
        "dump",
        "",
        False,
        "print the Program or Kernel after these passes (or after all)",
        choices=(*_PASSES, "all"),
        several=True,
    ),
    Flag(
        "explain",
        "",
        False,
        "give reasons for decisions on these topics",
        choices=("fusion", "schedule", "compile", "copy", "loop", "cache"),
        several=True,
    ),
    Flag(
        "enable_x64",
        None,
        True,
        "None: types are as written; False: 64 bits become 32 wherever values and dtypes come in; True: numbers and "
        "what is made without a dtype have 64",
    ),
    Flag("explain_cache_misses", False, False, "log why a jitted function is traced again"),
    Flag("fast_paths", True, False, "native dispatch; off: the Python twins run instead"),
    Flag("fuse", True, True, "compute producers inside their consumers"),
    Flag("log_compiles", False, False, "log what is compiled, and how long it takes"),
    Flag("logger", "covector", False, "the name of the logger of what is logged"),
    Flag(
        "numpy_dtype_promotion",
        "standard",
        True,
        "strict: operands of different dtypes are an error, but for Python's numbers",
        choices=("standard", "strict"),
        twins=True,
    ),
    Flag(
        "numpy_rank_promotion",
        "allow",
        True,
        "whether operands of different ranks, but for numbers, are broadcast",
        choices=("allow", "warn", "raise"),
        twins=True,
    ),
    Flag("no_tracing", False, False, "refuse to trace jitted functions again"),
    Flag(
        "num_threads",
        0,
        True,
        "threads that compute; 0: as many as there are cores",
        least=0,
        at_start=True,
    ),
    Flag(
        "skip",
        "",
        True,
        "leave out these optional passes, to find a culprit",
        choices=("simplify", "invariants", "turned", "schedule"),
        several=True,
    ),
    Flag(
        "transfer_guard",
        "allow",
        False,
        "what to do where a function is given a NumPy array, and not an array; explicit: device_put too",
        choices=TRANSFER_LEVELS,
        twins=True,
    ),
    Flag(
        "vector_bits",
        0,
        True,
        "vector width to emit, in bits; 0: the widest that the machine does well",
        choices=(0, 128, 256, 512),
    ),
    Flag("verify", False, False, "run the verifiers after every pass"),
    Flag("trim_tracebacks", True, False, "leave our own frames out of tracebacks"),
)
_BY_NAME = {flag.name: flag for flag in FLAGS}
CODE_FLAGS = tuple([flag.name for flag in FLAGS if flag.changes_code])


# What stands for each choice of the flags that are part of the native core's signatures.
_epochs: dict[tuple[object, ...], int] = {}


@bounded
class Config(threading.local):
    """The flags' values, as attributes.  `update` sets one; `override` sets some for a `with` block.

    What `update` sets holds in all threads: it is an attribute of the class.  A block's values are those of its
    thread, attributes of the thread's instance.  JAX's names of flags (`jax_enable_x64`) are read too.
    """

    enable_x64: bool | None
    # The mesh in whose context a thread is, if any: what functions are traced to depends on it, as on flags.
    mesh: Hashable = None

    @property
    def x64_enabled(self) -> bool:
        """Whether 64 bits are switched on, as JAX names it for reading."""
        return bool(self.enable_x64)

    def __getattr__(self, name: str) -> Any:
        return self._of_jax(name)

    def __setattr__(self, name: str, value: object) -> None:
        self.update(name, value)

    def update(self, name: str, value: Any) -> None:
        """Set a flag in all threads.

        Names of JAX's flags are taken too: those that mean something here act, the others are named in a warning.

        Raises:
            AttributeError: there is no such flag.
            TypeError: the value does not have the flag's type.
            ValueError: it is not a legal one.
        """
        if jax_flags.known(name):
            if (ours := jax_flags.translate(name, value)) is None:
                return
            name, value = ours
        value, flag = _checked(name, value), _BY_NAME[name]
        if getattr(Config, name) != value:
            if flag.at_start:
                raise ValueError(
                    f"flag {name!r} is read when the process starts: set {flag.variable}"
                )
            setattr(Config, name, value)
            _apply(self)

    def read(self, name: str) -> Any:
        """A flag's value, of ours or by JAX's name; AttributeError if there is none."""
        return getattr(self, name) if name in _BY_NAME else self._of_jax(name)

    def _of_jax(self, name: str) -> Any:
        if not jax_flags.known(name):
            raise AttributeError(f"there is no flag {name!r}; the flags are {', '.join(_BY_NAME)}")
        return jax_flags.value(name, partial(getattr, self))

    @property
    def values(self) -> dict[str, Any]:
        """The flags that JAX names, by these names."""
        return {name: self._of_jax(name) for name in jax_flags.names()}

    @contextmanager
    def override(self, **values: object) -> Generator[None]:
        """These flags, for the length of a `with` block, in this thread."""
        checked = {name: _checked(name, value) for name, value in values.items()}
        for name, value in checked.items():
            if _BY_NAME[name].at_start and value != getattr(self, name):
                raise ValueError(
                    f"flag {name!r} is read when the process starts: set {_BY_NAME[name].variable}"
                )
        before = {name: self.__dict__[name] for name in checked if name in self.__dict__}
        self.__dict__.update(checked)
        _apply(self)
        try:
            yield
        finally:
            for name in checked:
                del self.__dict__[name]
            self.__dict__.update(before)
            _apply(self)

    @property
    def watched(self) -> tuple[str, ...]:
        """What is looked for in all that is computed: some of nan, inf."""
        watching = ("nan", self.debug_nans), ("inf", self.debug_infs)
        return tuple([kind for kind, on in watching if on])

    @property
    def shows_passes(self) -> bool:
        """Whether somebody looks at what passes do, so that they must run."""
        topics = {*self.explain.split(",")} - {"", "compile", "cache"}
        return bool(self.verify or self.dump or topics)

    def enter_mesh(self, mesh: Hashable) -> Hashable:
        """Make this the mesh of the thread's context from now on, None for no mesh; the one before."""
        before = self.mesh
        self.__dict__.pop("mesh", None)
        if mesh is not None:
            self.__dict__["mesh"] = mesh
        _apply(self)
        return before

    def code_key(self) -> tuple[object, ...]:
        """The flags that change compiled code: part of every cache key."""
        return tuple([getattr(self, name) for name in CODE_FLAGS])


def _checked(name: str, value: Any) -> Value:
    """The value of a flag as it is kept."""
    if name not in _BY_NAME:
        raise AttributeError(f"there is no flag {name!r}; the flags are {', '.join(_BY_NAME)}")
    flag = _BY_NAME[name]
    if not flag.takes(value):
        kind = "a bool or None" if flag.default is None else type(flag.default).__name__
        raise TypeError(f"flag {name!r} takes {kind}, got {value!r}")
    return flag.check(value, f"flag {name!r}")


def _epoch(values: object) -> int:
    """The number of these values of the flags that the native core must tell apart; never 0."""
    key = tuple([getattr(values, name) for name in (*CODE_FLAGS, "disable_jit", "mesh")])
    return _epochs.setdefault(key, len(_epochs) + 1)


def _needs_twins(values: object) -> bool:
    return any(getattr(values, flag.name) != flag.default for flag in FLAGS if flag.twins)


def _apply(config: Config) -> None:
    """Tell the native core."""
    own = bool(config.__dict__)
    _native.set_config_epoch(_epoch(Config), Config.enable_x64)
    _native.set_thread_config(
        _epoch(config) if own else 0, own and _needs_twins(config), config.enable_x64
    )
    _native.set_fast_paths(config.fast_paths and not _needs_twins(Config))
    _native.set_trim_tracebacks(config.trim_tracebacks)


def _load() -> Config:
    """The flags as the environment sets them."""
    for flag in FLAGS:
        text = os.environ.get(flag.variable)
        setattr(Config, flag.name, flag.default if text is None else flag.parse(text))
    made = Config()
    _apply(made)
    return made


config = _load()
