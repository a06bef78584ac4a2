"""Effects: what running an equation does beside computing its outputs."""

from __future__ import annotations

from covector._engine.base.record import record


@record
class Effect:
    """A kind of effect.

    What has an effect is never done twice, merged with an equal one, or moved into or out of loops and branches.
    `kept`: it is done even if nobody reads a result of it.  `ordered`: it is done in its place among all that have
    ordered effects.
    """

    name: str
    kept: bool = True
    ordered: bool = False

    def __str__(self) -> str:
        return f"ordered {self.name}" if self.ordered else self.name


# Of a function of the user's that has no effect: it need not run, but where it does not run now it must not.
CALLS_OUT = Effect("pure callback", kept=False)

# Of a user's check that was not made a result.
CHECKING = Effect("check")

# Of a reference from outside, by the way back of a custom rule: it becomes values where the Program runs.
TOUCHING = Effect("reference", ordered=True)


def is_kept(effects: frozenset[Effect]) -> bool:
    """Whether what has these effects is done even if nobody reads its results."""
    return bool(effects) and any(e.kept for e in effects)
