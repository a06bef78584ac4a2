"""The parameters of public functions are JAX's: their names, order, kinds, and whether they may be left out.

jax_signatures.txt has those of JAX 0.12, a function a line; a name ends in `=` if it may be left out.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import covector.numpy as cnp
from covector._engine.types import dtypes

TABLE = Path(__file__).parent / "jax_signatures.txt"

# Ours take more, and why; or they are no functions.
DIFFERENT = {
    "lax.DotDimensionNumbers": "an alias of a type",
    "lax.fori_loop": "says what its gradient keeps: `tape`, `policy`",
    "lax.while_loop": "says what its gradient keeps: `tape`, `policy`",
    "lax.mulhi": "its operands have names, as those of the functions beside it do in JAX too",
    "random.Key": "our class of keys; in JAX a mark for annotations",
    "lax.reduce_and": "takes out_sharding, as reduce_max and reduce_sum do in JAX too",
    "lax.reduce_or": "takes out_sharding, as reduce_max and reduce_sum do in JAX too",
    "lax.reduce_prod": "takes out_sharding, as reduce_max and reduce_sum do in JAX too",
    "lax.reduce_xor": "takes out_sharding, as reduce_max and reduce_sum do in JAX too",
    "numpy.fromfile": "ours reads a file, with NumPy's parameters; JAX's only raises",
    "numpy.fromiter": "ours reads an iterator, with NumPy's parameters; JAX's only raises",
    "tree_util.KeyPath": "an alias of a type",
    "tree_util.register_dataclass": "without a class it is a decorator, which takes the fields as arguments",
}


def shown(f: object) -> str:
    """The parameters of a function, as in the table."""
    out: list[str] = []
    last = None
    for p in inspect.signature(f).parameters.values():  # type: ignore[arg-type]
        if p.name.startswith("_"):
            continue
        if last == p.POSITIONAL_ONLY and p.kind != last:
            out.append("/")
        if p.kind == p.KEYWORD_ONLY and not any(name.startswith("*") for name in out):
            out.append("*")
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        out.append(f"{stars}{p.name}{'' if p.default is p.empty else '='}")
        last = p.kind
    if last == inspect.Parameter.POSITIONAL_ONLY:
        out.append("/")
    return ", ".join(out)


def there() -> Iterator[tuple[str, object, str]]:
    """Name, function and JAX's parameters of what we have."""
    for line in TABLE.read_text().splitlines():
        name, _, parameters = line[:-1].partition("(")
        package, _, key = name.rpartition(".")
        try:
            module = importlib.import_module(f"covector.{package}")
        except ModuleNotFoundError:
            continue
        if (f := getattr(module, key, None)) is not None:
            yield name, f, parameters


def test_parameters_are_those_of_jax() -> None:
    compared, wrong = 0, []
    for name, f, parameters in there():
        if name in DIFFERENT:
            continue
        compared += 1
        if (ours := shown(f)) != parameters:
            wrong.append(f"{name}({ours}), not ({parameters})")
    assert not wrong, "\n".join(wrong)
    assert compared > 600


def test_an_out_is_refused_everywhere() -> None:
    """Arrays cannot be written to, so it must not look as if they had been."""
    x, tried = cnp.ones(3), 0
    for name in dir(cnp):
        f = getattr(cnp, name)
        if not callable(f) or isinstance(f, type) or name == "vectorize":
            continue
        parameters = inspect.signature(f).parameters
        if "out" not in parameters:
            continue
        tried += 1
        needed = [
            p
            for p in parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        args = [x] * len(needed)
        if "*args" in str(inspect.signature(f)):
            args = [x.astype(int)] * getattr(f, "nin", 1)
        with pytest.raises(NotImplementedError, match=r"out=Array.*immutable"):
            f(
                "i->i" if name == "einsum" else args[0],
                *(args if name == "einsum" else args[1:]),
                out=x,
            )
    assert tried > 40


@pytest.mark.parametrize(
    "mode", ["maximum", "mean", "median", "minimum", "linear_ramp", "reflect", "symmetric"]
)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_padding(mode: str, dtype: str) -> None:
    a = (np.arange(12).reshape(3, 4) * 7 % 5).astype(dtype)
    options: list[Any] = [{}]
    if mode == "linear_ramp":
        options.append({"end_values": ((7, -3), (1, 2))})
    elif mode in ("reflect", "symmetric"):
        options.append({"reflect_type": "odd"})
    else:
        options += [{"stat_length": 2}, {"stat_length": ((1, 2), (3, 9))}]
    for width in (1, ((2, 0), (1, 3)), ((5, 9), (0, 11))):
        for option in options:
            right = np.pad(a, width, mode, **option)  # type: ignore[call-overload]
            got = cnp.pad(a, width, mode, **option)
            assert got.dtype == a.dtype
            np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-5)


def test_padding_by_a_function() -> None:
    def ends(vector: object, width: tuple[int, int], axis: int, kwargs: dict[str, int]) -> object:
        v = cnp.asarray(vector)
        return v.at[: width[0]].set(kwargs["value"]).at[len(v) - width[1] :].set(axis)

    def in_place(
        vector: np.ndarray, width: tuple[int, int], axis: int, kwargs: dict[str, int]
    ) -> None:
        vector[: width[0]] = kwargs["value"]
        vector[len(vector) - width[1] :] = axis

    a = np.arange(6).reshape(2, 3).astype(np.int32)
    got = cnp.pad(a, ((1, 2), (2, 1)), ends, value=9)
    np.testing.assert_array_equal(got, np.pad(a, ((1, 2), (2, 1)), in_place, value=9))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="does not take stat_length"):
        cnp.pad(a, 1, "edge", stat_length=2)
    with pytest.raises(ValueError, match="reflect_type is 'sideways'"):
        cnp.pad(a, 1, "reflect", reflect_type="sideways")
    with pytest.raises(ValueError, match="returned nothing"):
        cnp.pad(a, 1, lambda *args: None)


def test_a_mean_that_is_known() -> None:
    x = np.array([[1.0, 2.0, 4.0], [0.0, np.nan, 3.0]], np.float32)
    mean = np.mean(x, axis=1, keepdims=True)
    for name in ("var", "std"):
        got = getattr(cnp, name)(x, axis=1, mean=mean)
        np.testing.assert_allclose(got, getattr(np, name)(x, axis=1, mean=mean), rtol=1e-6)
        known = np.nanmean(x, axis=1, keepdims=True)
        got = getattr(cnp, "nan" + name)(x, axis=1, mean=known)
        np.testing.assert_allclose(got, getattr(np, "nan" + name)(x, axis=1), rtol=1e-6)


def test_keywords_of_elementwise_functions() -> None:
    from covector import lax, nn

    one = np.float32(1)
    assert float(lax.add(x=one, y=one)) == 2
    assert float(lax.nextafter(x1=one, x2=one)) == 1
    assert lax.mul(np.int8(100), np.int8(3), out_dtype="int32") == 300
    assert float(nn.relu(x=-one)) == 0
    assert float(cnp.fmax(x1=one, x2=2.0)) == 2
    with pytest.raises(NotImplementedError, match="add with where=Array"):
        cnp.add(one, one, where=cnp.array(True))
    assert dtypes.is_inexact(cnp.add(one, 1).dtype)
