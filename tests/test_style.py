"""The style, executed: sizes, docstrings, what is left open, and how seldom the formatter is switched off."""

from __future__ import annotations

import ast
import re

import pytest
from tests.sources import ROOT, parse, python_files

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "examples"])
def test_files_are_short(folder: str) -> None:
    paths = [p for end in ("py", "cc", "h") for p in (ROOT / folder).rglob(f"*.{end}")]
    sizes = {p.relative_to(ROOT): len(p.read_text().splitlines()) for p in paths}
    long = [f"{path}: {size} lines" for path, size in sizes.items() if size >= MAX_FILE_LINES]
    assert not long, f"split these by family, under {MAX_FILE_LINES} lines:\n" + "\n".join(long)


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "examples"])
def test_functions_are_short(folder: str) -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {size} lines"
        for path in python_files(folder)
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (size := (node.end_lineno or node.lineno) - node.lineno + 1) >= MAX_FUNCTION_LINES
    ]
    assert not long, f"split these, under {MAX_FUNCTION_LINES} lines:\n" + "\n".join(long)


def test_a_task_left_open_names_its_issue() -> None:
    marker = re.compile(r"(?:#|//|/\*).*\b(TODO|FIXME|HACK|XXX)\b(?!\s*\(#\d+\))")
    sources = [p for end in ("py", "cc", "h") for p in (ROOT / "src").rglob(f"*.{end}")]
    open_ = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in sorted([*sources, *python_files("benchmarks", "examples")])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marker.search(line)
    ]
    assert not open_, "write TODO(#123), with the issue's number:\n" + "\n".join(open_)


def test_everything_public_has_a_docstring() -> None:
    missing: list[str] = []
    for path in python_files("src/covector", "benchmarks", "examples"):
        tree = parse(path)
        if ast.get_docstring(tree) is None:
            missing.append(f"{path.relative_to(ROOT)}:1 the module")
        for node in tree.body:
            defines = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            if defines and not node.name.startswith("_") and ast.get_docstring(node) is None:
                missing.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not missing, "these say nothing about themselves:\n" + "\n".join(missing)


def test_the_formatter_is_seldom_switched_off() -> None:
    """What it tears apart is written so that it does not."""
    places = [
        p for p in (ROOT / "src").rglob("*.py") for _ in re.findall("# fmt: skip", p.read_text())
    ]
    assert len(places) <= 40
