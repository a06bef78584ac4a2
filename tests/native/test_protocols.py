"""Array: memory shared with others, in both directions."""

import ctypes
import gc
import io
import weakref

import numpy as np
import pytest


def base_of(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_numpy_reads_in_place(native, dtypes):
    for dtype in dtypes:
        x = native.array_from(np.arange(6).reshape(2, 3).astype(dtype))
        for view in (np.asarray(x), x.__array__()):
            assert view.dtype == dtype
            assert base_of(view) == x.unsafe_buffer_pointer()
            assert not view.flags.writeable
        del x
        gc.collect()
        assert view.tobytes() == np.arange(6).reshape(2, 3).astype(dtype).tobytes()


def test_array_arguments(native):
    x = native.array_from(np.arange(3, dtype=np.float32))
    assert np.array(x).flags.writeable
    assert x.__array__(copy=True).flags.writeable
    assert x.__array__(np.float64).dtype == np.float64
    assert x.__array__(np.float32, copy=False).dtype == np.float32
    with pytest.raises(ValueError, match=r"cannot be read as dtype\('float64'\) without a copy"):
        x.__array__(np.float64, copy=False)
    with pytest.raises(TypeError):
        x.__array__("nonsense")


def test_buffer_protocol(native, dtypes):
    for dtype in dtypes:
        values = np.arange(6).reshape(2, 3).astype(dtype)
        x = native.array_from(values)
        if dtype.isbuiltin == 2:
            with pytest.raises(BufferError, match=f"no format for {dtype.name}"):
                memoryview(x)
            continue
        view = memoryview(x)
        assert (view.shape, view.strides, view.readonly) == ((2, 3), values.strides, True)
        assert (view.itemsize, view.nbytes, view.c_contiguous) == (dtype.itemsize, x.nbytes, True)
        assert bytes(view) == values.tobytes()
        assert np.asarray(view).dtype == dtype
        x.delete()
        assert view.tobytes() == values.tobytes()
    assert bytes(native.scalar(1.0, "float32")) == np.float32(1).tobytes()


def test_buffer_requests(native):
    x = native.array_from(np.arange(6, dtype=np.int32).reshape(2, 3))
    with pytest.raises((BufferError, TypeError, ValueError)):
        np.frombuffer(x, np.int32)[0] = 1
    with pytest.raises(TypeError, match="not writable"):
        ctypes.c_char.from_buffer(x)
    with pytest.raises(TypeError, match="read-write bytes-like"):
        io.BytesIO(bytes(24)).readinto(x)


def test_dlpack_to_numpy(native, dtypes):
    for dtype in dtypes:
        if dtype.isbuiltin == 2:  # NumPy takes none of these
            continue
        x = native.array_from(np.arange(6).reshape(2, 3).astype(dtype))
        view = np.from_dlpack(x)
        assert base_of(view) == x.unsafe_buffer_pointer()
        assert view.dtype == dtype
        x.delete()
        np.testing.assert_array_equal(view, np.arange(6).reshape(2, 3).astype(dtype))
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_capsules(native, four):
    x = four()
    assert "dltensor_versioned" in repr(x.__dlpack__(max_version=(1, 0)))
    assert '"dltensor"' in repr(x.__dlpack__())
    assert '"dltensor"' in repr(x.__dlpack__(max_version=(0, 8), stream=None))
    for version in ((1, 0), None):
        y = native.from_dlpack(x.__dlpack__(max_version=version))
        assert y.unsafe_buffer_pointer() == x.unsafe_buffer_pointer()
        z = native.from_dlpack(x.__dlpack__(max_version=version, copy=True))
        assert z.unsafe_buffer_pointer() != x.unsafe_buffer_pointer()
        assert z.tolist() == [0, 1, 2, 3]
    with pytest.raises(BufferError, match="not on a device of type 2"):
        x.__dlpack__(dl_device=(2, 0))
    capsule = x.__dlpack__()
    native.from_dlpack(capsule)
    with pytest.raises(BufferError, match="not a fresh DLPack capsule"):
        native.from_dlpack(capsule)
    with pytest.raises(TypeError, match="object with __dlpack__, not int"):
        native.from_dlpack(3)


def test_dlpack_from_numpy(native, dtypes):
    for dtype in dtypes:
        if dtype.isbuiltin == 2:  # NumPy takes none of these
            continue
        values = np.arange(6).reshape(2, 3).astype(dtype)
        owner = weakref.ref(values)
        x = native.from_dlpack(values)
        assert x.unsafe_buffer_pointer() == base_of(values)
        assert (x.dtype, x.shape) == (dtype, (2, 3))
        del values
        gc.collect()
        assert owner() is not None
        assert x.size == 6
        x.delete()
        gc.collect()
        assert owner() is None


def test_dlpack_strided(native):
    values = np.arange(24, dtype=np.int16).reshape(4, 6)
    for source in (values.T, values[::2], values[:, ::3], values[::-1, ::-1], values[:, 2:3]):
        x = native.from_dlpack(source)
        np.testing.assert_array_equal(np.asarray(x), source)
    assert native.from_dlpack(np.zeros((3, 0), np.float32)).shape == (3, 0)
    assert native.from_dlpack(np.full((), 2.0)).item() == 2


def test_foreign_errors(native):
    class Broken:
        def __dlpack__(self, **keywords):
            raise ZeroDivisionError("inside")

    class Legacy:
        def __dlpack__(self, stream=None):
            return np.arange(3).__dlpack__()

    class Other:
        def __dlpack__(self, **keywords):
            return "capsule"

    with pytest.raises(ZeroDivisionError, match="inside"):
        native.from_dlpack(Broken())
    assert native.from_dlpack(Legacy()).tolist() == [0, 1, 2]
    with pytest.raises(BufferError, match="not a fresh DLPack capsule"):
        native.from_dlpack(Other())


def test_donated_memory_is_not_reused_under_a_view(native, make, four):
    """A view of a donated array keeps its values: the result gets other memory."""
    run = make("add_one", aliases=[(0, 0)])
    x = four()
    view = np.asarray(x)
    (y,) = run.execute([x], [0])
    assert x.is_deleted()
    assert view.tolist() == [0, 1, 2, 3]
    assert y.tolist() == [1, 2, 3, 4]
    raw = np.zeros(128, np.uint8)
    start = -raw.ctypes.data % 64
    foreign = raw[start : start + 16].view(np.float32)
    (y,) = run.execute([native.array_from(foreign, copy=False)], [0])
    assert y.tolist() == [1, 1, 1, 1]
    assert foreign.tolist() == [0, 0, 0, 0]


def test_dlpack_of_narrow_types(native, dtypes):
    """Of 8 bits they go through a capsule; of fewer DLPack packs several into a byte."""
    for dtype in dtypes[15:]:
        values = np.arange(6).reshape(2, 3).astype(dtype)
        x = native.array_from(values)
        if "float8" in dtype.name:
            back = native.from_dlpack(x.__dlpack__(max_version=(1, 0)))
            assert back.dtype == dtype
            assert np.asarray(back).tobytes() == values.tobytes()
            continue
        with pytest.raises(BufferError, match=f"several elements of {dtype.name} into a byte"):
            x.__dlpack__()


def test_no_elements_of_giant_shapes(native):
    """Lengths whose product is beyond any number, but for a zero among them."""
    wide = native.empty((2**40, 1, 0), "float32")
    x = native.reshape(wide, (2**40, 2**40, 0))
    assert memoryview(x).shape == (2**40, 2**40, 0)
    assert bytes(x) == b""
    assert x.__dlpack__() is not None
    assert native.reshape(x, (2**62, 0)).shape == (2**62, 0)
