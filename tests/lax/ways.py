"""Random programs of choices, loops and changes of arrays in which each element of a batch goes its own way.

`Plain` runs one with Python's own choices and loops on NumPy's arrays, or on ours under a transformation that keeps
values known; `Traced` with those of `lax`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import covector.numpy as cnp
from covector import lax

SIZE = 70  # more than are selected as a whole
ARRAYS, SCALARS = ("a", "b"), ("s", "u")
COMBINATIONS = ("set", "add", "mul", "min", "max")

Env = dict[str, Any]
Value = Callable[[Env, Any], Any]  # of the names, and a module of functions
Block = tuple[Any, ...]


@dataclass(frozen=True)
class Text:
    """Something computed, and how it reads."""

    text: str
    value: Value

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Let:
    """A name gets a value, which may be that of an array as it is now."""

    name: str
    value: Text


@dataclass(frozen=True)
class Change:
    """An array is changed at so many places from one on: one after the other, or as a slice."""

    name: str
    combine: str
    at: Text
    value: Text
    places: int = 1
    sliced: bool = False


@dataclass(frozen=True)
class Choose:
    """One of the blocks, by a number; names in `given` are operands, others are closed over."""

    index: Text
    blocks: tuple[Block, ...]
    given: tuple[str, ...]


@dataclass(frozen=True)
class Repeat:
    """A block so often, or as long as something holds; `kept` is stacked, and its mean is what `u` becomes."""

    how: str  # fori, scan, back (a scan in reverse), while
    counter: str
    times: Text
    block: Block
    given: tuple[str, ...]
    kept: Text | None = None
    holds: Text | None = None


def changed(block: Block) -> set[str]:
    """The names that a block gives other values, of those that it does not make."""
    found: set[str] = set()
    for s in block:
        match s:
            case Choose():
                found |= set().union(*map(changed, s.blocks))
            case Repeat():
                found |= changed(s.block) | ({"u"} if s.kept else set())
            case _:
                found.add(s.name)
    return found & {*ARRAYS, *SCALARS}


# ----------------------------------------------------------------------------------------------------- running


class Plain:
    """Choices and loops of Python."""

    def __init__(self, xp: Any = np):
        self.xp = xp

    def run(self, block: Block, env: Env) -> None:
        for s in block:
            match s:
                case Let():
                    env[s.name] = s.value.value(env, self.xp)
                case Change():
                    env[s.name] = self.change(s, env)
                case Choose():
                    self.choose(s, env)
                case Repeat():
                    self.repeat(s, env)

    def change(self, s: Change, env: Env) -> Any:
        x, at, value = env[s.name], s.at.value(env, self.xp), s.value.value(env, self.xp)
        if self.xp is np:
            x = x.copy()
            for k in range(s.places):
                i, new = (int(at) + k) % SIZE, value * (1 - 0.3 * k)
                match s.combine:
                    case "set":
                        x[i] = new
                    case "add":
                        x[i] += new
                    case "mul":
                        x[i] *= new
                    case "min":
                        x[i] = min(x[i], new)
                    case _:
                        x[i] = max(x[i], new)
            return x
        if s.sliced:
            update = cnp.stack([value * (1 - 0.3 * k) for k in range(s.places)])
            return lax.dynamic_update_slice(x, update, (at,))
        if s.places == 1:
            return getattr(x.at[at], s.combine)(value, unique_indices=True)
        spots = (at + cnp.arange(s.places)) % SIZE
        update = value * cnp.asarray(1 - 0.3 * np.arange(s.places))
        return getattr(x.at[spots], s.combine)(update, unique_indices=True)

    def choose(self, s: Choose, env: Env) -> None:
        self.scope(s.blocks[int(s.index.value(env, self.xp))], env)

    def scope(self, block: Block, env: Env, **more: Any) -> Env:
        inner = {**env, **more}
        self.run(block, inner)
        env.update({n: inner[n] for n in changed(block)})
        return inner

    def repeat(self, s: Repeat, env: Env) -> None:
        times, kept = int(s.times.value(env, self.xp)), list[Any]()
        for k in range(times)[:: -1 if s.how == "back" else 1]:
            if s.holds is not None and not s.holds.value({**env, s.counter: k}, self.xp):
                break
            inner = self.scope(s.block, env, **{s.counter: k})
            kept += [] if s.kept is None else [s.kept.value(inner, self.xp)]
        if s.kept is not None:
            env["u"] = self.xp.mean(self.xp.stack(kept[:: -1 if s.how == "back" else 1]))


class Traced(Plain):
    """Those of `lax`."""

    def __init__(self) -> None:
        super().__init__(cnp)

    def inside(self, block: Block, env: Env, names: Sequence[str]) -> Callable[..., Any]:
        def f(*values: Any, **more: Any) -> tuple[tuple[Any, ...], Env]:
            inner = {**env, **dict(zip(names, values, strict=True)), **more}
            self.run(block, inner)
            return tuple([inner[n] for n in names]), inner

        return f

    def choose(self, s: Choose, env: Env) -> None:
        names = sorted(set().union(set(s.given), *map(changed, s.blocks)))
        bodies = [self.inside(b, env, names) for b in s.blocks]
        branches = [lambda *xs, f=f: f(*xs)[0] for f in bodies]
        index = cnp.asarray(s.index.value(env, cnp)).astype("int32")
        values = [env[n] for n in names]
        if len(branches) == 2:
            found = lax.cond(index > 0, branches[1], branches[0], *values)
        else:
            found = lax.switch(index, branches, *values)
        env.update(zip(names, found, strict=True))

    def repeat(self, s: Repeat, env: Env) -> None:
        names = sorted(set(s.given) | changed(s.block))
        f, times = self.inside(s.block, env, names), s.times.value(env, cnp)
        values = tuple([env[n] for n in names])
        match s.how:
            case "fori":
                found = lax.fori_loop(0, times, lambda k, c: f(*c, **{s.counter: k})[0], values)
            case "while":

                def holds(c: Any) -> Any:
                    k, *xs = c
                    more = {**env, **dict(zip(names, xs, strict=True)), s.counter: k}
                    own = True if s.holds is None else s.holds.value(more, cnp)
                    return (k < times) & own

                def step(c: Any) -> Any:
                    k, *xs = c
                    return k + 1, *f(*xs, **{s.counter: k})[0]

                found = lax.while_loop(holds, step, (0, *values))[1:]
            case _:

                def turn(c: Any, k: Any) -> Any:
                    outs, inner = f(*c, **{s.counter: k})
                    return outs, None if s.kept is None else s.kept.value(inner, cnp)

                at = cnp.arange(int(times))
                found, ys = lax.scan(turn, values, at, reverse=s.how == "back")
        env.update(zip(names, found, strict=True))
        if s.kept is not None:
            env["u"] = cnp.mean(ys)


def function(block: Block, kind: Plain) -> Callable[..., tuple[Any, ...]]:
    """What a program does with two arrays and two numbers."""

    def f(a: Any, b: Any, s: Any, u: Any) -> tuple[Any, ...]:
        env: Env = {"a": a, "b": b, "s": s, "u": u}
        kind.run(block, env)
        return tuple([env[n] for n in (*ARRAYS, *SCALARS)])

    return f


# ----------------------------------------------------------------------------------------------------- drawing


class Drawing:
    """Draws a program; `counters` are the loops around, `olds` the arrays that were kept as they were."""

    def __init__(self, rng: random.Random):
        self.rng, self.made = rng, 0

    def program(self, depth: int = 3) -> Block:
        how = self.rng.choice(["fori", "scan", "while", "fori"])
        block = self.block(depth, ("t",), ())
        given = self.given()
        return (Repeat(how, "t", number(3), block, given),)

    def given(self) -> tuple[str, ...]:
        return tuple([n for n in (*ARRAYS, *SCALARS) if self.rng.random() < 0.3])

    def block(self, depth: int, counters: Sequence[str], olds: Sequence[str]) -> Block:
        found: list[Any] = []
        before, olds = tuple(olds), list(olds)
        for _ in range(self.rng.randint(1, 4)):
            found += self.statement(depth, counters, olds)
        if depth and not any(isinstance(s, (Choose, Repeat)) for s in found):
            found.insert(self.rng.randint(0, len(found)), self.nested(depth, counters, before))
        return tuple(found)

    def statement(self, depth: int, counters: Sequence[str], olds: list[str]) -> list[Any]:
        rng = self.rng
        match rng.choices(
            ["change", "let", "old", "swap", "nested"], [6, 3, 2, 0.4, 3 if depth else 0]
        )[0]:
            case "change":
                return [self.change(counters, olds)]
            case "let":
                return [Let(rng.choice(SCALARS), self.number(counters, olds))]
            case "old":
                self.made += 1
                name, old = f"old{self.made}", rng.choice(ARRAYS)
                found = Let(name, named(old))
                olds.append(name)
                return [found]
            case "swap":
                self.made += 1
                name = f"swapped{self.made}"
                return [Let(name, named("a")), Let("a", named("b")), Let("b", named(name))]
            case _:
                return [self.nested(depth, counters, tuple(olds))]

    def change(self, counters: Sequence[str], olds: Sequence[str]) -> Change:
        rng, places = self.rng, self.rng.choice([1, 1, 1, 2, 3])
        sliced = rng.random() < 0.2
        at = self.place(counters)
        if sliced:  # a slice that leaves the array would be moved
            at = Text(
                f"min({at}, {SIZE - places})",
                lambda env, xp, at=at: at.value(env, xp) % (SIZE - places + 1),
            )
        combine = "set" if sliced else rng.choice(COMBINATIONS)
        return Change(rng.choice(ARRAYS), combine, at, self.number(counters, olds), places, sliced)

    def nested(self, depth: int, counters: Sequence[str], olds: Sequence[str]) -> Any:
        if self.rng.random() < 0.55:
            return self.choice(depth, counters, olds)
        return self.loop(depth, counters, olds)

    def choice(self, depth: int, counters: Sequence[str], olds: Sequence[str]) -> Choose:
        rng = self.rng
        count = rng.choice([2, 2, 2, 3])
        blocks = [self.block(depth - 1, counters, olds) for _ in range(count)]
        if rng.random() < 0.3:
            blocks[rng.randrange(count)] = ()
        if rng.random() < 0.3:
            index = of_counters(rng, counters, count)
        else:
            name, shift = rng.choice(SCALARS), rng.randint(0, 2)
            if count == 2 and name == "s":  # a root, which has no slope where it is not taken
                index = Text("s > 0", lambda env, xp: env["s"] > 0)
                root = Text("sqrt(s) - 0.3", lambda env, xp: xp.sqrt(env["s"]) - 0.3)
                blocks[1] = (Let("u", root), *blocks[1])
            else:
                index = Text(
                    f"int({name} * 5.3 + {shift}) % {count}",
                    lambda env, xp: whole(env[name] * 5.3, xp, shift) % count,
                )
        return Choose(index, tuple(blocks), self.given())

    def loop(self, depth: int, counters: Sequence[str], olds: Sequence[str]) -> Repeat:
        rng = self.rng
        counter = f"k{len(counters)}"
        inner = (*counters, counter)
        block = self.block(depth - 1, inner, olds)
        how = rng.choice(["fori", "scan", "back", "while", "while"])
        times, holds, kept = number(rng.randint(1, 3)), None, None
        if how in ("scan", "back") and rng.random() < 0.4:
            kept = self.number(inner, olds)
        if how in ("while", "fori"):
            match rng.choice(["shared", "own", "contents"]):
                case "shared":
                    of = of_counters(rng, counters, 3)
                    times = Text(f"{of} + 1", lambda env, xp: of.value(env, xp) + 1)
                case "own":
                    name = rng.choice(SCALARS)
                    times = Text(
                        f"int({name} * 7.1) % 4", lambda env, xp: whole(env[name] * 7.1, xp) % 4
                    )
                case _ if how == "while":
                    name, at = rng.choice(ARRAYS), self.place(inner)
                    holds = Text(
                        f"{name}[{at}] > -0.3", lambda env, xp: env[name][at.value(env, xp)] > -0.3
                    )
        return Repeat(how, counter, times, block, self.given(), kept, holds)

    def place(self, counters: Sequence[str]) -> Text:
        rng = self.rng
        shift = rng.randint(0, 4)
        if rng.random() < 0.65:
            return of_counters(rng, counters, SIZE, shift)
        name = rng.choice(SCALARS)
        return Text(
            f"int({name} * 4.7 + {shift}) % {SIZE}",
            lambda env, xp: whole(env[name] * 4.7, xp, shift) % SIZE,
        )

    def number(self, counters: Sequence[str], olds: Sequence[str]) -> Text:
        """A number between -1.5 and 1.5, of what is read of arrays, and of other numbers."""
        rng = self.rng
        parts = [self.part(counters, olds) for _ in range(rng.randint(1, 3))]
        return Text(
            f"sin({' + '.join(map(repr, parts))})",
            lambda env, xp: 1.5 * xp.sin(sum([p.value(env, xp) for p in parts]) + 0.2),
        )

    def part(self, counters: Sequence[str], olds: Sequence[str]) -> Text:
        rng = self.rng
        name, factor = rng.choice([*ARRAYS, *olds, *olds]), round(rng.uniform(-1.5, 1.5), 2)
        match rng.choices(["read", "number", "mean", "part"], [6, 3, 0.7, 0.7])[0]:
            case "read":
                at = self.place(counters)
                return Text(
                    f"{factor} * {name}[{at}]",
                    lambda env, xp: factor * env[name][at.value(env, xp)],
                )
            case "number":
                scalar = rng.choice(SCALARS)
                return Text(f"{factor} * {scalar}", lambda env, xp: factor * env[scalar])
            case "mean":
                return Text(f"mean({name})", lambda env, xp: xp.mean(env[name]))
            case _:
                return Text(f"sum({name}[3:7])", lambda env, xp: xp.sum(env[name][3:7]))


def named(name: str) -> Text:
    return Text(name, lambda env, xp: env[name])


def number(n: int) -> Text:
    return Text(str(n), lambda env, xp: n)


def of_counters(rng: random.Random, counters: Sequence[str], size: int, shift: int = 0) -> Text:
    """A number below a size, the same for all elements."""
    used = [c for c in counters if rng.random() < 0.7] or [counters[-1]]
    text = f"({' + '.join(used)} + {shift}) % {size}"
    return Text(text, lambda env, xp: (sum([env[c] for c in used]) + shift) % size)


def whole(x: Any, xp: Any, shift: int = 0) -> Any:
    """The magnitude of a number, and a shift, as an integer."""
    found = xp.floor(abs(x))
    return int(found) + shift if xp is np else cnp.asarray(found).astype("int32") + shift
