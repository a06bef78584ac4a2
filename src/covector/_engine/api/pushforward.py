"""Pushforwards: what `linearize` returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

from covector._engine import primitives as prims
from covector._engine.api.arguments import as_array, zero_tangent
from covector._engine.api.pullback import Linear, Signature, Static, check_tangents, out_nzs, staged
from covector._engine.base import tree
from covector._engine.base.public import bounded
from covector._engine.core.trace import evaluate
from covector._engine.runtime.tape import Recording
from covector._engine.transforms.forward import Tape


@bounded
class Pushforward:
    """What `linearize` returns: from tangents of the arguments to those of the results.

    It is a pytree, whose leaves are its residuals, so that jitted and mapped functions can return it and take it.
    """

    __slots__ = ("_linear", "_signature")

    def __init__(self, signature: Signature, linear: Linear):
        self._signature, self._linear = signature, linear

    def __call__(self, *tangents: Any) -> Any:
        s = self._signature
        given = check_tangents("linearize", s.in_tree, s.primals, tangents, "primal", "tangent")
        pushed = self._pushed([prims.materialize(t) for t in compress(given, s.moving)])
        found = [
            zero_tangent(a) if t is None else as_array(t)
            for t, a in zip(pushed, s.results, strict=True)
        ]
        return tree.unflatten(s.out_tree, found)

    @property
    def out_nzs(self) -> Any:
        """Which results depend on the arguments that have tangents: a tree of the results' form.

        >>> import covector
        >>> _, pushforward = covector.linearize(lambda x, y: (x, x * y), 2.0, 3.0, in_nzs=(False, True))
        >>> pushforward.out_nzs
        (False, True)
        """
        return out_nzs(self._linear, self._signature)

    def _pushed(self, tangents: Sequence[Any]) -> Sequence[Any]:
        """The tangents of the results; None where they are zero."""
        linear = self._linear
        if isinstance(linear, Recording):
            return linear.push(tangents, results=len(self._signature.results))
        if isinstance(linear, Tape):
            return linear.push(tangents)
        static, residuals = linear
        found = iter(evaluate(static.program, [*residuals, *tangents]))
        return [next(found) if live else None for live in static.live]

    def _flatten(self) -> tuple[list[Any], Static]:
        self._linear = static, residuals = staged(self._linear, self._signature)
        return residuals, static


def _pushforward(static: Static, residuals: Iterable[Any]) -> Pushforward:
    return Pushforward(static.signature, (static, list(residuals)))


tree.register_node(Pushforward, Pushforward._flatten, _pushforward)
