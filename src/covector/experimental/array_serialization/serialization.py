"""Arrays written to and read from TensorStore: names are those of `jax.experimental.array_serialization.serialization`.

TensorStore is imported when something is written or read; ModuleNotFoundError says so if it is not installed.
"""

from __future__ import annotations

import abc
import asyncio
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.base.events import record_event_duration_secs
from covector._engine.base.locks import import_late
from covector._engine.base.public import publish
from covector._engine.base.single import single
from covector._engine.core.trace import Array
from covector._engine.runtime.device import device_put
from covector._engine.types import dtypes

__all__ = [
    "AsyncManager",
    "BarrierTimeoutError",
    "GlobalAsyncCheckpointManager",
    "GlobalAsyncCheckpointManagerBase",
    "async_deserialize",
    "async_serialize",
    "get_tensorstore_spec",
    "is_remote_storage",
    "run_deserialization",
    "run_serialization",
]

_REMOTE = {"gs": "gcs", "s3": "s3"}


class BarrierTimeoutError(Exception):
    """Raised where other processes do not come in time: there are none.

    >>> from covector.experimental.array_serialization import serialization
    >>> issubclass(serialization.BarrierTimeoutError, Exception)
    True
    """


def _tensorstore() -> Any:
    try:
        return import_late("tensorstore")
    except ModuleNotFoundError as e:
        raise ModuleNotFoundError(
            f"arrays are written and read by TensorStore{errors.at_user_line()}, which is not installed: "
            "`pip install tensorstore`",
            name="tensorstore",
        ) from e


@single
def _context() -> Any:
    """What all that is written and read shares: so many files at once, and so much memory."""
    return _tensorstore().Context(
        {
            "file_io_concurrency": {"limit": 128},
            "data_copy_concurrency": {"limit": 128},
            "cache_pool": {"total_bytes_limit": 10**10},
        }
    )


# ------------------------------------------------------------------------------------- where arrays lie


def is_remote_storage(tspec: dict[str, Any] | str) -> bool:
    """Whether a place is one of Google's or Amazon's, as far as its address or specification says so.

    >>> from covector.experimental.array_serialization import serialization
    >>> serialization.is_remote_storage("gs://bucket/x"), serialization.is_remote_storage("/tmp/x")
    (True, False)
    """
    if isinstance(tspec, str):
        return tspec.partition("://")[0] in _REMOTE and "://" in tspec
    for key in ("base", "kvstore"):
        if key in tspec:
            return is_remote_storage(tspec[key])
    return tspec.get("driver") in _REMOTE.values()


def get_tensorstore_spec(ckpt_path: str | os.PathLike[str], ocdbt: bool = False) -> dict[str, Any]:
    """The specification of an array in a folder, as zarr: of one of its own, or a key of a store (`ocdbt`).

    ValueError for a path of a store that is not absolute, or an address without a bucket.

    >>> from covector.experimental.array_serialization import serialization
    >>> serialization.get_tensorstore_spec("/tmp/x")
    {'driver': 'zarr', 'kvstore': {'driver': 'file', 'path': '/tmp/x'}}
    """
    path = re.sub(r"^(gs|s3):/", r"\1://", os.path.normpath(str(ckpt_path)))
    if not ocdbt:
        return {"driver": "zarr", "kvstore": _place(path)}
    folder, key = os.path.split(path)
    if not is_remote_storage(folder) and not os.path.isabs(folder):
        raise ValueError(
            f"get_tensorstore_spec of {path!r}{errors.at_user_line()}: the path has to be absolute"
        )
    return {"driver": "zarr", "kvstore": {"driver": "ocdbt", "base": _place(folder), "path": key}}


def _place(path: str) -> dict[str, Any]:
    scheme, found, rest = path.partition("://")
    if not found or scheme not in _REMOTE:
        return {"driver": "file", "path": path}
    bucket, slash, inside = rest.partition("/")
    if not slash:
        raise ValueError(
            f"get_tensorstore_spec of {path!r}{errors.at_user_line()}: it names no file in a bucket"
        )
    return {"driver": _REMOTE[scheme], "bucket": bucket, "path": inside}


def _with_type(spec: dict[str, Any], x: Any) -> dict[str, Any]:
    """A specification that says what it is of, as one that another wrapped (`cast`) does already."""

    def says(part: Any) -> bool:
        return isinstance(part, dict) and ("metadata" in part or any(map(says, part.values())))

    if not says(spec):
        chunks = [max(1, n) for n in x.shape]
        if spec["driver"] == "zarr":
            about = {"compressor": {"id": "zstd"}, "shape": list(x.shape), "chunks": chunks}
        else:
            grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
            about = {"shape": list(x.shape), "data_type": x.dtype.name, "chunk_grid": grid}
        spec = {**spec, "metadata": about}
    return {"dtype": x.dtype.name, **spec} if spec["driver"] == "zarr" else spec


# ------------------------------------------------------------------------------------ writing and reading


async def async_serialize(
    arr_inp: Any,
    tensorstore_spec: dict[str, Any],
    commit_future: list[Any] | None = None,
    context: Any = None,
    transaction: Any = None,
) -> None:
    """Write an array where a specification says.

    With a list `commit_future` it returns when the array has been copied; what is to be waited for is put there.
    """
    ts = _tensorstore()
    spec = ts.Spec(_with_type(tensorstore_spec, arr_inp))
    how = {"context": context or _context(), "transaction": transaction}
    store = await ts.open(spec, create=True, open=True, **how)
    written = store.write(np.asarray(arr_inp))
    if commit_future is None:
        await written.commit
    else:
        commit_future.append(written.commit)
        await written.copy


async def async_deserialize(
    user_in_sharding: Any,
    tensorstore_spec: dict[str, Any],
    global_shape: Sequence[int] | None = None,
    dtype: Any = None,
    byte_limiter: Any = None,
    context: Any = None,
    assume_metadata: bool = False,
) -> Array:
    """The array that was written where a specification says, in a place, as the dtype.

    In another shape than it was written in it is cut off, or zeros follow.
    """
    ts = _tensorstore()
    store = await ts.open(
        ts.Spec(tensorstore_spec),
        open=True,
        assume_metadata=assume_metadata,
        context=context or _context(),
    )
    found = np.asarray(await store.read())
    shape = found.shape if global_shape is None else tuple(global_shape)
    if shape != found.shape:
        common = tuple([slice(min(n, m)) for n, m in zip(shape, found.shape, strict=True)])
        whole = np.zeros(shape, found.dtype)
        whole[common] = found[common]
        found = whole
    if dtype is not None:
        found = found.astype(dtypes.as_dtype(dtype))
    return device_put(found, user_in_sharding)


def run_serialization(arrays: Sequence[Any], tensorstore_specs: Sequence[dict[str, Any]]) -> None:
    """Write arrays where specifications say, and wait for it."""

    async def write() -> None:
        pairs = zip(arrays, tensorstore_specs, strict=True)
        await asyncio.gather(*[async_serialize(x, spec) for x, spec in pairs])

    asyncio.run(write())


def run_deserialization(
    shardings: Sequence[Any],
    tensorstore_specs: Sequence[dict[str, Any]],
    global_shapes: Sequence[Sequence[int]] | None = None,
    dtypes: Sequence[Any] | None = None,
    concurrent_gb: int = 32,
) -> list[Array]:
    """The arrays that were written where specifications say."""
    count = len(tensorstore_specs)
    shapes = [None] * count if global_shapes is None else global_shapes
    wanted = [None] * count if dtypes is None else dtypes

    async def read() -> list[Array]:
        rows = zip(shardings, tensorstore_specs, shapes, wanted, strict=True)
        return await asyncio.gather(*[async_deserialize(*row) for row in rows])

    return asyncio.run(read())


# ------------------------------------------------------------------------------------------- managers


class GlobalAsyncCheckpointManagerBase(abc.ABC):
    """What writes arrays while the program goes on, and knows whether it is done.

    >>> from covector.experimental.array_serialization import serialization
    >>> manager = serialization.GlobalAsyncCheckpointManager()
    >>> isinstance(manager, serialization.GlobalAsyncCheckpointManagerBase)
    True
    """

    @abc.abstractmethod
    def check_for_errors(self) -> None:
        """Raise what went wrong in writing, if something did."""

    @abc.abstractmethod
    def wait_until_finished(self) -> None:
        """Wait until all is written."""

    @abc.abstractmethod
    def serialize(
        self, arrays: Any, tensorstore_specs: Any, *, on_commit_callback: Callable[[], None]
    ) -> None:
        """Begin to write arrays."""

    @abc.abstractmethod
    def deserialize(
        self,
        shardings: Sequence[Any],
        tensorstore_specs: Sequence[dict[str, Any]],
        global_shapes: Sequence[Sequence[int]] | None = None,
        dtypes: Sequence[Any] | None = None,
    ) -> Any:
        """The arrays that were written."""


class AsyncManager:
    """Waits in a thread for what is being written.

    >>> from covector.experimental.array_serialization import serialization
    >>> serialization.AsyncManager().wait_until_finished()
    """

    def __init__(self, timeout_secs: int = 300):
        self._thread: threading.Thread | None = None
        self._exception: Exception | None = None

    def _wait(self, commits: Sequence[Any], callback: Callable[[], None] | None) -> None:
        start = time.time()
        try:
            for commit in commits:
                commit.result()
            if callback is not None:
                callback()
        except Exception as e:  # raised by `check_for_errors`, in the thread that asks
            self._exception = e
            return
        took = time.time() - start
        record_event_duration_secs("/jax/checkpoint/write/async/thread_duration_sec", took)

    def _begin(self, commits: Sequence[Any], callback: Callable[[], None] | None) -> None:
        self._thread = threading.Thread(target=self._wait, args=(commits, callback))
        self._thread.start()

    def check_for_errors(self) -> None:
        """Raise what went wrong in writing, once.

        >>> from covector.experimental.array_serialization import serialization
        >>> serialization.AsyncManager().check_for_errors()
        """
        found, self._exception = self._exception, None
        if found is not None:
            raise found

    def wait_until_finished(self) -> None:
        """Wait until all is written, and raise what went wrong.

        >>> from covector.experimental.array_serialization import serialization
        >>> serialization.AsyncManager().wait_until_finished()
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check_for_errors()


class GlobalAsyncCheckpointManager(AsyncManager, GlobalAsyncCheckpointManagerBase):
    """Writes arrays by TensorStore while the program goes on.

    >>> from covector.experimental.array_serialization import serialization
    >>> manager = serialization.GlobalAsyncCheckpointManager()
    >>> manager.wait_until_finished()
    """

    def serialize(
        self,
        arrays: Any,
        tensorstore_specs: Any,
        *,
        on_commit_callback: Callable[[], None] | None = None,
        transaction: Any = None,
    ) -> None:
        """Begin to write arrays where specifications say; the callback is called when they are written."""
        self.wait_until_finished()
        commits: list[Any] = []

        async def write() -> None:
            pairs = zip(arrays, tensorstore_specs, strict=True)
            await asyncio.gather(
                *[async_serialize(x, s, commits, transaction=transaction) for x, s in pairs]
            )

        asyncio.run(write())
        self._begin(commits, on_commit_callback)

    def serialize_with_paths(
        self,
        arrays: Sequence[Any],
        paths: Sequence[str],
        *,
        on_commit_callback: Callable[[], None] | None = None,
        transaction: Any = None,
    ) -> None:
        """Begin to write arrays into folders."""
        specs = [get_tensorstore_spec(p) for p in paths]
        self.serialize(
            arrays, specs, on_commit_callback=on_commit_callback, transaction=transaction
        )

    def deserialize(
        self,
        shardings: Sequence[Any],
        tensorstore_specs: Sequence[dict[str, Any]],
        global_shapes: Sequence[Sequence[int]] | None = None,
        dtypes: Sequence[Any] | None = None,
        concurrent_gb: int = 32,
    ) -> list[Array]:
        """The arrays that were written where specifications say."""
        self.wait_until_finished()
        return run_deserialization(
            shardings, tensorstore_specs, global_shapes, dtypes, concurrent_gb
        )

    def deserialize_with_paths(
        self,
        shardings: Sequence[Any],
        paths: Sequence[str],
        global_shapes: Sequence[Sequence[int]] | None = None,
        dtypes: Sequence[Any] | None = None,
        concurrent_gb: int = 32,
    ) -> list[Array]:
        """The arrays that were written into folders."""
        specs = [get_tensorstore_spec(p) for p in paths]
        return self.deserialize(shardings, specs, global_shapes, dtypes, concurrent_gb)


publish(__name__)
