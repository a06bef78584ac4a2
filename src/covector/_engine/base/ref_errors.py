"""What users are told about mutable references."""

from __future__ import annotations

from covector._engine.base.errors import at_user_line


def gone(why: str) -> str:
    """A reference after its end."""
    return f"a Ref is used{at_user_line()} that cannot be used any more: {why}"


def busy() -> str:
    """A reference that a compiled call is changing."""
    return (
        f"a Ref is used{at_user_line()} by a function that is called back from a compiled call which writes it; its "
        "value is known again when the call has ended. Pass the value to the callback as an argument"
    )


def leaked(type_: str) -> str:
    """A reference that outlived its trace."""
    return (
        f"a Ref of {type_} is used{at_user_line()} after the function in which it was made had been traced. It holds a "
        "traced value: return the value, ref[...], or make the Ref outside of the function"
    )


def from_outside(name: str) -> str:
    """A reference from outside where functions must be closed."""
    return (
        f"a Ref made outside of {name} is used in it{at_user_line()}: here it is recorded in a Program that may run "
        "at another time, or several times, so it can only use Refs that it makes itself. Pass values, and return what "
        "is to be written"
    )


def in_rule_of(name: str) -> str:
    """A custom rule touches references in a loop whose results do not come from the rule."""
    return (
        f"{name}{at_user_line()}: in reverse mode its results come from the functions in it, and not from their custom "
        "rules, so a function whose rule uses a Ref from outside forwards cannot be in it. Use covector.lax.scan, or "
        "use the Ref in the rule for the way back alone"
    )


def written_in_vmap() -> str:
    """A mapped function writes a reference that it closes over."""
    return (
        f"a function under vmap writes a Ref that it closes over{at_user_line()}: each element would write it, and "
        "which one is last is not defined. Pass the Ref as an argument: with an axis in in_axes each element has its "
        "part of it, with None all write the same value"
    )


def of_a_batch() -> str:
    """A value for each element is written to a reference that has one value for all."""
    return (
        f"a value that differs from element to element of vmap is written to a Ref that is passed with the in_axes "
        f"entry None{at_user_line()}, so there is one value for all; give the Ref an axis, and in_axes that axis"
    )


def of_a_tangent() -> str:
    """A value that is being differentiated is written to a reference from outside."""
    return (
        f"a value that is being differentiated is written to a Ref made outside of the differentiated function"
        f"{at_user_line()}: its derivative would be lost. Write covector.lax.stop_gradient of it, or make the Ref "
        "inside the function"
    )


def frozen_elsewhere() -> str:
    """Freezing where it was not made."""
    return (
        f"a Ref is frozen{at_user_line()} in a function that did not make it: only the scope in which new_ref was "
        "called may freeze it. Read its value, ref[...]"
    )


def passed_twice(api: str) -> str:
    """One reference is two arguments."""
    return (
        f"{api}: the same Ref is passed as more than one argument{at_user_line()}: a write to one would not be seen "
        "in the other. Pass it once"
    )


def passed_and_captured(api: str) -> str:
    """A reference is an argument, and closed over too."""
    return (
        f"{api}: a Ref is passed as an argument to a function that also closes over it{at_user_line()}: a write to "
        "one would not be seen in the other. Use one of the two"
    )
