"""Every flag in one table: name, type, default, environment variable, text, and whether it changes compiled code."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from covector._engine import _native
from covector._engine.base.public import bounded


@dataclass(frozen=True, slots=True)
class Flag:
    """One row of the table.  The environment variable is COVECTOR_ and the name in capitals."""

    name: str
    default: bool | int | str
    changes_code: bool
    text: str
    choices: tuple[int | str, ...] = ()  # the legal values; of `several`, the legal parts
    several: bool = False  # a text of parts with commas between them
    least: int | None = None
    at_start: bool = False  # read once, when the process starts

    @property
    def variable(self) -> str:
        return "COVECTOR_" + self.name.upper()

    @property
    def legal(self) -> str:
        """The values that the flag takes, for messages."""
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

    def parse(self, text: str) -> bool | int | str:
        """The value that an environment variable's text gives; ValueError names the flag and what fits."""
        value: bool | int | str = text
        if isinstance(self.default, bool):
            if text.lower() not in _BOOLS:
                raise self._wrong(self.variable, text)
            value = _BOOLS[text.lower()]
        elif isinstance(self.default, int):
            try:
                value = int(text)
            except ValueError:
                raise self._wrong(self.variable, text) from None
        return self.check(value, self.variable)

    def check(self, value: bool | int | str, called: str) -> bool | int | str:
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
_PASSES = ("trace", "inline", "simplify", "layouts", "invariants", "lower", "schedule", "memory")

FLAGS: tuple[Flag, ...] = (
    Flag(
        "backend",
        "cpu",
        True,
        "what Programs run on; reference: NumPy, slow, to compare with",
        choices=("cpu", "reference"),
    ),
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
    Flag("fast_paths", True, False, "native dispatch; off: the Python twins run instead"),
    Flag("fuse", True, True, "compute producers inside their consumers"),
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
        choices=("simplify", "invariants", "schedule"),
        several=True,
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


@bounded
class Config:
    """The flags' values, as attributes.  `update` sets one; `override` sets some for a `with` block."""

    def __init__(self) -> None:
        for flag in FLAGS:
            text = os.environ.get(flag.variable)
            self.__dict__[flag.name] = flag.default if text is None else flag.parse(text)
        self._epochs: dict[tuple[object, ...], int] = {}
        self._apply()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no flag {name!r}; the flags are {', '.join(_BY_NAME)}")

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            self.__dict__[name] = value
        else:
            self.update(name, value)

    def update(self, name: str, value: Any) -> None:
        """Set a flag; TypeError if the value does not have the flag's type, ValueError if it is not a legal one."""
        if name not in _BY_NAME:
            raise AttributeError(f"there is no flag {name!r}; the flags are {', '.join(_BY_NAME)}")
        flag = _BY_NAME[name]
        if type(value) is not type(flag.default):
            raise TypeError(f"flag {name!r} takes {type(flag.default).__name__}, got {value!r}")
        value = flag.check(value, f"flag {name!r}")
        if self.__dict__[name] != value:
            if flag.at_start:
                raise ValueError(
                    f"flag {name!r} is read when the process starts: set {flag.variable}"
                )
            self.__dict__[name] = value
            self._apply()

    @contextmanager
    def override(self, **values: object) -> Generator[None]:
        """These flags, for the length of a `with` block."""
        before = {name: getattr(self, name) for name in values}
        try:
            for name, value in values.items():
                self.update(name, value)
            yield
        finally:
            for name, value in before.items():
                self.update(name, value)

    def code_key(self) -> tuple[object, ...]:
        """The flags that change compiled code: part of every cache key."""
        return tuple(self.__dict__[flag.name] for flag in FLAGS if flag.changes_code)

    def _apply(self) -> None:
        """Tell the native core.  Settings that change code have a number: what is compiled is kept for each."""
        key = (*self.code_key(), self.__dict__["disable_jit"])
        _native.set_config_epoch(self._epochs.setdefault(key, len(self._epochs)))
        _native.set_fast_paths(self.__dict__["fast_paths"])
        _native.set_trim_tracebacks(self.__dict__["trim_tracebacks"])


config = Config()
