"""`python -m covector.as_jax script.py [args]`, `-m module [args]` or `-c code [args]`: with Covector for JAX."""

from __future__ import annotations

import os
import runpy
import sys

from covector.as_jax import install

_USAGE = "usage: python -m covector.as_jax (script.py | -m module | -c code) [arguments]"


def main(arguments: list[str]) -> None:
    """Run what the arguments name, as Python itself would; SystemExit if they name nothing."""
    if not arguments or (arguments[0] in ("-m", "-c") and len(arguments) == 1):
        raise SystemExit(_USAGE)
    install()
    first, *rest = arguments
    if first == "-m":
        sys.argv = rest
        sys.path[0] = os.getcwd()
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path[0] = ""
        space = vars(sys.modules["__main__"])
        exec(compile(rest[0], "<string>", "exec"), space)
    else:
        sys.argv = arguments
        sys.path[0] = os.path.dirname(os.path.abspath(first))
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
