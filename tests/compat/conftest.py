"""These tests need the libraries: `make compat` runs them, in an environment of their own."""

from __future__ import annotations

from importlib.util import find_spec
from statistics import geometric_mean
from typing import Any

LABELS = ("first", "again")
NAMES = {
    "dm_pix": "PIX",
    "flowjax": "FlowJAX",
    "numpyro": "NumPyro",
    "orbax": "Orbax",
    "ott": "OTT",
}
NAMES |= {"blackjax": "BlackJAX", "brax": "Brax", "tfp": "TensorFlow Probability"}

if find_spec("equinox") is None or find_spec("jax") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What each case took: milliseconds with JAX and with Covector, and their ratio; and each library's mean ratios.

    Of the first call, which compiles, in processor time; and of the quickest later one.
    """
    reports = terminalreporter.stats.get("passed", ())
    rows = [dict(r.user_properties) for r in reports if dict(r.user_properties).get("first")]
    if not rows:
        return
    terminalreporter.section("milliseconds: jax, covector, ratio")
    for row in rows:
        columns = [
            f"{label} {row[label][0]:9.3f} {row[label][1]:9.3f} {row[label][1] / row[label][0]:5.2f}"
            for label in LABELS
            if row[label][0]
        ]
        terminalreporter.write_line(f"{row['case']:44} {'  '.join(columns)}")
    terminalreporter.section("the table of docs/libraries.md")
    for line in table(rows):
        terminalreporter.write_line(line)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each library, and one for all: the geometric means of the cases' ratios."""
    libraries: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        libraries.setdefault(row["case"].partition(" ")[0], []).append(row)
    lines = ["| library | programs | first call | later calls |", "|---|---|---|---|"]
    for name, own in [*sorted(libraries.items()), ("all", rows)]:
        means = " | ".join(mean([row[label] for row in own]) for label in LABELS)
        lines.append(f"| {NAMES.get(name, name)} | {len(own)} | {means} |")
    return lines


def mean(pairs: list[list[float]]) -> str:
    """The geometric mean of Covector's times over JAX's, as text; nothing where none was measured."""
    ratios = [ours / theirs for theirs, ours in pairs if theirs and ours]
    return f"{geometric_mean(ratios):.2f}" if ratios else ""
