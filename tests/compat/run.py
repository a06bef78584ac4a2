"""Run a program's cases in this process, with the JAX that `import jax` finds, and write down what came out.

python run.py of_optax out.pickle                             with the real JAX
python -m covector.as_jax run.py of_optax out.pickle          with Covector
"""

from __future__ import annotations

import pickle
import sys
import time
import traceback
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
    """Results, and seconds of the first call and of the quickest of the others; or how it failed."""
    try:
        function, arguments = case.make()

        def timed() -> tuple[float, Any]:
            start = time.perf_counter()
            out = jax.block_until_ready(function(*arguments))
            return time.perf_counter() - start, out

        first, out = timed()
        again = min([timed()[0] for _ in range(case.repeats)], default=first)
        return {"out": [plain(x) for x in jax.tree.leaves(out)], "first": first, "again": again}
    except Exception:
        return {"error": traceback.format_exc()}


def main(program: str, path: str) -> None:
    start = time.perf_counter()
    import_module(program)
    imported = time.perf_counter() - start
    cases = import_module("cases").CASES
    found = {c.name: {**run(c), "rtol": c.rtol, "atol": c.atol} for c in cases}
    Path(path).write_bytes(pickle.dumps({"cases": found, "import": imported}))


if __name__ == "__main__":
    main(*sys.argv[1:])
