"""Each native fast path does what its Python twin does: results to the bit, errors to the word, traces one by one."""

from __future__ import annotations

import copy
import dataclasses
import operator
import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector._engine import _native
from covector._engine.api.jit import Jitted
from covector._engine.base.config import config

Call = Callable[[], Any]


def described(x: Any) -> Any:
    """What can be compared: an array's type and bits, the same of what is nested."""
    if type(x) is cv.Array:
        return "Array", x.shape, x.dtype, x.weak_type, np.asarray(x).tobytes()
    if isinstance(x, tuple | list | deque):
        return type(x), [described(e) for e in x]
    if isinstance(x, dict):
        return type(x), list(x), [described(e) for e in x.values()]
    return type(x), repr(x)


def outcome(call: Call) -> Any:
    """What comes of a call: the described result, or the error."""
    try:
        return described(call())
    except Exception as error:
        return type(error), str(error)


def assert_twins(call: Call, what: object = "") -> None:
    """A call has one outcome on both paths; the fast one twice, as the first compiles."""
    found = [outcome(call), outcome(call)]
    with config.override(fast_paths=False):
        wanted = outcome(call)
    assert found == [wanted, wanted], what


# ----------------------------------------------------------------------------------------- operands

DTYPES = [
    np.dtype(t) for t in (
        "bool", "int8", "uint8", "int32", "uint32", "int64", "uint64", "float16", ml_dtypes.bfloat16, "float32",
        "float64", "complex64", "complex128",
    )
]  # fmt: skip
VALUES = np.array([0, 1, 2, 3, 5, 7, 0.5, -1.5, 100])


def array(dtype: np.dtype | str, shape: Any = (9,), weak: bool = False) -> cv.Array:
    """Small numbers, signs and fractions where the dtype has them."""
    dtype = np.dtype(dtype)
    values = np.resize(VALUES, shape)
    if dtype.kind in "ub":
        values = abs(values)
    if dtype.kind == "c":
        values = values + 1j * values[..., ::-1] if shape else values + 0.5j
    return _native.array_from(values.astype(dtype), None, weak)


SCALARS: list[Any] = [
    True, False, 0, 3, -2, 300, 2**31 - 1, 2**31, -(2**40), 2**64, 1.5, -0.0, 1e-50, 1e300, float("inf"),
    float("nan"), 2j, 1 - 1j,
]  # fmt: skip

# Every ufunc once, under one of its names.
UFUNCS: dict[str, Any] = {f.__name__: f for f in vars(cnp).values() if isinstance(f, _native.Ufunc)}
UNARY = [name for name, f in UFUNCS.items() if f.nin == 1]
BINARY = [name for name, f in UFUNCS.items() if f.nin == 2]
FEW = ["add", "divide", "less", "maximum", "floor_divide", "logical_and", "bitwise_xor"]


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions(name: str) -> None:
    f = UFUNCS[name]
    for dtype in DTYPES:
        x = array(dtype)
        assert_twins(lambda x=x: f(x), dtype)
    for weak in (array("float32", (), True), array("int32", (), True), array("int32", (0, 3))):
        assert_twins(lambda x=weak: f(x), weak)


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions(name: str) -> None:
    f = UFUNCS[name]
    for dtype in DTYPES:
        x = array(dtype)
        assert_twins(lambda x=x: f(x, x), dtype)
        assert_twins(lambda x=x: f(x, 3), dtype)
    for x, y in (("int8", "uint8"), ("int32", "float16"), ("bool", "float32"), ("int64", "float32"),
                 ("bfloat16", "float16"), ("complex64", "float64"), ("uint64", "int64")):  # fmt: skip
        assert_twins(lambda x=x, y=y: f(array(x), array(y)), (x, y))
        assert_twins(lambda x=x, y=y: f(array(y, ()), array(x)), (y, x))


@pytest.mark.parametrize("name", FEW)
def test_python_numbers(name: str) -> None:
    f = UFUNCS[name]
    for dtype in (
        "bool",
        "int8",
        "uint8",
        "int32",
        "int64",
        "uint64",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
    ):
        for value in SCALARS:
            assert_twins(lambda d=dtype, v=value: f(array(d), v), (dtype, value))
            assert_twins(lambda d=dtype, v=value: f(v, array(d)), (value, dtype))
    for weak in (
        array("float32", (), True),
        array("int32", (3,), True),
        array("complex64", (), True),
    ):
        for other in (True, 2, 1.5, 2j, array("int8"), array("float64"), array("int32", (), True)):
            assert_twins(lambda w=weak, o=other: f(w, o), (weak, other))


class Float(float):
    """A subclass of a Python number."""


OTHERS: dict[str, Call] = {
    "NumPy scalars": lambda: np.float64(1.5), "a NumPy int8": lambda: np.int8(3),
    "a NumPy bool": lambda: np.True_, "NumPy arrays": lambda: np.arange(9.0),
    "not contiguous": lambda: np.arange(36, dtype=np.float32).reshape(9, 4)[:, 1],
    "backwards": lambda: np.arange(9, dtype=np.int32)[::-1], "Fortran": lambda: np.ones((9, 9), "f", order="F").T,
    "of shape ()": lambda: np.array(2.5), "empty": lambda: np.zeros((0, 9)),
    "big endian": lambda: np.arange(9, dtype=">f4"),
    "a subclass": lambda: Float(1.5), "a list": lambda: [1.0, 2.0], "None": lambda: None, "text": lambda: "a",
    "an object": lambda: np.array([object()] * 9), "text array": lambda: np.array(["a"] * 9),
    "dates": lambda: np.array(["2020-01-01"] * 9, "M8[D]"), "half complex": lambda: np.complex64(1j),
    "other shape": lambda: array("float32", (4,)), "no shape": lambda: array("float32", ()),
    "one": lambda: array("float32", (1, 1, 1)), "rows": lambda: array("float32", (3, 1)),
    "many axes": lambda: array("int8", (2, 1, 1, 1, 2, 9)), "no rows": lambda: array("int32", (0, 1)),
    "a tuple": lambda: (1,), "dict": dict,
}  # fmt: skip


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("other", OTHERS)
def test_other_operands(name: str, other: str) -> None:
    f, made = UFUNCS[name], OTHERS[other]()
    x = array("float32")
    assert_twins(lambda: f(x, made))
    assert_twins(lambda: f(made, x))
    assert_twins(lambda: f(made, made))


def test_calls_that_do_not_fit() -> None:
    x = array("float32")
    for name in ("sin", "add"):
        f = UFUNCS[name]
        for call in (lambda f=f: f(), lambda f=f: f(x, x, x), lambda f=f: f(x, y=x),
                     lambda f=f: f(x=x), lambda f=f: f(x, None), lambda f=f: f(x, x, out=x)):  # fmt: skip
            assert_twins(call, name)
    gone = array("float32")
    gone.delete()
    for call in (lambda: cnp.sin(gone), lambda: gone + 1, lambda: 1 + gone, lambda: x + gone):
        assert_twins(call)


SHAPES = [
    (),
    (1,),
    (0,),
    (3,),
    (4, 3),
    (4, 1),
    (1, 3),
    (2, 4, 3),
    (2, 1, 1),
    (1, 1),
    (0, 3),
    (2, 0, 1),
    (40, 1),
    (1, 70),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_broadcasting(shape: tuple[int, ...]) -> None:
    for other in SHAPES:
        for name in ("subtract", "atan2"):
            x, y = array("float32", shape), array("int8", other)
            assert_twins(lambda f=UFUNCS[name], x=x, y=y: f(x, y), (shape, other))


# ---------------------------------------------------------------------------------------- operators

OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift",
        "lt", "le", "eq", "ne", "gt", "ge", "iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow",
        "imatmul", "iand", "ior", "ixor", "ilshift", "irshift", "contains",
    )},
    "divmod": divmod, "pow with modulus": lambda x, y: pow(x, y, 3),
}  # fmt: skip
ALONE: dict[str, Callable[..., Any]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": abs, "invert": operator.invert, "round": round,
    "bool": bool, "int": int, "float": float, "complex": complex, "index": operator.index, "hash": hash,
    "len": len, "iter": lambda x: list(x), "repr": repr, "str": str, "not": operator.not_,
    "format": lambda x: f"{x:.3}",
}  # fmt: skip
STRANGERS: list[Any] = [
    True, 2, -1, 2.5, 1j, np.float32(2), np.int64(3), np.bool_(True), np.arange(9), np.ones((2, 9), np.float32),
    Float(0.5), [1, 2], (1,), None, "a", {}, object, np.array("a"),
]  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    f = OPERATORS[name]
    for dtype in ("bool", "int8", "uint32", "int32", "float32", "float64", "complex64"):
        x = array(dtype)
        assert_twins(lambda x=x: f(x, x), dtype)
        assert_twins(lambda x=x: f(x, array("int32")), dtype)
        assert_twins(lambda x=x: f(array("int32", ()), x), dtype)
    for dtype in ("int32", "float32"):
        x = array(dtype)
        for other in STRANGERS:
            assert_twins(lambda x=x, o=other: f(x, copy.copy(o)), (dtype, other))
            assert_twins(lambda x=x, o=other: f(copy.copy(o), x), (other, dtype))


@pytest.mark.parametrize("name", ALONE)
def test_operators_alone(name: str) -> None:
    for dtype in DTYPES:
        for shape in ((), (1,), (9,), (0,)):
            assert_twins(lambda d=dtype, s=shape: ALONE[name](array(d, s)), (dtype, shape))


# ---------------------------------------------------------------------------------------------- jit


class Point(NamedTuple):
    x: Any
    y: Any


class Pair:
    """A class that is registered as a pytree."""

    def __init__(self, a: Any, b: Any, name: str):
        self.a, self.b, self.name = a, b, name

    def __repr__(self) -> str:
        return f"Pair({described(self.a)}, {described(self.b)}, {self.name})"


cv.tree_util.register_pytree_node(
    Pair, lambda p: ((p.a, p.b), p.name), lambda name, ab: Pair(ab[0], ab[1], name)
)


@cv.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layer:
    """A dataclass that is made natively: nothing but its attributes is set."""

    weight: Any
    bias: Any = 1.0
    kind: Any = dataclasses.field(default="dense", metadata={"static": True})

    def __repr__(self) -> str:
        return f"Layer({described(self.weight)}, {described(self.bias)}, {self.kind!r})"


@cv.tree_util.register_dataclass
@dataclasses.dataclass
class Checked:
    """A dataclass whose making does more."""

    x: Any
    made: int = dataclasses.field(default=0, init=False)

    def __post_init__(self) -> None:
        self.made = 1

    def __repr__(self) -> str:
        return f"Checked({described(self.x)}, {self.made})"


@cv.tree_util.register_static
class Note(str):
    """A container without children."""


class Sub(Point):
    """A subclass of a named tuple, which is made by calling it."""

    def __new__(cls, x: Any, y: Any) -> Any:
        return super().__new__(cls, x, y)


CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "named tuple": lambda x: Point(x, (x, 1)), "subclass": lambda x: Sub(x, 2.0),
    "registered": lambda x: Pair(x, x, "p"),
    "dataclass": lambda x: Layer(x, [x]),
    "static": lambda x: Layer(x, x, 2), "static float": lambda x: Layer(x, x, 2.0),
    "post init": Checked, "key": lambda x: cv.random.key(3), "ordered": lambda x: OrderedDict(b=x, a=x),
    "default": lambda x: defaultdict(int, b=x, a=1), "deque": lambda x: deque([x, 2], maxlen=3),
    "note": lambda x: Note("n"),
    "nested": lambda x: Point(Layer({"b": x, "a": Pair(x, None, 3)}), [Point(x, ())]),
    "struct": lambda x: time.struct_time([x] * 9),
    "partial": lambda x: cv.tree_util.Partial(max, x, default=x),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name: str) -> None:
    """All registered containers take the native path, as arguments and as results."""
    make, calls = CONTAINERS[name], list[Any]()
    with pytest.MonkeyPatch.context() as patch:
        bypass = Jitted.bypass
        patch.setattr(Jitted, "bypass", lambda *args: (calls.append(args), bypass(*args))[1])
        fast, slow = Counted(grown), Counted(grown)
    for _ in range(2):
        for x in (X, X + 1, 2.0, True):
            found = outcome(lambda x=x: fast.call(make(x)))
            assert not calls
            with config.override(fast_paths=False):
                assert found == outcome(lambda x=x: slow.call(make(x)))
            calls.clear()
    assert fast.traces == slow.traces


def grown(p: Any) -> Any:
    return cv.tree.map(lambda x: x + x.dtype.type(1), p), p


class Equal:
    """Equal to all of its kind, and counted as one static argument."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    def __hash__(self) -> int:
        return 1


class Counted:
    """A jitted function that counts how often it was traced."""

    def __init__(self, f: Callable[..., Any], **options: Any):
        self.traces = 0

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.traces += 1
            return f(*args, **kwargs)

        counted.__name__, counted.__wrapped__ = f.__name__, f  # type: ignore[attr-defined]
        self.call = cv.jit(counted, **options)


def nothing(*args: Any, **kwargs: Any) -> Any:
    return None


def same(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def double(*args: Any, **kwargs: Any) -> Any:
    return cv.tree.map(lambda x: x * 2, (args, kwargs))


def power(x: Any, n: int = 2, *, plus: Any = 0) -> Any:
    return x**n + plus


def branch(x: Any, flag: Any) -> Any:
    return (x + 1, repr(flag)) if False else x + (1 if flag else 2)


def fail(x: Any) -> Any:
    if x.ndim:
        raise ZeroDivisionError(f"of shape {x.shape}")
    return x / 0


def decide(x: Any) -> Any:
    return x if x > 0 else -x


def stranger(x: Any) -> Any:
    return {"a": x, "b": ["text"]}


def of(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    """A call with these arguments."""
    return lambda f: f(*args, **kwargs)


X = array("float32", (3,))
ROWS: dict[str, tuple[Callable[..., Any], dict[str, Any], list[Callable[[Any], Any]]]] = {
    "positional and keyword": (power, {"static_argnames": "n"}, [
        of(X), of(X, 2), of(X, n=2), of(X, n=3), of(x=X), of(x=X, plus=X),
        of(plus=X, x=X), of(X, 3, plus=1), of(X, 3, plus=2), of(X, 3, plus=2.0),
        of(), of(X, m=3), of(X, 2, 3),
    ]),
    "static arguments": (branch, {"static_argnums": 1}, [
        of(X, True), of(X, 1), of(X, 1.0), of(X, "a"), of(X, 0),
        of(X, 0.0), of(X, -0.0), of(X, (1, 2)), of(X, (1, 2.0)), of(X, (True, 2)),
        of(X, Equal()), of(X, Equal()), of(X, [1]), of(X, {}), of(X, X),
        of(X, flag=True), of(X), of(X, None), of(X, float("nan")),
        of(X, frozenset([1])), of(X, (0.0,)), of(X, (-0.0,)),
    ]),
    "negative static number": (branch, {"static_argnums": -1}, [of(X, True), of(X, False)]),
    "pytrees": (double, {}, [
        of({"b": X, "a": 1}), of({"a": 1, "b": X}), of(Point(X, 2.0)), of(Point(2.0, X)),
        of((X, None, [1, (2,)])), of([X, None]), of(None), of(()), of({}),
        of(Pair(X, 2, "p")), of(Pair(X, 2, "q")), of(Pair(X, 2, "p")), of({2: X, 1: 3}),
        of({"a": X, 1: X}), of([Pair((X, 1), None, "r")], k={"z": 1, "y": [X]}), of(), of(k=None),
        of({(1, 2): X, (0, 3): X}),
    ]),
    "arguments returned": (same, {}, [
        of(X), of(X, X), of(1, 2.0, True, 1j), of(np.float32(3), np.arange(3)),
        of(Point(1, None), a=[X]),
    ]),
    "no results": (nothing, {}, [of(X), of(), of(1, a=2)]),
    "types": (double, {}, [
        of(1), of(2), of(1.0), of(True), of(1j), of(np.float32(1)),
        of(np.float64(1)), of(np.int8(1)), of(array("float32", ())),
        of(array("float32", (), True)),
        of(array("int32", (3,))), of(array("float32", (3, 1))), of(array("float32", (4,))),
        of(np.ones(3)), of(np.ones(3, np.float32)), of(np.ones((3, 4), "f")[:, 1]),
        of(array("bfloat16")), of(array("complex128", (2, 0))), of(2**31 - 1), of(2**31),
        of(2**64), of(Float(1.5)), of(np.arange(3, dtype=">i4")), of("text"),
        of([X, object]), of({"k": (1, "text")}), of(np.array(["a"])), of(np.True_),
        of(float("nan")), of(1e300), of(-0.0), of(np.array(2)), of({1, 2}),
        of(np.datetime64("2020-01-01")), of(range(3)), of(cv.ShapeDtypeStruct((2,), np.float32)),
    ]),
    "errors inside": (fail, {}, [of(X), of(X), of(1.0), of(array("int8", ()))]),
    "decisions on traced values": (decide, {}, [of(1.0), of(X)]),
    "results that are no arrays": (stranger, {}, [of(X), of(1)]),
    "donation": (double, {"donate_argnums": (0,)}, [
        lambda f: f(array("float32"), array("float32")), lambda f: f(1.0, 2.0), lambda f: f(np.ones(3, np.float32), 1),
        lambda f: f([array("int8"), array("int8")]), lambda f: f(*[X + 1] * 2), lambda f: f([X + 1] * 2 + [X]),
        lambda f: f(*(y := [X + 1]), X) and (y[0].is_deleted(), X.is_deleted()),
        lambda f: (y := [X + 1]) and f(y) and f(y),
        lambda f: f([(y := X + 1), y]),
    ]),
    "donation of what is returned": (same, {"donate_argnums": (0, 1)}, [
        lambda f: f(X + 1, X + 2, X), lambda f: f(X + 1, 3), lambda f: (y := X + 1, f(y, X + 2), y.is_deleted())[1:],
    ]),
    "donation by name": (power, {"donate_argnames": "plus"}, [
        lambda f: (y := X + 1, f(X, plus=y), y.is_deleted())[1:], lambda f: f(X, 2, plus=1),
    ]),
    "under grad": (power, {}, [
        lambda f: cv.grad(f)(1.5), lambda f: cv.grad(lambda x: f(x).sum())(X), lambda f: cv.jit(cv.grad(f))(2.0),
        lambda f: cv.value_and_grad(f)(np.float64(3)), lambda f: cv.grad(cv.grad(f))(1.5), lambda f: f(1.5),
    ]),
    "under vmap": (power, {}, [
        lambda f: cv.vmap(f)(X), lambda f: cv.vmap(lambda x: f(x, plus=X[0]))(X), lambda f: cv.jit(cv.vmap(f))(X),
        lambda f: cv.vmap(cv.grad(f))(X), lambda f: cv.jvp(f, (X,), (X,)), lambda f: f(X),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_jit(name: str) -> None:
    """The same calls have the same outcomes, and trace as often."""
    f, options, calls = ROWS[name]
    fast, slow = Counted(f, **options), Counted(f, **options)
    for n, call in enumerate((*calls, *calls)):
        found = outcome(lambda call=call: call(fast.call))
        with config.override(fast_paths=False):
            wanted = outcome(lambda call=call: call(slow.call))
        assert found == wanted, n
        assert fast.traces == slow.traces, n


@pytest.fixture(params=[True, False], ids=["fast", "twin"])
def path(request: pytest.FixtureRequest) -> Iterator[None]:
    with config.override(fast_paths=request.param):
        yield


@pytest.mark.usefixtures("path")
def test_threads() -> None:
    """Calls from several threads at once, with new signatures among them, have the right results."""
    f = cv.jit(lambda x, n: (x * n).sum(), static_argnums=1)
    wrong: list[Any] = []

    def work(k: int) -> None:
        for n in range(1, 9):
            x = np.full(n % 3 + k % 2 + 1, float(k), np.float32)
            found = float(f(x, n)), float((cnp.asarray(x) + n).sum())
            if found != (x.sum() * n, (x + n).sum()):
                wrong.append((k, n, found))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
