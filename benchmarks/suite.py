"""Every case there is: importing this module imports all modules that define some."""

from benchmarks import arrays as arrays, linalg as linalg, loops as loops
from benchmarks.cases import CASES as CASES
