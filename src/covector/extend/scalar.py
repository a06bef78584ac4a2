"""What one element is, in rules that say so (`element`, `lift`, `lower`): expressions of scalars.

An `Expr` has the operators of arithmetic, of bits, and comparisons but `==`, which is identity: `equal` compares.  A
complex element is a pair of them, its real and imaginary parts.  `call` has the functions by their names: "exp",
"sin", ...; `apply` has the operations that hardware has.

>>> import numpy
>>> from covector.extend import scalar
>>> x = scalar.Expr("local", (), numpy.dtype("float32"), "x")
>>> scalar.select(x > 1, scalar.call("exp", x), x + 1)
select((x > 1.0), exp(x), (x + 1.0))
"""

from covector._engine.base.public import publish as _publish
from covector._engine.ir.index import (
    clamp as clamp,
    compare as compare,
    of_scalar as index_of,
    to_scalar as scalar_of,
)
from covector._engine.ir.scalar import (
    Expr as Expr,
    apply as apply,
    bitcast as bitcast,
    call as call,
    combined as combined,
    const as const,
    convert as convert,
    differ as differ,
    equal as equal,
    fma as fma,
    iterate as iterate,
    maximum as maximum,
    minimum as minimum,
    select as select,
)

__all__ = [
    "Expr",
    "apply",
    "bitcast",
    "call",
    "clamp",
    "combined",
    "compare",
    "const",
    "convert",
    "differ",
    "equal",
    "fma",
    "index_of",
    "iterate",
    "maximum",
    "minimum",
    "scalar_of",
    "select",
]
_publish(__name__)
