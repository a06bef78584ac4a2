"""Python where arrays are, stores of arrays, and what one process knows of others."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import numpy as cnp
from covector.experimental import multihost_utils, pjit, shard_map
from covector.experimental.array_serialization import serialization
from covector.experimental.colocated_python import (
    colocated_cpu_devices,
    colocated_python,
    colocated_python_class,
)


def test_functions_of_arrays_run_here() -> None:
    ran: list[Any] = []

    @colocated_python
    def doubled(x: Any, *, more: Any) -> Any:
        ran.append(type(x))
        return {"out": 2 * x + more}

    x = cnp.arange(3.0)
    np.testing.assert_array_equal(doubled(x, more=x)["out"], [0, 3, 6])
    assert len(ran) == 1
    assert doubled.__name__ == "doubled"
    with pytest.raises(ValueError, match=r"doubled takes and gives arrays alone.*not int"):
        doubled(x, more=1)
    with pytest.raises(ValueError, match=r"arrays alone.*not float"):
        colocated_python(lambda x: 1.0)(x)
    with pytest.raises(ValueError, match="says not where"):
        colocated_python(lambda: x)()


def test_functions_of_which_more_is_said() -> None:
    x = cnp.ones(3)
    spec = cv.ShapeDtypeStruct((3,), np.float32)
    same = colocated_python(lambda x: x)
    typed = same.specialize(in_specs=((spec,), {}), out_specs_fn=lambda s: s)
    np.testing.assert_array_equal(typed(x), x)
    with pytest.raises(ValueError, match=r"arguments of .*int32\[3\], not float32\[3\]"):
        typed(cnp.arange(3))
    with pytest.raises(ValueError, match="structure"):
        typed(x, x)
    with pytest.raises(ValueError, match=r"results of .*float32\[3\], not float32\[4\]"):
        same.specialize(out_specs_fn=lambda s: cv.ShapeDtypeStruct((4,), np.float32))(x)
    with pytest.raises(ValueError, match="in_specs was given before"):
        typed.specialize(in_specs=((spec,), {}))


def test_objects_are_made_when_they_are_asked() -> None:
    made: list[float] = []

    @colocated_python_class
    class Counter:
        def __init__(self, start: float):
            made.append(start)
            self.total = start

        def add(self, x: Any) -> Any:
            self.total = self.total + x
            return self.total

    counter: Any = Counter(1.0)  # type: ignore[call-arg]
    assert (Counter.__name__, made) == ("Counter", [])
    assert [float(counter.add(cnp.array(2.0))) for _ in range(2)] == [3.0, 5.0]
    assert made == [1.0]


def test_devices_beside_devices() -> None:
    assert colocated_cpu_devices(tuple(cv.devices())) == cv.devices()
    mesh = cv.make_mesh((1,), ("x",))
    assert colocated_cpu_devices(mesh) is mesh
    with pytest.raises(TypeError, match="devices or a mesh, got 3"):
        colocated_cpu_devices([3])
    assert cv.devices()[0].client.devices() == cv.devices()


def test_where_arrays_lie() -> None:
    spec = serialization.get_tensorstore_spec
    assert spec("gs://b/x/y/")["kvstore"] == {"driver": "gcs", "bucket": "b", "path": "x/y"}
    assert spec("/a/x", ocdbt=True)["kvstore"] == {
        "driver": "ocdbt",
        "base": {"driver": "file", "path": "/a"},
        "path": "x",
    }
    assert serialization.is_remote_storage(spec("s3://b/x/y", ocdbt=True))
    assert not serialization.is_remote_storage(spec("/a/x", ocdbt=True))
    with pytest.raises(ValueError, match="no file in a bucket"):
        spec("gs://b")
    with pytest.raises(ValueError, match="has to be absolute"):
        spec("a/x", ocdbt=True)


@pytest.mark.skipif(importlib.util.find_spec("tensorstore") is not None, reason="it is there")
def test_without_tensorstore(tmp_path: Path) -> None:
    spec = serialization.get_tensorstore_spec(tmp_path / "x")
    with pytest.raises(ModuleNotFoundError, match="pip install tensorstore"):
        serialization.run_serialization([cnp.ones(2)], [spec])


def test_what_is_raised_in_the_background_is_raised_once() -> None:
    class Failing:
        def result(self) -> None:
            raise OSError("the disk is full")

    manager = serialization.AsyncManager()
    manager._begin([Failing()], None)
    with pytest.raises(OSError, match="disk is full"):
        manager.wait_until_finished()
    manager.wait_until_finished()


def test_one_process_and_older_names() -> None:
    with multihost_utils.live_devices(cv.devices()) as alive:
        assert alive == cv.devices()
    assert not multihost_utils.reached_preemption_sync_point(0)
    assert pjit.pjit(lambda x: 2 * x)(3.0) == 6
    mesh, rows = cv.make_mesh((1,), ("x",)), cv.P("x")
    np.testing.assert_array_equal(
        shard_map.shard_map(lambda x: x + 1, mesh, (rows,), rows)(cnp.ones(2)), [2, 2]
    )
