"""What users do not import. The order of its rooms is the architecture: see docs/internals.md."""

# Before everything else: it refuses to live where others would hang, in a subinterpreter.
from covector._engine import _native as _native
