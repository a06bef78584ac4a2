"""`at` of ufuncs: the dtype is that of the ufunc itself."""

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32"])
def test_integers_become_the_floats_of_the_ufunc(dtype: str, x64: bool) -> None:
    with cv.enable_x64(x64):
        x = cnp.arange(4).astype(dtype)
        for ufunc in (cnp.logaddexp, cnp.hypot, cnp.arctan2):
            for b in (2, 2.0, np.int16(2)):
                assert ufunc.at(x, 1, b, inplace=False).dtype == ufunc(x, b).dtype
