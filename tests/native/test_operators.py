"""Array: the operators call the functions they were given, and leave strangers alone."""

import operator

import numpy as np
import pytest

BINARY = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "true_divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "power": operator.pow,
    "matmul": operator.matmul,
    "divmod": divmod,
    "and_": operator.and_,
    "or_": operator.or_,
    "xor": operator.xor,
    "lshift": operator.lshift,
    "rshift": operator.rshift,
}
COMPARISON = {
    "equal": (operator.eq, "equal"),
    "not_equal": (operator.ne, "not_equal"),
    "less": (operator.lt, "greater"),
    "less_equal": (operator.le, "greater_equal"),
    "greater": (operator.gt, "less"),
    "greater_equal": (operator.ge, "less_equal"),
}
UNARY = {
    "negative": operator.neg,
    "positive": operator.pos,
    "absolute": abs,
    "invert": operator.invert,
}


@pytest.fixture
def recorded(native):
    """Each operator returns its name and operands."""
    names = [*BINARY, *COMPARISON, *UNARY]
    native.set_operators({name: lambda *args, name=name: (name, *args) for name in names})


@pytest.mark.usefixtures("recorded")
def test_all_operators(four):
    x, y = four(), four()
    for name, function in BINARY.items():
        assert function(x, y)[0] == name
        assert [function(x, y)[1] is x, function(x, y)[2] is y] == [True, True]
        left, right = function(x, 2), function(2, x)
        assert (left[0], left[1] is x, left[2]) == (name, True, 2)
        assert (right[0], right[1], right[2] is x) == (name, 2, True)
    for name, (function, swapped) in COMPARISON.items():
        assert function(x, 2)[0] == name
        assert function(2, x)[0] == swapped
    for name, function in UNARY.items():
        assert function(x)[0] == name
    with pytest.raises(TypeError, match="no third argument"):
        pow(x, 2, 3)


@pytest.mark.usefixtures("recorded")
def test_partners(native, four):
    class Tracer:
        pass

    class Stranger:
        def __radd__(self, other):
            return "stranger"

    x = four()
    for other in (True, 1, 1.5, 2j, np.float64(1), np.int8(1), np.ones(4), x):
        assert (x + other)[0] == x.__radd__(other)[0] == "add"
    for other in (
        True,
        1,
        1.5,
        2j,
        x,
    ):  # NumPy asks __array_ufunc__, which the native type leaves to Python
        assert (other + x)[0] == "add"
    assert x + Stranger() == "stranger"
    with pytest.raises(TypeError, match="unsupported operand"):
        x + Tracer()
    native.set_hooks(tracer=Tracer)
    assert (x + Tracer())[0] == "add"
    assert (x + type("Sub", (Tracer,), {})())[0] == "add"
    for other in ([1, 2], "a", None, (1,), {}):
        with pytest.raises(TypeError, match="unsupported operand"):
            x + other
        with pytest.raises(TypeError, match=r"unsupported operand|can only concatenate"):
            other + x
    assert (x == None) is False  # noqa: E711  # the comparison itself is under test
    assert (x != "a") is True


def test_missing_operators(native, four):
    for use in (lambda x: x + 1, lambda x: -x, lambda x: x < 1, lambda x: x**2):
        with pytest.raises(RuntimeError, match="import covector"):
            use(four())
    known = native.set_operators(dict.fromkeys([*BINARY, *COMPARISON, *UNARY]))
    assert set(known.values()) == {None}, "the fixture puts all of them aside, and back"
    with pytest.raises(ValueError, match="no operator named plus"):
        native.set_operators({"plus": operator.add})
    with pytest.raises(TypeError, match="add must be callable or None, not int"):
        native.set_operators({"add": 3})


@pytest.mark.usefixtures("recorded")
def test_errors_pass_through(native, four):
    def fail(*args):
        raise ZeroDivisionError("inside")

    native.set_operators({"add": fail, "negative": fail})
    for use in (lambda x: x + 1, lambda x: -x):
        with pytest.raises(ZeroDivisionError, match="inside"):
            use(four())


def test_functions_that_replace_themselves(native, address, lib, four):
    """What runs stays alive although nothing refers to it any more."""

    def compile(signature):
        native.set_operators({"negative": None})
        return address("add_one"), 11, False, 0.0, lib

    def getitem(self, index):
        native.set_hooks(getitem=None)
        return index

    native.set_operators({"negative": native.Ufunc("negative", len, compile, 1)})
    assert (-four()).tolist() == [1, 2, 3, 4]
    native.set_hooks(getitem=getitem)
    del getitem
    assert four()[7] == 7
