"""NumPy's functions on Covector's arrays: names and meanings are those of `jax.numpy`."""

import typing as _typing

import numpy as _np

from covector._engine import _native
from covector._engine.base.locks import import_late as _import_late
from covector._engine.base.public import publish as _publish
from covector.numpy import interop as _interop, methods as methods
from covector.numpy.creation import *
from covector.numpy.dtype import *
from covector.numpy.einsum import *
from covector.numpy.elementwise import *
from covector.numpy.join import *
from covector.numpy.linear import *
from covector.numpy.matrices import *
from covector.numpy.ordering import *
from covector.numpy.reduce import *
from covector.numpy.selection import *
from covector.numpy.shape import *
from covector.numpy.sorting import *
from covector.numpy.statistics import *
from covector.numpy.take import *
from covector.numpy.ufunc_type import frompyfunc as frompyfunc, ufunc as ufunc

if _typing.TYPE_CHECKING:
    from covector.numpy import fft as fft, linalg as linalg
    from covector.numpy.edits import *
    from covector.numpy.estimates import *
    from covector.numpy.files import *
    from covector.numpy.fits import *
    from covector.numpy.grids import *
    from covector.numpy.histograms import *
    from covector.numpy.integers import *
    from covector.numpy.padding import *
    from covector.numpy.polynomials import *
    from covector.numpy.printing import *
    from covector.numpy.quantiles import *
    from covector.numpy.ranges import *
    from covector.numpy.sets import *
    from covector.numpy.signals import *
    from covector.numpy.vectorized import *
    from covector.numpy.windows import *
    from covector.numpy.without_nan import *

ndarray = _native.Array
e, pi, euler_gamma = _np.e, _np.pi, _np.euler_gamma
inf, nan, newaxis = _np.inf, _np.nan, None
ComplexWarning = _np.exceptions.ComplexWarning

# Loaded when one of their names is first used, which keeps `import covector` short.
_LATER = {
    "edits": "choose compress delete extract fill_diagonal insert place put put_along_axis trim_zeros",
    "estimates": "corrcoef cov gradient interp unwrap",
    "files": "fromfile fromiter fromstring load save savez",
    "fits": "poly polyfit roots",
    "grids": "block c_ diag_indices diag_indices_from geomspace index_exp ix_ mask_indices mgrid ogrid r_ "
    "ravel_multi_index s_ tril_indices_from triu_indices_from unravel_index",
    "histograms": "bincount digitize histogram histogram2d histogram_bin_edges histogramdd",
    "integers": "frexp gcd lcm packbits unpackbits",
    "padding": "pad",
    "polynomials": "polyadd polyder polydiv polyint polymul polysub polyval",
    "printing": "array_repr array_str get_printoptions printoptions set_printoptions",
    "quantiles": "minmax nanmedian nanpercentile nanquantile percentile quantile sort_complex",
    "ranges": "arange fromfunction indices linspace logspace meshgrid",
    "sets": "intersect1d isin setdiff1d setxor1d union1d unique unique_all unique_counts unique_inverse unique_values",
    "signals": "convolve correlate",
    "vectorized": "apply_along_axis apply_over_axes iterable piecewise vectorize",
    "windows": "bartlett blackman hamming hanning kaiser",
    "without_nan": "nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmin nanprod nanstd nansum nanvar",
}
_HOMES = {name: module for module, names in _LATER.items() for name in names.split()}


def _load(name: str) -> _typing.Any:
    found = _import_late(f"covector.numpy.{_HOMES.get(name, name)}")
    return getattr(found, name) if name in _HOMES else found


def __array_namespace_info__() -> _typing.Any:
    """What the Python Array API standard asks of a namespace: capabilities, dtypes, devices.

    >>> from covector import numpy as cnp
    >>> cnp.__array_namespace_info__().capabilities()["boolean indexing"]
    True
    """
    return _load("namespace").NamespaceInfo()


__array_api_version__ = "2025.12"

_publish(__name__, arrays=(__name__,), later=("fft", "linalg", *_HOMES), load=_load)
_interop.offer(globals(), _HOMES, _load)
