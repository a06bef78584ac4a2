"""JitFunction: what makes a signature, what is compiled once, what goes around it."""

import collections
import gc
import threading

import numpy as np
import pytest


class Recorder:
    """Compiles nothing: counts signatures, and returns all leaves by position."""

    def __init__(self, native, make, **options):
        self.native = native
        self.executable = make("copy_float", [(11, ())], [(11, (), False)])
        self.misses: list = []
        self.bypasses: list = []
        self.spec = ("none",)
        self.jit = native.JitFunction(self.fun, native.Calls(self.miss, self.bypass, **options))

    def fun(self, *args, **kwargs):
        return args, kwargs

    def miss(self, args, kwargs):
        self.misses.append((args, kwargs))
        one = self.native.scalar(0, "float32")
        return self.native.Entry(self.executable, [], [one], self.spec)

    def bypass(self, args, kwargs):
        self.bypasses.append((args, kwargs))
        return "bypassed"

    def compiles(self, *args, **kwargs) -> bool:
        """Whether this call has a new signature."""
        before = len(self.misses)
        assert self.jit(*args, **kwargs) is None
        return len(self.misses) > before


@pytest.fixture
def recorder(native, make):
    return lambda **options: Recorder(native, make, **options)


def arrays(native, *shapes, dtype="float32", weak=False):
    return [native.empty(shape, dtype, weak) for shape in shapes]


def test_types_and_shapes(native, recorder):
    r = recorder()
    for code in range(15):
        for weak in (False, True):
            for shape in ((), (1,), (2,), (2, 1), (1, 2), (2,) * 9, (2,) * 8 + (3,)):
                x, y = arrays(native, shape, shape, dtype=code, weak=weak)
                assert r.compiles(x)
                assert not r.compiles(y)
    assert r.jit.calls.size() == len(r.misses) == 15 * 2 * 7
    r.jit.calls.forget()
    assert r.jit.calls.size() == 0
    assert r.compiles(x)


def test_python_numbers(native, recorder):
    r = recorder()
    for value, other, dtype, weak in (
        (1, -5, "int32", True),
        (1.5, float("nan"), "float32", True),
        (1j, 2 + 0j, "complex64", True),
        (True, False, "bool", False),
    ):
        assert r.compiles(value)
        assert not r.compiles(other)
        assert r.compiles(native.empty((), dtype, weak)) is weak  # numbers may be read in 64 bits
        assert r.compiles(native.empty((), dtype, not weak))


def test_numpy_leaves(native, recorder, dtypes):
    r = recorder()
    for dtype in dtypes:
        assert r.compiles(np.zeros((2, 3), dtype))
        assert not r.compiles(np.ones((3, 2), dtype).T)
        assert not r.compiles(native.empty((2, 3), dtype))
        assert r.compiles(np.zeros((), dtype)[()])
        weak = dtype.name in ("int64", "float64", "complex128")  # scalars, as Python's numbers
        assert r.compiles(np.zeros((), dtype)) is weak
        assert not r.compiles(native.empty((), dtype))


def test_structures(native, recorder):
    r = recorder()
    (x,) = arrays(native, ())
    structures = [
        (), (x,), (x, x), ((x,),), ((x, x),), ([x, x],), ([x], x), (None,), (x, None), (None, x),
        ([],), ((),), ({},), ({"a": x},), ({"b": x},), ({"a": x, "b": x},), ({"a": [x, x]},),
        ({"a": {"b": x}, "c": x},), ({"a": {"b": x, "c": x}},), ({1: x, 2: x},), ({(1, 2): x},),
        ({"a": x, "b": None},), ({"a": None, "b": x},), ([[x], [x]],), ([[x, x], []],),
    ]  # fmt: skip
    for args in structures:
        assert r.compiles(*args)
    for args in structures:
        assert not r.compiles(*args)


def test_dict_order_does_not_matter(native, recorder):
    r = recorder()
    x, y = arrays(native, (), (2,))
    names = [f"key{i}" for i in range(40)]
    assert r.compiles(dict.fromkeys(names, x))
    assert not r.compiles(dict.fromkeys(reversed(names), x))
    assert not r.compiles({**dict.fromkeys(names[20:], x), **dict.fromkeys(names[:20], x)})
    assert r.compiles(dict.fromkeys(names, x) | {"key7": y})
    assert r.compiles(dict.fromkeys([*names[1:], "other"], x))
    assert not r.compiles(dict.fromkeys(names, x))
    assert r.compiles({3: x, 1: y, 2: x})
    assert not r.compiles({1: y, 2: x, 3: x})
    # The last call's keys are tried first, also where structures begin alike and then differ.
    assert r.compiles({"a": x, "b": x}, {"c": x})
    assert r.compiles({"a": x, "b": x}, {"d": x})
    assert r.compiles({"a": {"p": x}, "b": x}, {"d": x})
    assert r.compiles({"a": {"q": x}, "b": x}, {"d": x})
    assert not r.compiles({"b": x, "a": {"p": x}}, {"d": x})


def test_keywords(native, recorder):
    r = recorder()
    x, y = arrays(native, (), (2,))
    assert r.compiles(x, b=x, a=y)
    assert not r.compiles(x, a=y, b=x)
    assert r.compiles(x, a=x, b=y)
    assert r.compiles(x, c=y, b=x)
    assert r.compiles(a=y, b=x)
    assert r.compiles(x, y)
    assert r.compiles(x, {"b": x, "a": y})
    assert r.misses[0] == ((x,), {"b": x, "a": y})


def test_static_arguments(native, recorder):
    r = recorder(static_argnums=(1, -1), static_argnames="mode")
    (x,) = arrays(native, ())
    assert r.compiles(x, "text", x, 3)
    assert not r.compiles(x, "text", x, 3)
    assert r.compiles(x, "other", x, 3)
    assert r.compiles(x, "text", x, 4)
    assert r.compiles(x, "text", x, x, 4, mode=(1, "a"))
    assert not r.compiles(x, "".join(["te", "xt"]), x, x, 4, mode=(1, "a"))
    assert r.compiles(x, "text", x, x, 4, mode=(1, "b"))
    many = recorder(static_argnums=70)
    assert many.compiles(*[x] * 70, "static")
    assert not many.compiles(*[x] * 70, "static")


def test_equal_statics_of_different_types(native, recorder):
    r = recorder(static_argnums=0)
    for value in (1, 1.0, True, 0.0, -0.0, (1, 2), (1.0, 2), (1, (2, True)), (1, (2, 1)), "1"):
        assert r.compiles(value)
    for value in (1, 1.0, True, 0.0, -0.0, (1, 2), (1.0, 2), (1, (2, True)), (1, (2, 1)), "1"):
        assert not r.compiles(value)


def test_unhashable_statics_bypass(native, recorder):
    r = recorder(static_argnums=0)
    assert r.jit([1]) == "bypassed"
    assert r.jit({}) == "bypassed"
    assert (r.jit.calls.size(), r.bypasses[0]) == (0, (([1],), {}))

    class Broken:
        def __hash__(self):
            raise ZeroDivisionError("inside hash")

    with pytest.raises(ZeroDivisionError, match="inside hash"):
        r.jit(Broken())


def test_statics_with_own_equality(native, recorder):
    r = recorder(static_argnums=0)

    class Value:
        def __init__(self, number, action=None):
            self.number, self.action = number, action

        def __hash__(self):
            return 7

        def __eq__(self, other):
            for action in filter(None, (self.action, other.action)):
                action()
            return self.number == other.number

    assert r.compiles(Value(1))
    assert r.compiles(Value(2))
    assert not r.compiles(Value(1))
    assert not r.compiles(Value(2))
    # Comparing may clear the table under our feet.
    assert r.compiles(Value(1, r.jit.calls.forget))
    assert r.compiles(Value(2, lambda: r.jit(Value(3))))

    def fail():
        raise ZeroDivisionError("inside eq")

    with pytest.raises(ZeroDivisionError, match="inside eq"):
        r.jit(Value(1, fail))


def test_what_bypasses(native, recorder):
    r = recorder()
    odd = [
        2**31, -(2**31) - 1, "text", object(), np.array(["a"]), np.datetime64("2020"), {1: 1, "a": 2},
        np.zeros(2, np.longdouble), np.zeros(2, ">f4"), {1, 2}, range(3), b"x",
        collections.OrderedDict(a=1),
    ]  # fmt: skip
    for value in odd:
        assert r.jit(value) == "bypassed"
        assert r.jit([1, {"a": value}], b=value) == "bypassed"
        assert r.bypasses[-1] == (([1, {"a": value}],), {"b": value})
    assert not r.misses
    assert r.compiles(2**31 - 1)
    assert not r.compiles(-(2**31))


def test_switches(native, recorder):
    r = recorder()
    assert native.set_tracing(True) is False
    seen = []
    thread = threading.Thread(target=lambda: seen.append(r.jit(1)))
    thread.start()
    thread.join()
    assert r.jit(1) == "bypassed"
    assert native.set_tracing(False) is True
    assert seen == [None]
    assert native.set_fast_paths(False) is True
    assert r.jit(1, a=2) == "bypassed"
    assert native.set_fast_paths(True) is False
    assert not r.compiles(1)
    epoch = native.set_config_epoch(12345, None)
    assert r.compiles(1)
    assert native.set_config_epoch(epoch, None) == 12345
    assert not r.compiles(1)


def test_flatten_hook(native, recorder):
    Pair = collections.namedtuple("Pair", "a b")  # named tuples need no hook
    calls = []

    def flatten(value):
        calls.append(value)
        if isinstance(value, collections.OrderedDict):
            return tuple(value.values()), tuple(value)
        return None

    r = recorder()
    native.set_hooks(flatten=flatten)
    x, y = arrays(native, (), (2,))
    ordered = collections.OrderedDict
    assert r.compiles(Pair(x, y))
    assert not r.compiles(Pair(x, y))
    assert r.compiles(Pair(y, x))
    assert r.compiles((x, y))
    assert r.compiles(ordered(a=x, b=y))
    assert r.compiles(ordered(b=x, a=y))
    assert not r.compiles(ordered(a=x, b=y))
    assert r.compiles([Pair(x, ordered(a=None))], 1)
    assert r.jit(object()) == "bypassed"
    assert len(calls) == 5


def test_registered_classes(native, recorder):
    class Attributes:
        def __init__(self, x, note):
            self.x, self.note = x, note

    class Function(Attributes):
        pass

    native.register_node(Attributes, ("x",), ("note",), lambda value: 1 / 0)
    native.register_node(Function, None, (), lambda value: ([value.x], value.note))
    r = recorder()
    (x,) = arrays(native, ())
    for cls in (Attributes, Function):
        assert r.compiles(cls(x, "a"))
        assert not r.compiles(cls(x, "a"))
        assert r.compiles(cls(x, "b"))
        assert r.compiles([cls((x, 1), 2)])
        assert r.compiles([cls((x, 1), 2.0)])
        assert r.jit(cls(object(), "a")) == "bypassed"
    broken = Attributes(x, "a")
    del broken.x
    with pytest.raises(AttributeError, match="x"):
        r.jit(broken)
    for bad in ((3, (), (), print), (Attributes, (1,), (), print), (Attributes, None, (), 3)):
        with pytest.raises(TypeError, match="register_node"):
            native.register_node(*bad)


def test_flatten_hook_misbehaves(native, recorder):
    r = recorder()

    class Thing:
        pass

    for result, error, message in (
        (3, TypeError, "must give a pair"),
        ((1,), TypeError, "must give a pair"),
        ((1, 2), TypeError, "not iterable"),
    ):
        native.set_hooks(flatten=lambda value, result=result: result)
        with pytest.raises(error, match=message):
            r.jit(Thing())

    def fail(value):
        raise ZeroDivisionError("inside hook")

    native.set_hooks(flatten=fail)
    with pytest.raises(ZeroDivisionError, match="inside hook"):
        r.jit([Thing()])
    native.set_hooks(flatten=lambda value: ((), []))
    assert r.jit(Thing()) == "bypassed"  # data that has no hash
    native.set_hooks(flatten=lambda value: ([value], None))
    with pytest.raises(RecursionError):
        r.jit(Thing())
    endless: list = []
    endless.append(endless)
    with pytest.raises(RecursionError, match="containers inside each other"):
        r.jit(endless)


def test_hooks_may_change_containers(native, recorder):
    """Children are kept alive although the containers lose them meanwhile."""
    r = recorder()
    container: list = []
    table: dict = {}

    class Vandal:
        pass

    def flatten(value):
        container.clear()
        table.clear()
        gc.collect()
        return (), None

    native.set_hooks(flatten=flatten)
    container += [native.empty((3,), "float32"), Vandal(), native.empty((4,), "float32")]
    assert r.jit(container) == "bypassed"
    table.update(a=native.empty((3,), "float32"), b=Vandal(), c=native.empty((4,), "float32"))
    assert r.jit(table) == "bypassed"
    container += [native.empty((3,), "float32"), Vandal()]
    assert r.jit(container) is None


def test_values_reach_the_program(native, make):
    executables = {
        "float32": make("copy_float", [(11, ())], [(11, (), True)]),
        "int32": make("from_int32", [(3, ())], [(11, (), False)]),
        "complex64": make("copy_complex", [(13, ())], [(13, (), False)]),
        "bool": make("copy_bool", [(0, ())], [(0, (), False)]),
    }

    def miss(args, kwargs):
        name = native.array_from(np.asarray(args[0]), np.asarray(args[0]).dtype).dtype.name
        name = {"float64": "float32", "int64": "int32", "complex128": "complex64"}.get(name, name)
        return native.Entry(executables[name], [0], [], ("leaf", 0))

    jit = native.JitFunction(len, native.Calls(miss, len))
    for threshold in (50_000, 0):  # at once, and through the queue
        native.set_inline_threshold_ns(threshold)
        for value in (1.5, -7, 2 - 3j, True, False, np.float32(2.5), np.int32(4), np.bool_(True),
                      np.float32([9]).reshape(()), np.complex64(1j)):  # fmt: skip
            got = jit(value)
            assert got.item() == value
        assert jit(1.25).weak_type


def test_operand_order_and_constants(native, make):
    run = make("combine", [(11, ())] * 3, [(11, (), False)])
    constant = native.scalar(7, "float32")

    def miss(args, kwargs):
        return native.Entry(run, [2, 0], [constant], ("leaf", 0))

    jit = native.JitFunction(len, native.Calls(miss, len))
    a, b, c = (native.scalar(value, "float32") for value in (1, 2, 3))
    assert jit(a, b, c).item() == 3 + 10 * 1 + 100 * 7
    constant.delete()
    assert jit(c, b, a).item() == 1 + 10 * 3 + 100 * 7


def test_results(native, make):
    run = make("two_outputs", [(11, ())], [(11, (), False), (11, (), True)])
    x = native.scalar(1, "float32")
    marker = object()

    def call(spec, *args):
        jit = native.JitFunction(
            len, native.Calls(lambda a, k: native.Entry(run, [0], [], spec), len)
        )
        jit(*args or (x,))
        return jit(*args or (x,))

    def show(tree):
        if isinstance(tree, native.Array):
            return tree.item()
        if isinstance(tree, dict):
            return {key: show(value) for key, value in tree.items()}
        if isinstance(tree, list | tuple):
            return type(tree)(map(show, tree))
        return tree

    one, two = ("leaf", 0), ("leaf", 1)
    assert show(call(one)) == 2
    assert show(call(two)) == 3
    assert call(two).weak_type
    assert call(("none",)) is None
    assert call(("const", marker)) is marker
    assert show(call(("tuple", []))) == ()
    assert show(call(("tuple", [one, two, one]))) == (2, 3, 2)
    assert show(call(("list", [two, ("list", [one])]))) == [3, [2]]
    result = call(("dict", ["b", "a"], [one, ("tuple", [two, ("none",)])]))
    assert show(result) == {"b": 2, "a": (3, None)}
    assert list(result) == ["b", "a"]
    assert show(call(("custom", lambda c: ("made", *c), [one, two]))) == ("made", 2, 3)
    first, second = call(("tuple", [one, one]))
    first.delete()
    assert second.item() == 2


def test_forwarded_arguments(native, make):
    run = make("copy_float", [(11, ())], [(11, (), False)])
    spec = ("tuple", [("input", 0), ("leaf", 0), ("input", 1)])
    jit = native.JitFunction(len, native.Calls(lambda a, k: native.Entry(run, [0], [], spec), len))
    x, y = native.scalar(1, "float32"), native.array_from(np.arange(3), "int32", weak_type=True)
    for _ in range(2):
        a, b, c = jit(x, y)
        assert a is not x
        assert a.unsafe_buffer_pointer() == x.unsafe_buffer_pointer()
        assert (b.item(), c.tolist(), c.weak_type, c.dtype) == (1, [0, 1, 2], True, y.dtype)
    values = np.arange(3.0)
    a, _, c = jit(2.5, values)
    values[:] = 0
    assert (a.item(), a.weak_type, c.tolist()) == (2.5, True, [0, 1, 2])
    _, _, c = jit(2.5, True)
    assert (c.item(), c.dtype, c.weak_type) == (True, np.bool_, False)
    _, _, c = jit(2.5, np.int8(3))
    assert (c.item(), c.dtype, c.weak_type) == (3, np.int8, False)


def test_donation(native, make):
    run = make("combine", [(11, ())] * 3, [(11, (), False)], aliases=[(0, 0)])
    spec = ("tuple", [("leaf", 0), ("input", 2)])
    jit = native.JitFunction(
        len, native.Calls(lambda a, k: native.Entry(run, [0, 1, 2], [], spec, donate=[0, 2]), len)
    )
    for _ in range(2):
        a, b, c = (native.scalar(value, "float32") for value in (1, 2, 3))
        pointer = a.unsafe_buffer_pointer()
        result, forwarded = jit(a, b, c)
        assert result.item() == 321
        assert result.unsafe_buffer_pointer() == pointer
        assert forwarded.item() == 3
        assert [x.is_deleted() for x in (a, b, c)] == [True, False, True]
    with pytest.raises(RuntimeError, match="was donated to a compiled call"):
        jit(a, b, b)
    assert jit(1.0, 2.0, np.float32(3))[0].item() == 321
    a = native.scalar(1, "float32")
    with pytest.raises(ValueError, match="donated twice"):
        jit(a, b, a)
    with pytest.raises(ValueError, match="also passed without donation, as argument 1"):
        jit(a, a, native.scalar(3, "float32"))
    assert not a.is_deleted()


def test_numpy_arguments_are_copied(native, make):
    run = make("add_one_slowly", cost_ns=10**6)
    jit = native.JitFunction(
        len, native.Calls(lambda a, k: native.Entry(run, [0], [], ("leaf", 0)), len)
    )
    values = np.arange(4, dtype=np.float32)
    y = jit(values)
    values[:] = 100
    assert y.tolist() == [1, 2, 3, 4]


def test_many_arguments(native, make):
    run = make("sum_of_twenty", [(11, ())] * 20, [(11, (), False)])
    jit = native.JitFunction(
        len, native.Calls(lambda a, k: native.Entry(run, list(range(20)), [], ("leaf", 0)), len)
    )
    xs = [native.scalar(i, "float32") for i in range(20)]
    assert jit(*xs).item() == 190
    assert jit(*map(float, range(20))).item() == 190
    assert jit(*xs[:10], *map(np.float32, range(10, 20))).item() == 190
    assert jit({str(i).zfill(2): x for i, x in enumerate(xs)}).item() == 190
    assert jit([xs[:10], None, tuple(xs[10:])]).item() == 190


def test_bad_entries(native, make):
    run = make("two_outputs", [(11, ())], [(11, (), False)] * 2)
    one = native.scalar(1, "float32")
    for kept, constants, spec, donate, message in (
        ([], [], ("none",), [], "takes 1 inputs; 0 leaves and 0 constants"),
        ([0], [one], ("none",), [], "takes 1 inputs; 1 leaves and 1 constants"),
        ([], [native.scalar(1, "int32")], ("none",), [], r"constant 0, int32\[\], does not fit"),
        ([0], [], ("leaf", 2), [], "no such output"),
        ([0], [], ("leaf",), [], "not a node"),
        ([0], [], ["leaf", 0], [], "not a node"),
        ([0], [], ("what", 0), [], "not a node"),
        ([0], [], ("dict", ["a"], []), [], "as many keys as children"),
        ([0], [], ("custom", 3, []), [], "unflatten is not callable"),
        ([0], [], ("none",), [1], "donate names leaf 1 of 1"),
        ([-1], [], ("none",), [], "-1 is not a position"),
    ):
        with pytest.raises(ValueError, match=message):
            native.Entry(run, kept, constants, spec, donate)
    two = make("combine", [(11, ())] * 3, [(11, (), False)])
    with pytest.raises(ValueError, match="names a leaf twice"):
        native.Entry(two, [0, 1, 0], [], ("none",))
    with pytest.raises(TypeError, match="must be an Executable, not int"):
        native.Entry(3, [], [], ("none",))
    with pytest.raises(TypeError, match="constant 0 must be an Array, not float"):
        native.Entry(run, [], [1.0], ("none",))
    entry = native.Entry(run, [0], [], ("leaf", 1))
    assert (entry.executable, entry.kept) == (run, [0])


def test_entries_that_do_not_fit_the_call(native, make, four):
    run = make("add_one")
    for kept, spec, args, message in (
        ([1], ("leaf", 0), (four(),), "reads leaf 1 of arguments that have 1 leaves"),
        ([0], ("input", 5), (four(),), "reads leaf 5 of arguments that have 1 leaves"),
        ([0], ("leaf", 0), (1.0,), "leaf 0 of the arguments does not fit input 0"),
        ([0], ("leaf", 0), (native.empty((4,), "int32"),), "does not fit"),
        ([0], ("leaf", 0), (np.zeros(5, np.float32),), "changed its shape|does not fit"),
    ):
        jit = native.JitFunction(
            len,
            native.Calls(lambda a, k, kept=kept, spec=spec: native.Entry(run, kept, [], spec), len),
        )
        with pytest.raises(RuntimeError, match=message):
            jit(*args)


def test_errors_pass_through(native, make, four):
    def fail(args, kwargs):
        raise ZeroDivisionError("inside miss")

    jit = native.JitFunction(len, native.Calls(fail, fail))
    for args in ((1,), ("text",)):
        with pytest.raises(ZeroDivisionError, match="inside miss"):
            jit(*args)
    assert (
        native.JitFunction(len, native.Calls(lambda a, k: None, lambda a, k: "bypassed"))(1)
        == "bypassed"
    )
    with pytest.raises(TypeError, match="must return an Entry or None, not int"):
        native.JitFunction(len, native.Calls(lambda a, k: 3, len))(1)
    run = make("add_one")

    def broken(children):
        raise ZeroDivisionError("inside unflatten")

    entry = native.Entry(run, [0], [], ("list", [("leaf", 0), ("custom", broken, [("leaf", 0)])]))
    jit = native.JitFunction(len, native.Calls(lambda a, k: entry, len))
    gc.collect()
    native.synchronize()  # nothing is freed later of what was before
    before = native.memory_stats()["bytes_in_use"]
    x = four()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="inside unflatten"):
            jit(x)
    del x
    gc.collect()
    native.synchronize()
    assert native.memory_stats()["bytes_in_use"] == before
    gone = four()
    gone.delete()
    with pytest.raises(RuntimeError, match="has been deleted"):
        jit(gone)
