"""Events are told to those who listen, and `jit` records what it traces and compiles."""

from __future__ import annotations

from typing import Any

import pytest

import covector as cv
from covector import monitoring

KINDS = {
    "event": ("event", "event", ()),
    "duration": ("event_duration_secs", "event_duration", (0.5,)),
    "span": ("event_time_span", "event_time_span", (1.0, 2.0)),
    "scalar": ("scalar", "scalar", (3,)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_listeners(kind: str) -> None:
    name, removal, values = KINDS[kind]
    record = getattr(monitoring, f"record_{name}")
    register = getattr(monitoring, f"register_{name}_listener")
    unregister = getattr(monitoring, f"unregister_{removal}_listener")
    heard: list[Any] = []

    def listener(event: str, *numbers: Any, **options: Any) -> None:
        heard.append((event, numbers, options))

    register(listener)
    record("/a/b", *values, step=1)
    assert heard == [("/a/b", values, {"step": 1})]
    register(listener)
    record("/a/c", *values)
    assert len(heard) == 3
    unregister(listener)
    unregister(listener)
    record("/a/d", *values)
    assert len(heard) == 3
    with pytest.raises(ValueError, match="not among the 0 listeners"):
        unregister(listener)
    register(listener)
    monitoring.clear_event_listeners()
    record("/a/e", *values)
    assert len(heard) == 3


def test_jit_records_what_it_compiles() -> None:
    heard: list[Any] = []
    spans: list[Any] = []

    def listener(event: str, seconds: float, **options: Any) -> None:
        assert seconds >= 0
        heard.append((event, options))

    monitoring.register_event_duration_secs_listener(listener)
    monitoring.register_event_time_span_listener(lambda *told, **_: spans.append(told))
    try:

        @cv.jit
        def triple(x: Any) -> Any:
            return 3 * x

        triple(2.0)
        triple(3.0)
    finally:
        monitoring.clear_event_listeners()
    told = {"fun_name": "triple"}
    wanted = ["jaxpr_trace_duration", "backend_compile_duration"]
    assert heard == [(f"/jax/core/compile/{name}", told) for name in wanted]
    assert [event for event, *_ in spans] == [event for event, _ in heard]
