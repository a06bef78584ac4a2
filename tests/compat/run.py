"""Run a program's cases in this process, with the JAX that `import jax` finds, and write down what came out.

python run.py of_optax out.pickle                             with the real JAX
python -m covector.as_jax run.py of_optax out.pickle          with Covector
"""

from __future__ import annotations

import pickle
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "programs")]


def plain(x: Any) -> Any:
    """A leaf as something that can be compared in another process."""
    if isinstance(x, jax.Array):
        return np.asarray(
            jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        )
    return (
        x
        if isinstance(x, np.ndarray | np.generic | bool | int | float | complex | str)
        else repr(x)
    )


def run(case: Any) -> dict[str, Any]:
    """Results, and seconds of the first call and of the quickest of the others; or how it failed.

    The first call, which compiles, is measured in processor time, which a busy machine changes little.
    """
    try:
        function, arguments = case.make()

        def timed(clock: Callable[[], float]) -> tuple[float, Any]:
            start = clock()
            out = jax.block_until_ready(function(*arguments))
            return clock() - start, out

        first, out = timed(time.process_time)
        again = min([timed(time.perf_counter)[0] for _ in range(case.repeats)], default=0.0)
        return {"out": [plain(x) for x in jax.tree.leaves(out)], "first": first, "again": again}
    except Exception:
        return {"error": traceback.format_exc()}


def main(program: str, path: str) -> None:
    import_module(program)
    cases = import_module("cases").CASES
    found = {c.name: {**run(c), "rtol": c.rtol, "atol": c.atol} for c in cases}
    Path(path).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
