"""`jit(f)` made anew for the same function shares what was compiled, as long as the function is there and no longer."""

import copy
import functools
import gc
import os
import pickle
import sys
import threading
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector._engine import _native
from covector._engine.base import belongings

X = np.arange(3, dtype=np.float32)


def counted():
    """A function that counts how often it is traced."""

    def f(x, n=2):
        f.traced += 1
        return x * n

    f.traced = 0
    return f


class Model:
    """A callable that is no function."""

    traced = 0

    def __init__(self, scale=2.0):
        self.scale = scale

    def __call__(self, x):
        type(self).traced += 1
        return x * self.scale

    def method(self, x):
        type(self).traced += 1
        return x * self.scale


def double(x):
    return x * 2


OPTIONS = [
    {},
    {"static_argnums": 1},
    {"donate_argnums": 0},
    {"static_argnames": "n", "donate_argnames": "x"},
    {"compiler_options": {"fuse": False}},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_one_function_is_traced_once(options):
    f = counted()
    for _ in range(3):
        assert cv.jit(f, **options)(cnp.asarray(X), 2).tolist() == (X * 2).tolist()
    assert f.traced == 1
    cv.jit(f, **options)(cnp.asarray(X), 2)
    assert cv.jit(f, **options).cache_size() == 1


def test_options_are_told_apart():
    f = counted()
    for i, options in enumerate(OPTIONS):
        cv.jit(f, **options)(cnp.asarray(X), 2)
        assert f.traced == i + 1
    for numbers in (1, (1,), [1], np.int64(1)):
        cv.jit(f, static_argnums=numbers)(X, 2)
    assert f.traced == len(OPTIONS)
    assert cv.jit(f, static_argnums=1)(X, 5).tolist() == (X * 5).tolist()
    assert cv.jit(f)(X, 5).tolist() == (X * 5).tolist()


def test_what_else_decides():
    def f(x):
        return x + np.float64(0.1), cv.lax.axis_size("i") if named else 0

    named = False
    x = np.arange(2.0)
    for _ in range(2):
        for state, dtype in ((True, "float64"), (False, "float32")):
            with cv.enable_x64(state):
                assert cv.jit(f)(x)[0].dtype == dtype
    named = True
    with pytest.raises(NameError):
        cv.jit(f)(x[:1])
    for n in (2, 3):
        got = cv.vmap(lambda x: cv.jit(f)(x)[1], axis_name="i")(np.zeros((n, 1)))
        assert got.tolist() == [n] * n


def test_functions_in_front_are_apart():
    first, second = cv.jit(double), cv.jit(double)
    assert first is not second
    assert first.__wrapped__ is double
    first.own = 1
    assert not hasattr(second, "own")
    assert set(vars(double)) == {"__covector__"}
    first(X)
    assert second.cache_size() == 1
    second.clear_cache()
    assert first.cache_size() == 0
    first(X)
    cv.clear_caches()
    assert cv.jit(double).cache_size() == 0


def test_copies_of_attributes_share_nothing():
    f = counted()
    cv.jit(f)(X)
    f_of = functools.wraps(f)(lambda x: x * 5)
    assert cv.jit(f_of)(X).tolist() == (X * 5).tolist()
    bound = functools.partial(double)
    cv.jit(bound)(X)
    for other in (copy.copy(bound), copy.deepcopy(bound), pickle.loads(pickle.dumps(bound))):
        assert cv.jit(other).cache_size() == 0
        assert cv.jit(other)(X).tolist() == (X * 2).tolist()
    assert copy.deepcopy(f) is f


def callables():
    """Callables that are no functions, each as what gives one."""
    model = Model()
    custom = cv.custom_jvp(model)
    custom.defjvp(lambda p, t: (p[0] * 2, t[0] * 2))
    return {
        "object": Model(),
        "partial": functools.partial(lambda m, x: m(x), Model()),
        "method": Model().method,
        "jitted": cv.jit(Model()),
        "batched": cv.vmap(Model()),
        "custom": custom,
    }


@pytest.mark.parametrize("name", callables())
def test_callables_that_are_no_functions(name):
    fun = callables()[name]
    Model.traced = 0
    for _ in range(3):
        assert cv.jit(fun)(X).tolist() == (X * 2).tolist()
    assert Model.traced == 1


def test_callables_are_told_apart_by_identity():
    @dataclass(frozen=True)
    class Equal:
        scale: float

        def __call__(self, x):
            return x * self.scale

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

    class Unhashable(Model):
        __hash__ = None  # type: ignore[assignment]

    class Slotted:
        __slots__ = ("scale",)

        def __call__(self, x):
            return x * self.scale

    assert cv.jit(Equal(2.0))(X).tolist() == (X * 2).tolist()
    assert cv.jit(Equal(3.0))(X).tolist() == (X * 3).tolist()
    fun = Unhashable()
    assert [cv.jit(fun)(X).tolist() for _ in range(2)] == [(X * 2).tolist()] * 2
    slotted = Slotted()
    for slotted.scale in (2.0, 3.0):  # nothing is kept for what cannot be watched
        assert cv.jit(slotted)(X).tolist() == (X * slotted.scale).tolist()


class Big:
    """Something that functions close over."""

    def __init__(self):
        self.array = cnp.ones(1000) * 3


def closing_over(kind):
    """A callable over something big, and that."""
    big = Big()
    match kind:
        case "function":
            return lambda x: x + big.array.sum(), big
        case "partial":
            return functools.partial(lambda b, x: x + b.array.sum(), big), big
        case "method":
            return _Holder(big).method, big
        case "object":
            return _Holder(big), big
    raise AssertionError(kind)


class _Holder:
    def __init__(self, big):
        self.big = big

    def __call__(self, x):
        return x + self.big.array.sum()

    def method(self, x):
        return x + self.big.array.sum()


@pytest.mark.parametrize("kind", ["function", "partial", "method", "object"])
def test_it_goes_at_once(kind):
    fun, big = closing_over(kind)
    cv.jit(fun)(X)
    cv.jit(fun)(X)
    left = [weakref.ref(cv.jit(fun).calls), weakref.ref(big), weakref.ref(fun)]
    gc.collect()
    gc.disable()
    try:
        del fun, big
        assert [ref() for ref in left] == [None] * 3
    finally:
        gc.enable()


def back_to_itself(kind):
    """A callable that what is compiled of it refers to."""
    match kind:
        case "callback":

            def f(x):
                return cv.pure_callback(lambda v: v * len(f.__name__), x, x)

            return f, {}, ()
        case "object with a callback":

            class Calling(Model):
                def __call__(self, x):
                    return cv.pure_callback(self.there, x, x)

                def there(self, x):
                    return x * self.scale

            return Calling(), {}, ()
        case "static":

            def g(x, other):
                return x * len(other.__name__)

            return g, {"static_argnums": 1}, (g,)
        case "object as static argument":

            class Taking(Model):
                def __call__(self, x, other):
                    return x * other.scale

            fun = Taking()
            return fun, {"static_argnums": 1}, (fun,)
        case "rule":

            @cv.custom_jvp
            def h(x):
                return x * 2

            h.defjvp(lambda p, t: (h(*p), t[0] * 2))
            return lambda x: h(x).sum(), {}, ()
        case "object with a rule":

            class Ruled(Model):
                def __init__(self):
                    super().__init__()
                    self.f = cv.custom_jvp(lambda x: x * self.scale)
                    self.f.defjvp(lambda p, t: (p[0] * self.scale, t[0]))

                def __call__(self, x):
                    return self.f(x)

            return Ruled(), {}, ()
    raise AssertionError(kind)


KINDS = [
    "callback", "object with a callback", "static", "object as static argument", "rule",
    "object with a rule",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_though_it_leads_back(kind):
    fun, options, static = back_to_itself(kind)
    want = cv.jit(fun, **options)(X, *static).tolist()
    assert cv.jit(fun, **options)(X, *static).tolist() == want
    left = weakref.ref(fun)
    del fun, static
    gc.collect()
    assert left() is None


def test_a_thousand_functions_leave_nothing():
    def use(i):
        f = lambda x: x + i % 2  # noqa: E731
        cv.jit(f)(X)
        return weakref.ref(f)

    use(0), use(1)
    gc.collect()
    _native.synchronize()  # nothing is freed later of what was before
    before = _native.memory_stats()["bytes_in_use"]
    count = len(gc.get_objects())
    assert all(use(i)() is None for i in range(1000))
    gc.collect()
    assert len(gc.get_objects()) - count < 500
    _native.synchronize()
    assert _native.memory_stats()["bytes_in_use"] == before


def test_threads_share():
    f = counted()
    wrong = []
    together = threading.Barrier(4)

    def work(seed):
        together.wait()
        for i in range(200):
            n = (seed + i) % 5
            if cv.jit(f, static_argnums=1)(X, n).tolist() != (X * n).tolist():
                wrong.append(n)
            if i % 50 == seed:
                cv.jit(f, static_argnums=1).clear_cache()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (
        f.traced <= 17 * 5 * 4
    )  # not 800: between two of 16 clearings, for each n, by each thread at most


def test_a_fork_shares_what_was_there():
    f = counted()
    cv.jit(f)(X)
    child = os.fork()
    if child == 0:
        good = cv.jit(f)(X).tolist() == (X * 2).tolist() and f.traced == 1
        good = good and cv.jit(f)(X[:2]).tolist() == (X[:2] * 2).tolist() and f.traced == 2
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cv.jit(f)(X).tolist() == (X * 2).tolist()
    assert f.traced == 1


def test_wrong_options_name_themselves():
    for options, message in (
        ({"static_argnums": "a"}, "static_argnums must be an int or a sequence of ints, got 'a'"),
        ({"donate_argnums": 1.5}, "donate_argnums must be an int or a sequence of ints, got 1.5"),
        ({"static_argnames": 3}, "static_argnames must be a str or a sequence of str, got 3"),
        ({"donate_argnames": [3]}, r"donate_argnames must be a str or a sequence of str, got \[3"),
    ):
        with pytest.raises(TypeError, match=message):
            cv.jit(double, **options)


def test_transformations_of_it():
    f = counted()
    for _ in range(3):
        assert cv.grad(lambda x: cv.jit(f)(x).sum())(X).tolist() == [2.0] * 3
        assert cv.vmap(cv.jit(f))(X).tolist() == (X * 2).tolist()
        assert cv.jit(lambda x: cv.jit(f)(x) + 1)(X).tolist() == (X * 2 + 1).tolist()
    assert f.traced == 2  # for a vector and for a number


def test_what_is_left_at_exit_goes_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python sets the names of a module to None before it lets go of the last objects."""

    class Double:
        def __call__(self, x: cv.Array) -> cv.Array:
            return 2 * x

    kept, told = Double(), []
    cv.jit(kept)(1.5)
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    for name in ("_Watch", "_apart", "Belongings"):
        monkeypatch.setattr(belongings, name, None)
    gone = weakref.ref(kept)
    del kept
    gc.collect()
    assert gone() is None
    assert not told
