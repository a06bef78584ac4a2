"""`Scan`: a loop with a known number of steps, as one operation."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from itertools import compress
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.control.bodies import (
    Source,
    SplitBody,
    batch_body,
    jvp_body,
    linearize_body,
    live_parts,
    parts,
    split_body,
    transpose_body,
)
from covector._engine.control.call import axis_names_of, reference, spread
from covector._engine.core.primitive import Index, Linear, Primitive, Scalar, Zero, is_zero
from covector._engine.core.trace import evaluate, typeof
from covector._engine.ir.builder import Builder, Operand, Place, Result, parts as pieces, whole
from covector._engine.ir.program import (
    Atom,
    Program,
    effects_of,
    replace_inputs,
    without_dead_code,
)
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


@record
class Scan(Primitive):
    """`length` steps of a closed body.

    Operands: consts, which every step sees; carry, handed from step to step; xs, of which each step sees one slice
    along the leading axis.  The body takes these and returns the new carry and ys.  Results: the last carry; the ys of
    all steps, stacked along a new leading axis.  With `reverse` the steps go from the last slice to the first.
    """

    body: Program
    length: Dim
    reverse: bool
    num_consts: int
    num_carry: int
    unroll: int = 1
    name: ClassVar[str] = "scan"
    multiple: ClassVar[bool] = True

    @property
    def effects(self) -> frozenset[str]:  # type: ignore[override]
        return effects_of(self.body)

    @property
    def axis_names(self) -> frozenset[Hashable]:  # type: ignore[override]
        return axis_names_of(self.body)

    def programs(self) -> tuple[Program, ...]:
        return (self.body,)

    def with_programs(self, programs: Sequence[Program]) -> Scan:
        return replace(self, body=programs[0])

    def _of(self, body: Program, num_consts: int, num_carry: int) -> Scan:
        """The same loop with another body."""
        return replace(self, body=body, num_consts=num_consts, num_carry=num_carry)

    def stacked(self, aval: ShapedArray) -> ShapedArray:
        """The type of a slice's array."""
        return aval.with_shape((self.length, *aval.shape))

    def live(self, used: Sequence[bool]) -> tuple[Scan, Sequence[bool], Sequence[bool]]:
        """The loop that gives these results alone: a carried value that another one depends on stays."""
        inputs, outputs = live_parts(self.body, self.num_consts, self.num_carry, used)
        if all(inputs) and all(outputs):
            return self, inputs, outputs
        body = Program(
            tuple(compress(self.body.inputs, inputs)), self.body.eqns, tuple(compress(self.body.outputs, outputs)),
            name=self.body.name,
        )  # fmt: skip
        consts, carry, _ = parts(inputs, self.num_consts, self.num_carry)
        return self._of(without_dead_code(body), sum(consts), sum(carry)), inputs, outputs

    def constant_inputs(self) -> tuple[tuple[int | None, ...], ...]:
        k, c = self.num_consts, self.num_carry
        kept = [
            v is a for v, a in zip(self.body.inputs[k : k + c], self.body.outputs, strict=False)
        ]
        same = [*[True] * k, *kept, *[False] * (len(self.body.inputs) - k - c)]
        return (tuple([n if constant else None for n, constant in enumerate(same)]),)

    def taking(
        self, programs: Sequence[Program], operands: Sequence[Atom], values: Sequence[Atom]
    ) -> tuple[Primitive, tuple[Atom, ...]]:
        (body,), k = programs, self.num_consts
        stop = len(body.inputs) - len(values)
        inputs = (*body.inputs[:k], *body.inputs[stop:], *body.inputs[k:stop])
        scan = self._of(replace_inputs(body, inputs), k + len(values), self.num_carry)
        return scan, (*operands[:k], *values, *operands[k:])

    # ---------------------------------------------------------------------------------------------- lowering

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """A loop whose carry lies in two buffers that take turns, or, if the body is small, in locals."""
        consts, carry, xs = parts(operands, self.num_consts, self.num_carry)
        carried, stacked = results[: self.num_carry], results[self.num_carry :]
        in_locals = [*[False] * len(consts), *[True] * len(carry), *[False] * len(xs)]
        t = b.variable("t", self.length)
        at = self.length - 1 - t if self.reverse else t
        if b.is_small(self.body, in_locals):
            self._in_locals(b, t, at, (consts, carry, xs), carried, stacked)
        else:
            self._in_buffers(b, t, at, (consts, carry, xs), carried, stacked)

    def _in_locals(
        self, b: Builder, t: Dim, at: Dim, operands: tuple[Sequence[Operand], ...],
        carried: Sequence[Result], stacked: Sequence[Result],
    ) -> None:  # fmt: skip
        consts, carry, xs = operands
        held: list[dict[Index, Scalar]] = []
        for x in carry:
            held.append({})
            for i in indices(x.aval.shape):
                held[-1][i] = whole([b.local(e, "c") for e in pieces(x.at(i))])
        body = self.body
        with b.loop(t, self.length):
            slices = (
                [
                    x.place.slice(v.aval, at)
                    for x, v in zip(xs, body.inputs[-len(xs) :], strict=True)
                ]
                if xs
                else []
            )
            values = b.written_out(body, [*[x.place for x in consts], *held, *slices])
            for out, v, elements in zip(
                stacked, body.outputs[len(carry) :], values[len(carry) :], strict=True
            ):
                for i, e in elements.items():
                    b.store(out.place.slice(v.aval, at), v.aval.shape, i, e)
            changes = [
                (old, new)
                for locals_, elements in zip(held, values, strict=False)
                for i, one in locals_.items()
                for old, new in zip(pieces(one), pieces(elements[i]), strict=True)
                if old is not new
            ]
            if changes:
                b.assign([old for old, _ in changes], [new for _, new in changes])
        for out, locals_ in zip(carried, held, strict=True):
            for i, one in locals_.items():
                b.store(out.place, out.aval.shape, i, one)

    def _in_buffers(
        self, b: Builder, t: Dim, at: Dim, operands: tuple[Sequence[Operand], ...],
        carried: Sequence[Result], stacked: Sequence[Result],
    ) -> None:  # fmt: skip
        consts, carry, xs = operands
        body, n = self.body, self.num_carry
        current: list[Place] = []
        following: list[Place] = []
        swaps: list[tuple[Place, Place]] = []
        for x, v, new in zip(carry, body.inputs[self.num_consts :], body.outputs, strict=False):
            if new is v:  # never changes
                current.append(x.place)
                following.append(x.place)
                continue
            pair = b.temp_like(x.aval, "carry"), b.temp_like(x.aval, "next")
            current.append(pair[0])
            following.append(pair[1])
            swaps.append(pair)
            b.copy(pair[0], x)
        with b.loop(t, self.length):
            slices = [
                x.place.slice(v.aval, at)
                for x, v in zip(xs, body.inputs[self.num_consts + n :], strict=True)
            ]
            stacks = [
                out.place.slice(v.aval, at)
                for out, v in zip(stacked, body.outputs[n:], strict=True)
            ]
            b.program(body, [*[x.place for x in consts], *current, *slices], [*following, *stacks])
            for pair in swaps:
                b.swap(*pair)
        for out, place in zip(carried, current, strict=True):
            b.copy(out.place, place, out.aval)

    # ------------------------------------------------------------------------------------------------- rules

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        consts, carry, xs = parts(self.body.in_avals, self.num_consts, self.num_carry)
        expected = [*consts, *carry, *map(self.stacked, xs)]
        _check_types("operands", expected, avals)
        out_carry = self.body.out_avals[: self.num_carry]
        _check_types("carry results of the body", carry, out_carry)
        return *carry, *map(self.stacked, self.body.out_avals[self.num_carry :])

    def reference(self, *operands: Any) -> tuple[Any, ...]:
        consts, carry, xs = parts(operands, self.num_consts, self.num_carry)
        ys: list[list[Any]] = []
        for i in range(self.length)[:: -1 if self.reverse else 1]:  # type: ignore[arg-type]
            out = reference(self.body, [*consts, *carry, *[np.asarray(x)[i] for x in xs]])
            carry = out[: self.num_carry]
            ys.append(out[self.num_carry :])
        if self.reverse:
            ys.reverse()
        types = self.body.out_avals[self.num_carry :]
        stacked = [
            np.stack([step[j] for step in ys]) if ys else np.zeros((0, *t.shape), t.dtype)  # type: ignore[arg-type]
            for j, t in enumerate(types)
        ]
        return *carry, *stacked

    # ---------------------------------------------------------------------------------------------- forwards

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([type(t) is not Zero for t in tangents])
        found = jvp_body(self.body, self.num_consts, self.num_carry, nonzero)
        c, s, x = parts(primals, self.num_consts, self.num_carry)
        ct, st, xt = parts(tangents, self.num_consts, self.num_carry)
        live = [t for t in ct if not is_zero(t)]
        outs = self._of(found.program, found.num_consts, found.num_carry)(
            *c,
            *live,
            *found.constants,
            *s,
            *_materialized(st, found.carry),
            *x,
            *[t for t in xt if not is_zero(t)],
        )
        n, m = self.num_carry, found.num_carry
        results = *outs[:n], *outs[m : m + len(found.ys)]
        pushed = *outs[n:m], *outs[m + len(found.ys) :]
        return results, tuple(
            spread(pushed, (*found.carry, *found.ys), [typeof(o) for o in results])
        )

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([type(t) is not Zero for t in tangents])
        found = linearize_body(self.body, self.num_consts, self.num_carry, nonzero)
        results, sources = self._known(
            found, primals, self.num_consts, self.num_carry, len(self.body.outputs)
        )
        types = [typeof(o) for o in results]
        if not any((*found.carry, *found.ys)):
            return results, tuple(map(Zero, types))
        ct, st, xt = parts(tangents, self.num_consts, self.num_carry)
        ct, st, xt = (
            [t for t in ct if not is_zero(t)],
            _materialized(st, found.carry),
            [t for t in xt if not is_zero(t)],
        )
        pushed = self._linear(found, sources, ct, st, xt)
        return results, tuple(spread(pushed, (*found.carry, *found.ys), types))

    def _known(
        self, found: SplitBody, operands: Sequence[Any], num_consts: int, num_carry: int, count: int
    ) -> tuple[tuple[Any, ...], dict[str, Sequence[Any]]]:
        """Run the known loop: its first `count` results, and the values that residuals are among."""
        consts, carry, xs = parts(operands, num_consts, num_carry)
        consts = [*consts, *found.constants]
        hoisted = evaluate(found.hoisted, consts)
        outs = self._of(found.known, len(consts) + len(hoisted), num_carry)(
            *consts, *hoisted, *carry, *xs
        )
        return outs[:count], {"const": consts, "hoisted": hoisted, "xs": xs, "ys": outs[num_carry:]}

    def _linear(
        self, found: SplitBody, sources: dict[str, Sequence[Any]], consts: Sequence[Any], carry: Sequence[Any],
        xs: Sequence[Any],
    ) -> tuple[Any, ...]:  # fmt: skip
        """Apply the linear loop."""
        known_consts, known_xs = (
            _chosen(found.const_sources, sources),
            _chosen(found.xs_sources, sources),
        )
        scan = self._of(found.linear, len(known_consts) + len(consts), len(carry))
        return scan(*known_consts, *consts, *carry, *known_xs, *xs)

    # --------------------------------------------------------------------------------------------- backwards

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        linear = [isinstance(a, Linear) for a in args]
        found = split_body(self.body, self.num_consts, self.num_carry, tuple(linear))
        if all(found.carry):
            return self._transpose(ct, args)
        return self._transpose_mixed(found, ct, args, linear)

    def _transpose(self, ct: Sequence[Any], args: Sequence[Any]) -> Sequence[Any]:
        """Where all carried values are linear: one loop in the other direction.

        The values that the linear ones start from do not matter, even if they are known.
        """
        n = self.num_carry
        given = tuple([not is_zero(c) for c in ct])
        consts, _, xs = parts(args, self.num_consts, n)
        linear = (
            *[isinstance(a, Linear) for a in consts],
            *[True] * n,
            *[isinstance(a, Linear) for a in xs],
        )
        found = transpose_body(self.body, self.num_consts, n, linear, given)
        linear_consts = [a for a in consts if isinstance(a, Linear)]
        sums = [
            prims.zeros(a.aval) for a, live in zip(linear_consts, found.consts, strict=True) if live
        ]
        cts = _materialized(ct[:n], found.carry)
        scan = replace(
            self, body=found.program, num_consts=found.num_consts, num_carry=len(sums) + len(cts),
            reverse=not self.reverse,
        )  # fmt: skip
        outs = iter(
            scan(
                *[a for a in consts if not isinstance(a, Linear)], *found.constants, *sums, *cts,
                *[a for a in xs if not isinstance(a, Linear)], *[c for c in ct[n:] if not is_zero(c)],
            )
        )  # fmt: skip
        backs = [next(outs) if live else None for live in (*found.consts, *found.carry, *found.xs)]
        rest = iter(backs)
        result: list[Any] = []
        for i, a in enumerate(args):
            carried = self.num_consts <= i < self.num_consts + n
            back = next(rest) if carried or isinstance(a, Linear) else None
            result.append(
                (Zero(a.aval) if back is None else back) if isinstance(a, Linear) else None
            )
        return result

    def _transpose_mixed(
        self, found: SplitBody, ct: Sequence[Any], args: Sequence[Any], linear: Sequence[bool]
    ) -> Sequence[Any]:
        """Where some carried values are known: these first, in a loop of their own."""
        consts, init, xs = parts(args, self.num_consts, self.num_carry)
        known_init = [a for a, lin in zip(init, found.carry, strict=True) if not lin]
        known_consts = [a for a in consts if not isinstance(a, Linear)]
        operands = [*known_consts, *known_init, *[a for a in xs if not isinstance(a, Linear)]]
        _, sources = self._known(found, operands, len(known_consts), len(known_init), 0)
        residual_consts, residual_xs = (
            _chosen(found.const_sources, sources),
            _chosen(found.xs_sources, sources),
        )
        linear_consts = [a for a in consts if isinstance(a, Linear)]
        linear_init = list(compress(init, found.carry))
        scan = self._of(found.linear, len(residual_consts) + len(linear_consts), len(linear_init))
        cts = [c for c, lin in zip(ct, (*found.carry, *found.ys), strict=True) if lin]
        values = [
            *residual_consts,
            *linear_consts,
            *linear_init,
            *residual_xs,
            *[a for a in xs if isinstance(a, Linear)],
        ]
        backs = [
            b
            for b, v in zip(scan._transpose(cts, values), values, strict=True)
            if isinstance(v, Linear)
        ]
        rest = iter(backs)
        return [next(rest) if lin else None for lin in linear]

    # ------------------------------------------------------------------------------------------------- batch

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self.batch_named(args, dims, size, None)

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        consts, init, xs = parts(args, self.num_consts, self.num_carry)
        const_dims, init_dims, xs_dims = parts(dims, self.num_consts, self.num_carry)
        xs = [prims.move_axis(x, 0, 1) if d == 0 else x for x, d in zip(xs, xs_dims, strict=True)]
        slices = [None if d is None else max(d - 1, 0) for d in xs_dims]
        found = batch_body(
            self.body,
            self.num_consts,
            self.num_carry,
            (*const_dims, *init_dims, *slices),
            size,
            axis_name,
        )
        init = [
            x
            if not mapped
            else prims.add_batch_axis(x, size)
            if d is None
            else prims.move_axis(x, d, 0)
            for x, d, mapped in zip(init, init_dims, found.carry, strict=True)
        ]
        outs = self._of(found.program, found.num_consts, self.num_carry)(
            *consts, *found.constants, *init, *xs
        )
        carry_dims = [0 if mapped else None for mapped in found.carry]
        return outs, (*carry_dims, *[None if d is None else d + 1 for d in found.ys])


def _check_types(what: str, expected: Sequence[ShapedArray], found: Sequence[ShapedArray]) -> None:
    if len(expected) != len(found) or any(
        e.shape != f.shape or e.dtype != f.dtype for e, f in zip(expected, found, strict=True)
    ):
        raise TypeError(
            f"scan: the {what} must be {', '.join(e.text() for e in expected)}; "
            f"they are {', '.join(f.text() for f in found)}{errors.at_user_line()}"
        )


def _materialized(tangents: Sequence[Any], mask: Sequence[bool]) -> list[Any]:
    """The tangents in the mask, zeros where they are symbolic."""
    return [prims.materialize(t) for t in compress(tangents, mask)]


def _chosen(sources: Sequence[Source], values: dict[str, Sequence[Any]]) -> list[Any]:
    return [values[kind][i] for kind, i in sources]


def indices(shape: Sequence[Any]) -> list[Index]:
    """All indices of a shape, in order."""
    return list(itertools.product(*[range(int(n)) for n in shape]))
