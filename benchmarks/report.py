"""The report: absolute values, ratios, limits and geometric means, as Markdown."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.cases import NONE, Case

OURS = "covector"
MISSED = "**MISSED**"
_load_before = os.getloadavg()[0]  # on a busy machine no figure means much


@dataclass
class Row:
    """What one case gave on each framework: seconds or bytes, or the text of a failure."""

    case: Case
    values: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)  # ours in the cases it is compared with

    def ratio(self, peer: str) -> float | None:
        """Return covector/peer, None unless both were measured."""
        ours, theirs = self.values.get(OURS), self.values.get(peer)
        return None if ours is None or not theirs else ours / theirs

    def verdicts(self) -> dict[str, bool]:
        """Return whether each limit that can be judged is held; a failure of ours misses them all."""
        case, ours = self.case, self.values.get(OURS)
        if OURS in self.failures:
            return dict.fromkeys(limits(case), False)
        if ours is None:
            return {}
        held = {
            peer: ratio <= limit
            for peer, limit in case.limits.items()
            if (ratio := self.ratio(peer)) is not None
        }
        held |= {
            f"`{other}`": ours <= limit * self.beside[other]
            for other, limit in case.beside.items()
            if other in self.beside
        }
        return held | ({"under": ours <= case.under} if case.under < math.inf else {})

    def missed(self) -> list[str]:
        """Return the names of the limits that are not held."""
        return [name for name, held in self.verdicts().items() if not held]

    def judged(self) -> bool:
        """Return whether at least one limit could be compared."""
        return bool(self.verdicts())


def limits(case: Case) -> dict[str, str]:
    """Return the limits of a case as text, by name."""
    texts = {peer: f"{limit:g}" for peer, limit in case.limits.items()}
    texts |= {f"`{other}`": f"{limit:g}" for other, limit in case.beside.items()}
    return texts | ({"under": show(case.under, case.kind)} if case.under < math.inf else {})


def show(value: float, kind: str) -> str:
    """Return a value with the unit that suits its size."""
    if kind == "memory":
        return f"{value / 2**20:.1f} MiB"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def plain(ratio: float) -> str:
    """Return a ratio with two digits that count."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def geometric_mean(values: Iterable[float]) -> float | None:
    """Return the geometric mean, None of nothing."""
    logs = [math.log(v) for v in values if v > 0]
    return math.exp(sum(logs) / len(logs)) if logs else None


def markdown(
    rows: list[Row], versions: Mapping[str, str], rounds: int, absent: Mapping[str, str] = NONE
) -> str:
    """Return the whole report; `absent` says why a framework is not in it."""
    frameworks = [name for name in versions if any(name in r.case.frameworks for r in rows)]
    lines = [
        "# Benchmark results",
        "",
        "Written by `make bench`; do not edit by hand. All frameworks run in one process, in turn; "
        f"each value is the best of up to {rounds} rounds. Ratios are Covector's value divided by "
        "the peer's: below 1, Covector is ahead. A limit is the largest ratio that we want, to a peer "
        "or to our own time in another case, or the most that we may take; it is a goal, not a result.",
        "",
        *machine({**versions, **{name: f"left out: {why}" for name, why in absent.items()}}),
    ]
    for group in dict.fromkeys(row.case.group for row in rows):
        members = [row for row in rows if row.case.group == group]
        lines += ["", f"## {group.capitalize()}", "", *table(members, frameworks)]
    lines += ["", "## Summary", "", *summary(rows, frameworks)]
    return "\n".join(lines) + "\n"


def table(rows: list[Row], frameworks: list[str]) -> list[str]:
    """Return the lines of one table, with only the columns that hold something."""
    present = [name for name in frameworks if any(name in r.case.frameworks for r in rows)]
    peers = [name for name in present if name != OURS] if OURS in present else []
    header = ["case", *present, *(f"/ {peer}" for peer in peers), "limits", "held"]
    lines = [_line(header), _line(["---", *["---:"] * (len(header) - 3), "---", "---"])]
    for row in rows:
        cells = [f"`{row.case.name}`: {row.case.text}"]
        cells += [_value(row, name) for name in present]
        cells += ["" if (r := row.ratio(peer)) is None else plain(r) for peer in peers]
        cells += [", ".join(f"{name} {text}" for name, text in limits(row.case).items())]
        cells += [_verdict(row)]
        lines.append(_line(cells))
    return lines


def _value(row: Row, name: str) -> str:
    if name in row.failures:
        return "failed"
    return show(row.values[name], row.case.kind) if name in row.values else ""


def _verdict(row: Row) -> str:
    if missed := row.missed():
        return f"{MISSED}: {', '.join(missed)}"
    return "yes" if row.judged() else "-"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def summary(rows: list[Row], frameworks: list[str]) -> list[str]:
    """Return the geometric means, the count of limits held and the failures."""
    lines = ["| peer | cases | geometric mean of covector / peer |", "| --- | ---: | ---: |"]
    for peer in [name for name in frameworks if name != OURS]:
        ratios = [r for row in rows if (r := row.ratio(peer)) is not None]
        mean = geometric_mean(ratios)
        lines.append(f"| {peer} | {len(ratios)} | {'-' if mean is None else plain(mean)} |")
    best = [r for row in rows if (r := best_peer_ratio(row)) is not None]
    if (mean := geometric_mean(best)) is not None:
        lines.append(f"| the best peer of each case | {len(best)} | {plain(mean)} |")
    judged = [row for row in rows if row.judged()]
    late = [row.case.name for row in judged if row.missed()]
    lines += ["", f"Limits held in {len(judged) - len(late)} of {len(judged)} cases."]
    if late:
        lines += ["", "Missed: " + ", ".join(f"`{name}`" for name in late) + "."]
    failures = [(r.case.name, name, text) for r in rows for name, text in r.failures.items()]
    if failures:
        lines += ["", "Failed:", ""]
        lines += [f"- `{case}` on {name}: {text}" for case, name, text in failures]
    return lines


def best_peer_ratio(row: Row) -> float | None:
    """Return Covector's value over the best value of any other framework."""
    ratios = [r for name in row.values if name != OURS and (r := row.ratio(name)) is not None]
    return max(ratios, default=None)


def machine(versions: Mapping[str, str]) -> list[str]:
    """Return the facts that a reader needs to judge the figures."""
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "CPU": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{_load_before:.1f} (processes that wanted a core in the minute before the run)",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **versions,
    }
    return ["| | |", "| --- | --- |", *(_line(item) for item in facts.items())]


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    flags = info.read_text() if info.exists() else ""
    width = next((w for w in ("avx512f", "avx2", "avx") if w in flags), "")
    return f"{names[0] if names else platform.processor()}" + (f" ({width})" if width else "")


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
