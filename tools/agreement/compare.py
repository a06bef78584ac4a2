"""What differs between two outcomes of one call, and the page that counts it."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# From the worst to the least: what a call counts as.
KINDS = (
    "value",
    "shape or structure",
    "dtype",
    "weak type",
    "refused",
    "accepted",
    "exception",
)  # fmt: skip
TOLERANCES = {
    "bfloat16": 2e-2,
    "float16": 4e-3,
    "float32": 2e-5,
    "complex64": 2e-5,
    "float64": 1e-10,
    "complex128": 1e-10,
}
BUILTIN = {
    "TypeError",
    "ValueError",
    "IndexError",
    "OverflowError",
    "NotImplementedError",
    "AttributeError",
    "ZeroDivisionError",
}


# Functions whose vectors may have other signs, or phases, and where values are equal be other ones: what
# is compared of them is the matrix that they make. For each, how from its leaves in their order.
def _of_eigenvectors(v: np.ndarray, w: np.ndarray) -> np.ndarray:
    return (v * w[..., None, :]) @ np.swapaxes(v.conj(), -1, -2)


def _of_singular_vectors(u: np.ndarray, s: np.ndarray, vt: np.ndarray) -> np.ndarray:
    k = s.shape[-1]
    return (u[..., :k] * s[..., None, :]) @ vt[..., :k, :]


FACTORS: dict[str, Callable[..., np.ndarray]] = {
    "numpy.linalg.eigh": lambda w, v: _of_eigenvectors(v, w),
    "scipy.linalg.eigh": lambda w, v: _of_eigenvectors(v, w),
    "lax.linalg.eigh": _of_eigenvectors,
    "numpy.linalg.svd": _of_singular_vectors,
    "scipy.linalg.svd": _of_singular_vectors,
    "lax.linalg.svd": _of_singular_vectors,
}


def _array(leaf: Any) -> np.ndarray:
    """The values of a leaf."""
    dtype, _, shape, values = leaf
    found = np.asarray(values, "float64").reshape((2, *shape) if "complex" in dtype else shape)
    return found[0] + 1j * found[1] if "complex" in dtype else found


def _multiplied(call: str, ours: Any, theirs: Any) -> tuple[Any, Any]:
    """Outcomes with the values of ours in the place of vectors that make the same matrix."""
    made = FACTORS.get(call.split("(")[0])
    if made is None or not isinstance(ours, list) or not isinstance(theirs, list):
        return ours, theirs
    found, wanted = ours[1], theirs[1]
    values_alone = len(wanted) == 1
    if values_alone or [x[2] for x in found] != [x[2] for x in wanted]:
        return ours, theirs
    mine, right = (made(*map(_array, leaves)) for leaves in (found, wanted))
    tolerance = 4 * TOLERANCES[wanted[0][0]]
    if not np.allclose(mine, right, rtol=tolerance, atol=tolerance):
        return ours, theirs
    vectors = [len(w[2]) > 1 and w[2][-1] == w[2][-2] for w in wanted]
    leaves = [[*w[:3], f[3]] if v else w for f, w, v in zip(found, wanted, vectors, strict=True)]
    return ours, [theirs[0], leaves]


def difference(call: str, ours: Any, theirs: Any) -> str | None:
    """The kind of difference; None where there is none."""
    ours, theirs = _multiplied(call, ours, theirs)
    if isinstance(theirs, dict) or isinstance(ours, dict):
        return _errors(ours, theirs)
    (ours_tree, found), (theirs_tree, wanted) = ours, theirs
    if len(found) != len(wanted) or _plain(ours_tree) != _plain(theirs_tree):
        return "shape or structure"
    kinds = {_leaf(x, y) for x, y in zip(found, wanted, strict=True)}
    return next((k for k in KINDS if k in kinds), None)


def _plain(structure: str) -> str:
    """The text of a structure, which each library writes in its own way."""
    for name in ("PyTreeSpec", "PyTreeDef", " ", ",NoneIsLeaf"):
        structure = structure.replace(name, "")
    structure = structure.split(",namespace")[0]
    structure = re.sub(r"CustomNode\(namedtuple\[(\w+)\],\[(.*)\]\)", r"\1(\2)", structure)
    return re.sub(r"\w+=", "", structure).strip("()")


def _errors(ours: Any, theirs: Any) -> str | None:
    if not isinstance(theirs, dict):
        return "refused"
    if not isinstance(ours, dict):
        return "accepted"
    wanted = next((c for c in theirs["raises"] if c in BUILTIN), theirs["raises"][0])
    return None if wanted in ours["raises"] else "exception"


def _leaf(ours: Any, theirs: Any) -> str | None:
    if isinstance(ours, str) and isinstance(theirs, str):
        return None if _own_text(ours) == _own_text(theirs) else "value"
    if isinstance(ours, str) or isinstance(theirs, str):
        return "value"
    if ours[0] != theirs[0]:
        return "dtype"
    if ours[2] != theirs[2]:
        return "shape or structure"
    if not _close(ours[3], theirs[3], TOLERANCES.get(theirs[0].removeprefix("NumPy's "), 0)):
        return "value"
    return None if ours[1] == theirs[1] else "weak type"


def _own_text(text: str) -> str:
    """The text of an object without its address, and with JAX's name of structures."""
    return re.sub(r" at 0x[0-9a-f]+", "", text).replace("PyTreeSpec", "PyTreeDef")


def _close(x: Any, y: Any, tolerance: float) -> bool:
    if isinstance(x, list):
        flat, wanted = list(_flat(x)), list(_flat(y))
        scale = max([abs(v) for v in wanted if math.isfinite(v)], default=0.0)
        return all(_near(a, b, tolerance, scale) for a, b in zip(flat, wanted, strict=True))
    return _near(x, y, tolerance, abs(y) if math.isfinite(y) else 0.0)


def _flat(x: Any) -> Iterator[float]:
    for v in x:
        if isinstance(v, list):
            yield from _flat(v)
        else:
            yield v


def _near(a: float, b: float, tolerance: float, scale: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= tolerance * max(1.0, scale)


def group(call: str) -> tuple[str, str]:
    """The module and the function of a call."""
    if re.match(r"scipy\.stats\.\w+\.", call):
        return "scipy.stats", ".".join(re.split(r"[(\[]", call)[0].split(".")[2:])
    if found := re.match(_FUNCTION, call):
        return found["module"], found["name"]
    return next(kind for kind, start in _KINDS_OF_CALLS.items() if re.match(start, call)), call


_FUNCTION = (
    r"(?P<module>(?:numpy(\.linalg|\.fft)?|lax(\.linalg)?|nn(\.initializers)?|scipy(\.[a-z]+)+|"
    r"random|tree|tree_util|flatten_util|image|ops))\.(?P<name>\w+)[(\[.]"
)
# The calls that are of no module, by how they begin.
_KINDS_OF_CALLS = {
    ".at": r"a\(.*?\)\.at\[",
    "indexing": r"a\([^)]*\)\[",
    "Array": r"\w+\([^()]*\)\.\w",
    "transformations": r"(jit|grad|value_and_grad|vmap|jac|hess|jvp|vjp|eval_|lineariz|checkp|device_p)",
    "operators": "",
}


class Rule(NamedTuple):
    """Differences that are deliberate: of a kind, in calls, with texts of the exception, and why."""

    kind: str
    call: re.Pattern[str]
    message: re.Pattern[str]
    reason: str

    def holds(self, kind: str, call: str, outcomes: Sequence[Any]) -> bool:
        """Whether a difference is one of these."""
        if self.kind not in ("any", kind) or not self.call.search(call):
            return False
        messages = [o["message"] for o in outcomes if isinstance(o, dict)] or [""]
        return any(self.message.search(m) for m in messages)


def rules() -> list[Rule]:
    """The table `deliberate.txt`: a reason, then the lines that it is for, `kind | call | message`."""
    found: list[Rule] = []
    reason = ""
    for line in (Path(__file__).parent / "deliberate.txt").read_text().splitlines():
        if line.startswith("= "):
            reason = line[2:]
        elif line and line[0] != "#":
            kind, call, message = ([c.strip() for c in line.split(" | ")] + [""])[:3]
            found.append(Rule(kind, re.compile(call), re.compile(message), reason))
    return found


def reasons_page() -> str:
    """The list of reasons for what is deliberate, as the page ends with it."""
    reasons = [_AS_NUMPY, *dict.fromkeys(r.reason for r in rules())]
    return "\n## Deliberate differences\n\n" + "".join(f"- {reason}\n" for reason in reasons)


_AS_NUMPY = (
    "NumPy takes the call and gives the same numbers as we do; JAX refuses it, or gives others."
)


def asks_numpy(call: str, kind: str | None) -> bool:
    """Whether a difference is one in which NumPy can say who is right."""
    return kind in ("value", "shape or structure", "accepted") and call.startswith("numpy.")


def _as_numpy(ours: Any, numpys: Any) -> bool:
    """Whether NumPy gives our numbers, in whatever dtype."""
    if isinstance(ours, dict) or not isinstance(numpys, list):
        return False
    pairs = list(zip(ours[1], numpys[1], strict=False))
    return len(ours[1]) == len(numpys[1]) and all(
        x == y
        if isinstance(x, str) or isinstance(y, str)
        else x[2] == y[2] and _close(x[3], y[3], TOLERANCES.get(x[0], 0))
        for x, y in pairs
    )


def out_of_time(outcome: Any) -> bool:
    """Whether a call did not end in its time: nothing is known of what it gives."""
    return isinstance(outcome, dict) and "TimeoutError" in outcome["raises"]


class Report:
    """The differences of many calls."""

    def __init__(self, outcomes: Iterable[tuple[str, Any, Any, Any]]):
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.functions: dict[str, dict[str, Counter[str]]] = defaultdict(
            lambda: defaultdict(Counter)
        )
        self.found: list[tuple[str, str, Any, Any]] = []
        self.agreeing: list[tuple[str, Any]] = []
        self.drawn: dict[str, int] = {}
        deliberate = rules()
        for call, ours, theirs, numpys in outcomes:
            module, name = group(call)
            if out_of_time(theirs):
                self.counts[module]["out of time"] += 1
                continue
            kind = difference(call, ours, theirs)
            self.counts[module]["calls"] += 1
            if kind is None:
                self.counts[module]["agree"] += 1
                self.agreeing.append((call, theirs))
            elif _as_numpy(ours, numpys) or any(
                r.holds(kind, call, (ours, theirs)) for r in deliberate
            ):
                self.counts[module]["deliberate"] += 1
            else:
                self.counts[module][kind] += 1
                self.functions[module][kind][name] += 1
                self.found.append((kind, call, ours, theirs))

    def table(self) -> str:
        """A row a module: how many calls agree, are meant to differ, and differ, and in what."""
        rows = [
            f"| module | {' | '.join(_COLUMNS)} |",
            "|---" * (len(_COLUMNS) + 1) + "|",
        ]
        total: Counter[str] = Counter()
        for module, counts in sorted(self.counts.items()):
            counts["drawn"] = self.drawn.get(module, counts["calls"])
            total.update(counts)
            rows.append(_row(module if module in _PLAIN else f"`{module}`", counts))
        return "\n".join([*rows, _row("all", total)])

    def names(self) -> str:
        """Which functions differ, by module and kind."""
        lines: list[str] = []
        for module, kinds in sorted(self.functions.items()):
            lines.append(f"\n### `{module}`\n")
            for kind in KINDS:
                if kind in kinds:
                    shown = [
                        f"`{n}` {c}" if c > 1 else f"`{n}`" for n, c in kinds[kind].most_common(40)
                    ]
                    more = len(kinds[kind]) - len(shown)
                    lines.append(
                        f"- {kind}: {', '.join(shown)}{f', and {more} more' if more > 0 else ''}"
                    )
        return "\n".join(lines)

    def shown(self, only: str) -> str:
        """Each difference with both outcomes, the worst kind first; of one kind, if it is named."""
        return "\n".join(
            f"{kind}: {call}\n    ours   {str(ours)[:300]}\n    theirs {str(theirs)[:300]}"
            for kind, call, ours, theirs in sorted(self.found, key=lambda d: KINDS.index(d[0]))
            if only in ("", kind)
        )


_PLAIN = ("indexing", "operators", "transformations")
_COLUMNS = ("drawn", "out of time", "calls", "agree", "deliberate", "differ", *KINDS)


def _row(name: str, counts: Counter[str]) -> str:
    differ = sum(counts[k] for k in KINDS)
    return (
        f"| {name} | {' | '.join(str({**counts, 'differ': differ}.get(c, 0)) for c in _COLUMNS)} |"
    )
