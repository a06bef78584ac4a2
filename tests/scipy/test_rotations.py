"""Rotations against SciPy: all representations, there and back, products, means, what lies between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation as Theirs, Slerp as TheirSlerp

import covector
from covector import numpy as cnp
from covector.scipy.spatial.transform import Rotation, Slerp

RNG = np.random.default_rng(0)
TURNS = Theirs.concatenate(
    [
        Theirs.random(12, random_state=0),
        Theirs.identity(1),
        Theirs.from_quat(np.vstack([np.eye(4), [[0.6, 0.8, 0, 0], [1e-9, 0, 0, 1]]])),
    ]
)
QUATS = TURNS.as_quat()
OURS = Rotation.from_quat(QUATS)


def same(ours: Rotation, theirs: Any, tolerance: float = 1e-12) -> None:
    """As rotations: a quaternion and its negative are one."""
    p, q = np.asarray(ours.quat), theirs.as_quat()
    assert p.shape == q.shape
    np.testing.assert_allclose(np.abs((p * q).sum(-1)), 1, rtol=tolerance)


def test_representations() -> None:
    for name in ("as_matrix", "as_mrp", "as_rotvec"):
        got = covector.jit(lambda r, name=name: getattr(r, name)())(OURS)
        wanted = getattr(TURNS, name)()
        half = name != "as_matrix" and np.isclose(TURNS.magnitude(), np.pi)
        near = np.isclose(got, wanted, rtol=1e-10, atol=1e-12).reshape(len(QUATS), -1).all(-1)
        assert (near | half).all(), name  # by π either way
        back = getattr(Rotation, name.replace("as_", "from_"))
        same(back(got), TURNS)
        same(back(got[0]), TURNS[0])
    np.testing.assert_allclose(OURS.magnitude(), TURNS.magnitude(), atol=1e-9)
    canonical = OURS.as_quat(canonical=True)
    np.testing.assert_allclose(canonical, TURNS.as_quat(canonical=True), rtol=1e-12)
    np.testing.assert_array_equal(OURS.as_quat(scalar_first=True)[:, 1:], OURS.quat[:, :3])
    np.testing.assert_allclose(
        OURS.as_rotvec(degrees=True), np.rad2deg(OURS.as_rotvec()), rtol=1e-12
    )


@pytest.mark.parametrize("seq", ["xyz", "XYZ", "zyx", "ZXY", "zxz", "YXY"])
def test_angles(seq: str) -> None:
    angles = RNG.uniform(-180, 180, (5, 3))
    for degrees in (False, True):
        same(Rotation.from_euler(seq, angles, degrees), Theirs.from_euler(seq, angles, degrees))
    found = OURS.as_euler(seq, degrees=True)
    same(Rotation.from_euler(seq, found, degrees=True), TURNS, 1e-7)  # axes nearer are one
    np.testing.assert_allclose(
        found[:12], TURNS[:12].as_euler(seq, degrees=True), rtol=1e-9, atol=1e-9
    )
    assert np.abs(np.asarray(found)).max() <= 180 + 1e-9
    for axis in seq:
        for angle in (np.array(30.0), angles[:, :1]):
            same(Rotation.from_euler(axis, angle, True), Theirs.from_euler(axis, angle, True))
    same(Rotation.from_euler(seq[:2], angles[:, :2]), Theirs.from_euler(seq[:2], angles[:, :2]))


def test_locked_angles() -> None:
    for seq, middle in (("xyz", 90), ("XYZ", -90), ("zxz", 0), ("ZYZ", 180)):
        turn = Rotation.from_euler(seq, np.array([20.0, middle, 50.0]), degrees=True)
        found = turn.as_euler(seq)
        assert 0 in (float(found[0]), float(found[2])), seq
        np.testing.assert_allclose(
            Rotation.from_euler(seq, found).as_matrix(), turn.as_matrix(), atol=1e-7
        )


def test_products() -> None:
    vectors = RNG.normal(size=(len(QUATS), 3))
    for inverse in (False, True):
        np.testing.assert_allclose(
            OURS.apply(vectors, inverse), TURNS.apply(vectors, inverse), atol=1e-12
        )
    same(OURS * OURS[2], TURNS * TURNS[2])
    same(OURS.inv(), TURNS.inv())
    np.testing.assert_allclose((OURS * OURS.inv()).magnitude(), 0, atol=1e-7)
    weights = RNG.random(len(QUATS))
    same(OURS.mean(), TURNS.mean())
    same(OURS.mean(weights), TURNS.mean(weights))
    both = Rotation.concatenate([OURS, OURS[0]])
    assert len(both) == len(QUATS) + 1
    assert Rotation.identity().single


def test_in_between() -> None:
    times, at = np.array([0.0, 1.0, 2.5, 4.0]), np.array([0.0, 0.4, 1.0, 2.0, 3.9, 4.0])
    ours, theirs = Slerp.init(times, OURS[:4]), TheirSlerp(times, TURNS[:4])
    same(covector.jit(lambda s, t: s(t))(ours, at), theirs(at))
    same(ours(0.3), theirs(0.3))


def test_derivatives() -> None:
    """Also at no rotation at all, where formulas divide by the angle."""
    for at in (np.zeros(3), RNG.normal(size=3)):
        vector = RNG.normal(size=3)
        found = covector.jacrev(lambda v, x=vector: Rotation.from_rotvec(v).apply(x))(at)
        steps = [
            (
                Rotation.from_rotvec(at + s).apply(vector)
                - Rotation.from_rotvec(at - s).apply(vector)
            )
            / 2e-6
            for s in 1e-6 * np.eye(3)
        ]
        np.testing.assert_allclose(found, np.stack(steps, -1), atol=1e-8)
        back = covector.jacfwd(lambda v: Rotation.from_rotvec(v).as_rotvec())(at)
        np.testing.assert_allclose(back, np.eye(3), atol=1e-9)
    batch = covector.vmap(lambda v: Rotation.from_rotvec(v).as_quat())(cnp.zeros((2, 3)))
    assert batch.shape == (2, 4)


def test_random_ones() -> None:
    many = Rotation.random(covector.random.key(0), 4000)
    np.testing.assert_allclose(many.apply(cnp.array([1.0, 0.0, 0.0])).mean(0), 0, atol=0.05)
    assert Rotation.random(covector.random.key(0)).single


def test_wrong_arguments() -> None:
    for call in (
        lambda: Rotation.from_quat(np.ones(3)), lambda: Rotation.from_matrix(np.ones((2, 3))),
        lambda: Rotation.from_euler("xxy", np.ones(3)),
        lambda: Rotation.from_euler("xYz", np.ones(3)), lambda: Rotation.from_euler("xy", np.ones(3)),
        lambda: OURS.as_euler("xy"),
        lambda: Slerp.init(np.ones(2), OURS[:3]), lambda: OURS.apply(np.ones(2)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"Rotation|Slerp"):
            call()
    for call in (lambda: len(Rotation.identity()), lambda: Rotation.identity()[0]):
        with pytest.raises(TypeError, match="one rotation"):
            call()
