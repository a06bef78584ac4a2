"""NumPy's elementwise functions, together."""

from covector.numpy.arithmetic import *
from covector.numpy.comparison import *
