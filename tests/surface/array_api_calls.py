"""Calls of the Array API standard's functions, made of array_api_rules.txt: with operands of all kinds and shapes.

A call is compared with NumPy's, which follows the standard too, in values and shape; its dtypes are those of the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DTYPES = {
    "b": ["bool"],
    "i": ["int8", "int16", "int32", "int64"],
    "u": ["uint8", "uint16", "uint32", "uint64"],
    "f": ["float32", "float64"],
    "c": ["complex64", "complex128"],
}
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (4,), (2, 3), (0, 2), (2, 0, 3), (2, 1, 3)]


class Rule(NamedTuple):
    """A row of the table, for one function."""

    name: str
    operands: list[tuple[str, str]]  # shape and kinds
    options: list[str]
    results: list[str]


class Call(NamedTuple):
    """A call: operands are NumPy's."""

    rule: Rule
    operands: tuple[Any, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        shown = [
            f"{x.dtype}{list(x.shape)}" if hasattr(x, "dtype") else repr(x) for x in self.operands
        ]
        return f"{self.rule.name}({', '.join(shown)}, {self.options})"


def rules() -> Iterator[Rule]:
    for line in (Path(__file__).parent / "array_api_rules.txt").read_text().splitlines():
        if line and line[0] != "#":
            names, operands, rest = line.split(" | ")
            options, results = rest.split("-> ")
            for name in names.split():
                pairs = [o.partition(":")[::2] for o in operands.split()]
                yield Rule(name, pairs, options.split(), results.split())


# ---------------------------------------------------------------------------------------------- operands


def numbers(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Small numbers, whole ones and others, negative where the dtype has such, some of them equal."""
    kind = np.dtype(dtype).kind
    if kind in "biu":
        low = -4 if kind == "i" else 0
        return np.asarray(random.integers(low, 2 if kind == "b" else 5, shape)).astype(dtype)
    real = np.asarray(random.integers(-6, 7, shape) / 2)
    numbers = real + 0.5j * random.integers(-6, 7, shape) if kind == "c" else real
    return np.asarray(numbers).astype(dtype)


def matrices(random: np.random.Generator, dtype: str) -> Iterator[np.ndarray]:
    """Square ones without a determinant near 0."""
    for shape in ((1, 1), (3, 3), (2, 2, 2), (0, 0), (0, 2, 2)):
        yield (numbers(random, shape, dtype) / 4 + 2 * np.eye(shape[-1])).astype(dtype)


def first(random: np.random.Generator, shape: str, dtype: str) -> Iterator[Any]:
    """The operands of a shape's word that stand first."""
    least = {"any": 0, "axes": 1, "matrix": 2}
    if shape in least:
        for s in SHAPES:
            if len(s) >= least[shape]:
                yield numbers(random, s, dtype)
    elif shape == "vector":
        yield from (numbers(random, (n,), dtype) for n in (0, 1, 3))
    elif shape == "triple":
        yield from (numbers(random, s, dtype) for s in ((3,), (2, 3), (0, 3)))
    elif shape == "sorted":
        yield from (np.sort(numbers(random, (n,), dtype)) for n in (0, 1, 5))
    elif shape == "list":
        for s in SHAPES[1:]:
            yield [numbers(random, s, dtype) for _ in range(3)]
    elif shape == "square":
        yield from (numbers(random, x.shape, dtype) for x in matrices(random, dtype))
    elif shape == "full":
        yield from matrices(random, dtype)
    elif shape == "positive":
        yield from (np.abs(x) for x in first(random, "any", dtype))
    else:
        assert shape == "definite", shape
        for x in matrices(random, dtype):
            yield x @ np.conj(np.swapaxes(x, -1, -2)) + np.eye(x.shape[-1], dtype=dtype)


def beside(random: np.random.Generator, shape: str, dtype: str, x: Any) -> Iterator[Any]:
    """The operands of a shape's word that stand after another."""
    if shape == "with":
        others = {
            (): [(), (3,)], (0,): [(1,), ()], (1,): [(3,), (0,), (2, 1)], (4,): [(2, 4), ()],
            (2, 3): [(3,), (2, 1)], (0, 2): [(1, 1), (2,)], (2, 0, 3): [(3,)], (2, 1, 3): [(4, 1), (2, 4, 3)],
        }  # fmt: skip
        yield from (numbers(random, s, dtype) for s in others[x.shape])
    elif shape == "with_sorted":
        yield from (numbers(random, s, dtype) for s in ((), (0,), (2, 3)))
    elif shape == "divisor":
        yield from (np.where(y == 0, y.dtype.type(1), y) for y in beside(random, "with", dtype, x))
    elif shape == "equal":
        yield numbers(random, x.shape, dtype)
    elif shape == "product" or shape == "right":
        yield from (numbers(random, s, dtype) for s in ((x.shape[-1],), (x.shape[-1], 2)))
    elif shape == "index":
        yield np.argsort(x, axis=-1, stable=True)[..., :2]
    else:
        yield from first(random, shape, dtype)


def promotable(a: str, b: str) -> bool:
    """Whether the standard says what the two dtypes promote to."""
    kinds = np.dtype(a).kind + np.dtype(b).kind
    if "uint64" in (a, b) and "i" in kinds:
        return False
    return a == b or kinds in ("ii", "uu", "iu", "ui", "ff", "cc", "fc", "cf")


def operands(rule: Rule, random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    (shape, kinds), *rest = rule.operands
    for dtype in [d for k in kinds for d in DTYPES[k]]:
        if not rest:
            yield from ((x,) for x in first(random, shape, dtype))
            continue
        other, other_kinds = rest[0][0], rest[0][1] or "i"
        dtypes = [
            d for k in other_kinds for d in DTYPES[k] if not rest[0][1] or promotable(dtype, d)
        ]
        for d in dtypes[:1] if not rest[0][1] else dtypes:
            for x in first(random, shape, dtype):
                yield from ((x, y) for y in beside(random, other, d, x))


# ----------------------------------------------------------------------------------------------- options


def several(n: int) -> list[Any]:
    """Axes to reduce: none named, each, counted from the end, two of them, and no axes."""
    pairs = list(permutations(range(n), 2))[:3] + [(-1, 0)] * (n > 1)
    return [None, *range(-n, n), *pairs, ()]


def shapes(x: np.ndarray) -> list[tuple[int, ...]]:
    return [(x.size,), x.shape[::-1], (1, *x.shape), (-1, 1)][: 4 if x.size else 3]


def _ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i - len(shape) for i, n in enumerate(shape) if n == 1)


# The values of an option, by the operand.
MENUS: dict[str, Callable[[Any], list[Any]]] = {
    "axes": lambda x: several(x.ndim),
    "axis": lambda x: list(range(-x.ndim, x.ndim)),
    "axis0": lambda x: [None, *range(-x.ndim, x.ndim)],
    "axis1": lambda x: [*([None] if x.ndim == 1 else []), *range(-x.ndim, x.ndim)],
    "alongaxis": lambda x: [-1],
    "negaxis": lambda x: list(range(-x.ndim, 0)),
    "joinaxis": lambda x: list(range(-x[0].ndim, x[0].ndim)),
    "keepdims": lambda x: [False, True],
    "dtype": lambda x: [None, "float32", "int64", "complex64"],
    "to": lambda x: ["bool", "uint8", "int64", "float32", "complex128"],
    "copy": lambda x: [True, False],
    "copy3": lambda x: [None, True],
    "copying": lambda x: [None, True],
    "sumtype": lambda x: [None, "complex128"] if x.dtype.kind == "c" else [None, "float64", "complex64"],
    "correction": lambda x: [0, 1, 0.5],
    "include_initial": lambda x: [False, True],
    "fill": lambda x: [True],
    "k": lambda x: [-9, -1, 0, 1, 9],
    "offset": lambda x: [-9, -1, 0, 1, 9],
    "bounds": lambda x: [(None, None), (1, None), (None, 2), (x.dtype.type(1), x.dtype.type(2))],
    "places": lambda x: [np.array([], "int32"), np.array([0]), np.array([-1, 0, -1], "int8")],
    "side": lambda x: ["left", "right"],
    "invert": lambda x: [False, True],
    "wider": lambda x: [x.shape, (2, *x.shape), (0, 3, *x.shape)],
    "newaxes": lambda x: [0, -1, x.ndim, (0, -1), (1, 0)],
    "from_to": lambda x: [(0, -1), (-1, 0), ((0,), (-1,)), ((0, -1), (-1, 0))][: 2 + x.ndim],
    "order": lambda x: [tuple(range(x.ndim))[::-1], tuple(range(-x.ndim, 0))],
    "repeats": lambda x: [0, 2],
    "shape": shapes,
    "shifts": lambda x: [(1, None), (-1, 0), (5, -1), ((1, 2), (0, -1)), (1, tuple(range(x.ndim)))],
    "ones": lambda x: [i for i, n in enumerate(x.shape) if n == 1] + [_ones(x.shape)],
    "repetitions": lambda x: [(), (2,), (2, 1, 3), (0,)],
    "n": lambda x: [1, 0, 2],
    "ends": lambda x: [False, True],
    "descending": lambda x: [False, True],
    "stable": lambda x: [True, False],
    "contracted": lambda x: [1],
    "upper": lambda x: [False, True],
    "ord": lambda x: ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf] if x.size else ["fro"],
    "ordv": lambda x: [2, 1, 0, 3, 0.5, *([np.inf, -np.inf] if x.size else [])],
    "power": lambda x: [0, 1, 3, -1, -2],
    "rtol": lambda x: [None, 1e-3] if x.size else [],
    "mode": lambda x: ["reduced", "complete"],
    "full_matrices": lambda x: [True, False],
    "n1": lambda x: [None, 1, 5],
    "s": lambda x: [(None, None), ((4,), (-1,)), *([((3, 2), (0, -1))] if x.ndim > 1 else [])],
    "norm": lambda x: ["backward", "ortho", "forward"],
}  # fmt: skip
# Options that are given by position, as the standard has them; and those that stand for several.
PLACED = {
    "to",
    "wider",
    "newaxes",
    "order",
    "repeats",
    "shape",
    "repetitions",
    "places",
    "power",
    "fill",
}
PAIRS = {"bounds": ("min", "max"), "shifts": ("shift", "axis"), "s": ("s", "axes")}
NAMES = {
    "axes": "axis", "axis0": "axis", "axis1": "axis", "alongaxis": "axis", "negaxis": "axis", "joinaxis": "axis",
    "sumtype": "dtype", "copy3": "copy", "copying": "copy", "ones": "axis", "contracted": "axes", "ordv": "ord",
    "n1": "n",
}  # fmt: skip


def calls(rule: Rule) -> Iterator[Call]:
    random = np.random.default_rng(0)
    for given in operands(rule, random):
        x = given[0]
        menus = [MENUS[o](x) for o in rule.options]
        for values in product(*menus):
            if (
                call := made(rule, given, dict(zip(rule.options, values, strict=True)))
            ) is not None:
                yield call


def made(rule: Rule, given: tuple[Any, ...], chosen: dict[str, Any]) -> Call | None:
    """The call with the options; None where the standard leaves it open."""
    x, placed, named = given[0], list(given), dict[str, Any]()
    for option, value in chosen.items():
        if option == "ends":
            named |= {"prepend": x, "append": x} if value else {}
        elif option == "from_to":
            placed += value
        elif option in PLACED:
            placed.append(value)
        elif option in PAIRS:
            named |= {k: v for k, v in zip(PAIRS[option], value, strict=True) if v is not None}
        elif value is not None or option == "copy3":
            named[_name(rule, option)] = value
    call = Call(rule, tuple(placed), named)
    return None if _left_open(call) else call


def _name(rule: Rule, option: str) -> str:
    return (
        option if rule.name.startswith("fft.") and option == "axes" else NAMES.get(option, option)
    )


def _left_open(call: Call) -> bool:
    """Extremes and transforms of nothing, and elements of it; and real signals of no numbers."""
    name, x = call.rule.name, call.operands[0]
    if isinstance(x, list):
        return False
    if (
        name.startswith("fft.")
        and call.rule.results == ["real"]
        and not {"n", "s"} & {*call.options}
    ):
        return x.size == 0 or x.shape[call.options.get("axis", -1)] == 1
    if name == "take":
        return x.size == 0 and call.operands[1].size != 0
    if name == "linalg.vector_norm":
        return x.size == 0 and "axis" in call.options
    return x.size == 0 and (name in ("max", "min", "argmax", "argmin") or name.startswith("fft."))
