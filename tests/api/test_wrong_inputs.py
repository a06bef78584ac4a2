"""What a new user gets wrong: the class of the error, what was found, the user's own line, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import errors, lax, nn, random

A23, A4, A3, I3 = cnp.ones((2, 3)), cnp.ones(4), cnp.ones(3), cnp.arange(3)
KEY = random.key(0)
Case = tuple[Callable[[], Any], Any, list[str]]


def branch(x: Any) -> Any:
    return x if x > 0 else -x


def kept(run: Callable[[Callable[[Any], Any]], Any]) -> Any:
    """A tracer that outlived its trace."""
    found: list[Any] = []
    run(lambda x: (found.append(x), x * x)[1])
    return found[0]


SHAPES: dict[str, Case] = {
    "add": (lambda: A23 + A4, ValueError, ["add got shapes", "float32[2,3] and float32[4]"]),
    "lax.add": (lambda: lax.add(A3, A4), TypeError, ["add got shapes", "float32[3] and float32[4]"]),
    "where": (lambda: cnp.where(A3 > 0, A3, A4), ValueError, ["where got shapes", "float32[4]"]),
    "matmul": (lambda: A23 @ A4, TypeError, ["matmul got shapes (2, 3) and (4,)"]),
    "concatenate": (lambda: cnp.concatenate([A23, A4]), TypeError, ["float32[2,3], float32[4]"]),
    "concatenate a number": (lambda: cnp.concatenate(3.0), TypeError, ["takes a sequence of arrays, got 3.0"]),
    "reshape": (lambda: A23.reshape(4, 2), TypeError, ["(2, 3) (size 6) into (4, 2) (size 8)"]),
    "reshape to text": (lambda: A23.reshape("a"), TypeError, ["a dimension must be an integer, got 'a'"]),
    "reshape to floats": (lambda: A23.reshape(2.0, 3.0), TypeError, ["a dimension must be an integer, got 2.0"]),
    "zeros": (lambda: cnp.zeros((-1,)), ValueError, ["shape (-1,) has a negative dimension"]),
    "eye": (lambda: cnp.eye(-1), ValueError, ["(-1, -1) has a negative dimension"]),
    "tile": (lambda: cnp.tile(A3, -1), ValueError, ["no dimension can be negative"]),
    "one_hot": (lambda: nn.one_hot(I3, -1), ValueError, ["no dimension can be negative"]),
    "iota": (lambda: lax.iota("float32", -3), ValueError, ["the size of iota (-3,)", "negative"]),
    "normal": (lambda: random.normal(KEY, (-3,)), ValueError, ["(-3,) has a negative dimension"]),
    "vmap": (
        lambda: cv.vmap(lambda x, y: x)(A3, A4), ValueError, ["axis 0 has size 3", "axis 0 has size 4"],
    ),
    "jit": (lambda: cv.jit(lambda x: cnp.dot(x, A4))(A3), TypeError, ["dot got shapes (3,) and (4,)"]),
}  # fmt: skip
AXES: dict[str, Case] = {
    "sum": (lambda: cnp.sum(A23, axis=2), ValueError, ["axis 2 is out of bounds for an array of 2"]),
    "argmax": (lambda: cnp.argmax(A23, axis=5), IndexError, ["axis 5 is out of bounds"]),
    "lax.cumsum": (lambda: lax.cumsum(A3, axis=4), ValueError, ["axis 4 is out of bounds"]),
    "text": (lambda: cnp.sum(A23, axis="x"), TypeError, ["axis must be an integer, got 'x' of type str"]),
    "float": (lambda: cnp.sum(A23, axis=1.0), TypeError, ["axis must be an integer, got 1.0"]),
    "twice": (lambda: cnp.sum(A23, axis=(0, 0)), ValueError, ["(0, 0) names an axis twice"]),
    "vmap": (lambda: cv.vmap(abs, in_axes=2)(A3), ValueError, ["axis 2 of", "float32[3]", "None"]),
    "in_axes": (lambda: cv.vmap(abs, in_axes="x"), TypeError, ["in_axes must be an int, None, or a tuple"]),
    "in_axes tree": (
        lambda: cv.vmap(lambda p: p["a"], in_axes=({"b": 0},))({"a": A3}), ValueError, ["tree prefix", "in_axes[0]"],
    ),
    "out_axes tree": (
        lambda: cv.vmap(lambda x: (x, x), out_axes=(0, 0, 0))(A3), ValueError, ["out_axes must be a tree prefix"],
    ),
    "out_axes": (lambda: cv.vmap(lambda x: x, out_axes="x"), TypeError, ["made of ints and None, got 'x'"]),
}  # fmt: skip
VALUES: dict[str, Case] = {
    "text": (lambda: cnp.sin("abc"), TypeError, ["sin got 'abc' of type str"]),
    "None": (lambda: cnp.asarray(None), TypeError, ["asarray got None of type NoneType"]),
    "list": (lambda: cnp.sin([1.0, 2.0]), TypeError, ["sin got [1.0, 2.0]", "covector.numpy.asarray"]),
    "objects": (lambda: cnp.sin(np.array([object()])), TypeError, ["dtype=object"]),
    "ragged": (lambda: cnp.array([[1, 2], [3]]), ValueError, ["inhomogeneous"]),
    "dtype": (lambda: cnp.ones(3, dtype="floaty"), TypeError, ["'floaty' is not a dtype", "float32"]),
    "lax.add": (lambda: lax.add(A3, I3), TypeError, ["different dtypes", "convert_element_type"]),
    "float and": (lambda: A3 & A3, TypeError, ["does not take float32", "int32"]),
    "exponent": (lambda: lax.integer_pow(A3, 1.5), TypeError, ["must be an integer, got 1.5"]),
    "decimals": (lambda: cnp.round(A3, "a"), TypeError, ["decimals must be an integer, got 'a'"]),
    "sections": (lambda: cnp.split(A4, 1.5), TypeError, ["the number of sections must be an integer, got 1.5"]),
    "top_k": (lambda: lax.top_k(A3, 1.5), TypeError, ["k must be an integer, got 1.5"]),
    "permutation": (lambda: random.permutation(KEY, 1.5), TypeError, ["takes an integer or an array", "1.5"]),
    "norm": (lambda: cnp.linalg.norm(A3, "foo"), ValueError, ["'foo' is not an order"]),
    "float index": (lambda: A3[1.0], TypeError, ["1.0 of type float is no index"]),
    "text index": (lambda: A3["a"], TypeError, ["'a' of type str is no index"]),
    "index": (lambda: A3[5], IndexError, ["index 5 is out of bounds for axis 0 of size 3"]),
    "two indices": (lambda: A3[0, 0], IndexError, ["1 dimensions, but 2 were indexed"]),
    "overflow": (lambda: I3 + 2**40, OverflowError, ["does not fit int32", "int64"]),
    "key None": (lambda: random.normal(None, (3,)), TypeError, ["takes a key, got None", "covector.random.key(seed)"]),
    "key int": (lambda: random.normal(3, (3,)), TypeError, ["takes a key, got 3", "covector.random.key(seed)"]),
    "key floats": (lambda: random.uniform(A3, (3,)), TypeError, ["takes a key, got float32[3]"]),
    "seed text": (lambda: random.key("a"), TypeError, ["key got 'a'"]),
    "seed": (lambda: random.key(2**80), OverflowError, ["does not fit 64 bits"]),
    "static list": (
        lambda: cv.jit(lambda x, n: x, static_argnums=1)(1.0, [1]), ValueError, ["not hashable", "pass a tuple"],
    ),
    "result": (lambda: cv.jit(lambda x: "s")(1.0), TypeError, ["returned", "'s' of type str"]),
}  # fmt: skip
TRACED: dict[str, Case] = {
    "if": (lambda: cv.jit(branch)(1.0), errors.TracerBoolConversionError, ["wrong:", "where", "static_argnums"]),
    "if under vmap": (lambda: cv.vmap(branch)(A3), errors.TracerBoolConversionError, ["mapped bool[]", "in_axes"]),
    "range": (
        lambda: cv.jit(lambda n: list(range(n)))(3), errors.TracerIntegerConversionError, ["traced int32", "static"],
    ),
    "zeros": (
        lambda: cv.jit(lambda n: cnp.zeros(n))(3), errors.TracerIntegerConversionError, ["traced int32", "static"],
    ),
    "reshape": (
        lambda: cv.jit(lambda n: A4.reshape(n, 2))(2), errors.TracerIntegerConversionError, ["traced int32", "static"],
    ),
    "numpy": (lambda: cv.jit(np.add.reduce)(1.0), errors.TracerArrayConversionError, ["numpy.add.reduce"]),
    "numpy with out": (lambda: cv.jit(lambda x: np.sin(x, out=np.ones(1)))(1.0),
                       errors.TracerArrayConversionError, ["numpy.sin", "out="]),
    "differentiated": (lambda: cv.grad(lambda x: np.dot(x, x))(1.0), errors.TracerArrayConversionError,
                       ["float32", "numpy.dot", "has_aux", "stop_gradient", "debug.print"]),
    "mask": (
        lambda: cv.jit(lambda x: x[x > 0])(A3), errors.NonConcreteBooleanIndexError, ["wrong:", "where(x > 0, x, 0)"],
    ),
    "mask, as in NumPy": (lambda: cv.jit(lambda x: x[x > 0])(A3), IndexError, ["mask"]),
    "leaked by jit": (lambda: kept(lambda f: cv.jit(f)(1.0)) + 1, errors.UnexpectedTracerError, ["made at", "return"]),
    "leaked by grad": (lambda: kept(lambda f: cv.grad(f)(1.0)) + 1, errors.UnexpectedTracerError, ["return"]),
    "assignment": (lambda: cv.jit(lambda x: x.__setitem__(0, 1))(A3), TypeError, ["x.at[idx].set(value)"]),
}  # fmt: skip
DERIVATIVES: dict[str, Case] = {
    "vector": (lambda: cv.grad(lambda x: x * 2)(A3), TypeError, ["returned float32[3]", "jacrev"]),
    "integer": (lambda: cv.grad(lambda x: x * 2.0)(3), TypeError, ["x is int32*[]", "right:  grad(f)(3.0)"]),
    "pair": (lambda: cv.grad(lambda x: (x, x))(1.0), TypeError, ["a tree of 2 arrays"]),
    "None": (lambda: cv.grad(lambda x: None)(1.0), TypeError, ["a tree of 0 arrays"]),
    "argnums": (lambda: cv.grad(lambda x: x, argnums=3)(1.0), TypeError, ["at least 4 positional arguments, got 1"]),
    "no arguments": (lambda: cv.grad(lambda x: x)(x=1.0), TypeError, ["by keyword are not differentiated"]),
    "argnums text": (lambda: cv.grad(lambda x: x, argnums="x")(1.0), TypeError, ["must be an int or a sequence"]),
    "text leaf": (lambda: cv.grad(lambda p: p["a"])({"a": 1.0, "n": "s"}), TypeError, ["p['n'] is 's'"]),
    "aux": (lambda: cv.grad(lambda x: x, has_aux=True)(1.0), TypeError, ["must return a pair"]),
    "jvp": (lambda: cv.jvp(lambda x: x, (A3,), (A4,)), ValueError, ["float32[3] and float32[4]"]),
    "no derivative": (lambda: cv.grad(lambda n: lax.polygamma(n, 1.0))(1.0), NotImplementedError, ["stop_gradient"]),
}  # fmt: skip
LOOPS: dict[str, Case] = {
    "dtype": (
        lambda: lax.scan(lambda c, x: (c.astype("int32"), x), np.float32(0), A3), TypeError,
        ["takes float32[], returns int32[]", ".astype"],
    ),
    "shape": (lambda: lax.scan(lambda c, x: (A3, x), 0.0, A3), TypeError, ["takes float32[], returns float32[3]"]),
    "tree": (lambda: lax.scan(lambda c, x: ((c, c), x), 0.0, A3), TypeError, ["must have the structure"]),
    "one result": (lambda: lax.scan(lambda c, x: c, 0.0, A3), TypeError, ["must return a pair (carry, y)"]),
    "xs": (lambda: lax.scan(lambda c, x: (c, x), 0.0, 1.0), ValueError, ["no leading axis"]),
    "lengths": (lambda: lax.scan(lambda c, x: (c, x), 0.0, (A3, A4)), ValueError, ["xs[0]: float32[3]", "xs[1]"]),
    "negative length": (
        lambda: lax.scan(lambda c, x: (c, x), 0.0, None, length=-1), ValueError, ["must not be negative, got -1"],
    ),
    "text length": (lambda: lax.scan(lambda c, x: (c, x), 0.0, None, length="a"), TypeError, ["integer, got 'a'"]),
    "text bound": (lambda: lax.fori_loop("a", 3, lambda i, c: c, 0.0), TypeError, ["lower bound", "got 'a'"]),
    "float bound": (lambda: lax.fori_loop(0, 3.0, lambda i, c: c, 0.0), TypeError, ["upper bound", "got 3.0"]),
}  # fmt: skip
CASES = {
    f"{family}: {name}": case
    for family, table in (
        ("shapes", SHAPES), ("axes", AXES), ("values", VALUES), ("traced", TRACED),
        ("derivatives", DERIVATIVES), ("loops", LOOPS),
    )
    for name, case in table.items()
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    run, error, texts = CASES[name]
    with pytest.raises(error) as caught:
        run()
    message = str(caught.value)
    for text in [*texts, "test_wrong_inputs.py"]:
        assert text in message, message
    assert len(message) < 700
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_number_as_a_shape_or_an_axis() -> None:
    """An array of shape () has the methods of a sequence, but is a number."""
    three, one = cnp.asarray(3), cnp.asarray(1)
    assert cnp.zeros(three).shape == (3,)
    assert cnp.sum(A23, axis=one).shape == (2,)
    assert A3.reshape(three).shape == (3,)


def test_a_donated_array() -> None:
    x = cnp.ones(5)
    step = cv.jit(lambda x: x + 1, donate_argnums=0)
    step(x)
    for use in (lambda: x + 1, lambda: np.asarray(x), lambda: step(x)):
        with pytest.raises(
            RuntimeError, match=r"float32\[5\] was donated .* use the call's result"
        ):
            use()


REFUSED_OF_AN_ELEMENT: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "qr": (lax.linalg.qr, (3,)),
    "svd": (lax.linalg.svd, (3,)),
    "lu": (lax.linalg.lu, (3,)),
    "cholesky": (lax.linalg.cholesky, (3,)),
    "triangular_solve": (lambda a: lax.linalg.triangular_solve(a, cnp.ones((4, 2))), (4,)),
    "concatenate": (lambda a: lax.concatenate([a, a[:2, :2]], 0), (3, 4)),
    "reshape": (lambda a: lax.reshape(a, (7,)), (3, 4)),
    "slice": (lambda a: lax.slice(a, (0, 0), (9, 9)), (3, 4)),
    "transpose": (lambda a: lax.transpose(a, (0,)), (3, 4)),
    "pad": (lambda a: lax.pad(a, a[0, 0].astype("int32"), ((0, 0, 0), (0, 0, 0))), (3, 4)),
}


@pytest.mark.parametrize("name", REFUSED_OF_AN_ELEMENT)
def test_a_batch_takes_what_its_elements_take(name: str) -> None:
    """A batch of vectors is no matrix; and messages have the shapes of elements, that the user wrote."""
    f, shape = REFUSED_OF_AN_ELEMENT[name]
    x = cnp.ones((2, 3, *shape))
    with pytest.raises((TypeError, ValueError)) as refused:
        f(x[0, 0])
    batch = cv.vmap(cv.vmap(f))
    for g in (batch, cv.jit(batch), lambda x: cv.jvp(batch, (x,), (x,))):
        with pytest.raises(refused.type) as error:
            g(x)
        ours, theirs = (str(e.value).partition(" (at")[0] for e in (error, refused))
        assert ours == theirs
