"""Steps of a schedule, as data: how loops are put together and taken apart before they get lanes and threads.

A step names loops by their variables, and means the same nest in other loops: which ones it may be taken on says
`ir/legal.py`, what comes out `compile/rewrite.py`, which ones are taken `compile/schedule.py`.
"""

from __future__ import annotations

from covector._engine.base.record import record
from covector._engine.types.dims import Dim


@record
class Join:
    """Of each run of loops, the first outermost, one loop, over as many elements as all of them."""

    runs: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return ", ".join(f"{' and '.join(run)} joined" for run in self.runs)


@record
class Tile:
    """Square tiles over two loops, so that what is read across its rows stays in the cache."""

    across: str
    along: str
    side: int

    def __str__(self) -> str:
        return f"tiles of {self.side} over {self.across} and {self.along}"


@record
class Together:
    """So many runs of a loop in one: their folds do not wait for each other."""

    loop: str
    rows: int

    def __str__(self) -> str:
        return f"{self.rows} runs of {self.loop} together"


@record
class Pieces:
    """What a loop folds is folded in so many pieces, each to a state of its own, and these then."""

    loop: str
    count: Dim

    def __str__(self) -> str:
        return f"folds over {self.loop} in {self.count} pieces"


@record
class Stream:
    """What a loop folds for each run of the loop around it, folded row by row, as it lies in memory.

    The rows are cut into pieces, each of which has a row of states; so many rows are taken in at once.
    """

    loop: str
    along: str
    pieces: int
    rows: int

    def __str__(self) -> str:
        return f"folds over {self.loop} row by row along {self.along}, in {self.pieces} pieces"


@record
class Fill:
    """Two loops, one directly in the other, as one whose lanes are of several rows: these are shorter than a vector."""

    outer: str
    inner: str

    def __str__(self) -> str:
        return f"lanes of several {self.outer} in rows of {self.inner}"


@record
class Beside:
    """What a loop folds for each run of the loop around it, folded in so many parts: their lanes lie beside each other.

    A part takes each so-manyth element; then the parts are folded together.
    """

    loop: str
    along: str
    parts: int

    def __str__(self) -> str:
        return f"folds over {self.loop} in {self.parts} parts beside each other along {self.along}"


Step = Join | Tile | Together | Pieces | Stream | Fill | Beside
