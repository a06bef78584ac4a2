"""`checkify`: checks whose failures are results of a function, also from inside compiled loops and branches."""

from covector._engine.api.checkify import (
    Error as Error,
    all_checks as all_checks,
    automatic_checks as automatic_checks,
    check as check,
    check_error as check_error,
    checkify as checkify,
    debug_check as debug_check,
    div_checks as div_checks,
    float_checks as float_checks,
    index_checks as index_checks,
    init_error as init_error,
    nan_checks as nan_checks,
    user_checks as user_checks,
)
from covector._engine.base.errors import CheckError as _CheckError
from covector._engine.base.public import publish as _publish

JaxRuntimeError = _CheckError  # what `throw` raises
ErrorCategory = type[_CheckError]  # of which sets of errors are made

_publish(__name__)
