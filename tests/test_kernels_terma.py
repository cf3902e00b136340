"""Fluence over voxels and the energy that they release: against exact integrals, from wherever a beam looks."""

import numpy as np
import pytest

from kernels.raytrace import Fan
from kernels.terma import FluencePlane, ReleaseTable, mean_fluence, release
from kernels.types import Lattice
from planner.treatment.geometry import beam_frame


def square_plane(half):
    edges = np.array([-half, half])
    return FluencePlane((-half, -half), (2 * half, 2 * half), np.outer(edges + half, edges + half))


@pytest.mark.parametrize(
    ("box", "expected"), [((0, 0, 1, 1), 1), ((5, 0, 1, 1), 0.5), ((5, 5, 1, 2), 0.25), ((9, 0, 1, 1), 0)]
)
def test_mean_fluence_of_a_cut_rectangle_is_exact(box, expected):
    assert mean_fluence(square_plane(5.0), *map(float, box)) == pytest.approx(expected, abs=1e-12)


def released(gantry, couch, half):
    """Released energy of a square field in a thin medium that does not attenuate, and the direction of flight."""
    sad = 1000.0
    frame = beam_frame(gantry, couch, 0.0, (3.0, -2.0, 1.0), sad)
    lattice = Lattice((-40.0, -40.0, -40.0), (2.0, 2.5, 4.0), (41, 33, 21))
    fan = Fan(tuple(frame.source_mm), tuple(frame.axes.ravel()), sad, (-60.0, -60.0), 60.0, 800.0, 200.0, (3, 3, 3))
    depth = np.zeros(fan.shape, np.float32)
    ones, none = np.ones(lattice.shape, np.float32), np.zeros(lattice.shape, np.float32)
    table = ReleaseTable((10.0, 10.0), np.ones((3, 3, 2, 4), np.float32))
    energy, flight = np.zeros((4, *lattice.shape), np.float32), np.zeros((3, *lattice.shape), np.float32)
    for planes in ((0, 20), (20, 41)):
        release(lattice, (ones, none), fan, (depth, depth), square_plane(half), table, planes, energy, flight)
    return lattice, frame, energy, flight


@pytest.mark.parametrize(("gantry", "couch"), [(0, 0), (90, 0), (33, 0), (33, 61), (180, 90)])
def test_released_energy_is_fluence_times_mass_wherever_the_beam_looks_from(gantry, couch):
    lattice, frame, energy, flight = released(gantry, couch, 10.0)
    axes = [o + s * np.arange(n) for o, s, n in zip(lattice.origin, lattice.step, lattice.shape, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    seen = (points - frame.source_mm) @ frame.axes.T
    u, v = (1000.0 * seen[..., k] / seen[..., 2] for k in (0, 1))
    r = np.linalg.norm(points - frame.source_mm, axis=-1)
    inside, outside = np.maximum(abs(u), abs(v)) < 7.0, np.maximum(abs(u), abs(v)) > 13.0
    expected = (1000.0 / r) ** 2 * np.prod(lattice.step) * 1e-3
    assert energy[2][inside] == pytest.approx(expected[inside], rel=1e-5)
    assert not energy[:, outside].any()
    # Cut voxels: the whole beam carries the photons of its field through every layer, whatever the direction.
    along = seen[..., 2]
    layer = (along > 990) & (along < 1010)
    assert (energy[0] * r**2)[layer].sum() / 1e6 == pytest.approx(400.0 * 20.0 * 1e-3, rel=0.08)
    unit = (flight[:, inside] / energy.sum(axis=0)[inside]).T
    expected = (points - frame.source_mm)[inside] / r[inside][:, None]
    assert np.abs(unit - expected).max() < 1e-5
