"""The sweep of the collapsed cone: against one ray followed step by step; energy, vacuum and dense matter."""

import numpy as np
import pytest
from oracles_cone import follow_ray

from kernels.cone import FIELDS, SLOWEST_RATE, Layout, Rays, Sources, sweep


def one_ray(direction, step, jitter=(0.0, 0.0), weights=None):
    """A direction with dominant axis x that carries `weights` (4 exponentials, FIELDS) of each field, no tilt."""
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    share = np.zeros((1, 1, 4, 3, FIELDS), np.float32)
    share[0, 0, :, 0, :] = np.full((4, FIELDS), 0.25) if weights is None else weights
    slope = direction[1:] / abs(direction[0]) * step[0] / np.asarray(step[1:])
    rays = Rays(
        direction[None].astype(np.float32),
        np.array([1 if direction[0] > 0 else -1]),
        slope[None],
        np.array([jitter], float),
        np.array([SLOWEST_RATE * step[0] / abs(direction[0])], np.float32),
        share,
    )
    return rays, direction


def sources_of(energy):
    """Pack a dense (FIELDS, x, y, z) source, every row from its first to its last voxel."""
    _, nx, ny, nz = energy.shape
    planes, rows = np.arange(nx + 1), np.arange(nx * ny + 1)
    block = np.stack([0 * planes[:-1], planes[:-1] * ny * nz, planes[1:] * ny * nz], axis=1)
    stretch = np.stack([0 * rows[:-1], 0 * rows[:-1] + nz, rows[:-1] * nz], axis=1)
    flat = np.ascontiguousarray(energy.reshape(FIELDS, -1), dtype=np.float32)
    return Sources(planes, block, rows, stretch, flat, np.zeros((3, flat.shape[1]), np.float32))


def swept(density, energy, rays):
    nx, ny, nz = density.shape
    deposit, balance = np.zeros(density.size, np.float32), np.zeros(2)
    layout = Layout((nx, ny, nz), (ny * nz, nz))
    sweep(layout, np.ascontiguousarray(density, dtype=np.float32).ravel(), sources_of(energy), rays, deposit, balance)
    return deposit.reshape(density.shape), balance


@pytest.fixture
def case():
    rng = np.random.default_rng(7)
    density = rng.choice([0.0, 0.0012, 0.3, 1.0, 1.85], size=(9, 11, 13))
    energy = np.zeros((FIELDS, 9, 11, 13), np.float32)
    energy[:, 1:4, 3:8, 4:9] = rng.uniform(0, 1, (FIELDS, 3, 5, 5))
    return density, energy


@pytest.mark.parametrize(
    ("direction", "jitter"), [((1, 0, 0), (0, 0)), ((1, 0.4, -0.7), (0.3, -0.45)), ((1, -1, 1), (0.49, 0.2))]
)
def test_sweep_is_direct_superposition_along_every_ray(case, direction, jitter):
    density, energy = case
    step = (2.0, 2.5, 3.0)
    weights = np.array([[0.4, 0.3, 0.9, 1.1], [0.1, -0.1, 0.2, -0.3], [0.3, 0.5, 0.0, 0.1], [0.2, 0.3, -0.1, 0.1]])
    rays, unit = one_ray(direction, step, jitter, weights)
    ours, balance = swept(density, energy, rays)
    released = np.einsum("kf,fxyz->kxyz", weights, energy)
    slow = follow_ray(density, released, unit, step, jitter)
    assert ours == pytest.approx(slow, abs=2e-6 * slow.max() + 1e-6, rel=2e-5)
    assert balance[0] == pytest.approx(released.sum(), rel=1e-6)


def test_no_energy_is_lost(case):
    density, energy = case
    for direction in [(1, 0.2, 0.1), (-1, 0.9, -0.8), (-1, 0, 0)]:
        deposit, (released, escaped) = swept(density, energy, one_ray(direction, (2.0, 2.5, 3.0))[0])
        assert abs(released - deposit.sum(dtype=float) - escaped) <= 1e-6 * released


def test_sweep_is_linear_in_the_source(case):
    density, energy = case
    rays, _ = one_ray((1, 0.3, 0.2), (2.0, 2.0, 2.0))
    other = np.ascontiguousarray(energy[:, ::-1])
    together = swept(density, 2 * energy + other, rays)[0]
    apart = 2 * swept(density, energy, rays)[0] + swept(density, other, rays)[0]
    assert together == pytest.approx(apart, rel=1e-5, abs=1e-6)


def test_all_energy_crosses_a_vacuum(case):
    density, energy = case
    deposit, (released, escaped) = swept(np.zeros_like(density), energy, one_ray((1, 0.3, 0.2), (2.0, 2.0, 2.0))[0])
    assert not deposit.any()
    assert escaped == pytest.approx(released, rel=1e-6)


def test_dense_matter_keeps_its_energy(case):
    density, energy = case
    weights = np.zeros((4, FIELDS))
    weights[3] = 1.0
    deposit, (_, escaped) = swept(
        np.full(density.shape, 8.0), energy, one_ray((1, 0.1, 0), (9.0, 9.0, 9.0), (0, 0), weights)[0]
    )
    assert deposit.sum() == pytest.approx(energy.sum(), rel=1e-4)
    assert escaped < 1e-6 * energy.sum()


def test_tilt_turns_the_share_with_the_photon():
    energy, density = np.zeros((FIELDS, 3, 3, 3), np.float32), np.ones((3, 3, 3))
    energy[0, 1, 1, 1] = 1.0
    rays, unit = one_ray((1, 0.5, 0), (2.0, 2.0, 2.0))
    rays.share[0, 0, :, 1, 0], rays.share[0, 0, :, 2, 0] = 0.5, -0.25
    sources = sources_of(energy)
    sources.tilt[:, 13] = (0.1, 0.3, -0.2)
    balance = np.zeros(2)
    sweep(
        Layout((3, 3, 3), (9, 3)), density.astype(np.float32).ravel(), sources, rays, np.zeros(27, np.float32), balance
    )
    c = unit @ np.array([0.1, 0.3, -0.2])
    assert balance[0] == pytest.approx(4 * (0.25 + 0.5 * c - 0.25 * c * c), rel=1e-5)
