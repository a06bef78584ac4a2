"""What `vjp(...)[1].with_refs` takes for each argument, and gives in the place of its gradient."""

from covector._engine.api.pullback import (
    DidntWant as DidntWant,
    DontWant as DontWant,
    GradRef as GradRef,
    GradValue as GradValue,
    NotNeeded as NotNeeded,
    NotSaveable as NotSaveable,
)
from covector._engine.base.public import publish as _publish

__all__ = ["DidntWant", "DontWant", "GradRef", "GradValue", "NotNeeded", "NotSaveable"]

_publish(__name__)
