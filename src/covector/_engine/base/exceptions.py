"""The exception classes of Covector's own."""

from __future__ import annotations

# Those that users see; base/errors.py and covector.errors offer them.
__all__ = [
    "AxisError",
    "CheckError",
    "ClosedOverError",
    "ConcretizationTypeError",
    "CovectorError",
    "DivisionByZeroError",
    "DtypeError",
    "FailedCheckError",
    "InconclusiveDimensionOperation",
    "LeakedTracerError",
    "MissingRuleError",
    "NaNError",
    "NestingError",
    "NonConcreteBooleanIndexError",
    "NotDifferentiableError",
    "OOBError",
    "OutsideRefError",
    "ShapeError",
    "StoppedError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "TypePromotionError",
    "UnexpectedTracerError",
    "VerificationError",
]


class CovectorError(Exception):
    """The root of Covector's own exception classes.

    >>> from covector import errors
    >>> issubclass(errors.ShapeError, errors.CovectorError)
    True
    """


class InconclusiveDimensionOperation(CovectorError, TypeError):
    """A comparison of symbolic dimensions that does not hold, or fail, for all their values.

    >>> from covector import errors
    >>> issubclass(errors.InconclusiveDimensionOperation, TypeError)
    True
    """


class ConcretizationTypeError(CovectorError, TypeError):
    """A value was needed while a function is traced, where only its shape and dtype are known.

    >>> import covector
    >>> covector.jit(lambda x: float(x))(1.0)
    Traceback (most recent call last):
        ...
    covector.errors.ConcretizationTypeError: a traced float32*[] ... was used as a Python float ...
    """


class TracerBoolConversionError(ConcretizationTypeError):
    """The truth of a traced value was asked for, as `if` and `while` do.

    >>> import covector
    >>> covector.jit(lambda x: 1 if x > 0 else 2)(1.0)
    Traceback (most recent call last):
        ...
    covector.errors.TracerBoolConversionError: the truth of a traced bool*[] ... was asked for ...
    """


class TracerIntegerConversionError(ConcretizationTypeError):
    """A traced value was used as a Python integer, as `range` and list indices do.

    >>> import covector
    >>> covector.jit(lambda n: [10, 20][n])(1)
    Traceback (most recent call last):
        ...
    covector.errors.TracerIntegerConversionError: a traced int32*[] ... was used as a Python integer ...
    """


class TracerArrayConversionError(ConcretizationTypeError):
    """A traced value was handed to NumPy.

    >>> import covector
    >>> import numpy as np
    >>> covector.jit(lambda x: np.asarray(x))(1.0)
    Traceback (most recent call last):
        ...
    covector.errors.TracerArrayConversionError: ...
    """


class UnexpectedTracerError(CovectorError, RuntimeError):
    """A tracer was used after the transformation that made it had ended.

    >>> import covector
    >>> leaked = []
    >>> _ = covector.jit(lambda x: (leaked.append(x), x)[1])(1.0)
    >>> leaked[0] + 1
    Traceback (most recent call last):
        ...
    covector.errors.UnexpectedTracerError: ...
    """


class ClosedOverError(UnexpectedTracerError):
    """A function with a custom derivative rule closes over a value that is being differentiated.

    >>> import covector
    >>> def outer(y):
    ...     f = covector.custom_jvp(lambda x: x * y)
    ...     f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * y))
    ...     return f(2.0)
    >>> covector.grad(outer)(3.0)
    Traceback (most recent call last):
        ...
    covector.errors.ClosedOverError: custom_jvp of ...
    """


class OutsideRefError(CovectorError, TypeError):
    """A reference made outside is used where a function is recorded that must not touch any.

    >>> import covector
    >>> ref = covector.new_ref(1.0)
    >>> covector.closure_convert(lambda x: x * ref[...], 1.0)
    Traceback (most recent call last):
        ...
    covector.errors.OutsideRefError: a Ref made outside of ...
    """


class NonConcreteBooleanIndexError(ConcretizationTypeError, IndexError):
    """An array was indexed with a traced mask, on whose values the shape of the result depends.

    >>> import covector
    >>> from covector import numpy as cnp
    >>> covector.jit(lambda x: x[x > 0])(cnp.ones(2))
    Traceback (most recent call last):
        ...
    covector.errors.NonConcreteBooleanIndexError: an array was indexed with the mask ...
    """


class DtypeError(CovectorError, ValueError, TypeError):
    """A dtype that a function does not take: a TypeError, and a ValueError where it is one in JAX.

    >>> from covector import numpy as cnp
    >>> cnp.gcd(1.5, 2)
    Traceback (most recent call last):
        ...
    covector.errors.DtypeError: gcd takes integers, got ...
    """


class ShapeError(CovectorError, ValueError, TypeError):
    """Shapes of operands that do not fit together: a ValueError as NumPy's, and a TypeError as JAX's `lax` raises.

    >>> from covector import numpy as cnp
    >>> cnp.ones(2) + cnp.ones(3)
    Traceback (most recent call last):
        ...
    covector.errors.ShapeError: add got shapes that do not fit together: ...
    """


class TypePromotionError(CovectorError, ValueError, TypeError):
    """Operands of different dtypes, where the flag `numpy_dtype_promotion` does not let them take one together.

    >>> import covector
    >>> from covector import numpy as cnp
    >>> with covector.numpy_dtype_promotion("strict"):
    ...     cnp.ones(2) + cnp.arange(2)
    Traceback (most recent call last):
        ...
    covector.errors.TypePromotionError: the operands have the dtypes float32, int32 ...
    """


class LeakedTracerError(UnexpectedTracerError):
    """A tracer is still there when its trace has ended: found with the flag `check_tracer_leaks`.

    >>> import covector
    >>> kept = []
    >>> with covector.check_tracer_leaks():
    ...     covector.jit(lambda x: kept.append(x))(1.0)
    Traceback (most recent call last):
        ...
    covector.errors.LeakedTracerError: tracing <lambda> has ended, but tracers of it are still there: ...
    """


class AxisError(CovectorError, ValueError, IndexError, TypeError):
    """An axis that an array does not have: a ValueError and an IndexError, as NumPy's `AxisError`.

    JAX's `lax` raises a TypeError for some; it is one too.

    >>> from covector import numpy as cnp
    >>> cnp.sum(cnp.ones(2), axis=3)
    Traceback (most recent call last):
        ...
    covector.errors.AxisError: axis 3 is out of bounds for an array of 1 dimensions ...
    """


class MissingRuleError(CovectorError, NotImplementedError):
    """A primitive does not have the rule that a transformation needs.

    >>> from covector import errors
    >>> issubclass(errors.MissingRuleError, NotImplementedError)
    True
    """


class NestingError(CovectorError, RecursionError):
    """Functions, or a tree's containers, are nested deeper than there is room for on the stack: mostly, without an end.

    >>> from covector import errors
    >>> issubclass(errors.NestingError, RecursionError)
    True
    """


class StoppedError(CovectorError, RuntimeError):
    """The computation of a value was stopped: Ctrl-C ended a wait for it, and it went on.

    A loop whose length depends on data is stopped if it goes on for a second longer, and so is one that takes long.

    >>> from covector import errors
    >>> issubclass(errors.StoppedError, RuntimeError)
    True
    """


class NotDifferentiableError(CovectorError, NotImplementedError):
    """A derivative was asked for that an operation does not have, on purpose.

    >>> import covector
    >>> covector.grad(covector.lax.betainc)(1.0, 2.0, 0.5)
    Traceback (most recent call last):
        ...
    covector.errors.NotDifferentiableError: betainc has no derivative with respect to a ...
    """


class VerificationError(CovectorError, AssertionError):
    """A Program or Kernel broke a law of its IR: a defect of Covector.

    >>> from covector import errors
    >>> issubclass(errors.VerificationError, AssertionError)
    True
    """


class KernelError(VerificationError):
    """A Kernel did, as the oracle ran it, what none may do: a defect of Covector."""


class CheckError(CovectorError, ValueError):
    """A check failed, as `covector.experimental.checkify` tells.

    >>> from covector.experimental import checkify
    >>> checkify.check(False, "no {}", "way")
    Traceback (most recent call last):
        ...
    covector.errors.FailedCheckError: no way (`check` failed) ...
    """


class FailedCheckError(CheckError):
    """A check of the user's failed.

    >>> from covector import errors
    >>> issubclass(errors.FailedCheckError, errors.CheckError)
    True
    """


class NaNError(CheckError):
    """An operation gave a NaN.

    >>> from covector import errors
    >>> issubclass(errors.NaNError, errors.CheckError)
    True
    """


class OOBError(CheckError):
    """An index was out of bounds.

    >>> from covector import errors
    >>> issubclass(errors.OOBError, errors.CheckError)
    True
    """


class DivisionByZeroError(CheckError):
    """Something was divided by zero.

    >>> from covector import errors
    >>> issubclass(errors.DivisionByZeroError, errors.CheckError)
    True
    """
