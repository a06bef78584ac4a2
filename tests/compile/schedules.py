"""All legal schedules of a Kernel: steps, lanes, copies and threads of its nests, one nest after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np

from covector._engine.backends.base import Costs, Limits, Loops, Target
from covector._engine.base.record import replace
from covector._engine.compile.rewrite import rewrite
from covector._engine.ir.kernel import Buffer, If, Kernel, Loop, Schedule, Statement, While, walk
from covector._engine.ir.legal import chain_of, refused, why_not, why_not_step
from covector._engine.ir.steps import Beside, Fill, Join, Pieces, Step, Stream, Tile, Together

Body = tuple[Statement, ...]

SIDES, ROWS, PIECES = (2, 5), (2, 4), (1, 2, 3)
HOW = [
    Schedule(vector, parallel, copies)
    for vector, copies, parallel in itertools.product((0, 2, 8), (1, 4), (False, True))
]


# A target for which everything is worth it: small tiles, pieces and streams, and threads for any work.
EAGER = Target(
    "cpu",
    vector_bits=128,
    threads=2,
    costs=Costs(parallel=0.0, grain=1.0),
    limits=Limits(few_results=8, fold_pieces=3, streamed=4, stream_pieces=2, stream_rows=2),
    loops=Loops(tile=2, turned_tile=2, rows=2, least_lanes=2, short=2, filled=10.0, least_row=2),
)


def _temp(stem: str, dtype: np.dtype, size: object) -> Buffer:
    return Buffer(stem, dtype, size, "temp")  # type: ignore[arg-type]


def nests(body: Body) -> Iterator[Loop]:
    """The outermost loops whose order is free."""
    for s in body:
        if isinstance(s, Loop) and s.free:
            yield s
        elif isinstance(s, Loop | If | While):
            yield from nests(s.body)


def replaced(body: Body, old: Statement, new: Sequence[Statement]) -> Body:
    """The statements with others in the place of one of them, wherever it stands."""
    made: list[Statement] = []
    for s in body:
        if s is old:
            made += new
        elif isinstance(s, Loop | If | While):
            made.append(replace(s, body=replaced(s.body, old, new)))
        else:
            made.append(s)
    return tuple(made)


def legal_steps(nest: Loop) -> list[Step]:
    """Each step that may be taken on a nest."""
    loops = [s for s in walk((nest,)) if isinstance(s, Loop)]
    chain, names = [x.name for x in chain_of(nest)], list(dict.fromkeys(x.name for x in loops))
    runs = [names[i:j] for i, j in itertools.combinations(range(len(names) + 1), 2) if j > i + 1]
    found: list[Step] = [Join((tuple(run),)) for run in runs]
    found += [Tile(a, b, n) for a, b in itertools.permutations(chain, 2) for n in SIDES]
    found += [Together(name, n) for name in chain for n in ROWS]
    found += [Pieces(name, n) for name in names for n in PIECES]
    found += [
        Stream(name, chain[-1], pieces, rows)
        for name, pieces, rows in itertools.product(names, PIECES, (1, 2))
    ]
    found += [Fill(a, b) for a, b in itertools.pairwise(chain)]
    found += [Beside(name, chain[-1], n) for name in names for n in PIECES]
    return [step for step in found if why_not_step(nest, step) is None]


def taken(nest: Loop) -> Iterator[tuple[tuple[Step, ...], Body]]:
    """A nest as it is, after each legal step, and after each that is legal after one that joins loops."""
    yield (), (nest,)
    for first in legal_steps(nest):
        made = tuple(rewrite(nest, first, _temp))
        yield (first,), made
        if isinstance(first, Join) and len(made) == 1 and isinstance(made[0], Loop):
            for second in legal_steps(made[0]):
                yield (first, second), tuple(rewrite(made[0], second, _temp))


def scheduled(body: Body, made: dict[Loop, Schedule]) -> Body:
    """The statements with schedules; loops cost so much that threads are used."""
    result: list[Statement] = []
    for s in body:
        if isinstance(s, Loop):
            inside = scheduled(s.body, made)
            s = replace(s, body=inside, schedule=made.get(s, Schedule()), cost=1e6)
        elif isinstance(s, If):
            s = replace(s, body=scheduled(s.body, made), orelse=scheduled(s.orelse, made))
        elif isinstance(s, While):
            s = replace(s, test=scheduled(s.test, made), body=scheduled(s.body, made))
        result.append(s)
    return tuple(result)


Named = tuple[tuple[Step, ...], Kernel]


def legal_schedules(kernel: Kernel, most: int, random: Random) -> Iterator[Named]:
    """Each step of each nest, with each legal combination of its loops' schedules, up to so many of these.

    All loops of the Kernel are in the combinations, so nests with different schedules come together.
    """
    for nest in nests(kernel.body):
        for steps, statements in taken(nest):
            rewritten = kernel.with_body(replaced(kernel.body, nest, statements))
            combinations = _combinations(rewritten, most, random)
            yield from ((steps, made) for made in combinations)


def _combinations(kernel: Kernel, most: int, random: Random) -> Iterator[Kernel]:
    loops = [s for s in walk(kernel.body) if isinstance(s, Loop)]
    choices = [
        [how for how in HOW if why_not(replace(x, schedule=how), kernel) is None] for x in loops
    ]
    for combination in _some(choices, most, random):
        chosen = dict(zip(loops, combination, strict=True))
        made = kernel.with_body(scheduled(kernel.body, chosen))
        if next(refused(made), None) is None:
            yield made


def _some(
    choices: list[list[Schedule]], most: int, random: Random
) -> Iterator[tuple[Schedule, ...]]:
    """All combinations, or so many of them."""
    count = 1
    for options in choices:
        count *= len(options)
    if count <= most:
        yield from itertools.product(*choices)
    else:
        yield from (tuple([random.choice(options) for options in choices]) for _ in range(most))
