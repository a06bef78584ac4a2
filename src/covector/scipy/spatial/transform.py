"""Rotations of space by unit quaternions: names and meanings are those of `jax.scipy.spatial.transform`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from covector._engine.base import errors
from covector._engine.base.public import publish
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import array, ones, zeros
from covector.numpy.join import concatenate, stack
from covector.numpy.linalg import cross, eigh
from covector.numpy.linear import matmul
from covector.numpy.operands import together
from covector.numpy.ordering import diff, searchsorted
from covector.numpy.promotion import broadcast_shapes, integer_of, spread
from covector.numpy.selection import clip, where
from covector.numpy.shape import expand_dims, reshape
from covector.numpy.take import take_along_axis
from covector.random.samplers import normal

__all__ = ["Rotation", "Slerp"]


def _floats(name: str, x: Any, size: int) -> Any:
    """An array of floats (..., size); ValueError if its last axis is another one."""
    (x,) = together(name, "inexact", array(x))
    if x.ndim == 0 or x.shape[-1] != size:
        raise ValueError(
            f"{name} takes an array (..., {size}), got the shape {x.shape}{errors.at_user_line()}"
        )
    return x


def _length(x: Any) -> Any:
    """Of vectors (..., n), as (..., 1); its derivative at 0 is 0."""
    total = reduce.sum(el.square(x), axis=-1, keepdims=True)
    positive = el.greater(total, 0)
    return where(positive, el.sqrt(where(positive, total, 1)), 0)


def _unit(x: Any) -> Any:
    return el.divide(x, _length(x))


def _product(p: Any, q: Any) -> Any:
    """Hamilton's product of quaternions (..., 4), whose last number is the real one."""
    pv, pw, qv, qw = p[..., :3], p[..., 3:], q[..., :3], q[..., 3:]
    vector = el.add(el.multiply(pw, qv), el.multiply(qw, pv))
    shape = broadcast_shapes(pv.shape, qv.shape)
    vector = el.add(vector, cross(spread(pv, shape), spread(qv, shape)))
    scalar = el.subtract(
        el.multiply(pw, qw), reduce.sum(el.multiply(pv, qv), axis=-1, keepdims=True)
    )
    return concatenate([vector, scalar], -1)


def _conjugate(q: Any) -> Any:
    return el.multiply(q, array([-1, -1, -1, 1]))


class Rotation(NamedTuple):
    """A rotation of space, or an array of them: quaternions (..., 4) of length 1, whose last number is the real one.

    A pytree; everything is differentiable, and goes over leading axes.  `p * q` is q first, then p.

    >>> import covector.numpy as np
    >>> from covector.scipy.spatial.transform import Rotation
    >>> turn = Rotation.from_euler("z", 90, degrees=True)
    >>> turn.apply(np.array([1.0, 0.0, 0.0])).round(3)
    Array([0., 1., 0.], dtype=float32)
    """

    quat: Any

    @classmethod
    def from_quat(cls, quat: Any) -> Rotation:
        """The rotation of a quaternion (..., 4), of any length but 0.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_quat([0.0, 0.0, 0.0, 2.0]).quat.tolist()
        [0.0, 0.0, 0.0, 1.0]
        """
        return cls(_unit(_floats("Rotation.from_quat", quat, 4)))

    @classmethod
    def from_matrix(cls, matrix: Any) -> Rotation:
        """The rotation of an orthogonal matrix (..., 3, 3) of determinant 1.

        By that of four formulas whose divisor is largest (S. W. Shepperd, "Quaternion from rotation matrix", 1978).

        >>> import covector.numpy as np
        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_matrix(np.eye(3)).quat.tolist()
        [0.0, 0.0, 0.0, 1.0]
        """
        m = _floats("Rotation.from_matrix", matrix, 3)
        if m.ndim < 2 or m.shape[-2] != 3:
            raise ValueError(
                f"Rotation.from_matrix takes matrices (..., 3, 3), got the shape {m.shape}{errors.at_user_line()}"
            )
        diagonal = [m[..., i, i] for i in range(3)]
        trace = el.add(el.add(diagonal[0], diagonal[1]), diagonal[2])
        rows: list[Any] = []
        for i in range(3):  # the square of the i-th number, times 4, is the divisor
            j, k = (i + 1) % 3, (i + 2) % 3
            row: list[Any] = [None] * 4
            row[i] = el.add(el.subtract(1, trace), el.multiply(diagonal[i], 2))
            row[j] = el.add(m[..., j, i], m[..., i, j])
            row[k] = el.add(m[..., k, i], m[..., i, k])
            row[3] = el.subtract(m[..., k, j], m[..., j, k])
            rows.append(stack(row, -1))
        rows.append(stack([*[row[..., 3] for row in rows], el.add(trace, 1)], -1))
        largest = reduce.argmax(stack([*diagonal, trace], -1), axis=-1)
        at = expand_dims(largest, (-1, -2))
        return cls(_unit(take_along_axis(stack(rows, -2), at, -2)[..., 0, :]))

    @classmethod
    def from_rotvec(cls, rotvec: Any, degrees: bool = False) -> Rotation:
        """The rotation about a vector (..., 3) by an angle that is its length, in radians or degrees.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_rotvec([0.0, 0.0, 180.0], degrees=True).quat.round(3).tolist()
        [0.0, 0.0, 1.0, -0.0]
        """
        v = _floats("Rotation.from_rotvec", rotvec, 3)
        v = el.deg2rad(v) if degrees else v
        angle = _length(v)
        small = el.less(angle, 1e-3)
        square = el.square(angle)
        # sin(a/2) / a by its series where it loses digits
        series = el.add(
            0.5, el.multiply(square, el.subtract(el.multiply(square, 1 / 3840), 1 / 48))
        )
        usual = el.divide(el.sin(el.multiply(angle, 0.5)), where(small, 1, angle))
        scale = where(small, series, usual)
        return cls(concatenate([el.multiply(v, scale), el.cos(el.multiply(angle, 0.5))], -1))

    @classmethod
    def from_mrp(cls, mrp: Any) -> Rotation:
        """The rotation of modified Rodrigues parameters (..., 3): the axis times tan(angle / 4).

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_mrp([0.0, 0.0, 0.0]).quat.tolist()
        [0.0, 0.0, 0.0, 1.0]
        """
        m = _floats("Rotation.from_mrp", mrp, 3)
        square = reduce.sum(el.square(m), axis=-1, keepdims=True)
        scale = el.add(square, 1)
        parts = [el.multiply(m, 2), el.subtract(1, square)]
        return cls(concatenate([el.divide(p, scale) for p in parts], -1))

    @classmethod
    def from_euler(cls, seq: str, angles: Any, degrees: bool = False) -> Rotation:
        """Up to three rotations about axes, one after the other: about fixed ones ('xyz') or about turned ones ('XYZ').

        `angles` are (..., n) for n axes; of one axis they may be (...).  ValueError for other sequences and shapes.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_euler("zx", [90, 90], degrees=True).quat.round(3).tolist()
        [0.5, -0.5, 0.5, 0.5]
        """
        axes, turned = _axes("Rotation.from_euler", seq, (1, 2, 3))
        (x,) = together("Rotation.from_euler", "inexact", array(angles))
        if len(axes) == 1 and (x.ndim == 0 or x.shape[-1] != 1):
            x = expand_dims(x, -1)
        x = _floats("Rotation.from_euler", el.deg2rad(x) if degrees else x, len(axes))
        found: Any = None
        for i, axis in enumerate(axes):
            half = el.multiply(x[..., i], 0.5)
            parts = [zeros(half.shape, half.dtype)] * 4
            parts[axis], parts[3] = el.sin(half), el.cos(half)
            one = stack(parts, -1)
            found = one if found is None else _product(*((found, one) if turned else (one, found)))
        return cls(found)

    @classmethod
    def identity(cls, num: int | None = None, dtype: Any = float) -> Rotation:
        """The rotation by nothing, or `num` of them.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.identity(2).quat.shape
        (2, 4)
        """
        front = () if num is None else (integer_of(num, "num of Rotation.identity"),)
        return cls(concatenate([zeros((*front, 3), dtype), ones((*front, 1), dtype)], -1))

    @classmethod
    def random(cls, random_key: Any, num: int | None = None) -> Rotation:
        """A random rotation, or `num` of them, all equally likely.

        >>> from covector import random
        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.random(random.key(0), 3).quat.shape
        (3, 4)
        """
        front = () if num is None else (integer_of(num, "num of Rotation.random"),)
        return cls(_unit(normal(random_key, (*front, 4))))

    @classmethod
    def concatenate(cls, rotations: Sequence[Rotation]) -> Rotation:
        """All of these, one after the other along one axis.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> len(Rotation.concatenate([Rotation.identity(2), Rotation.identity()]))
        3
        """
        return cls(concatenate([reshape(r.quat, (-1, 4)) for r in rotations]))

    @property
    def single(self) -> bool:
        """Whether it is one rotation.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.identity().single
        True
        """
        return self.quat.ndim == 1

    def __len__(self) -> int:
        if self.single:
            raise TypeError(f"one rotation has no length{errors.at_user_line()}")
        return self.quat.shape[0]

    def __getitem__(self, indexer: Any) -> Rotation:  # type: ignore[override]
        if self.single:
            raise TypeError(f"one rotation has no elements{errors.at_user_line()}")
        return Rotation(self.quat[indexer])

    def __mul__(self, other: Any) -> Rotation:  # type: ignore[override]
        return Rotation(_product(self.quat, other.quat))

    def apply(self, vectors: Any, inverse: bool = False) -> Any:
        """The vectors (..., 3) rotated, or rotated back.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_euler("x", 180, degrees=True).apply([0.0, 1.0, 0.0]).round(3).tolist()
        [0.0, -1.0, -0.0]
        """
        v = _floats("Rotation.apply", vectors, 3)
        matrix = (self.inv() if inverse else self).as_matrix()
        return matmul(matrix, expand_dims(v, -1))[..., 0]

    def inv(self) -> Rotation:
        """The rotation back.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_quat([0.0, 0.0, 1.0, 0.0]).inv().quat.tolist()
        [-0.0, -0.0, -1.0, 0.0]
        """
        return Rotation(_conjugate(self.quat))

    def magnitude(self) -> Any:
        """The angles, in radians, from 0 to π.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> round(Rotation.from_euler("y", -90, degrees=True).magnitude().item(), 4)
        1.5708
        """
        q = self.quat
        return el.multiply(el.arctan2(_length(q[..., :3])[..., 0], el.abs(q[..., 3])), 2)

    def mean(self, weights: Any = None) -> Rotation:
        """The rotation with the least sum of squares of distances, as chords, to these.

        The eigenvector of Σ w q qᵀ (F. L. Markley et al., "Averaging quaternions", 2007).

        >>> from covector.scipy.spatial.transform import Rotation
        >>> turns = Rotation.from_euler("x", [10, 30], degrees=True)
        >>> turns.mean().as_euler("xyz", degrees=True).round(2).tolist()
        [20.0, -0.0, 0.0]
        """
        rows = reshape(self.quat, (-1, 4))
        weighted = rows if weights is None else el.multiply(rows, reshape(array(weights), (-1, 1)))
        _, vectors = eigh(matmul(weighted.T, rows))
        return Rotation(vectors[:, -1])

    def as_quat(self, canonical: bool = False, scalar_first: bool = False) -> Any:
        """The quaternions (..., 4); `canonical` ones, of the two, have a real number that is not negative.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.identity().as_quat(scalar_first=True).tolist()
        [1.0, 0.0, 0.0, 0.0]
        """
        q = self.quat
        if canonical:
            # By the real number, or if that is 0, the first of the others that is not.
            negative: Any = False
            for i in (2, 1, 0, 3):
                negative = where(el.equal(q[..., i], 0), negative, el.less(q[..., i], 0))
            q = where(expand_dims(negative, -1), el.negative(q), q)
        return concatenate([q[..., 3:], q[..., :3]], -1) if scalar_first else q

    def as_matrix(self) -> Any:
        """The matrices (..., 3, 3).

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_quat([0.0, 0.0, 1.0, 0.0]).as_matrix().tolist()
        [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        x, y, z, w = (self.quat[..., i] for i in range(4))

        def twice(a: Any, b: Any, c: Any, d: Any, sign: int) -> Any:
            return el.multiply(el.add(el.multiply(a, b), el.multiply(el.multiply(c, d), sign)), 2)

        rows = [
            [el.subtract(1, twice(y, y, z, z, 1)), twice(x, y, z, w, -1), twice(x, z, y, w, 1)],
            [twice(x, y, z, w, 1), el.subtract(1, twice(x, x, z, z, 1)), twice(y, z, x, w, -1)],
            [twice(x, z, y, w, -1), twice(y, z, x, w, 1), el.subtract(1, twice(x, x, y, y, 1))],
        ]
        return stack([stack(row, -1) for row in rows], -2)

    def as_rotvec(self, degrees: bool = False) -> Any:
        """The axes times the angles, (..., 3), which are at most π, in radians or degrees.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_quat([0.0, 0.0, 1.0, 0.0]).as_rotvec(degrees=True).round(2).tolist()
        [0.0, 0.0, 180.0]
        """
        q = self.as_quat(canonical=True)
        v, w = q[..., :3], q[..., 3:]
        size = _length(v)
        small = el.less(size, 1e-4)
        usual = el.divide(el.multiply(el.arctan2(size, w), 2), where(small, 1, size))
        series = el.divide(el.subtract(2, el.multiply(el.square(size), 2 / 3)), where(small, w, 1))
        found = el.multiply(v, where(small, series, usual))
        return el.rad2deg(found) if degrees else found

    def as_mrp(self) -> Any:
        """The modified Rodrigues parameters (..., 3), of length 1 at most.

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.identity().as_mrp().tolist()
        [0.0, 0.0, 0.0]
        """
        q = self.as_quat(canonical=True)
        return el.divide(q[..., :3], el.add(q[..., 3:], 1))

    def as_euler(self, seq: str, degrees: bool = False) -> Any:
        """The angles (..., 3) about three axes, of which neighbours differ; as `from_euler` takes them.

        Where the first and the third axis fall together, one of their angles is 0.  (E. Bernardes and S. Viollet,
        "Quaternion to Euler angles conversion: a direct, general and computationally efficient method", 2022)

        >>> from covector.scipy.spatial.transform import Rotation
        >>> Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_euler("xyz", degrees=True).round(2).tolist()
        [10.0, 20.0, 30.0]
        """
        axes, turned = _axes("Rotation.as_euler", seq, (3,))
        i, j, k = reversed(axes) if turned else axes
        proper = i == k
        k = 3 - i - j if proper else k
        sign = (i - j) * (j - k) * (k - i) // 2
        q = [self.quat[..., n] for n in range(4)]
        a, b, c, d = q[3], q[i], q[j], el.multiply(q[k], sign)
        if not proper:
            a, b, c, d = el.subtract(a, c), el.add(b, d), el.add(c, a), el.subtract(d, b)
        middle = el.multiply(el.arctan2(el.hypot(c, d), el.hypot(a, b)), 2)
        plus, minus = el.arctan2(b, a), el.arctan2(d, c)
        near = 1e-7
        together_, apart = el.less(middle, near), el.less(el.subtract(math.pi, middle), near)
        first, third = el.subtract(plus, minus), el.add(plus, minus)
        # The angle of the last rotation is 0 there, and the other one has all of it.
        all_of_it = where(together_, el.multiply(plus, 2), el.multiply(minus, 2 if turned else -2))
        lost = el.logical_or(together_, apart)
        kept, dropped = (third, first) if turned else (first, third)
        kept, dropped = where(lost, all_of_it, kept), where(lost, 0, dropped)
        first, third = (dropped, kept) if turned else (kept, dropped)
        if not proper:
            third = el.multiply(third, sign)
            middle = el.subtract(middle, math.pi / 2)
        angles = [_within(first), middle, _within(third)]
        found = stack(angles[::-1] if turned else angles, -1)
        return el.rad2deg(found) if degrees else found


def _within(angle: Any) -> Any:
    """The angle between -π and π, of one that is no further than 2 π."""
    angle = where(el.less(angle, -math.pi), el.add(angle, 2 * math.pi), angle)
    return where(el.greater(angle, math.pi), el.subtract(angle, 2 * math.pi), angle)


def _axes(name: str, seq: str, lengths: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """The axes of a sequence, and whether they turn; ValueError for another sequence."""
    turned = seq.isupper()
    axes = tuple("xyz".find(c) for c in (seq.lower() if turned else seq))
    same = any(a == b for a, b in pairwise(axes))
    if len(axes) not in lengths or -1 in axes or same:
        raise ValueError(
            f"{name}: the sequence is {seq!r}{errors.at_user_line()}; it is of x, y and z, or of X, Y and Z, none "
            f"twice in a row, and has {' or '.join(map(str, lengths))} of them"
        )
    return axes, turned


class Slerp(NamedTuple):
    """Rotations between rotations, at a constant angular velocity from one to the next; `Slerp.init` makes one.

    (K. Shoemake, "Animating rotation with quaternion curves", 1985)

    >>> import covector.numpy as np
    >>> from covector.scipy.spatial.transform import Rotation, Slerp
    >>> turn = Slerp.init(np.array([0.0, 1.0]), Rotation.from_euler("x", [0, 90], degrees=True))
    >>> turn(np.array([0.5])).as_euler("xyz", degrees=True).round(1).tolist()
    [[45.0, -0.0, 0.0]]
    """

    times: Any
    timedelta: Any
    rotations: Rotation
    rotvecs: Any

    @classmethod
    def init(cls, times: Any, rotations: Rotation) -> Slerp:
        """At these times (n,), which increase, the rotations are these (n of them).

        ValueError unless there are two or more, and as many times.

        >>> import covector.numpy as np
        >>> from covector.scipy.spatial.transform import Rotation, Slerp
        >>> Slerp.init(np.array([0.0, 1.0]), Rotation.identity(2)).timedelta
        Array([1.], dtype=float32)
        """
        (times,) = together("Slerp.init", "inexact", array(times))
        if rotations.single or len(rotations) < 2 or times.shape != (len(rotations),):
            raise ValueError(
                f"Slerp.init takes two or more rotations and as many times, got {rotations.quat.shape} and "
                f"{times.shape}{errors.at_user_line()}"
            )
        quats = rotations.quat
        before, after = Rotation(quats[:-1]), Rotation(quats[1:])
        return cls(times, diff(times), before, (before.inv() * after).as_rotvec())

    def __call__(self, times: Any) -> Rotation:
        """The rotations at these times; before the first and after the last they go on.

        >>> import covector.numpy as np
        >>> from covector.scipy.spatial.transform import Rotation, Slerp
        >>> Slerp.init(np.array([0.0, 1.0]), Rotation.identity(2))(0.25).single
        True
        """
        times = array(times)
        at = clip(el.subtract(searchsorted(self.times, times), 1), 0, len(self.rotations) - 1)
        share = el.divide(el.subtract(times, self.times[at]), self.timedelta[at])
        turns = Rotation.from_rotvec(el.multiply(self.rotvecs[at], expand_dims(share, -1)))
        return self.rotations[at] * turns


publish(__name__)
