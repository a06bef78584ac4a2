"""The three states of `enable_x64`: what comes in, what is made, and that each state has its own compiled code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, random, tree
from covector._engine.base.config import config

X = np.array([0.1, 0.2, 0.7])
WHOLE = np.array([1, 2, 2**40 + 5])
Z = X + 1j * X
STATES = (None, False, True)


def types(value: Any) -> list[str]:
    """The types of the leaves, a star at weak ones."""
    return [cv.typeof(x).text().split("[")[0] for x in tree.leaves(value)]


_custom = cv.custom_jvp(lambda x: x)
_custom.defjvps(lambda t, out, x: t)
_SCALED = cnp.ones(2, "float32")


# A value of 64 bits at each place where values come in, and the types of what comes out: None, False, True.
ENTRIES: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "asarray": (lambda: cnp.asarray(X), "float64", "float32", "float64"),
    "array of int": (lambda: cnp.array(WHOLE), "int64", "int32", "int64"),
    "array of lists": (lambda: cnp.array([X, X]), "float64", "float32", "float64"),
    "device_put": (lambda: cv.device_put(Z), "complex128", "complex64", "complex128"),
    "function": (lambda: cnp.sin(X), "float64", "float32", "float64"),
    "method": (lambda: cnp.ones(3) + X, "float64", "float32", "float64"),
    "reflected": (lambda: X + cnp.ones(3), "float64", "float32", "float64"),
    "lax": (lambda: lax.mul(X, X), "float64", "float32", "float64"),
    "jit": (lambda: cv.jit(lambda x: x)(X), "float64", "float32", "float64"),
    "jit, computed": (lambda: cv.jit(lambda x: x + x)(WHOLE), "int64", "int32", "int64"),
    "jit, closed over": (lambda: cv.jit(lambda: cnp.sin(X))(), "float64", "float32", "float64"),
    "jit, returned": (lambda: cv.jit(lambda: X)(), "float64", "float32", "float64"),
    "jit, in a tree": (lambda: cv.jit(lambda d: d)({"a": X}), "float64", "float32", "float64"),
    "grad": (lambda: cv.grad(lambda x: cnp.sum(x * x))(X), "float64", "float32", "float64"),
    "jit of grad": (lambda: cv.jit(cv.grad(lambda x: cnp.sum(x * x)))(X), "float64", "float32", "float64"),
    "jvp": (lambda: cv.jvp(cnp.sin, (X,), (X,))[1], "float64", "float32", "float64"),
    "vjp": (lambda: cv.vjp(cnp.sin, X)[1](X)[0], "float64", "float32", "float64"),
    "linearize": (lambda: cv.linearize(cnp.sin, X)[1](X), "float64", "float32", "float64"),
    "jacfwd": (lambda: cv.jacfwd(cnp.sin)(X), "float64", "float32", "float64"),
    "vmap": (lambda: cv.vmap(lambda x: x * 2)(X), "float64", "float32", "float64"),
    "vmap, returned": (lambda: cv.vmap(lambda x: X)(X), "float64", "float32", "float64"),
    "checkpoint": (lambda: cv.checkpoint(cnp.sin)(X), "float64", "float32", "float64"),
    "scan carry": (lambda: lax.scan(lambda c, _: (c * 2, None), X, None, 2)[0], "float64", "float32", "float64"),
    "scan xs": (lambda: lax.scan(lambda c, x: (c, x), 0, X)[1], "float64", "float32", "float64"),
    "scan ys": (lambda: lax.scan(lambda c, _: (c, X), 0, None, 2)[1], "float64", "float32", "float64"),
    "while": (lambda: lax.while_loop(lambda x: x[0] < 3, lambda x: x * 2, X), "float64", "float32", "float64"),
    "cond operand": (lambda: lax.cond(True, lambda x: x, lambda x: -x, X), "float64", "float32", "float64"),
    "cond result": (lambda: lax.cond(True, lambda: X, lambda: X), "float64", "float32", "float64"),
    "map": (lambda: lax.map(lambda x: x, X), "float64", "float32", "float64"),
    "custom_jvp": (lambda: _custom(X), "float64", "float32", "float64"),
    "update": (lambda: cnp.ones(3, "float32").at[0].set(X[0]), "float32", "float32", "float32"),
    "ShapeDtypeStruct": (
        lambda: cv.eval_shape(lambda x: x, cv.ShapeDtypeStruct((2,), "float64")).dtype.type(0),
        "float64", "float32", "float64",
    ),
    "pure_callback": (
        lambda: cv.pure_callback(np.sin, cv.ShapeDtypeStruct((3,), "float64"), X), "float64", "float32", "float64",
    ),
    "from_dlpack": (lambda: cnp.from_dlpack(X), "float64", "float32", "float64"),
    "frombuffer": (lambda: cnp.frombuffer(X.tobytes(), float), "float64", "float32", "float64"),
    "number, jit": (lambda: cv.jit(lambda x: x)(1.5), "float32*", "float32*", "float64*"),
    "int, jit": (lambda: cv.jit(lambda x: x)(1), "int32*", "int32*", "int64*"),
    "number": (lambda: cnp.sin(1.5), "float32*", "float32*", "float64*"),
    "number, grad": (lambda: cv.grad(lambda x: x * x)(1.5), "float32*", "float32*", "float64*"),
    "list": (lambda: cnp.array([1, 2]), "int32", "int32", "int64"),
    "zeros": (lambda: cnp.zeros(2), "float32", "float32", "float64"),
    "arange": (lambda: cnp.arange(3), "int32", "int32", "int64"),
    "argmax": (lambda: cnp.argmax(cnp.ones(3)), "int32", "int32", "int64"),
    "argsort": (lambda: cnp.argsort(cnp.ones(3)), "int32", "int32", "int64"),
    "nonzero": (lambda: cnp.nonzero(cnp.ones(3))[0], "int32", "int32", "int64"),
    "normal": (lambda: random.normal(random.key(0)), "float32", "float32", "float64"),
    "randint": (lambda: random.randint(random.key(0), (), 0, 9), "int32", "int32", "int64"),
    "bits": (lambda: random.bits(random.key(0)), "uint32", "uint32", "uint64"),
    "one_hot": (lambda: cv.nn.one_hot(cnp.array([1]), 3), "float32", "float32", "float64"),
    "int32 and uint32": (lambda: cnp.int32(1) + cnp.uint32(1), "int64", "int32", "int64"),
    "beside an array": (lambda: _SCALED * 1.5, "float32", "float32", "float32"),
    "int32 and a float": (lambda: cnp.ones(2, "int32") * 1.5, "float32*", "float32*", "float64*"),
    "asked for": (lambda: cnp.zeros(2, "float64"), "float64", "float32", "float64"),
    "asked for by name": (lambda: cnp.arange(3, dtype=cnp.int64), "int64", "int32", "int64"),
    "scalar type": (lambda: cnp.float64(1.5), "float64", "float32", "float64"),
    "random, asked for": (lambda: random.normal(random.key(0), (), "float64"), "float64", "float32", "float64"),
    "NumPy's scalar": (lambda: _SCALED / np.sqrt(64), "float32", "float32", "float64"),
    "NumPy's scalar in bfloat16": (
        lambda: cnp.ones(2, "bfloat16") * np.float64(2),
        "bfloat16", "float32", "float64",
    ),
    "NumPy's int": (lambda: cnp.ones(2, "int8") * np.int64(2), "int8", "int32", "int64"),
    "NumPy's scalar, jit": (
        lambda: cv.jit(lambda x, s: x / s)(_SCALED, np.sqrt(64)),
        "float32", "float32", "float64",
    ),
    "NumPy's scalar alone": (lambda: cnp.sin(np.float64(1)), "float64*", "float32", "float64"),
    "NumPy's scalar alone, jit": (lambda: cv.jit(lambda x: x)(np.float64(1)), "float64*", "float32", "float64"),
    "NumPy's scalar, lax": (lambda: lax.mul(_SCALED, np.float32(2)), "float32", "float32", "float32"),
    "NumPy's scalar, where": (
        lambda: cnp.where(True, np.float64(1), _SCALED),
        "float32", "float32", "float64",
    ),
    "NumPy's scalar, clip": (
        lambda: cnp.clip(_SCALED, np.float64(0), np.float64(1)),
        "float32", "float32", "float64",
    ),
    "NumPy's scalar, grad": (
        lambda: cv.grad(lambda x: x * np.float64(2))(cnp.float32(1)),
        "float32", "float32", "float32",
    ),
    "NumPy's scalar, power": (lambda: _SCALED ** np.float64(0.5), "float32", "float32", "float64"),
}  # fmt: skip


@pytest.mark.parametrize("case", ENTRIES)
def test_entries(case: str) -> None:
    call, *wanted = ENTRIES[case]
    for state, dtype in zip(STATES, wanted, strict=True):
        with warnings.catch_warnings(), cv.enable_x64(state):
            warnings.simplefilter("ignore")
            assert set(types(call())) == {dtype}, state


@pytest.mark.parametrize("case", ENTRIES)
def test_entries_by_the_twins(case: str) -> None:
    call, *wanted = ENTRIES[case]
    for state, dtype in zip(STATES, wanted, strict=True):
        with (
            warnings.catch_warnings(),
            config.override(fast_paths=False),
            cv.enable_x64(state),
        ):
            warnings.simplefilter("ignore")
            assert set(types(call())) == {dtype}, state


def test_a_function_is_compiled_for_each_state() -> None:
    f = cv.jit(lambda x: x * 2)
    g = cv.jit(lambda n: cnp.zeros(2) + n)
    for _ in range(2):
        for state, wide, made in (
            (None, "float64", "float32"),
            (False, "float32", "float32"),
            (True, "float64", "float64"),
        ):
            with cv.enable_x64(state):
                assert types(f(X)) == [wide]
                assert types(g(1)) == [made]
                assert types(cnp.exp(X)) == [wide]
    assert types(f(X)) == ["float64"]


def test_the_state_is_of_a_thread() -> None:
    found: list[str] = []
    with cv.enable_x64(False):
        thread = threading.Thread(target=lambda: found.extend(types(cnp.asarray(X))))
        thread.start()
        thread.join()
        assert types(cnp.asarray(X)) == ["float32"]
    assert found == ["float64"]


def test_values_are_rounded_once() -> None:
    with cv.enable_x64(False):
        assert np.array_equal(np.asarray(cnp.asarray(X)), X.astype(np.float32))
        assert np.array_equal(np.asarray(cv.jit(lambda x: x)(WHOLE)), WHOLE.astype(np.int32))
        assert int(cv.jit(lambda x: x)(WHOLE[2])) == int(WHOLE.astype(np.int32)[2])
        assert complex(cv.jit(lambda x: x)(Z[1])) == complex(np.complex64(Z[1]))
        assert np.isinf(cv.jit(lambda x: x)(np.float64(1e300)))
        assert np.isinf(np.asarray(cnp.asarray(np.array([1e300])))).all()
    with cv.enable_x64(True):
        assert float(cv.jit(lambda x: x)(0.1)) == 0.1
        assert int(cv.jit(lambda x: x + 1)(2**40)) == 2**40 + 1
        assert float(cnp.asarray(0.1)) == 0.1
        assert float(cv.grad(lambda x: x * x)(0.1)) == 0.2


def test_what_has_64_bits_keeps_them() -> None:
    x = cnp.asarray(X)
    with cv.enable_x64(False):
        for value in (
            x + x,
            x * 2,
            cnp.sin(x),
            cv.jit(lambda a: a + 0.1)(x),
            cnp.sum(x),
            x.at[0].set(0.5),
            x[1:],
        ):
            assert types(value) == ["float64"]
        assert types(cv.grad(lambda a: cnp.sum(a**2))(x)) == ["float64"]
        assert float((x * 0.1)[0]) == X[0] * 0.1


def test_numpy_scalars_keep_their_bits_until_they_meet_an_array() -> None:
    third = np.float64(1) / 3
    assert float(cnp.asarray(third)) == third
    assert float(cv.jit(lambda x: x)(third)) == third
    assert float(cnp.multiply(third, third)) == third * third
    assert float((cnp.ones(1, "float64") * third)[0]) == third
    assert float(cv.jit(lambda x, s: x * s)(cnp.ones(1, "float64"), third)[0]) == third
    assert np.asarray(cnp.ones(1, "float32") * third)[0] == np.float32(third)
    with pytest.raises(OverflowError):
        cnp.ones(2, "int32") + np.int64(2**40)


def test_a_dtype_that_is_asked_for_is_warned_of() -> None:
    with cv.enable_x64(False):
        for call in (
            partial(cnp.zeros, 2, "float64"),
            partial(cnp.asarray, [1.0], dtype=np.float64),
            partial(cnp.ones(2).astype, cnp.float64),
            partial(random.bits, random.key(0), (), "uint64"),
            partial(lax.iota, "int64", 3),
        ):
            with pytest.warns(
                UserWarning, match="Explicitly requested dtype .*64 is not available"
            ):
                call()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cnp.zeros(2, float), cnp.zeros(2, int), cnp.asarray(X), cnp.finfo("float64")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cnp.zeros(2, "float64")


@pytest.mark.parametrize(
    ("text", "dtype"), [("0", "float32"), ("1", "float64"), ("as_written", "float64")]
)
def test_the_flag_of_a_process(text: str, dtype: str) -> None:
    code = (
        "import numpy, covector as cv, covector.numpy as np\n"
        "print(np.asarray(numpy.ones(2)).dtype)\n"
        "cv.config.update('jax_enable_x64', True)\n"
        "print(np.zeros(2).dtype, cv.config.jax_enable_x64)\n"
        "cv.config.update('enable_x64', False)\n"
        "print(np.asarray(numpy.ones(2)).dtype)\n"
    )
    environment = os.environ | {"COVECTOR_ENABLE_X64": text}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [dtype, "float64", "True", "float32"]


def test_a_state_that_is_none_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"enable_x64.*a bool or None.*'off'"):
        cv.enable_x64("off").__enter__()  # type: ignore[arg-type]
