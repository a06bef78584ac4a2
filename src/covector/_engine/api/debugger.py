"""`debug.breakpoint`: a prompt in the middle of compiled code, with the variables of the user's frames."""

from __future__ import annotations

import cmd
import linecache
import pprint
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, TextIO

from covector._engine.api.arguments import as_array
from covector._engine.base import errors
from covector._engine.base.public import PACKAGE
from covector._engine.base.record import record
from covector._engine.control.callback import (
    DEBUG,
    DEBUG_ORDERED,
    Arguments,
    DebugCallback,
    Same,
    keyed,
    plain,
)

CONTEXT = 5  # lines shown on each side


class Frame:
    """One frame of the user's as it was when the breakpoint was recorded: where it is, and its names."""

    def __init__(self, code: Any, line: int, names: Mapping[str, Any], outside: Mapping[str, Any]):
        self.code, self.line, self.names, self.outside = code, line, names, outside

    def title(self) -> str:
        """File, line and function."""
        return f"{self.code.co_filename}:{self.line} ({self.code.co_name})"

    def lines(self) -> list[str]:
        """The source around the line, which is marked."""
        first = max(self.line - CONTEXT, 1)
        found = []
        for n in range(first, self.line + CONTEXT + 1):
            text = linecache.getline(self.code.co_filename, n)
            if text:
                found.append(f"{'->' if n == self.line else '  '} {n:4d}  {text.rstrip()}")
        return found

    def evaluate(self, text: str) -> Any:
        """The value of an expression here."""
        return eval(text, dict(self.outside), dict(self.names))


@record
class Stop:
    """What a breakpoint does: it opens a prompt on the frames."""

    places: tuple[Same, ...]  # (code, line, globals) of each frame, the innermost first
    arguments: Arguments  # of the frames' names
    stdin: Any
    stdout: Any

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        (names,), _ = self.arguments.unflatten(arrays)
        frames = [
            Frame(code, line, found, outside)
            for (code, line, outside), found in zip(map(plain, self.places), names, strict=True)
        ]
        Prompt(frames, plain(self.stdin), plain(self.stdout)).cmdloop()
        return ()


class Prompt(cmd.Cmd):
    """Reads commands until it is told to go on."""

    prompt = "(covector) "

    def __init__(self, frames: Sequence[Frame], stdin: TextIO | None, stdout: TextIO | None):
        super().__init__(stdin=stdin, stdout=stdout)
        self.use_rawinput = stdin is None
        self.frames, self.at = frames, 0
        self.intro = "\n".join([f"> {self.frame.title()}", *self.frame.lines()])

    @property
    def frame(self) -> Frame:
        """The frame that is looked at."""
        return self.frames[self.at]

    def say(self, text: str) -> None:
        """Write a line."""
        self.stdout.write(text + "\n")

    def default(self, line: str) -> None:
        """Anything else is an expression."""
        self._show(line, repr)

    def emptyline(self) -> bool:
        return False

    def _show(self, text: str, form: Callable[[Any], str]) -> None:
        try:
            self.say(form(self.frame.evaluate(text)))
        except Exception as error:  # the user's expression: whatever it raises is the answer
            self.say(f"{type(error).__name__}: {error}")

    def do_p(self, line: str) -> None:
        """p expression: print its value"""
        self._show(line, repr)

    def do_pp(self, line: str) -> None:
        """pp expression: print its value over several lines"""
        self._show(line, pprint.pformat)

    def do_locals(self, line: str) -> None:
        """locals: print the names of this frame and their values"""
        for name, value in self.frame.names.items():
            self.say(f"{name} = {value!r}")

    def do_list(self, line: str) -> None:
        """l(ist): print the source around this line"""
        self.say("\n".join(self.frame.lines()))

    def do_bt(self, line: str) -> None:
        """bt: print all frames, the innermost last"""
        for n in range(len(self.frames) - 1, -1, -1):
            self.say(f"{'>' if n == self.at else ' '} {self.frames[n].title()}")

    def do_up(self, line: str) -> None:
        """u(p): go to the frame that called this one"""
        self._go(1)

    def do_down(self, line: str) -> None:
        """d(own): go to the frame that this one called"""
        self._go(-1)

    def _go(self, step: int) -> None:
        if 0 <= self.at + step < len(self.frames):
            self.at += step
            self.say(f"> {self.frame.title()}")
        else:
            self.say("there is no further frame")

    def do_continue(self, line: str) -> bool:
        """c(ontinue): go on"""
        return True

    def do_quit(self, line: str) -> bool:
        """q(uit): end the program, with KeyboardInterrupt"""
        raise KeyboardInterrupt("the debugger was quit")

    def do_EOF(self, line: str) -> bool:
        """the end of the input: go on"""
        return True

    do_c, do_q, do_l, do_u, do_d = do_continue, do_quit, do_list, do_up, do_down
    do_where = do_w = do_bt


def _frames(filtered: bool) -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if not (filtered and frame.f_code.co_filename.startswith(PACKAGE)):
            yield frame
        frame = frame.f_back


def debug_breakpoint(
    *,
    backend: str | None = None,
    filter_frames: bool = True,
    num_frames: int | None = None,
    ordered: bool = False,
    token: None = None,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
) -> None:
    """Stop here when it runs, also inside compiled code, and read commands: p, pp, locals, bt, up, down, c, q, help.

    The frames are those of the user's that lead here, `num_frames` of them at most, with their variables' values;
    without `filter_frames` ours too.  Commands are read from `stdin`, answers written to `stdout`.

    >>> import covector, io
    >>> out = io.StringIO()
    >>> def f(x):
    ...     y = x * 2
    ...     covector.debug.breakpoint(stdin=io.StringIO("p y"), stdout=out)
    ...     return y
    >>> covector.jit(f)(3).tolist()
    6
    >>> "Array(6" in out.getvalue()
    True
    """
    if backend not in (None, "cli"):
        raise ValueError(
            f"debug.breakpoint: the one backend is 'cli', got {backend!r}{errors.at_user_line()}"
        )
    places: list[Same] = []
    names: list[dict[str, Any]] = []
    for frame in _frames(filter_frames):
        if len(places) == num_frames:
            break
        places.append(Same((frame.f_code, frame.f_lineno, frame.f_globals)))
        module = frame.f_locals is frame.f_globals
        names.append({} if module else dict(frame.f_locals))
    arguments, arrays = Arguments.of((names,), {}, numbers=False)
    effects = DEBUG_ORDERED if ordered else DEBUG
    stop = Stop(tuple(places), arguments, keyed(stdin), keyed(stdout))
    DebugCallback(stop, effects)(*map(as_array, arrays))
