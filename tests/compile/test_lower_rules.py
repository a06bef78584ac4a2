"""Primitives that say themselves how they become statements: `while`, `if ... else`, routines over a batch.

The primitives here are known to this file alone: no pass has heard of them.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp
from covector._engine.base.errors import VerificationError
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive, Types
from covector._engine.core.routine import ByRoutine, RoutineCall
from covector._engine.ir import check, index as ix, scalar
from covector._engine.ir.builder import Builder, Operand, Result
from covector._engine.ir.kernel import Assign, Buffer, If, Init, Kernel, Loop, Store, While
from covector._engine.ir.scalar import Expr, const
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray


@record
class Collatz(Primitive):
    """How many steps each number takes to 1: halved if it is even, else tripled, plus 1."""

    name: ClassVar[str] = "collatz"

    def type(self, x: ShapedArray) -> ShapedArray:
        return x

    def reference(self, x: Any) -> Any:
        def steps(n: int) -> int:
            return 0 if n <= 1 else 1 + steps(3 * n + 1 if n % 2 else n // 2)

        return np.vectorize(lambda n: steps(int(n)), otypes=[x.dtype])(x)

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        (x,), (out,) = operands, results
        i = b.variable("i", out.aval.size)
        with b.loop(i, out.aval.size):
            n, count = b.local(_real(x.at(_at(x, i)))), b.local(const(0, x.aval.dtype))
            with b.while_() as holds:
                odd = b.local(scalar.equal(n & 1, 1))
                holds(n > 1)
                with b.if_(odd):
                    b.assign((n,), (n * 3 + 1,))
                with b.else_():
                    half = b.local(scalar.apply("sar", n, const(1, n.dtype)))
                    b.assign((n,), (half,))
                b.assign((count,), (count + 1,))
            b.store(out.place, out.aval.shape, _at(x, i), count)


@record
class Doublings(Primitive):
    """The whole array doubled until its first element is at least `limit`: what is carried lies in two buffers."""

    limit: float
    name: ClassVar[str] = "doublings"

    def type(self, x: ShapedArray) -> ShapedArray:
        return x

    def reference(self, x: Any) -> Any:
        while x[0] < self.limit:
            x = x + np.roll(x, 1)
        return x

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        (x,), (out,) = operands, results
        (n,) = x.aval.shape
        current, following = b.temp_like(x.aval, "carry"), b.temp_like(x.aval, "next")
        b.copy(current, x)
        state = Result(x.aval, current)
        with b.while_() as holds:
            holds(_real(b.element(state, (0,))) < self.limit)
            i = b.variable("i", n)
            before = to_index(i, n)
            with b.loop(i, n):
                total = _real(b.element(state, (i,))) + _real(b.element(state, (before,)))
                b.store(following, (n,), (i,), total)
            b.swap(current, following, x.aval)
        b.copy(out.place, current, x.aval)


def to_index(i: Any, n: Any) -> Any:
    """The place before, around the end."""
    return (i + n - 1) % n


def _at(x: Operand, i: Any) -> tuple[Any, ...]:
    return (i,) if x.aval.shape else ()


def _real(x: Any) -> Expr:
    assert isinstance(x, Expr)
    return x


NUMBERS = np.array([1, 2, 3, 7, 27, 97, 6171], np.int32)
STEPS = Collatz().reference(NUMBERS)


def test_a_loop_with_a_condition_and_branches() -> None:
    np.testing.assert_array_equal(Collatz()(cnp.asarray(NUMBERS)), STEPS)
    np.testing.assert_array_equal(covector.jit(lambda n: Collatz()(n + 0) * 2)(NUMBERS), STEPS * 2)
    assert int(covector.jit(Collatz())(np.int32(27))) == 111


def test_inside_a_scan_it_reads_and_writes_what_is_carried() -> None:
    def step(total: Any, n: Any) -> Any:
        found = Collatz()(n)
        return total + found, found

    rows = np.stack([NUMBERS, NUMBERS + 1, NUMBERS * 2])
    total, each = covector.jit(lambda x: lax.scan(step, cnp.zeros(7, "int32"), x))(rows)
    np.testing.assert_array_equal(each, Collatz().reference(rows))
    np.testing.assert_array_equal(total, Collatz().reference(rows).sum(0))


def test_a_donated_operand_is_not_overwritten_while_it_is_read() -> None:
    donated = covector.jit(lambda n: Collatz()(n), donate_argnums=0)
    np.testing.assert_array_equal(donated(cnp.asarray(NUMBERS)), STEPS)
    both = covector.jit(lambda n: (Collatz()(n), n[::-1]), donate_argnums=0)
    found = both(cnp.asarray(NUMBERS))
    np.testing.assert_array_equal(found[0], STEPS)
    np.testing.assert_array_equal(found[1], NUMBERS[::-1])


@pytest.mark.parametrize("donate", [(), (0,)])
def test_carried_buffers_take_turns(donate: tuple[int, ...]) -> None:
    x = np.array([1, 2, 5, 3], np.float32)
    double = covector.jit(lambda x: Doublings(50.0)(x * 1.5) + 1, donate_argnums=donate)
    wanted = Doublings(50.0).reference(x * np.float32(1.5)) + 1
    np.testing.assert_array_equal(double(cnp.asarray(x)), wanted)
    np.testing.assert_array_equal(covector.jit(Doublings(0.5))(x), x)  # no run at all

    def step(x: Any, _: Any) -> Any:
        return Doublings(10.0)(x) * 0.25, x[0]

    last, firsts = covector.jit(lambda x: lax.scan(step, x, None, 5), donate_argnums=donate)(
        cnp.asarray(x)
    )
    for first in np.asarray(firsts):
        assert first == x[0]
        x = Doublings(10.0).reference(x) * np.float32(0.25)
    np.testing.assert_array_equal(last, x)


def test_a_primitive_without_the_rule_is_named() -> None:
    @record
    class Nothing(Primitive):
        name: ClassVar[str] = "nothing"

        def type(self, x: ShapedArray) -> ShapedArray:
            return x

    with pytest.raises(Exception, match=r"primitive 'nothing' has no lower rule.*Nothing"):
        covector.jit(lambda x: Nothing()(x))(1.0)


# --------------------------------------------------------------------------------------- routines over a batch


@record
class Descending(ByRoutine):
    """Rows in falling order, one call of the runtime's sort for each row of the transposed operand."""

    name: ClassVar[str] = "descending"
    begins_as: ClassVar[tuple[int | None, ...]] = (0,)

    def type(self, x: ShapedArray) -> ShapedArray:
        return x

    def reference(self, x: Any) -> Any:
        return np.sort(x, -1)

    def call(self, avals: Types) -> RoutineCall:
        m, n = avals[0].shape
        code = dtypes.CODES[avals[0].dtype]
        return RoutineCall("sort_pairs", (code, 0, 1, n), (m,), ((n,),), order=(0, 0))


def test_a_routine_is_called_for_each_element_of_the_batch() -> None:
    x = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    sort = covector.jit(lambda x: Descending()(x * 2) + 1)
    np.testing.assert_array_equal(sort(x), np.sort(x * 2, -1) + 1)
    text = sort.lower(x).compile().as_text()
    assert "for b0 < 5" in text
    assert "[9*b0:]" in text
    assert ":= t" not in text.split("# descending")[1].split("#")[0], "computed where it is sorted"


# ------------------------------------------------------------------------------------------------- the checker


def test_what_a_branch_or_a_test_defines_is_not_seen_outside() -> None:
    out = Buffer("out0", dtypes.int32, 1, "output")
    one, n = const(1, dtypes.int32), Expr("local", (), dtypes.int32, "n")
    start, use = Init(n, one), Store(out, 0, n)
    for wrong in (
        [If(n < 1, ())],
        [If(one < 1, (start,), (use,))],
        [While((), n < 1, (start,))],
        [While((start,), n < 1, (use,)), use],
        [If(one < 1, (), (Assign((n,), (one,)),))],
    ):
        with pytest.raises(VerificationError):
            check.verify_kernel(Kernel("k", (), (out,), (), tuple(wrong)))
    right = Kernel("k", (), (out,), (), (While((start,), n < 1, (use,)), If(one < 1, (), ())))
    check.verify_kernel(right)


def test_an_expression_is_not_used_again_after_its_local_changed() -> None:
    out = Buffer("out0", dtypes.int32, 1, "output")
    n, one = Expr("local", (), dtypes.int32, "n"), const(1, dtypes.int32)
    twice, i = n + n, ix.loop_variable("i", 3)
    start, change = Init(n, one), Assign((n,), (n + one,))
    use = Store(out, 0, twice)
    for wrong in (
        (start, use, change, use),
        (start, use, Loop(i, 3, (use, change))),
        (start, use, While((), twice < 9, (change,))),
        (start, use, If(one < 1, (change,), ()), use),
    ):
        with pytest.raises(VerificationError, match="before a local of it was assigned"):
            check.verify_kernel(Kernel("k", (), (out,), (), wrong))
    more = [Assign((n,), (n + one,)) for _ in range(2)]
    branch = If(one < 1, (use,), (more[1],))
    right = (start, change, Loop(i, 3, (use, more[0])), branch, Store(out, 0, n + n))
    check.verify_kernel(Kernel("k", (), (out,), (), right))


def test_variables_are_those_of_the_loops_around() -> None:
    out, one = Buffer("out0", dtypes.int32, 9, "output"), const(1, dtypes.int32)
    i, longer, j = ix.loop_variable("i", 3), ix.loop_variable("i", 9), ix.loop_variable("j", 3)
    for words, wrong in (
        ("uses i of another loop", Loop(i, 3, (Store(out, longer, one),))),
        (
            "uses i of another loop",
            Loop(longer, 9, (Store(out, dims.floordiv(i + 7, dims.symbol("n", 0) + 1), one),)),
        ),
        ("uses j, which is not in scope", Loop(i, 3, (Store(out, j, one),))),
        ("counts i, which is in scope already", Loop(i, 3, (Loop(longer, 9, ()),))),
        ("counts n, which is in scope already", Loop(ix.loop_variable("n", 3), 3, ())),
    ):
        with pytest.raises(VerificationError, match=words):
            check.verify_kernel(Kernel("k", (), (out,), ("n",), (wrong,)))
    right = [Loop(v, e, (Store(out, v, one),)) for v, e in ((i, 3), (longer, 9))]
    check.verify_kernel(Kernel("k", (), (out,), ("n",), tuple(right)))


def test_a_local_is_read_anew_where_control_flow_joins() -> None:
    @record
    class Steps(Primitive):
        """Once doubled and once more in each of three steps, and 1 less if that is more than 100."""

        name: ClassVar[str] = "steps"

        def type(self, x: ShapedArray) -> ShapedArray:
            return x

        def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
            (x,), (out,) = operands, results
            n = b.local(_real(x.at(())))
            b.assign((n,), (n * 2,))
            with b.loop(b.variable("i", 3), 3):
                b.assign((n,), (n * 2,))
            with b.if_(n > 100):
                b.assign((n,), (n - 1,))
            with b.while_() as holds:
                holds(n > 1000)
                b.assign((n,), (n - 1000,))
            b.store(out.place, (), (), n)

    steps = covector.jit(Steps())
    assert [int(steps(np.int32(x))) for x in (0, 1, 6, 7, 63, 1000)] == [0, 16, 96, 111, 7, 999]


def test_branches_and_loops_are_printed() -> None:
    text = covector.jit(Collatz()).lower(NUMBERS).compile().as_text()
    assert text.count("while:") == 1
    assert ", do:" in text
    assert text.count("else:") == 1
