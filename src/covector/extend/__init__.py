"""Primitives of your own, with all their rules, written as those of Covector are.

A primitive is a class: its fields are parameters, its methods are rules.  What computes it is one of

- `Composite`: a function of other operations (`compute`);
- `OnHost`: a function of Python on NumPy arrays (`reference`);
- `ByRoutine`: a C function (`register_routine`), called for each element of a batch (`call`);
- a piece of loop code: elements of the result by expressions (`Mapped`, `Movement`, `Folded`, `Reduction`,
  `Cumulative`, `Update`, `Elementwise`), or statements (`Primitive`, with `lower` on the `Builder`).

`testing` checks the rules.  docs/extending.md tells the whole story.

>>> import covector
>>> import covector.numpy as np
>>> from covector import extend
>>> @extend.record
... class Scaled(extend.Mapped):
...     factor: float
...     name = "scaled"
...     def type(self, x):
...         return x
...     def reference(self, x):
...         return x * x.dtype.type(self.factor)
...     def element(self, index, x):
...         return x(index) * self.factor
...     def jvp(self, primals, tangents):
...         return extend.linear_jvp(self, primals, tangents)
...     def transpose(self, ct, x):
...         return (self(ct),)
...     def batch(self, args, dims, size):
...         return self(*args), dims[0]
>>> print(covector.grad(lambda x: np.sum(Scaled(3.0)(x)))(np.ones(2)))
[3. 3.]
"""

import typing as _typing

from covector._engine.base.locks import import_late as _import_late
from covector._engine.base.public import publish as _publish
from covector._engine.base.record import record as record, replace as replace
from covector._engine.control.composite import Composite as Composite
from covector._engine.control.on_host import OnHost as OnHost
from covector._engine.core.families import (
    Cumulative as Cumulative,
    Folded as Folded,
    Mapped as Mapped,
    Movement as Movement,
    Reduction as Reduction,
    Update as Update,
    View as View,
)
from covector._engine.core.foreign import (
    address_of as address_of,
    register_routine as register_routine,
)
from covector._engine.core.primitive import Primitive as Primitive
from covector._engine.core.routine import ByRoutine as ByRoutine, RoutineCall as RoutineCall
from covector._engine.core.symbolic import (
    NO_SLOPE as NO_SLOPE,
    Linear as Linear,
    NotDifferentiable as NotDifferentiable,
    Zero as Zero,
    is_zero as is_zero,
)
from covector._engine.core.trace import typeof as typeof
from covector._engine.ir.builder import (
    Builder as Builder,
    Operand as Operand,
    Place as Place,
    Result as Result,
)
from covector._engine.ir.effects import Effect as Effect
from covector._engine.primitives.batching import (
    add_batch_axis as add_batch_axis,
    batch_to_front as batch_to_front,
    linear_jvp as linear_jvp,
    materialize as materialize,
    move_axis as move_axis,
    same_batch_axis as same_batch_axis,
)
from covector._engine.primitives.elementwise import (
    Elementwise as Elementwise,
    ElementwiseBase as ElementwiseBase,
)
from covector._engine.types.avals import ShapedArray as ShapedArray
from covector.extend import scalar as scalar

if _typing.TYPE_CHECKING:
    from covector.extend import (
        backend as backend,
        core as core,
        linear_util as linear_util,
        random as random,
        source_info_util as source_info_util,
        testing as testing,
    )

_LATER = ("backend", "core", "linear_util", "random", "source_info_util", "testing")


def _load(name: str) -> _typing.Any:
    return _import_late(f"covector.extend.{name}")


_publish(__name__, modules=("scalar",), later=_LATER, load=_load)
