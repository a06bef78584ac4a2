"""The number of loops, routines and buffers of known Programs: a lost or a runaway fusion shows as a difference.

    COVECTOR_GOLDENS=write python -m pytest tests/compile/test_goldens.py

writes the table anew.  The numbers are not right by themselves: look at each that changes.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, nn, numpy as cnp, random
from covector._engine.backends.base import Job, Target
from covector._engine.base.explained import explain
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.ir.kernel import Copy, Kernel, Loop, Routine, walk

TABLE = Path(__file__).with_name("goldens.txt")
HEAD = "name                   nests  loops  copies  routines  temps  arena\n"


def ones(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


def repeat(step: Callable[[Any], Any], count: int) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for _ in range(count):
            x = step(x)
        return x

    return run


def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = cnp.einsum("hqd,hkd->hqk", q, k) * 0.125
    causal = cnp.tril(cnp.ones((q.shape[1], q.shape[1]), bool))
    return cnp.einsum("hqk,hkd->hqd", nn.softmax(cnp.where(causal, scores, -1e9)), v)


def bodies(p: Any, v: Any) -> Any:
    def step(state: Any, _: None) -> Any:
        p, v = state
        apart = p[None] - p[:, None]
        squared = (apart * apart).sum(-1) + 1e-2
        v = v + (apart * (1.0 / (squared * cnp.sqrt(squared)))[..., None]).sum(1)
        return (p + v, v), None

    return lax.scan(step, (p, v), None, length=10)[0]


def mlp_loss(ws: Any, x: Any, y: Any) -> Any:
    for w, b in ws[:-1]:
        x = nn.relu(x @ w + b)
    w, b = ws[-1]
    return -(nn.log_softmax(x @ w + b) * y).sum(-1).mean()


def mlp_step(ws: Any, x: Any, y: Any) -> Any:
    loss, gradient = covector.value_and_grad(mlp_loss)(ws, x, y)
    return loss, [(w - 0.1 * g, b - 0.1 * h) for (w, b), (g, h) in zip(ws, gradient, strict=True)]


def adam(ps: Any, gs: Any, ms: Any, vs: Any) -> Any:
    ms = [0.9 * m + 0.1 * g for m, g in zip(ms, gs, strict=True)]
    vs = [0.99 * v + 0.01 * g * g for v, g in zip(vs, gs, strict=True)]
    return [p - 1e-3 * m / (cnp.sqrt(v) + 1e-8) for p, m, v in zip(ps, ms, vs, strict=True)], ms, vs


def lorenz(state: Any) -> Any:
    def step(s: Any, _: Any) -> Any:
        x, y, z = s
        s = cnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]) * 0.01 + s
        return s, s[0]

    return lax.scan(step, state, None, length=100)[1].sum()


def recurrence(h: Any, w: Any, xs: Any) -> Any:
    return lax.scan(lambda h, x: (cnp.tanh(h @ w + x), h.sum()), h, xs)


def blur(x: Any) -> Any:
    padded = cnp.pad(x, 1)
    n, m = x.shape
    return sum(padded[i : i + n, j : j + m] for i in range(3) for j in range(3)) / 9


def rotary(x: Any, sine: Any, cosine: Any) -> Any:
    a, b = cnp.split(x, 2, -1)
    return x * cosine + cnp.concatenate([-b, a], -1) * sine


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "elementwise": (lambda x, y: cnp.exp(x) * y + cnp.sin(x), (ones(1000), ones(1000))),
    "five_hundred_sines": (repeat(cnp.sin, 500), (ones(100),)),
    "long_chain": (repeat(lambda x: x * 2 + 1, 1500), (ones(100),)),
    "softmax": (nn.softmax, (ones(64, 256),)),
    "softmax_gradient": (
        covector.grad(lambda x, y: (nn.softmax(x) * y).sum()),
        (ones(64, 256), ones(64, 256)),
    ),
    "layer_norm": (layer_norm, (ones(64, 256), ones(256), ones(256))),
    "layer_norm_gradient": (
        covector.grad(lambda *a: (layer_norm(*a) ** 2).sum(), (0, 1, 2)),
        (ones(64, 256), ones(256), ones(256)),
    ),
    "attention": (attention, (ones(4, 64, 32), ones(4, 64, 32), ones(4, 64, 32))),
    "mlp_step": (
        mlp_step,
        ([(ones(64, 128), ones(128)), (ones(128, 10), ones(10))], ones(256, 64), ones(256, 10)),
    ),
    "adam": (adam, tuple([[ones(100, 10), ones(10)] for _ in range(4)])),
    "roll_chain": (repeat(lambda x: cnp.roll(x, 1) + x, 8), (ones(4096),)),
    "stencil_chain": (
        repeat(lambda x: x + 0.1 * (cnp.roll(x, 1) - 2 * x + cnp.roll(x, -1)), 8),
        (ones(4096),),
    ),
    "butterfly_chain": (
        repeat(lambda x: cnp.concatenate([x[::2] + x[1::2], x[::2] - x[1::2]]), 8),
        (ones(4096),),
    ),
    "reversals": (repeat(lambda x: x[::-1] + 1, 50), (ones(64),)),
    "roll_of_cheap": (lambda x: cnp.roll(x + 1, 3) * 2, (ones(1000),)),
    "differences": (lambda x: (x[1:] - x[:-1])[1:] - (x[1:] - x[:-1])[:-1], (ones(1000),)),
    "lorenz": (lorenz, (ones(3),)),
    "lorenz_gradient": (covector.grad(lorenz), (ones(3),)),
    "recurrence": (recurrence, (ones(8, 32), ones(32, 32), ones(20, 8, 32))),
    "blur": (blur, (ones(64, 64),)),
    "blur_gradient": (covector.grad(lambda x: (blur(x) ** 2).sum()), (ones(64, 64),)),
    "rotary": (rotary, (ones(8, 64, 32), ones(64, 32), ones(64, 32))),
    "dropout": (
        lambda k, x: cnp.where(random.bernoulli(k, 0.9, x.shape), x / 0.9, 0),
        (random.key(0), ones(64, 256)),
    ),
    "normal": (lambda k: random.normal(k, (1000,)) * 2 + 1, (random.key(0),)),
    "embedding": (
        lambda table, i, b: table[i] * 2 + b,
        (ones(100, 32), ones(40, dtype=np.int32), ones(32)),
    ),
    "gather_gradient": (
        covector.grad(lambda table, i: (table[i] ** 2).sum()),
        (ones(100, 32), ones(40, dtype=np.int32)),
    ),
    "cumsum": (lambda x: cnp.cumsum(x * 2, axis=1) + 1, (ones(32, 64),)),
    "sort": (lambda x: cnp.sort(-x)[::2], (ones(1000),)),
    "concatenate": (lambda *xs: cnp.concatenate(xs) * 2, (ones(10), ones(20), ones(30))),
    "stack_of_scalars": (
        lambda x: cnp.stack([x[i] * i for i in range(40)]),
        (ones(40),),
    ),
    "clip_chain": (
        repeat(lambda x: cnp.where(x > 0, cnp.clip(x * 1.5, -2, 2), -x), 10),
        (ones(1000),),
    ),
    "one_hot": (
        lambda i, w: (nn.one_hot(i, 50)[:, :, None] * w).sum(1),
        (ones(20, dtype=np.int32), ones(50, 30)),
    ),
    "row_function": (lambda x, b: x + cnp.exp(b), (ones(100, 80), ones(80))),
    "column_function": (lambda x, b: x + cnp.exp(b)[:, None], (ones(100, 80), ones(100))),
    "bodies": (bodies, (ones(8, 3), ones(8, 3))),
    "small_products": (lambda a, b: cnp.tanh(a @ b) + 1, (ones(100, 4, 4), ones(100, 4, 4))),
    "einsum": (
        lambda a, b, c: cnp.einsum("ij,jk,kl->il", a, b, c),
        (ones(64, 64), ones(64, 64), ones(64, 64)),
    ),
    "scatter_add": (
        lambda x, i, y: x.at[i].add(y * 2) + 1,
        (ones(100), ones(40, dtype=np.int32), ones(40)),
    ),
    "column_sums": (lambda x: x.sum(0), (ones(4096, 1024),)),
    "many_results": (lambda x: [x * i for i in range(100)], (ones(16),)),
}  # fmt: skip


MODEL = Job(Target("model", 256, 2), explain=explain)  # the same numbers on every machine


def kernel_of(f: Callable[..., Any], args: tuple[Any, ...]) -> Kernel:
    """The Kernel of a function, with its buffers planned."""
    kernel = run_passes(covector.jit(f).trace(*args).program, TO_KERNEL, MODEL)["memory"]
    assert isinstance(kernel, Kernel)
    return kernel


def row(name: str) -> str:
    """The numbers of a Program, as the table has them."""
    kernel = kernel_of(*PROGRAMS[name])
    inside = list(walk(kernel.body))
    kinds = [type(s) for s in inside]
    nests = sum(isinstance(s, Loop) for s in kernel.body)
    temps = len(kernel.offsets) - sum(b in kernel.offsets for b in kernel.shares)
    numbers = nests, kinds.count(Loop), kinds.count(Copy), kinds.count(Routine), temps, kernel.arena
    return f"{name:22} {numbers[0]:5} {numbers[1]:6} {numbers[2]:7} {numbers[3]:9} {numbers[4]:6} {numbers[5]:6}\n"


def table() -> dict[str, str]:
    lines = TABLE.read_text().splitlines(keepends=True)[1:] if TABLE.exists() else []
    return {line.split()[0]: line for line in lines}


@pytest.mark.skipif(os.environ.get("COVECTOR_GOLDENS") == "write", reason="they are written")
@pytest.mark.parametrize("name", PROGRAMS)
def test_golden(name: str) -> None:
    assert HEAD + row(name) == HEAD + table().get(name, "")


def test_the_table_is_complete() -> None:
    if os.environ.get("COVECTOR_GOLDENS") == "write":
        TABLE.write_text(HEAD + "".join(row(name) for name in PROGRAMS))
    assert list(table()) == list(PROGRAMS)
