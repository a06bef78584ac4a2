"""First-order primitives: one class or one row each, all rules in that place.

Rules reach sibling primitives through this package's name, bound late: `ops.cos`.
"""

# ruff: noqa: I001 -- families come before what subclasses them
from covector.ops.batching import *
from covector.ops.elementwise import *
from covector.ops.bits import *
from covector.ops.bitwise import *
from covector.ops.contract import *
from covector.ops.convert import *
from covector.ops.cumulative import *
from covector.ops.index import *
from covector.ops.math import *
from covector.ops.reduce import *
from covector.ops.scatter import *
from covector.ops.shape import *
from covector.ops.sort import *
from covector.ops.special import *
