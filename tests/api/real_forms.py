"""The forms of `tests/api/compositions.py` by what Covector has for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.api.compositions import (
    COLLECTIVES,
    LEAVES,
    MATRIX,
    SCALES,
    STEPS,
    Form,
    Fun,
    Vector,
    count,
    log,
    weighed,
)

import covector as cv
import covector.numpy as cnp
from covector import checkpoint_policies as policies, lax
from covector.custom_batching import custom_vmap, sequential_vmap
from covector.custom_derivatives import SymbolicZero, linear_call
from covector.experimental import checkify, io_callback

POLICIES: tuple[Any, ...] = (
    None,
    policies.everything_saveable,
    policies.dots_saveable,
    policies.save_only_these_names("a"),
    policies.save_any_names_but_these("b"),
    policies.save_from_both_policies(policies.dots_saveable, policies.save_only_these_names("b")),
)


class Real:
    """The same, of one vector, by what Covector has for it."""

    def build(self, form: Form) -> Fun:
        return getattr(self, form.name)(form.number, *[self.build(f) for f in form.inner])

    def leaf(self, n: int) -> Fun:
        return LEAVES[n % len(LEAVES)]

    def chain(self, n: int, f: Fun, g: Fun) -> Fun:
        return lambda x: g(f(x))

    def both(self, n: int, f: Fun, g: Fun) -> Fun:
        return lambda x: cnp.sin(f(x) - g(x))

    def scan(self, n: int, f: Fun) -> Fun:
        def step(c: Vector, i: Any) -> tuple[Vector, Any]:
            c = f(c + 0.1 * i)
            return c, cnp.prod(cnp.cos(c))

        def run(x: Vector) -> Vector:
            steps = cnp.asarray(STEPS)
            x, ys = lax.scan(step, x, steps, reverse=bool(n % 2), unroll=1 + n % 3)
            return x + cnp.dot(ys, steps + 1)

        return run

    def fixed(self, n: int, f: Fun) -> Fun:
        return lambda x: lax.fori_loop(0, n % 3, lambda i, c: f(c) + cnp.float64(0.1) * i, x)

    def times(self, n: int, f: Fun) -> Fun:
        return lambda x: lax.fori_loop(0, count(x, 3), lambda _, c: f(c), x)

    def until(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            i, x = lax.while_loop(
                lambda c: (c[0] < 3) & (cnp.sum(c[1] * c[1]) < 1.5),
                lambda c: (c[0] + 1, f(c[1]) + 0.25),
                (0, x),
            )
            return x * (1 + i)

        return run

    def cond(self, n: int, f: Fun, g: Fun) -> Fun:
        if n % 2:
            return lambda x: lax.switch(lax.convert_element_type(x[0] > 0.2, np.int32), [g, f], x)
        return lambda x: lax.cond(x[0] > 0.2, f, g, x)

    def switch(self, n: int, f: Fun, g: Fun) -> Fun:
        return lambda x: lax.switch(count(x, 4) - 1, [f, lambda x: x * 0.9, g], x)

    def guarded(self, n: int, f: Fun) -> Fun:
        """By branches without operands, which close over what they take."""
        return lambda x: lax.cond(x[0] > 0.2, lambda: f(x), lambda: x * 0.8)

    def table(self, n: int, f: Fun) -> Fun:
        """In a carry of dicts and tuples, an integer among them."""

        def step(c: Any, _: None) -> tuple[Any, None]:
            i, (x, rows) = c["i"], c["of"]
            x = f(x)
            rows = rows.at[i].set(x + 0.5 * rows[i - 1])
            return {"i": i + 1, "of": (x, rows), "none": None}, None

        def run(x: Vector) -> Vector:
            start = {"i": np.int32(0), "of": (x, cnp.zeros((3, 3), np.float64)), "none": None}
            if n % 2:
                c = lax.scan(step, start, None, length=3, unroll=1 + n % 4)[0]
            else:
                c = lax.while_loop(lambda c: c["i"] < 3, lambda c: step(c, None)[0], start)
            return c["of"][1].sum(0) / 3 + 0.1 * c["of"][0] * c["i"]

        return run

    def filled(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            most = count(x, 3)

            def body(c: Any) -> Any:
                i, x, rows = c
                x = f(x)
                before = lax.dynamic_index_in_dim(rows, i, 0, keepdims=False)
                return i + 1, x, rows.at[i + 1].set(before + x)

            start = np.int32(0), x, cnp.stack([x * 0.1] * 4)
            _, y, rows = lax.while_loop(lambda c: c[0] < most, body, start)
            return rows.sum(0) / 3 + y

        return run

    def around(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            def step(_: Any, y: Vector) -> Vector:
                return f(y) * 0.5 + cnp.sin(x)

            return lax.fori_loop(0, 2, cv.jit(step) if n % 2 else step, x)

        return run

    def spread(self, n: int, f: Fun) -> Fun:
        """Over a leaf of a dict, beside what all share."""
        each = cv.vmap(
            lambda x, by: {"y": f(x * by["s"]), "x": x}, (None, {"s": 0}), {"y": 1, "x": None}
        )

        def run(x: Vector) -> Vector:
            y = each(x, {"s": cnp.asarray([0.5, 1.0])})["y"]
            return cnp.sin(y[:, 0]) * 0.5 + y[:, 1]

        return run

    def divided(self, n: int, f: Fun) -> Fun:
        """By the solution of a system that a function of the argument makes."""

        def run(x: Vector) -> Vector:
            by = 2 + cnp.sin(f(x))

            def solve(_: Any, b: Vector) -> Vector:
                return b / by

            return lax.custom_linear_solve(
                lambda v: by * v, x, solve, None if n % 2 else solve, symmetric=bool(n % 2)
            )

        return run

    def mapped(self, n: int, f: Fun) -> Fun:
        size = (None, 1, 2, 3)[n % 4]
        return lambda x: lax.map(f, cnp.stack([x, x * 0.5, x + 0.1]), batch_size=size).sum(0) / 3

    def rows(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            k = cnp.asarray(STEPS)[:, None]
            xs = x * (1.0 - 0.5 * k) + 0.1 * k
            each = cv.vmap(f, in_axes=n % 2, out_axes=1, axis_name="r")
            return (each(xs.T if n % 2 else xs) * (k[:, 0] + 1)).sum(1) / 6

        return run

    def meet(self, n: int, f: Fun) -> Fun:
        meet = COLLECTIVES[n % len(COLLECTIVES)][0]
        return lambda x: f(x * 0.5 + meet(x) * 0.2)

    def by_rule(self, n: int, f: Fun) -> Fun:
        g = custom_vmap(f)
        g.def_vmap(lambda size, batched, x: (cv.vmap(f, axis_name="r")(x) * 1.2, True))
        return g

    def gradient(self, n: int, f: Fun) -> Fun:
        if n % 2:
            return lambda x: cnp.sin(cv.value_and_grad(lambda x: weighed(f(x)))(x)[1])
        return lambda x: cnp.sin(cv.grad(lambda x: (weighed(f(x)), x), has_aux=True)(x)[0])

    def tangent(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, t = cv.jvp(f, (x,), (x * 0.5 + 1.0,))
            return cnp.sin(t) + 0.1 * y

        return run

    def cotangent(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, back = cv.vjp(f, x)
            return cnp.sin((cv.jit(back) if n % 2 else back)(y + 0.5)[0])

        return run

    def twist(self, n: int, f: Fun) -> Fun:
        slope = cv.grad(lambda x: weighed(f(x)))
        return lambda x: cnp.sin(cv.jvp(slope, (x,), (x,))[1])

    def linear(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, push = cv.linearize(f, x)
            return cnp.sin(y + push(x) + cv.vmap(push)(cnp.stack([x, x * 2])).sum(0) * 0.1)

        return run

    def transposed(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, push = cv.linearize(f, x)
            return cnp.sin(cv.linear_transpose(push, x)(y)[0])

        return run

    def jacobian(self, n: int, f: Fun) -> Fun:
        return lambda x: cnp.sin((cv.jacfwd if n % 2 else cv.jacrev)(f)(x) @ x)

    def own_jvp(self, n: int, f: Fun) -> Fun:
        g = cv.custom_jvp(f)
        g.defjvp(lambda xs, ts: (g(*xs), cv.jvp(f, xs, ts)[1] * cnp.asarray(SCALES)))
        return g

    def own_zeros(self, n: int, f: Fun) -> Fun:
        """With symbolic zeros, of which one is among the tangents."""
        g = cv.custom_jvp(lambda x, a: f(x) + 0.0 * a)

        def rule(xs: Any, ts: Any) -> Any:
            assert type(ts[1]) is SymbolicZero
            x, t = xs[0], ts[0]
            if type(t) is SymbolicZero:
                return g(*xs), cnp.zeros(3, np.float64)
            return g(*xs), cv.jvp(f, (x,), (t,))[1] * cnp.asarray(SCALES)

        g.defjvp(rule, symbolic_zeros=True)
        return lambda x: g(x, 2.0)

    def own_vjp(self, n: int, f: Fun) -> Fun:
        g, scales = cv.custom_vjp(f), cnp.asarray(SCALES)
        forward: tuple[Any, Any] = (
            lambda x: (g(x), x),
            lambda x, ct: cv.vjp(f, x)[1](ct * scales),
        )
        if n % 3 == 1:  # a pullback is what is kept
            forward = lambda x: (g(x), cv.vjp(f, x)[1]), lambda back, ct: back(ct * scales)
        g.defvjp(*forward, optimize_remat=n % 3 == 2)
        return g

    def root(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            def of(y: Vector) -> Vector:
                return y + 0.2 * cnp.sin(y) - f(x)

            def steps(of: Fun, y: Vector) -> Vector:
                return lax.fori_loop(0, 40, lambda _, y: y - of(y), y)

            return lax.custom_root(
                of,
                cnp.zeros(3, np.float64),
                steps,
                lambda g, y: cnp.linalg.solve(cv.jacobian(g)(y), y),
            )

        return run

    def solve(self, n: int, f: Fun) -> Fun:
        a = 2 * np.eye(3) + MATRIX

        def run(x: Vector) -> Vector:
            return f(
                lax.custom_linear_solve(
                    lambda v: cnp.asarray(a) @ v,
                    x,
                    lambda _, b: cnp.linalg.solve(cnp.asarray(a), b),
                    lambda _, b: cnp.linalg.solve(cnp.asarray(a.T), b),
                )
            )

        return run

    def call(self, n: int, f: Fun) -> Fun:
        return lambda x: f(
            linear_call(lambda r, x: x * r, lambda r, c: c * r, cnp.asarray(SCALES), x)
        )

    def stop(self, n: int, f: Fun) -> Fun:
        return lambda x: f(lax.stop_gradient(x) * 0.5 + x * 0.5)

    def sine(self, n: int, f: Fun) -> Fun:
        """By callbacks, whose derivatives are callbacks."""
        turns = [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)]
        method = ("sequential", "expand_dims", "broadcast_all")[n % 3]

        def turn(k: int) -> Any:
            def called(x: Vector) -> Vector:
                aval = cv.ShapeDtypeStruct(x.shape, x.dtype)
                return cv.pure_callback(turns[k % 4], aval, x, vmap_method=method)

            g = cv.custom_jvp(called)
            g.defjvp(lambda xs, ts: (g(*xs), turn(k + 1)(*xs) * ts[0]))
            return g

        return lambda x: turn(0)(f(x))

    def jit(self, n: int, f: Fun) -> Fun:
        return cv.jit(f)

    def keep(self, n: int, f: Fun) -> Fun:
        policy = POLICIES[n % len(POLICIES)]
        return cv.checkpoint(f, policy=policy, prevent_cse=n % 4 > 0)

    def one_by_one(self, n: int, f: Fun) -> Fun:
        return sequential_vmap(f)

    def barrier(self, n: int, f: Fun) -> Fun:
        return lambda x: lax.optimization_barrier({"y": f(x), "x": x})["y"]

    def closed(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            g, more = cv.closure_convert(lambda z: f(x) + 0.0 * z, x)
            return g(x, *more)

        return run

    def checked(self, n: int, f: Fun) -> Fun:
        sets = (
            checkify.user_checks,
            checkify.nan_checks,
            checkify.index_checks,
            checkify.all_checks,
        )

        def run(x: Vector) -> Vector:
            def with_check(x: Vector) -> Vector:
                checkify.check(cnp.sum(x) < 100, "too large: {}", x[0])
                return f(x)

            return checkify.checkify(with_check, errors=sets[n % 4])(x)[1]

        return run

    def read(self, n: int, f: Fun) -> Fun:
        """Of a reference that a jitted function, or a plain one, takes and writes."""

        def run(x: Vector) -> Vector:
            ref = cv.new_ref(cnp.zeros(3, np.float64))

            def write(ref: Any, x: Vector) -> None:
                ref[1:] = f(x)[1:]
                ref[0] += f(x)[0]

            (cv.jit(write) if n % 2 else write)(ref, x)
            return cv.freeze(ref)

        return run

    def say(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            def note(value: Any) -> Any:
                log.append((n, float(value)))
                return value

            seen = lax.stop_gradient(x[0])
            if n % 2:
                cv.debug.callback(note, seen, ordered=True)
            else:
                io_callback(note, cv.ShapeDtypeStruct((), seen.dtype), seen, ordered=True)
            return f(x)

        return run

    def cell(self, n: int, f: Fun, g: Fun) -> Fun:
        """In a reference, which a branch in a loop writes."""

        def run(x: Vector) -> Vector:
            ref = cv.new_ref(x)

            def step(i: Any, nothing: None) -> None:
                more = 0.1 * lax.convert_element_type(i, np.float64)

                def one() -> None:
                    ref[...] = f(ref[...]) + more

                def other() -> None:
                    ref[...] = g(ref[...]) + more

                lax.cond(ref[0] > 0.2, one, other)

            lax.fori_loop(0, 2, step, None)
            return ref[...]

        return run

    def row(self, n: int, f: Fun) -> Fun:
        """In a reference, of which each step of a loop writes a row."""

        def run(x: Vector) -> Vector:
            ref = cv.new_ref(cnp.zeros((3, 3), np.float64))

            def step(c: Vector, i: Any) -> Any:
                c = f(c)
                ref[i] = c
                return c, None

            last, _ = lax.scan(step, x, cnp.arange(3))
            return ref[...].sum(0) / 3 + last

        return run
