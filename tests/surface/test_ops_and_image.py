"""Segments and images, against sums by hand and against values of the definitions."""

from __future__ import annotations

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import image, ops

IDS = np.array([0, 2, 0, -1, 7, 2], np.int32)
FOLDS = {
    "segment_sum": (np.sum, 0),
    "segment_prod": (np.prod, 1),
    "segment_max": (np.max, None),
    "segment_min": (np.min, None),
}


@pytest.mark.parametrize("name", FOLDS)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("bucket", [None, 4])
def test_segments(name: str, dtype: str, bucket: int | None) -> None:
    data = np.arange(1, 13).reshape(6, 2).astype(dtype)
    fold, empty = FOLDS[name]
    if empty is None:
        low, high = (-np.inf, np.inf) if dtype == "float32" else (-(2**31), 2**31 - 1)
        empty = low if name == "segment_max" else high
    right = np.full((4, 2), empty, dtype)
    for i in (0, 2):
        right[i] = fold(data[i == IDS], axis=0)
    got = getattr(ops, name)(data, IDS, 4, bucket_size=bucket)
    np.testing.assert_array_equal(got, right)
    assert got.dtype == dtype
    if bucket is None:
        assert getattr(ops, name)(data, IDS).shape == (8, 2)


def test_segments_of_traced_ids_need_their_number() -> None:
    with pytest.raises(cv.errors.ConcretizationTypeError, match=r"segment_sum.*num_segments"):
        cv.make_jaxpr(ops.segment_sum)(np.ones(6), IDS)
    with pytest.raises(TypeError, match="segment_sum takes integer segment_ids"):
        ops.segment_sum(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"segment_max: segment_ids of shape \(3,\)"):
        ops.segment_max(np.ones(2), np.ones(3, np.int32))


def test_the_gradient_of_segments_is_a_read() -> None:
    g = cv.grad(lambda x: cnp.sum(ops.segment_sum(x, IDS, 3) * cnp.array([1.0, 2.0, 3.0])))(
        cnp.ones(6)
    )
    np.testing.assert_array_equal(g, [1, 3, 1, 0, 0, 3])


X = np.arange(12, dtype=np.float32).reshape(3, 4) % 5


@pytest.mark.parametrize("method", list(image.ResizeMethod))
def test_resizing_keeps_constants_and_sizes(method: image.ResizeMethod) -> None:
    for shape in ((5, 4), (2, 9), (3, 4)):
        got = image.resize(np.full((3, 4), 2.5, np.float32), shape, method)
        np.testing.assert_allclose(got, np.full(shape, 2.5), rtol=1e-5)
    np.testing.assert_array_equal(image.resize(X, (3, 4), method), X)


def test_resizing() -> None:
    line = np.array([1, 3, 2], np.float32)
    np.testing.assert_allclose(
        image.resize(line, (6,), "linear"), [1, 1.5, 2.5, 2.75, 2.25, 2], rtol=1e-6
    )
    np.testing.assert_array_equal(image.resize(line, (6,), "nearest"), [1, 1, 3, 3, 2, 2])
    halves = np.arange(8, dtype=np.float32)
    np.testing.assert_allclose(
        image.resize(halves, (4,), image.ResizeMethod.AREA), [0.5, 2.5, 4.5, 6.5]
    )
    plain = image.resize(halves, (4,), "linear", antialias=False)
    np.testing.assert_allclose(plain, [0.5, 2.5, 4.5, 6.5])
    cubic = image.resize(halves, (4,), image.ResizeMethod.CUBIC_PYTORCH, antialias=False)
    np.testing.assert_allclose(np.asarray(cubic)[1:3], [2.5, 4.5], rtol=1e-6)


def test_scaling_and_moving() -> None:
    moved = image.scale_and_translate(X, (3, 4), (1,), cnp.ones(1), cnp.array([1.0]), "cubic")
    np.testing.assert_allclose(moved, np.pad(X, ((0, 0), (1, 0)))[:, :4], atol=1e-6)
    twice = image.scale_and_translate(X, (6, 8), (0, 1), 2 * cnp.ones(2), cnp.zeros(2), "lanczos3")
    np.testing.assert_allclose(twice, image.resize(X, (6, 8), "lanczos3"), atol=1e-5)
    slope = cv.grad(
        lambda t: cnp.sum(
            image.scale_and_translate(X, (3, 4), (1,), cnp.ones(1), t, "linear")[0] ** 2
        )
    )(cnp.array([0.25]))
    step = np.array([0.01], np.float32)
    ahead, back = (
        cnp.sum(
            image.scale_and_translate(X, (3, 4), (1,), cnp.ones(1), 0.25 + s * step, "linear")[0]
            ** 2
        )
        for s in (1, -1)
    )
    np.testing.assert_allclose(slope, (ahead - back) / 0.02, rtol=1e-2)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("no method of resizing", lambda: image.resize(X, (3, 3), "magic")),
        ("one length", lambda: image.resize(X, (3,), "linear")),
        ("only `resize`", lambda: image.scale_and_translate(X, (3, 4), (0,), np.ones(1), np.ones(1), "nearest")),
        ("one number", lambda: image.scale_and_translate(X, (3, 4), (0,), np.ones(2), np.ones(1), "linear")),
    ],
)  # fmt: skip
def test_wrong_arguments_of_images(text: str, call: object) -> None:
    with pytest.raises(ValueError, match=text):
        call()  # type: ignore[operator]


def test_small_modules() -> None:
    assert isinstance(cnp.ones(2), cv.typing.ArrayLike)
    assert not isinstance([1.0], cv.typing.ArrayLike)
    assert cv.version.__version__ == cv.__version__
    assert isinstance(cv.jit(cnp.sin), cv.stages.Wrapped)
    assert isinstance(cv.jit(cnp.sin).lower(1.0).compile(), cv.stages.Compiled)
    assert cv.dlpack.is_supported_dtype("bfloat16")
    x = np.arange(3, dtype=np.float32)
    shared, copied = cv.dlpack.from_dlpack(x), cv.dlpack.from_dlpack(x, copy=True)
    x[0] = 9
    assert (float(shared[0]), float(copied[0])) == (9.0, 0.0)
    assert cv.tree_util.flatten_one_level([1, (2, 3)]) == ([1, (2, 3)], None)
    assert cv.tree_util.flatten_one_level(None) == ((), None)
    with pytest.raises(ValueError, match="takes a container"):
        cv.tree_util.flatten_one_level(3)
    keyed = cv.tree_util.flatten_one_level_with_keys({"b": None, "a": [1]})[0]
    assert [(k.key, x) for k, x in keyed] == [("a", [1]), ("b", None)]


def test_segments_of_narrow_integers_and_of_truth_values() -> None:
    """Sums of runs have the data's dtype, and go by the mode; truth values are no numbers."""
    data = cnp.array([100, 100, 3, 4], "int8")
    for mode in ("drop", "clip"):
        found = [
            ops.segment_sum(data, cnp.array([0, 0, 1, 7]), 2, bucket_size=b, mode=mode)
            for b in (None, 2)
        ]
        assert {f.dtype.name for f in found} == {"int8"}
        assert found[0].tolist() == found[1].tolist() == [-56, 3 if mode == "drop" else 7]
    for name in ("segment_sum", "segment_prod"):
        with pytest.raises(TypeError, match=rf"{name} takes numbers, got bool\[2\]"):
            getattr(ops, name)(cnp.array([True, False]), cnp.array([0, 1]), 2)
