"""Orbax: checkpoints written and read."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from cases import case
from flax.training import checkpoints, train_state

KEY = jax.random.key(0)
warnings.filterwarnings("ignore", "Sharding info not provided", UserWarning)


def tree() -> Any:
    return {
        "w": jax.random.normal(KEY, (4, 3)),
        "half": [jnp.linspace(0, 1, 5, dtype=jnp.bfloat16), jnp.arange(3, dtype=jnp.int8)],
        "count": jnp.array(7),
        "host": np.arange(4, dtype=np.uint16),
        "number": 2.5,
    }


def kinds(x: Any) -> Any:
    return x, [isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(x)]


def in_a_folder(run: Any, *args: Any) -> Any:
    def call(*args: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            return run(Path(folder), *args)

    return call, args


@case(repeats=0)
def trees() -> Any:
    def run(folder: Path, x: Any) -> Any:
        with ocp.PyTreeCheckpointer() as writer:
            writer.save(folder / "a", x)
            return kinds(writer.restore(folder / "a"))

    return in_a_folder(run, tree())


@case(repeats=0)
def standard() -> Any:
    def run(folder: Path, x: Any) -> Any:
        with ocp.StandardCheckpointer() as writer:
            writer.save(folder / "a", x)
            writer.wait_until_finished()
            like = jax.tree.map(ocp.utils.to_shape_dtype_struct, x)
            return kinds(writer.restore(folder / "a", like)), writer.metadata(folder / "a") is None

    return in_a_folder(run, tree())


@case(repeats=0)
def other_types_and_shapes() -> Any:
    def run(folder: Path, x: Any) -> Any:
        with ocp.StandardCheckpointer() as writer:
            writer.save(folder / "a", {"w": x})
            writer.wait_until_finished()
            like = {"w": jax.ShapeDtypeStruct(x.shape, jnp.bfloat16)}
            found = writer.restore(folder / "a", like)
            try:
                writer.restore(folder / "a", {"v": like["w"]})
            except (ValueError, KeyError):
                return found, "refused"
            return found

    return in_a_folder(run, tree()["w"])


@case(repeats=0)
def keys() -> Any:
    def run(folder: Path, x: Any) -> Any:
        with ocp.StandardCheckpointer() as writer:
            writer.save(folder / "a", x)
            writer.wait_until_finished()
            found = writer.restore(folder / "a")
            return found, jax.random.uniform(found["one"], (3,)), str(found["many"].dtype)

    return in_a_folder(run, {"one": KEY, "many": jax.random.split(KEY, 3)})


@case(repeats=0)
def managed() -> Any:
    def run(folder: Path, x: Any) -> Any:
        options = ocp.CheckpointManagerOptions(max_to_keep=2, save_interval_steps=2)
        with ocp.CheckpointManager(folder / "m", options=options) as manager:
            saved = [
                manager.save(step, args=ocp.args.StandardSave({"w": x["w"] + step}))
                for step in range(7)
            ]
            manager.wait_until_finished()
            last = manager.restore(manager.latest_step(), args=ocp.args.StandardRestore(x))
            return last, saved, list(manager.all_steps())

    return in_a_folder(run, {"w": tree()["w"]})


@case(repeats=0)
def several_items() -> Any:
    def run(folder: Path, x: Any) -> Any:
        with ocp.CheckpointManager(folder / "m") as manager:
            items = {"state": ocp.args.StandardSave(x), "more": ocp.args.JsonSave({"epoch": 3})}
            manager.save(0, args=ocp.args.Composite(**items))
            manager.wait_until_finished()
            wanted = {"state": ocp.args.StandardRestore(x), "more": ocp.args.JsonRestore()}
            found = manager.restore(0, args=ocp.args.Composite(**wanted))
            return found["state"], found["more"]["epoch"]

    return in_a_folder(run, {"w": tree()["w"]})


@case(repeats=0)
def in_the_background() -> Any:
    def run(folder: Path, x: Any) -> Any:
        with ocp.AsyncCheckpointer(ocp.StandardCheckpointHandler()) as writer:
            writer.save(folder / "a", args=ocp.args.StandardSave(x))
            writer.wait_until_finished()
            return kinds(writer.restore(folder / "a"))

    return in_a_folder(run, tree())


@case(repeats=0)
def of_flax() -> Any:
    def run(folder: Path, x: Any) -> Any:
        model = nn.Dense(3)
        params = model.init(KEY, x)["params"]
        state = train_state.TrainState.create(
            apply_fn=model.apply, params=params, tx=optax.adam(0.1)
        )
        grads = jax.grad(lambda p: jnp.sum(model.apply({"params": p}, x) ** 2))(params)
        state = state.apply_gradients(grads=grads)
        checkpoints.save_checkpoint(folder / "f", state, int(state.step))
        again = checkpoints.restore_checkpoint(folder / "f", state)
        return (
            again.params,
            again.opt_state,
            int(again.step),
            checkpoints.restore_checkpoint(folder / "f", None)["params"],
        )

    return in_a_folder(run, jnp.ones((2, 4)))


@case(repeats=0)
def of_a_store() -> Any:
    from jax.experimental.array_serialization import serialization

    def run(folder: Path, xs: Any) -> Any:
        manager = serialization.GlobalAsyncCheckpointManager()
        paths = [str(folder / f"x{i}") for i in range(len(xs))]
        done: list[int] = []
        manager.serialize_with_paths(xs, paths, on_commit_callback=lambda: done.append(1))
        manager.wait_until_finished()
        places = [x.sharding for x in xs]
        found = manager.deserialize_with_paths(places, paths)
        other = manager.deserialize_with_paths(
            places, paths, [(6, 2), (3,)], [jnp.float16, jnp.float32]
        )
        specs = [
            serialization.get_tensorstore_spec("/tmp/x"),
            serialization.get_tensorstore_spec("gs://bucket/x"),
        ]
        return found, other, done, specs, serialization.is_remote_storage(specs[1])

    return in_a_folder(run, [tree()["w"], jnp.arange(5)])
