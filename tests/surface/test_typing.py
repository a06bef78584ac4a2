"""What a type checker tells users: signatures survive the transformations, and internals are not there."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import covector as cv

PROGRAM = Path(__file__).parent / "consumer.py"
SOURCE = Path(cv.__file__).parent.parent


def expected() -> dict[int, str]:
    """What each line says of itself, by the number of the line that its statement begins on."""
    source = PROGRAM.read_text()
    lines = source.splitlines()
    return {
        node.lineno: lines[node.end_lineno - 1].partition("  # ")[2]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr | ast.Assign) and "  # " in lines[(node.end_lineno or 1) - 1]
    }


@pytest.mark.slow
def test_a_users_program_has_the_types_that_it_says(tmp_path: Path) -> None:
    settings = {
        "include": ["."],
        "extraPaths": [str(SOURCE)],
        "typeCheckingMode": "standard",
        "pythonVersion": "3.11",
    }
    (tmp_path / PROGRAM.name).write_text(PROGRAM.read_text())
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "-p", str(tmp_path), "--outputjson"],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[int, str] = {}
    for item in json.loads(done.stdout)["generalDiagnostics"]:
        text = item["message"].splitlines()[0]
        line = item["range"]["start"]["line"] + 1
        if item["severity"] == "error":
            found[line] = f"error: {text}"
        else:
            found[line] = text.rpartition('" is "')[2].rstrip('"')
    wanted = expected()
    starts = {line: max(n for n in wanted if n <= line) for line in found}
    assert {starts[line]: text for line, text in found.items()} == wanted


def test_the_stub_of_arrays_names_all_that_they_have() -> None:
    stub = ast.parse((SOURCE / "covector" / "_engine" / "_native.pyi").read_text())
    (cls,) = [n for n in stub.body if isinstance(n, ast.ClassDef) and n.name == "Array"]
    named = {n.name for n in cls.body if isinstance(n, ast.FunctionDef)}
    missing = {n for n in dir(cv.Array) if not n.startswith("_")} - named
    assert not missing
