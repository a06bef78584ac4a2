"""The calls that are compared, drawn from JAX's signatures.

Run by an interpreter that has JAX: `python -m tools.agreement.calls`, which prints a call a line.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.agreement.recipes import KEYWORDS, OPERANDS, OPERANDS_OF

DISTRIBUTIONS = (
    "bernoulli", "beta", "betabinom", "binom", "cauchy", "chi2", "dirichlet", "expon", "gamma", "gennorm", "geom",
    "gumbel_l", "gumbel_r", "laplace", "logistic", "multinomial", "multivariate_normal", "nbinom", "norm", "pareto",
    "poisson", "t", "truncnorm", "uniform", "vonmises", "wrapcauchy",
)  # fmt: skip
MODULES = (
    "numpy",
    "numpy.linalg",
    "numpy.fft",
    "lax",
    "lax.linalg",
    "nn",
    "nn.initializers",
    "random",
    "tree",
    "tree_util",
    "image",
    "ops",
    "scipy.special",
    "scipy.linalg",
    "scipy.optimize",
    "flatten_util",
    *[f"scipy.{m}" for m in (
        "cluster.vq", "fft", "integrate", "ndimage", "signal", "sparse.linalg", "stats",
    )],
    *[f"scipy.stats.{d}" for d in DISTRIBUTIONS],
)  # fmt: skip
DTYPES = ("bool", "uint8", "int8", "int32", "uint32", "float16", "bfloat16", "float32", "complex64")
WIDE = ("int64", "float64", "complex128")
FIRST = ("float32", "int32")  # what keywords and odd shapes are tried with
# What a letter stands for in calls.txt beside D, which is all of the dtypes.
LETTERS = {
    "E": ("float32", "int32", "uint8", "bfloat16", "weak float"),
    "Q": (
        *("int2", "uint2", "int4", "uint4", "float4_e2m1fn", "float8_e8m0fnu", "float8_e3m4"),
        *(
            "float8_e4m3fn",
            "float8_e4m3b11fnuz",
            "float8_e4m3fnuz",
            "float8_e5m2",
            "float8_e5m2fnuz",
        ),
    ),
}
SHAPES = ("2, 3", "", "4", "0, 3")
# Weak arrays of default dtypes, which stand where D does, in each array that a call makes.
WEAK_ARRAYS = ("weak float", "weak int", "weak complex")
NUMBERS = ("2", "1.5", "True", "numpy.float64(1.5)", "numpy.int64(2)", "numpy.float32(1.5)", "1j")
WEAK = ("weak(1.5, 2, 3)", "weak(2, 2, 3)", "weak(2)")
# Pairs of dtypes in which functions of two arrays meet.
PAIRS = (
    ("int32", "float16"), ("uint8", "int8"), ("uint32", "int32"), ("float32", "complex64"), ("bfloat16", "float16"),
    ("bool", "int8"), ("int8", "bfloat16"), ("uint32", "float32"),
)  # fmt: skip


_MAKER = re.compile(r"\b(?:a|b|positive|unit|ordered|odd|spd)\(D\b")
_BESIDE = "+ "  # before calls of a function that recipes call too
_HERE = Path(__file__).resolve().parent


def lines_of(name: str) -> list[str]:
    """The lines of a table of ours without the remarks."""
    return [line for line in (_HERE / name).read_text().splitlines() if line and line[0] != "#"]


def functions(module: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The functions of a module of JAX that are compared."""
    found = importlib.import_module(f"jax.{module}")
    whole = (line for line in lines_of("calls.txt") if not line.startswith(_BESIDE))
    listed = (text.split("(")[0] for line in whole for text in _expanded(line))
    left_out = {*lines_of("left_out.txt"), *listed}
    for name in sorted(dir(found)):
        function = getattr(found, name)
        known = f"{module}.{name}"
        if name.startswith("_") or known in left_out or not callable(function):
            continue
        if inspect.isclass(function) or inspect.ismodule(function) or name.endswith("_p"):
            continue
        yield known, function


def calls(known: str, function: Callable[..., Any], dtypes: Sequence[str]) -> Iterator[str]:
    """The argument lists of a function, with dtypes and shapes in them."""
    recipes = next((r for head, r in OPERANDS_OF.items() if known.startswith(head)), {})
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return
    required = [p for p in parameters.values() if _is_required(p)]
    shown = [("*" if p.kind is p.VAR_POSITIONAL else "") + p.name for p in required]
    if any(n not in recipes and n not in OPERANDS for n in shown):
        return
    texts = [recipes.get(n) or OPERANDS[n] for n in shown]
    base = ", ".join(texts)
    for d in _dtypes(base, dtypes):
        yield _filled(base, d, "2, 3")
    if _asks(base, "S"):
        for d in FIRST:
            yield from (_filled(base, d, s) for s in SHAPES[1:])
    yield from _with_numbers(texts)
    if recipes:  # numbers, and weak arrays, in the place of all arrays
        for number in ("0.5", "2", "weak(0.5, 2, 3)", "weak(2, 2, 3)"):
            yield re.sub(r"\w+\(D, [^)]*\)", number, base)
    for p in parameters.values():
        if p.default is inspect.Parameter.empty or p.kind is p.POSITIONAL_ONLY:
            continue
        for value in KEYWORDS.get(p.name, ()):
            for d in FIRST:
                yield _filled(f"{base}, {p.name}={value}".lstrip(", "), d, "2, 3")


def _is_required(p: inspect.Parameter) -> bool:
    if p.kind is p.VAR_POSITIONAL:
        return f"*{p.name}" in OPERANDS
    return p.default is p.empty and p.kind is not p.VAR_KEYWORD


def _with_numbers(texts: list[str]) -> Iterator[str]:
    """Numbers in the place of arrays, arrays of two dtypes, and of infinities, NaN and extremes."""
    texts = ", ".join(texts).replace("a(D, S), b(D, S)", "a(D, S); b(D, S)").split("; ")
    if texts == ["a(D, S)"]:
        yield from (*NUMBERS, *WEAK, "[1, 2]", "None")
        yield from (f"odd('{d}', 7)" for d in ("float32", "int32"))
    if texts == ["a(D, S)", "b(D, S)"]:
        for number in NUMBERS:
            for d in ("float32", "int32", "bfloat16", "int8"):
                yield _filled(f"a(D, S), {number}", d, "2, 3")
            yield _filled(f"{number}, b(D, S)", "float16", "2, 3")
            yield f"{number}, 2"
        for weak in WEAK[:2]:
            yield from (_filled(f"a(D, S), {weak}", d, "2, 3") for d in ("bfloat16", "int8"))
            yield f"{weak}, {WEAK[0]}"
        for first, second in PAIRS:
            yield f"{_filled(texts[0], first, '2, 3')}, {_filled(texts[1], second, '2, 3')}"
            yield f"{_filled(texts[1], second, '2, 3')}, {_filled(texts[0], first, '2, 3')}"
        yield "odd('float32', 7, 1), odd('float32', 7)"
        yield "a('float32', 2, 3), b('float32', 3)"
        yield "a('float32', 2, 3), b('float32', 4)"


def _asks(text: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", text) is not None


def _filled(text: str, dtype: str, shape: str) -> str:
    """The text with a dtype and a shape in it."""
    made = re.sub(r"\bS\b", shape, re.sub(r"\bD\b", repr(dtype), text))
    return made.replace(", )", ")").replace("(, ", "(")


def every_call(wide: bool) -> Iterator[str]:
    """All calls, as Python text: a function by its name in JAX, and its arguments."""
    dtypes = (*DTYPES, *(WIDE if wide else ()), *WEAK_ARRAYS)
    for module in MODULES:
        for name, function in functions(module):
            for text in dict.fromkeys(calls(name, function, dtypes)):
                yield f"{name}({text})"
    for line in lines_of("calls.txt"):
        for text in _expanded(line.removeprefix(_BESIDE)):
            letter = next((n for n in LETTERS if _asks(text, n)), "D")
            plain = re.sub(rf"\b{letter}\b", "D", text)
            yield from (
                _filled(plain, d, "2, 3") for d in _dtypes(plain, LETTERS.get(letter, dtypes))
            )


def _expanded(line: str) -> Iterator[str]:
    """The calls of a line in which `‹x¦y›` stands for either of the two."""
    pieces = re.split("‹(.*?)›", line)
    choices = [p.split("¦") if i % 2 else [p] for i, p in enumerate(pieces)]
    return map("".join, itertools.product(*choices))


def _dtypes(text: str, dtypes: Sequence[str]) -> Sequence[str]:
    """What D stands for in a text: weak arrays too where all that D says is of which dtype arrays are."""
    if not _asks(text, "D"):
        return ("",)
    if len(_MAKER.findall(text)) == len(re.findall(r"\bD\b", text)):
        return dtypes
    return [d for d in dtypes if d not in WEAK_ARRAYS]


def undrawn() -> list[str]:
    """The functions that no call is drawn for, and that are not among those left out."""
    return [
        name
        for module in MODULES
        for name, function in functions(module)
        if next(calls(name, function, FIRST), None) is None
    ]


if __name__ == "__main__":
    if forgotten := undrawn():
        raise SystemExit(f"no call of these is drawn, see calls.txt and left_out.txt: {forgotten}")
    print(*dict.fromkeys(every_call("--wide" in sys.argv)), sep="\n")
