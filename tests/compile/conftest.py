"""How many random functions and Kernels the tests of the compiler made: told at the end of `make fuzz`."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compile.pool import MADE

_TOTAL = {"functions": 0, "kernels": 0}


def pytest_sessionfinish(session: Any) -> None:
    """A worker hands its counts to the one that prints them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["made"] = dict(MADE)
    else:
        _add(MADE)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker is done."""
    _add(getattr(node, "workeroutput", {}).get("made", {}))


def _add(counts: Any) -> None:
    for kind in _TOTAL:
        _TOTAL[kind] += counts.get(kind, 0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The counts, if there are any."""
    if any(_TOTAL.values()):
        text = f"ran {_TOTAL['functions']} random functions and {_TOTAL['kernels']} random Kernels"
        terminalreporter.write_line(text)
