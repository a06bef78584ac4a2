"""Matrices and arrays of which most elements are zero, by coordinates: names are those of `jax.experimental.sparse`.

Of JAX's classes there is `BCOO` without batch and dense axes, and the functions that make it and undo it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector import numpy as cnp
from covector._engine.base import errors
from covector._engine.base.public import bounded, publish
from covector._engine.types import dtypes
from covector.tree_util import register_pytree_node_class

__all__ = ["BCOO", "bcoo_fromdense", "bcoo_todense", "empty", "eye", "todense"]


@bounded
@register_pytree_node_class
class BCOO:
    """An array by its elements that are not zero: `data`, of shape (nse,), and their `indices`, of shape (nse, ndim).

    Elements that are there twice are added; those whose index lies outside do not count, so that `nse` can be more
    than there are.  It is a pytree of the two, so that `jit`, `vmap` and derivatives take it.  Products with dense
    arrays (`@`), `+`, `-`, `*`, `/`, `T`, `sum`, `reshape` and indexing by integers are there.

    ValueError if data and indices do not fit.

    >>> from covector import numpy as np
    >>> from covector.experimental import sparse
    >>> a = sparse.BCOO.fromdense(np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]))
    >>> a, print(a @ np.ones(3))
    [3. 3.]
    (BCOO(float32[2, 3], nse=3), None)
    """

    def __init__(
        self,
        args: tuple[Any, Any],
        *,
        shape: Sequence[int],
        indices_sorted: bool = False,
        unique_indices: bool = False,
    ):
        data, indices = map(cnp.asarray, args)
        self.shape = tuple(map(operator.index, shape))
        if data.ndim != 1 or indices.shape != (len(data), len(self.shape)):
            raise ValueError(
                f"BCOO of shape {self.shape}: data must have shape (nse,) and indices (nse, {len(self.shape)})"
                f"{errors.at_user_line()}, got {data.shape} and {indices.shape}; batch and dense axes are not there"
            )
        self.data, self.indices = data, indices
        self.indices_sorted, self.unique_indices = indices_sorted, unique_indices

    n_batch = n_dense = 0
    __array_ufunc__ = None  # NumPy's arrays leave operators to it

    @property
    def nse(self) -> int:
        """How many elements are given.

        >>> from covector.experimental import sparse
        >>> sparse.eye(3).nse
        3
        """
        return len(self.data)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the elements.

        >>> from covector.experimental import sparse
        >>> sparse.eye(3).dtype
        dtype('float32')
        """
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes.

        >>> from covector.experimental import sparse
        >>> sparse.eye(3).ndim
        2
        """
        return len(self.shape)

    n_sparse = ndim

    @property
    def size(self) -> int:
        """The number of elements, zeros too.

        >>> from covector.experimental import sparse
        >>> sparse.eye(3).size
        9
        """
        return int(np.prod(self.shape))

    @property
    def T(self) -> BCOO:
        """With the axes the other way round.

        >>> from covector.experimental import sparse
        >>> sparse.empty((2, 3)).T.shape
        (3, 2)
        """
        return self.transpose()

    def tree_flatten(self) -> tuple[tuple[Any, Any], Any]:
        """For pytrees: data and indices, and the rest.

        >>> from covector.experimental import sparse
        >>> sparse.eye(2).tree_flatten()[0][0]
        Array([1., 1.], dtype=float32)
        """
        return (self.data, self.indices), (self.shape, self.indices_sorted, self.unique_indices)

    @classmethod
    def tree_unflatten(cls, static: Any, children: Any) -> BCOO:
        """For pytrees: undoes `tree_flatten`.

        >>> from covector.experimental import sparse
        >>> a = sparse.eye(2)
        >>> sparse.BCOO.tree_unflatten(*reversed(a.tree_flatten())).nse
        2
        """
        made = object.__new__(cls)
        made.data, made.indices = children
        made.shape, made.indices_sorted, made.unique_indices = static
        return made

    @classmethod
    def fromdense(cls, mat: Any, *, nse: int | None = None, index_dtype: Any = np.int32) -> BCOO:
        """The elements of an array that are not zero; `nse` says how many, which is needed where it is traced.

        >>> from covector import numpy as np
        >>> from covector.experimental import sparse
        >>> sparse.BCOO.fromdense(np.eye(2), nse=3)
        BCOO(float32[2, 2], nse=3)
        """
        return bcoo_fromdense(mat, nse=nse, index_dtype=index_dtype)

    @classmethod
    def from_scipy_sparse(cls, mat: Any, *, index_dtype: Any = np.int32) -> BCOO:
        """The elements of a sparse matrix of SciPy's.

        >>> import scipy.sparse
        >>> from covector.experimental import sparse
        >>> sparse.BCOO.from_scipy_sparse(scipy.sparse.eye(2, format="csr")).nse
        2
        """
        rows = mat.tocoo()
        indices = np.stack([rows.row, rows.col], axis=-1).astype(index_dtype)
        return cls((rows.data, indices), shape=mat.shape)

    def todense(self) -> Any:
        """The array.

        >>> from covector.experimental import sparse
        >>> print(sparse.eye(2).todense())
        [[1. 0.]
         [0. 1.]]
        """
        out = cnp.zeros(self.shape, self.dtype)
        where = tuple([self.indices[:, i] for i in range(self.ndim)])
        return out.at[where].add(self.data, mode="drop") if self.ndim else out + self.data.sum()

    def block_until_ready(self) -> BCOO:
        """Wait until the elements are computed.

        >>> from covector.experimental import sparse
        >>> sparse.eye(2).block_until_ready().nse
        2
        """
        self.data.block_until_ready()
        return self

    def astype(self, dtype: Any) -> BCOO:
        """With elements of another dtype.

        >>> from covector.experimental import sparse
        >>> sparse.eye(2).astype(int).dtype
        dtype('int32')
        """
        return self._with(self.data.astype(dtype))

    def transpose(self, axes: Sequence[int] | None = None) -> BCOO:
        """With the axes in this order, or the other way round.

        >>> from covector.experimental import sparse
        >>> sparse.empty((2, 3, 4)).transpose((1, 0, 2)).shape
        (3, 2, 4)
        """
        order = list(range(self.ndim))[::-1] if axes is None else [i % self.ndim for i in axes]
        if sorted(order) != list(range(self.ndim)):
            raise ValueError(
                f"BCOO.transpose: axes must be those of {self.ndim}, each once, got {axes}{errors.at_user_line()}"
            )
        shape = [self.shape[i] for i in order]
        return BCOO(
            (self.data, self.indices[:, np.array(order, int)]),
            shape=shape,
            unique_indices=self.unique_indices,
        )

    def reshape(self, *shape: Any) -> BCOO:
        """In another shape of as many elements.

        >>> from covector.experimental import sparse
        >>> sparse.empty((2, 3)).reshape(3, 2).shape
        (3, 2)
        """
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        sizes = np.broadcast_to(np.int8(0), self.shape).reshape(sizes).shape
        flat = cnp.zeros(self.nse, self.indices.dtype)
        for i, n in enumerate(self.shape):
            flat = flat * n + self.indices[:, i]
        columns: list[Any] = []
        for n in reversed(sizes):
            columns.insert(0, flat % max(n, 1))
            flat = flat // max(n, 1)
        valid = self._valid()
        stacked = [cnp.where(valid, c, n) for c, n in zip(columns, sizes, strict=True)]
        indices = cnp.stack(stacked, -1) if stacked else cnp.zeros((self.nse, 0), flat.dtype)
        return BCOO((self.data, indices), shape=sizes, unique_indices=self.unique_indices)

    def sum(self, axis: int | Sequence[int] | None = None) -> Any:
        """The sum of the elements, or sums along axes, which are sparse again.

        >>> from covector.experimental import sparse
        >>> print(sparse.eye(3).sum(), sparse.eye(3).sum(0).todense())
        3.0 [1. 1. 1.]
        """
        data = cnp.where(self._valid(), self.data, 0)
        if axis is None:
            return data.sum()
        gone = {i % self.ndim for i in ((axis,) if isinstance(axis, int) else axis)}
        kept = [i for i in range(self.ndim) if i not in gone]
        return BCOO(
            (data, self.indices[:, np.array(kept, int)]), shape=[self.shape[i] for i in kept]
        )

    def sort_indices(self) -> BCOO:
        """With the elements in the order of their indices.

        >>> from covector.experimental import sparse
        >>> sparse.eye(2).T.sort_indices().indices_sorted
        True
        """
        order = cnp.lexsort([self.indices[:, i] for i in reversed(range(self.ndim))])
        return BCOO(
            (self.data[order], self.indices[order]),
            shape=self.shape,
            indices_sorted=True,
            unique_indices=self.unique_indices,
        )

    def sum_duplicates(self, nse: int | None = None, remove_zeros: bool = True) -> BCOO:
        """With each index once; `nse` says how many there are, which is needed where it is traced.

        >>> from covector.experimental import sparse
        >>> (sparse.eye(2) + sparse.eye(2)).sum_duplicates().data
        Array([2., 2.], dtype=float32)
        """
        if self.unique_indices:
            return self
        found, place = cnp.unique(
            cnp.where(self._valid()[:, None], self.indices, cnp.array(self.shape)),
            axis=0,
            return_inverse=True,
            size=nse,
            fill_value=cnp.array(self.shape, self.indices.dtype),
        )
        data = cnp.zeros(len(found), self.dtype).at[place.reshape(-1)].add(self.data, mode="drop")
        made = BCOO((data, found), shape=self.shape, indices_sorted=True, unique_indices=True)
        if nse is None and remove_zeros:
            keep = np.asarray(made._valid() & (made.data != 0))
            return BCOO(
                (made.data[keep], made.indices[keep]),
                shape=self.shape,
                indices_sorted=True,
                unique_indices=True,
            )
        return made

    def __repr__(self) -> str:
        return f"BCOO({self.dtype.name}{list(self.shape)}, nse={self.nse})"

    def __len__(self) -> int:
        return self.shape[0]

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, BCOO):
            other = other.todense()
            return bcoo_fromdense(self @ other, nse=self.shape[0] * other.shape[-1])
        other = cnp.asarray(other)
        if self.ndim != 2 or not other.ndim or other.shape[max(other.ndim - 2, 0)] != self.shape[1]:
            raise TypeError(
                f"BCOO @: the product of shapes {self.shape} and {other.shape} is not defined{errors.at_user_line()}"
            )
        rows, columns = self.indices[:, 0], self.indices[:, 1]
        by_rows = cnp.moveaxis(other, -2, 0) if other.ndim > 1 else other
        taken = by_rows.at[columns].get(mode="fill", fill_value=0)
        factors = self.data.reshape((-1,) + (1,) * (taken.ndim - 1))
        terms = factors * taken
        out = cnp.zeros((self.shape[0], *terms.shape[1:]), terms.dtype)
        out = out.at[rows].add(terms, mode="drop")
        return cnp.moveaxis(out, 0, -2) if other.ndim > 1 else out

    def __rmatmul__(self, other: Any) -> Any:
        other = cnp.asarray(other)
        if other.ndim < 2:
            return self.T @ other
        return cnp.swapaxes(self.T @ cnp.swapaxes(other, -1, -2), -1, -2)

    def __neg__(self) -> BCOO:
        return self._with(-self.data)

    def __abs__(self) -> BCOO:
        return self.sum_duplicates(self.nse)._with(abs(self.sum_duplicates(self.nse).data))

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, BCOO):
            return self.todense() + other
        if self.shape != other.shape:
            raise ValueError(
                f"BCOO +: shapes {self.shape} and {other.shape} differ{errors.at_user_line()}"
            )
        data = cnp.concatenate([self.data, other.data])
        return BCOO((data, cnp.concatenate([self.indices, other.indices])), shape=self.shape)

    def __radd__(self, other: Any) -> Any:
        return other + self.todense()

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> BCOO:
        if isinstance(other, BCOO):
            other = other.todense()
        other = cnp.asarray(other)
        if other.ndim == 0:
            return self._with(self.data * other)
        wide = cnp.broadcast_to(other, self.shape)
        where = tuple([self.indices[:, i] for i in range(self.ndim)])
        return self._with(self.data * wide.at[where].get(mode="fill", fill_value=0))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> BCOO:
        return self * (1 / cnp.asarray(other))

    def __getitem__(self, index: Any) -> BCOO:
        where = index if isinstance(index, tuple) else (index,)
        if len(where) > self.ndim or not all(isinstance(i, int | np.integer) for i in where):
            raise TypeError(
                f"BCOO: an index is made of at most {self.ndim} integers, got {index!r}{errors.at_user_line()}"
            )
        if any(not -n <= i < n for i, n in zip(where, self.shape, strict=False)):
            raise IndexError(
                f"BCOO: {index!r} lies outside of shape {self.shape}{errors.at_user_line()}"
            )
        wanted = cnp.array([int(i) % n for i, n in zip(where, self.shape, strict=False)])
        hit = (self.indices[:, : len(where)] == wanted).all(1)
        return BCOO(
            (cnp.where(hit, self.data, 0), self.indices[:, len(where) :]),
            shape=self.shape[len(where) :],
        )

    def _with(self, data: Any) -> BCOO:
        return BCOO(
            (data, self.indices),
            shape=self.shape,
            indices_sorted=self.indices_sorted,
            unique_indices=self.unique_indices,
        )

    def _valid(self) -> Any:
        """Which elements lie inside."""
        return (self.indices < cnp.array(self.shape, self.indices.dtype)).all(1)


def _one_form(name: str, sparse_format: str = "bcoo", n_batch: int = 0, n_dense: int = 0) -> None:
    """ValueError for what `BCOO`, with an index of each element, has not."""
    if (sparse_format, n_batch, n_dense) != ("bcoo", 0, 0):
        raise ValueError(
            f"{name} of sparse_format={sparse_format!r}, n_batch={n_batch}, n_dense={n_dense}{errors.at_user_line()}: "
            "sparse arrays have one form, 'bcoo', and an index for each element"
        )


def bcoo_fromdense(
    mat: Any,
    *,
    nse: int | None = None,
    n_batch: int = 0,
    n_dense: int = 0,
    index_dtype: Any = np.int32,
) -> BCOO:
    """The elements of an array that are not zero; `nse` says how many, which is needed where it is traced.

    ValueError unless `n_batch` and `n_dense` are 0: each element has an index.

    >>> from covector import numpy as np
    >>> from covector.experimental import sparse
    >>> sparse.bcoo_fromdense(np.array([0, 4, 5])).data
    Array([4, 5], dtype=int32)
    """
    _one_form("bcoo_fromdense", "bcoo", n_batch, n_dense)
    mat = cnp.asarray(mat)
    if mat.ndim:
        found = cnp.nonzero(mat, size=nse, fill_value=mat.shape)
        indices = cnp.stack(found, -1)
        data = mat.at[found].get(mode="fill", fill_value=0)
    else:
        data = mat[None]
        indices = cnp.zeros((1, 0), int)
    return BCOO(
        (data, indices.astype(dtypes.as_dtype(index_dtype))),
        shape=mat.shape,
        indices_sorted=True,
        unique_indices=True,
    )


def bcoo_todense(mat: BCOO) -> Any:
    """The array.

    >>> from covector.experimental import sparse
    >>> print(sparse.bcoo_todense(sparse.eye(1)))
    [[1.]]
    """
    return mat.todense()


def todense(arr: Any) -> Any:
    """The array; one that is dense as it is.

    >>> from covector.experimental import sparse
    >>> print(sparse.todense(sparse.eye(1)), sparse.todense(1.0))
    [[1.]] 1.0
    """
    return arr.todense() if isinstance(arr, BCOO) else arr


def empty(
    shape: Sequence[int],
    dtype: Any = None,
    index_dtype: Any = np.int32,
    sparse_format: str = "bcoo",
    **kwds: int,
) -> BCOO:
    """Without an element that is not zero, or with `nse` places for some.

    ValueError for another format, and other numbers of axes with an index (`n_batch`, `n_dense`) than all.

    >>> from covector.experimental import sparse
    >>> sparse.empty((2, 3))
    BCOO(float32[2, 3], nse=0)
    """
    nse = kwds.pop("nse", 0)
    _one_form("empty", sparse_format, **kwds)
    data = cnp.zeros(nse, dtype)
    indices = cnp.zeros((nse, len(shape)), index_dtype) + np.array(shape, np.int32)
    return BCOO((data, indices), shape=shape, indices_sorted=True, unique_indices=not nse)


def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = None,
    index_dtype: Any = np.int32,
    sparse_format: str = "bcoo",
    **kwds: int,
) -> BCOO:
    """Ones on a diagonal.

    ValueError for another format, and other numbers of axes with an index (`n_batch`, `n_dense`) than all.

    >>> from covector.experimental import sparse
    >>> sparse.eye(3)
    BCOO(float32[3, 3], nse=3)
    """
    _one_form("eye", sparse_format, **kwds)
    columns = N if M is None else M
    count = max(0, min(N, columns - k) if k >= 0 else min(N + k, columns))
    rows = cnp.arange(count, dtype=index_dtype) + max(-k, 0)
    indices = cnp.stack([rows, rows + k], -1)
    return BCOO(
        (cnp.ones(count, dtype), indices),
        shape=(N, columns),
        indices_sorted=True,
        unique_indices=True,
    )


publish(__name__)
