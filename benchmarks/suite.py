"""Every case there is: importing this module imports all modules that define some."""

from benchmarks import (
    arrays as arrays,
    batches as batches,
    convolutions as convolutions,
    counting as counting,
    indexing as indexing,
    linalg as linalg,
    loops as loops,
    spectra as spectra,
)
from benchmarks.cases import CASES as CASES
