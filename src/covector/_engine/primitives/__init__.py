"""First-order primitives: one class or one row each, all rules in that place.

Rules reach sibling primitives through this package's name, bound late: `prims.cos`.  While the package is loaded only
what stands above is there, so the order below counts for what a file uses at its top level (the base of a class, a
row of a family): first `batching`, `faults` and `elementwise`, which the others build on.

Those of linear algebra (`linalg` and its fellows) are no names of the package: they are loaded when they are needed.
"""

# ruff: noqa: I001 -- in that order
from covector._engine.primitives.batching import *
from covector._engine.primitives.faults import *
from covector._engine.primitives.elementwise import *
from covector._engine.primitives.barrier import *
from covector._engine.primitives.hashes import *
from covector._engine.primitives.bits import *
from covector._engine.primitives.bitwise import *
from covector._engine.primitives.compare import *
from covector._engine.primitives.complex import *
from covector._engine.primitives.contract import *
from covector._engine.primitives.slide import *
from covector._engine.primitives.conv import *
from covector._engine.primitives.convert import *
from covector._engine.primitives.cumulative import *
from covector._engine.primitives.fft import *
from covector._engine.primitives.index import *
from covector._engine.primitives.math import *
from covector._engine.primitives.reduce import *
from covector._engine.primitives.scatter import *
from covector._engine.primitives.single_scatter import *
from covector._engine.primitives.shape import *
from covector._engine.primitives.sort import *
from covector._engine.primitives.special import *
from covector._engine.primitives.window import *
from covector._engine.primitives.extremes import *
from covector._engine.primitives.collective import *
