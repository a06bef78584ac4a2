"""These tests need the libraries: `make compat` runs them, in an environment of their own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

if find_spec("equinox") is None or find_spec("jax") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What each case took: milliseconds with JAX and with Covector, and their ratio; first and later calls."""
    reports = terminalreporter.stats.get("passed", ())
    rows = [dict(r.user_properties) for r in reports if dict(r.user_properties).get("first")]
    if rows:
        terminalreporter.section("milliseconds: jax, covector, ratio")
    for row in rows:
        columns = [
            f"{label} {row[label][0]:9.3f} {row[label][1]:9.3f} {row[label][1] / row[label][0]:5.2f}"
            for label in ("first", "again")
        ]
        terminalreporter.write_line(f"{row['case']:44} {'  '.join(columns)}")
