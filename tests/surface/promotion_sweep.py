"""Result dtypes and weak types of operators and functions, for all pairs of operands: of JAX, or of Covector.

    python promotion_sweep.py jax FILE      writes JAX's down: golden/promotion_sweep.txt

The file has a table for each state of `enable_x64`: rows are left operands, `of like` a function with another table
that is close, in which other cells are named.  `!` is an error; a star marks a weak type.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from operator import (
    add,
    and_,
    eq,
    floordiv,
    lshift,
    lt,
    mod,
    mul,
    or_,
    pow,
    rshift,
    sub,
    truediv,
    xor,
)
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

DTYPES: list[str] = """
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128
int2 int4 uint2 uint4 float4_e2m1fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz
float8_e5m2 float8_e5m2fnuz float8_e8m0fnu
""".split()  # noqa: SIM905
WIDE = {"int64", "uint64", "float64", "complex128"}
NUMBERS = {"True": True, "1": 1, "1.0": 1.0, "1j": 1j}
WEAK = {"int*": 1, "float*": 1.0, "complex*": 1j}
NUMPY = [
    "bool",
    "int8",
    "uint32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
]
OPERATORS = [add, sub, mul, truediv, floordiv, mod, pow, and_, or_, xor, lshift, rshift, eq, lt]
BY_NAME = """
add divide floor_divide remainder power float_power maximum fmax fmod arctan2 hypot logaddexp logaddexp2 copysign
nextafter heaviside bitwise_and left_shift equal less logical_and gcd ldexp result_type promote_types dot append
isclose vdot searchsorted full_like
""".split()  # noqa: SIM905

Table = dict[str, str]  # "left right" to the result


def dtype_of(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name, name))


def operands(jnp: Any, x64: bool) -> dict[str, Any]:
    """Arrays with an axis of each dtype, and weak ones without; Python's numbers, and NumPy's scalars and arrays."""
    found: dict[str, Any] = {}
    for name in DTYPES:
        if x64 or name not in WIDE:
            found[name] = jnp.ones(2, dtype_of(name))
    found |= NUMBERS
    found |= {name: jnp.asarray(value) for name, value in WEAK.items()}
    found |= {f"np.{name}": dtype_of(name).type(1) for name in NUMPY}
    return found | {f"nd.{name}": np.ones(2, name) for name in ("int64", "float64")}


def functions(jnp: Any) -> dict[str, Callable[[Any, Any], Any]]:
    def dtype(x: Any) -> Any:
        return getattr(x, "dtype", x)

    return {
        **{f.__name__.rstrip("_") + "()": f for f in OPERATORS},
        "divmod()": lambda x, y: divmod(x, y)[0],
        **{name: getattr(jnp, name) for name in BY_NAME},
        "promote_types": lambda x, y: jnp.promote_types(dtype(x), dtype(y)),
        "where": lambda x, y: jnp.where(True, x, y),
        "clip": lambda x, y: jnp.clip(x, y, y),
        "concatenate": lambda x, y: jnp.concatenate([x, y]),
        "stack": lambda x, y: jnp.stack([x, y]),
    }


def told(out: Any) -> str:
    """The dtype of a result, with a star if it is weak."""
    if isinstance(out, np.dtype):
        return out.name
    return str(np.dtype(out.dtype).name) + "*" * bool(getattr(out, "weak_type", False))


def table(library: Any, function: Callable[[Any, Any], Any], values: dict[str, Any]) -> Table:
    """What a function gives for all pairs of which one is an array: traced, so nothing is computed."""
    found: Table = {}

    def trace() -> int:
        for left, x in values.items():
            for right, y in values.items():
                if hasattr(x, "weak_type") or hasattr(y, "weak_type"):
                    try:
                        found[f"{left} {right}"] = told(function(x, y))
                    except (TypeError, ValueError, NotImplementedError):
                        found[f"{left} {right}"] = "!"
        return 0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library.eval_shape(trace)
    return found


# ----------------------------------------------------------------------------------------------- as text


def written(tables: dict[str, Table]) -> str:
    """The tables as text: each as another one and what is different in it, by results and left operands."""
    lines, seen = [], dict[str, Table]()
    for name, cells in tables.items():
        alike = [n for n, t in seen.items() if t.keys() == cells.keys()]
        near = min(alike, key=lambda n: sum(seen[n][k] != v for k, v in cells.items()), default="")
        other = {k: v for k, v in cells.items() if not near or seen[near].get(k) != v}
        lines.append(f"{name} like {near}" if near else name)
        lines += [
            f"  {value}: {_grouped([k for k in other if other[k] == value])}"
            for value in sorted({*other.values()})
        ]
        if other or not near:
            seen[name] = cells
    return "\n".join(lines) + "\n"


def _grouped(keys: list[str]) -> str:
    """Pairs, with those of left operands together that have the same right ones."""
    rights: dict[str, list[str]] = {}
    for key in keys:
        left, right = key.split()
        rights.setdefault(left, []).append(right)
    lefts: dict[str, list[str]] = {}
    for left, found in rights.items():
        lefts.setdefault(" ".join(found), []).append(left)
    return "; ".join(f"{' '.join(group)} > {right}" for right, group in lefts.items())


def read(text: str) -> dict[str, Table]:
    """The tables that `written` wrote."""
    tables: dict[str, Table] = {}
    cells: Table = {}
    for line in text.splitlines():
        if line[0] != " ":
            name, _, near = line.partition(" like ")
            cells = tables[name] = dict(tables[near]) if near else {}
            continue
        value, _, groups = line.strip().partition(": ")
        for group in groups.split("; "):
            lefts, rights = group.split(" > ")
            cells |= {f"{a} {b}": value for a in lefts.split() for b in rights.split()}
    return tables


def sweep(library: Any, x64: bool) -> Iterator[tuple[str, Table]]:
    """The tables of a library by functions, in a state of `enable_x64`."""
    library.config.update("jax_enable_x64", x64)
    jnp = import_module(library.__name__ + ".numpy")
    values = operands(jnp, x64)
    for name, function in functions(jnp).items():
        yield f"{name} {64 if x64 else 32}", table(library, function, values)


if __name__ == "__main__":
    made = {n: t for x64 in (True, False) for n, t in sweep(import_module(sys.argv[1]), x64)}
    text = written(made)
    assert read(text) == made
    Path(sys.argv[2]).write_text(text)
