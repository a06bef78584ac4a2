"""The exceptions of Covector's own: names and meanings are those of `jax.errors` where it has them."""

from __future__ import annotations

from covector._engine.base.errors import (
    AxisError as AxisError,
    CheckError as CheckError,
    ClosedOverError as ClosedOverError,
    ConcretizationTypeError as ConcretizationTypeError,
    CovectorError as CovectorError,
    DivisionByZeroError as DivisionByZeroError,
    FailedCheckError as FailedCheckError,
    InconclusiveDimensionOperation as InconclusiveDimensionOperation,
    LeakedTracerError as LeakedTracerError,
    MissingRuleError as MissingRuleError,
    NaNError as NaNError,
    NonConcreteBooleanIndexError as NonConcreteBooleanIndexError,
    NotDifferentiableError as NotDifferentiableError,
    OOBError as OOBError,
    OutsideRefError as OutsideRefError,
    ShapeError as ShapeError,
    TracerArrayConversionError as TracerArrayConversionError,
    TracerBoolConversionError as TracerBoolConversionError,
    TracerIntegerConversionError as TracerIntegerConversionError,
    TypePromotionError as TypePromotionError,
    UnexpectedTracerError as UnexpectedTracerError,
    VerificationError as VerificationError,
)
from covector._engine.base.public import publish

__all__ = [
    "AxisError",
    "CheckError",
    "ClosedOverError",
    "ConcretizationTypeError",
    "CovectorError",
    "DivisionByZeroError",
    "FailedCheckError",
    "InconclusiveDimensionOperation",
    "LeakedTracerError",
    "MissingRuleError",
    "NaNError",
    "NonConcreteBooleanIndexError",
    "NotDifferentiableError",
    "OOBError",
    "OutsideRefError",
    "ShapeError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "TypePromotionError",
    "UnexpectedTracerError",
    "VerificationError",
]
for _name in __all__:
    globals()[_name].__module__ = __name__  # what tracebacks show
publish(__name__)
