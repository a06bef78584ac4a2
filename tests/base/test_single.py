"""One object for all threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

from covector._engine.backends.cpu import backend
from covector._engine.base.single import single


def test_threads_that_ask_at_once_get_the_same_object() -> None:
    """Also where both are inside: who comes second throws away what it made."""
    together = threading.Barrier(2)
    made: list[object] = []

    @single
    def the(name: str) -> object:
        together.wait(60)
        made.append(thing := [name])
        return thing

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(the, ["a", "a"])
    assert len(made) == 2
    assert first is second is the("a")


def test_threads_share_the_functions_of_compiled_programs() -> None:
    """A second library would go, and its machine code with it, while Programs call it."""
    together = threading.Barrier(2)

    def keep(key: str, make: object) -> bytes:
        raise AssertionError("nothing is asked for")

    class Symbols(dict[str, int]):
        """Where both threads meet: each is about to make its library."""

        def __init__(self) -> None:
            super().__init__()
            together.wait(60)

    known = backend.symbols
    backend.symbols = Symbols  # type: ignore[assignment]
    try:
        with ThreadPoolExecutor(2) as threads:
            processor = backend.processor()
            first, second = threads.map(lambda _: backend._library(processor, keep), range(2))
    finally:
        backend.symbols = known
    assert first is second
