"""Events that code records, and those who listen to them: names and meanings are those of `jax.monitoring`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from covector._engine.base import errors

__all__ = [
    "clear_event_listeners",
    "record_event",
    "record_event_duration_secs",
    "record_event_time_span",
    "record_scalar",
    "register_event_duration_secs_listener",
    "register_event_listener",
    "register_event_time_span_listener",
    "register_scalar_listener",
    "unregister_event_duration_listener",
    "unregister_event_listener",
    "unregister_event_time_span_listener",
    "unregister_scalar_listener",
]

Listener = Callable[..., Any]

# What is recorded by Covector itself: seconds, with the name of the function.
TRACED = "/jax/core/compile/jaxpr_trace_duration"
COMPILED = "/jax/core/compile/backend_compile_duration"


class _Listeners:
    """Those who listen to one kind of events; `name` is that of the function that lets one go."""

    def __init__(self, name: str):
        self.name = name
        # Replaced as a whole: they come and go while others are told.
        self.all: tuple[Listener, ...] = ()

    def tell(self, *what: Any, **kwargs: str | int) -> None:
        for listener in self.all:
            listener(*what, **kwargs)

    def add(self, listener: Listener) -> None:
        self.all = (*self.all, listener)

    def remove(self, listener: Listener) -> None:
        if listener not in self.all:
            raise ValueError(
                f"{self.name} of {listener!r}{errors.at_user_line()}: it is not among the {len(self.all)} listeners"
            )
        place = self.all.index(listener)
        self.all = self.all[:place] + self.all[place + 1 :]


_events = _Listeners("unregister_event_listener")
_durations = _Listeners("unregister_event_duration_listener")
_spans = _Listeners("unregister_event_time_span_listener")
_scalars = _Listeners("unregister_scalar_listener")


def record_event(event: str, **kwargs: str | int) -> None:
    """Tell those who listen that something happened.

    >>> from covector import monitoring
    >>> heard = []
    >>> listener = lambda event, **options: heard.append((event, options))
    >>> monitoring.register_event_listener(listener)
    >>> monitoring.record_event("/mine/saved", step=3)
    >>> monitoring.unregister_event_listener(listener)
    >>> heard
    [('/mine/saved', {'step': 3})]
    """
    _events.tell(event, **kwargs)


def record_event_duration_secs(event: str, duration: float, **kwargs: str | int) -> None:
    """Tell those who listen how many seconds something took.

    >>> from covector import monitoring
    >>> monitoring.record_event_duration_secs("/mine/saved", 0.5)
    """
    _durations.tell(event, duration, **kwargs)


def record_event_time_span(
    event: str, start_time: float, end_time: float, **kwargs: str | int
) -> None:
    """Tell those who listen when something began and ended, in seconds as `time.time()` gives them.

    >>> from covector import monitoring
    >>> monitoring.record_event_time_span("/mine/saved", 10.0, 10.5)
    """
    _spans.tell(event, start_time, end_time, **kwargs)


def record_scalar(event: str, value: float | int, **kwargs: str | int) -> None:
    """Tell those who listen a number.

    >>> from covector import monitoring
    >>> monitoring.record_scalar("/mine/bytes", 1024)
    """
    _scalars.tell(event, value, **kwargs)


def register_event_listener(callback: Listener) -> None:
    """Call a function with each event, and its options, from now on.

    >>> from covector import monitoring
    >>> monitoring.register_event_listener(listener := lambda event, **options: None)
    >>> monitoring.unregister_event_listener(listener)
    """
    _events.add(callback)


def register_event_duration_secs_listener(callback: Listener) -> None:
    """Call a function with each event that took time, its seconds and options, from now on.

    `jit` records how long it traced ("/jax/core/compile/jaxpr_trace_duration") and compiled
    ("/jax/core/compile/backend_compile_duration"), with `fun_name`.

    >>> import covector
    >>> from covector import monitoring
    >>> heard = []
    >>> listener = lambda event, seconds, **options: heard.append((event, options))
    >>> monitoring.register_event_duration_secs_listener(listener)
    >>> _ = covector.jit(lambda x: 3 * x)(2.0)
    >>> monitoring.unregister_event_duration_listener(listener)
    >>> [event.rpartition("/")[2] for event, options in heard]
    ['jaxpr_trace_duration', 'backend_compile_duration']
    """
    _durations.add(callback)


def register_event_time_span_listener(callback: Listener) -> None:
    """Call a function with each event that took time, when it began and ended, and its options, from now on.

    >>> from covector import monitoring
    >>> monitoring.register_event_time_span_listener(listener := lambda event, start, end, **options: None)
    >>> monitoring.unregister_event_time_span_listener(listener)
    """
    _spans.add(callback)


def register_scalar_listener(callback: Listener) -> None:
    """Call a function with each number that is recorded, and its options, from now on.

    >>> from covector import monitoring
    >>> monitoring.register_scalar_listener(listener := lambda event, value, **options: None)
    >>> monitoring.unregister_scalar_listener(listener)
    """
    _scalars.add(callback)


def unregister_event_listener(callback: Listener) -> None:
    """Call a function no more with events; ValueError if it was not called.

    >>> from covector import monitoring
    >>> monitoring.register_event_listener(print)
    >>> monitoring.unregister_event_listener(print)
    """
    _events.remove(callback)


def unregister_event_duration_listener(callback: Listener) -> None:
    """Call a function no more with events that took time; ValueError if it was not called.

    >>> from covector import monitoring
    >>> monitoring.register_event_duration_secs_listener(print)
    >>> monitoring.unregister_event_duration_listener(print)
    """
    _durations.remove(callback)


def unregister_event_time_span_listener(callback: Listener) -> None:
    """Call a function no more with when events began and ended; ValueError if it was not called.

    >>> from covector import monitoring
    >>> monitoring.register_event_time_span_listener(print)
    >>> monitoring.unregister_event_time_span_listener(print)
    """
    _spans.remove(callback)


def unregister_scalar_listener(callback: Listener) -> None:
    """Call a function no more with numbers; ValueError if it was not called.

    >>> from covector import monitoring
    >>> monitoring.register_scalar_listener(print)
    >>> monitoring.unregister_scalar_listener(print)
    """
    _scalars.remove(callback)


def clear_event_listeners() -> None:
    """Call no function any more, of whatever kind.

    >>> from covector import monitoring
    >>> monitoring.clear_event_listeners()
    """
    for kind in (_events, _durations, _spans, _scalars):
        kind.all = ()


@contextmanager
def measured(event: str, name: str) -> Generator[None]:
    """Records how long the block takes, and when, under the name of a function."""
    if not (_durations.all or _spans.all or _scalars.all):
        yield
        return
    start = time.time()
    record_scalar(event, start, fun_name=name)
    try:
        yield
    finally:
        end = time.time()
        record_event_duration_secs(event, end - start, fun_name=name)
        record_event_time_span(event, start, end, fun_name=name)
