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

    @property
    def variable(self) -> str:
        return "COVECTOR_" + self.name.upper()


FLAGS: tuple[Flag, ...] = (
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
    ),
    Flag("disable_jit", False, False, "run the body of jitted functions operation by operation"),
    Flag(
        "dump",
        "",
        False,
        "print the Program or Kernel after these passes (comma separated names, or all)",
    ),
    Flag(
        "explain",
        "",
        False,
        "give reasons for decisions: fusion, compile, copy, loop, cache (comma separated)",
    ),
    Flag("fast_paths", True, False, "native dispatch; off: the Python twins run instead"),
    Flag("fuse", True, True, "compute producers inside their consumers"),
    Flag(
        "skip",
        "",
        True,
        "leave out these optional passes (comma separated names), to find a culprit",
    ),
    Flag(
        "vector_bits",
        0,
        True,
        "vector width to emit, in bits; 0: the widest that the machine does well",
    ),
    Flag("verify", False, False, "run the verifiers after every pass"),
    Flag("trim_tracebacks", True, False, "leave our own frames out of tracebacks"),
)
_BY_NAME = {flag.name: flag for flag in FLAGS}


def _parse(flag: Flag, text: str) -> bool | int | str:
    """The value that an environment variable's text gives; ValueError names the flag and what fits."""
    if isinstance(flag.default, bool):
        values = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
        if text.lower() not in values:
            raise ValueError(f"{flag.variable}={text!r}: expected one of {', '.join(values)}")
        return values[text.lower()]
    if isinstance(flag.default, int):
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"{flag.variable}={text!r}: expected an integer") from None
    return text


@bounded
class Config:
    """The flags' values, as attributes.  `update` sets one; `override` sets some for a `with` block."""

    def __init__(self) -> None:
        for flag in FLAGS:
            text = os.environ.get(flag.variable)
            self.__dict__[flag.name] = flag.default if text is None else _parse(flag, text)
        self._epoch = 0
        self._apply()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no flag {name!r}; the flags are {', '.join(_BY_NAME)}")

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            self.__dict__[name] = value
        else:
            self.update(name, value)

    def update(self, name: str, value: object) -> None:
        """Set a flag; TypeError if the value does not have the flag's type."""
        if name not in _BY_NAME:
            raise AttributeError(f"there is no flag {name!r}; the flags are {', '.join(_BY_NAME)}")
        flag = _BY_NAME[name]
        if type(value) is not type(flag.default):
            raise TypeError(f"flag {name!r} takes {type(flag.default).__name__}, got {value!r}")
        if self.__dict__[name] != value:
            self.__dict__[name] = value
            self._epoch += flag.changes_code or name == "disable_jit"
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
        _native.set_config_epoch(self._epoch)
        _native.set_fast_paths(self.__dict__["fast_paths"])
        _native.set_trim_tracebacks(self.__dict__["trim_tracebacks"])


config = Config()
