"""The numbers by which compiler and rules decide: those that depend on a machine are fields of its `Target`."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

from tests.sources import PACKAGE, parse, python_files

# Numbers of modules that decide nothing about a machine, each with its reason. What a machine decides is a field of
# `Target` (backends/base.py), with the figure that chose it, so that passes run for other machines.
NUMBERS = {
    ("compile/arena", "ALIGNMENT"): "of the ABI: what routines and vectors may count on",
    ("compile/arena", "CHUNK"): "of a data structure: what comes out is the same with any other",
    ("compile/elements", "DEEPEST"): "how deep Python's stack may get",
    ("compile/fuse", "ALONE"): "more than any limit",
    ("compile/late", "MANY"): "all but one of these copy what they change anyway, on any machine",
    ("compile/survey", "TICKS"): "a unit: costs in whole numbers",
    ("compile/unroll", "MADE"): "a mark: no input has this number",
    ("control/branches", "BUNDLE"): "of a data structure: how many residuals make a row of one",
    ("control/branches", "BUNDLES"): "how much code a gradient may be is the same everywhere",
    ("control/branches", "LARGEST_BUNDLE"): "of a data structure: larger arrays are not copied",
    ("control/flat", "WORTH"): "how much memory a gradient may take is the same everywhere",
    ("control/flat", "_END"): "a mark: no block has this number",
    (
        "control/unwind",
        "LEAST_DIGITS",
    ): "how much memory a gradient may take is the same everywhere",
    ("control/unwind", "HEADS"): "of a data structure: how many numbers stand in front",
    ("control/unwind", "TAPE_BYTES"): "how much memory a gradient may take is the same everywhere",
    ("control/unwind", "MOST_STEPS"): "how much memory a gradient may take is the same everywhere",
    ("control/unwind", "KEPT_BYTES"): "how much memory a gradient may take is the same everywhere",
    ("core/reach", "MOST"): "of a search: where there is more to look at, the rule is run to see",
    ("primitives/contract", "USES"): "before there is a target: laws ask for none",
    ("primitives/conv", "AXES"): "of the ABI: the spatial axes of the routine of convolutions",
    (
        "primitives/conv",
        "FEW_FEATURES",
    ): "of the ABI: fewer columns than the routine's tiles are for",
    ("primitives/conv", "FEW_GROUPS"): "of the ABI: fewer are less than the routine's vectors",
    (
        "primitives/window",
        "FEW_PLACES",
    ): "of a data structure: what is written out, and what is done axis by axis",
    ("primitives/laws", "_GROUP"): "of a data structure: what comes out is the same with any other",
    ("primitives/hashes", "PARITY"): "of threefry's definition",
    ("primitives/hashes", "MULTIPLIER"): "of Philox's definition",
    ("primitives/special", "_BY_ITSELF"): "of an approximation: how exact it is",
    ("primitives/scatter", "MOST_COMPONENTS"): "of the routine's signature",
    ("primitives/reduce", "MANY"): "both ways are equally quick, so nothing depends on it",
    ("primitives/reduce", "SHORT"): "sums do not depend on the machine",
    ("primitives/reduce", "ROWS"): "sums do not depend on the machine",
    ("primitives/scatter", "_MANY"): "both ways are equally quick, so nothing depends on it",
}


def is_number(node: ast.expr | None) -> bool:
    """Whether an expression is made of numbers alone."""
    match node:
        case ast.Constant(value=value):
            return type(value) in (int, float)
        case ast.UnaryOp(operand=x):
            return is_number(x)
        case ast.BinOp(left=x, right=y):
            return is_number(x) and is_number(y)
        case _:
            return False


def numbers(path: Path) -> Iterator[str]:
    """The names that a module gives to numbers, in its classes too."""
    bodies = [parse(path).body, *[n.body for n in parse(path).body if isinstance(n, ast.ClassDef)]]
    for node in itertools.chain(*bodies):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and is_number(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper())


def test_what_a_machine_decides_is_in_its_target() -> None:
    folders = [f"src/covector/_engine/{f}" for f in ("compile", "control", "core", "primitives")]
    found = {
        (path.relative_to(PACKAGE / "_engine").with_suffix("").as_posix(), name)
        for path in python_files(*folders)
        if path.parent.name != "functions"  # numbers of approximations
        for name in numbers(path)
    }
    new = sorted(found - set(NUMBERS))
    assert not new, f"put these into Target, or say in NUMBERS why not: {new}"
    assert not set(NUMBERS) - found, "these are gone"
