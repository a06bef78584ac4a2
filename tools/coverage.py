"""How much of JAX's public names is there, package by package: docs/coverage.md is written by this.

python -m tools.coverage           the page
python -m tools.coverage --write   into the file
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from covector._engine.base.absent import absence, names_of
from covector._engine.base.jax_names import NAMES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coverage.md"
_TOP = """# What of JAX's names is there

Made by `python -m tools.coverage --write` from the table that explains missing names
(`_engine/base/absent.py`): asked for one, a package says why it is missing and what to use instead.

| package | names in JAX 0.12 | there | missing |
|---|---|---|---|
"""


def missing_names(package: str) -> list[str]:
    """JAX's names of a package of ours that are not there; all of them if there is no such package."""
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError:
        return list(names_of(package))
    return [name for name in names_of(package) if not hasattr(module, name)]


def packages() -> list[str]:
    """The packages that JAX has names for, as ours are called."""
    return [f"covector.{name}".rstrip(".") for name in NAMES]


def _reasons(package: str, missing: list[str]) -> Iterator[str]:
    """A line for each reason, with the names that are missing for it."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in missing:
        found = absence(package, name)
        assert found is not None
        groups.setdefault((found.why, found.instead), []).append(name)
    for (why, instead), names in groups.items():
        listed = ", ".join(f"`{name}`" for name in names)
        yield f"- {listed}: {why}" + (f"; use {instead}" if instead else "") + "."


def page() -> str:
    """The text of the page."""
    rows, parts = [], []
    for package in packages():
        missing, total = missing_names(package), len(names_of(package))
        rows.append(f"| `{package}` | {total} | {total - len(missing)} | {len(missing)} |")
        if missing:
            parts.append(f"\n## `{package}`\n\n" + "\n".join(_reasons(package, missing)) + "\n")
    return _TOP + "\n".join(rows) + "\n" + "".join(parts)


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page())
    else:
        print(page())
