"""A small stand-in engine and head for planning tests: blurred beamlets with exponential depth, stored densely."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.engines.base import Capability
from planner.treatment.beam import Beam
from planner.treatment.constant import Constant, Status
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine, Source


def constant(value):
    return Constant(value=value, source="test", status=Status.ASSUMED)


def machine(**changes) -> Machine:
    fields = {
        "sad_mm": 1000.0,
        "spectrum": "none",
        "nominal_mv": 6.0,
        "flattened": False,
        "magnetic_field_t": (0.0, 0.0, 0.0),
        "max_field_mm": (220.0, 220.0),
        "leaf_width_mm": (5.0,) * 14 + (2.5,) * 32 + (5.0,) * 14,
        "couch_range_deg": (-95.0, 95.0),
        "gantry_avoided_deg": (),
        "collimator_rotates": True,
        "collimator_deg": 0.0,
    } | changes
    kept = {key: constant(value) for key, value in fields.items()}
    source = Source(spot_sigma_mm=constant((0.5, 0.5)), collimator_mm=constant(500.0))
    return Machine(name="test-linac", title="Test linac", kind="linac", source=source, **kept)


def ball(name: str, grid: Grid, centre_mm, radii_mm, role: Role = Role.TARGET) -> Structure:
    """An ellipsoid with occupancies from 4 x 4 x 4 points a voxel."""
    offsets = (np.arange(4) + 0.5) / 4 - 0.5
    axes = [x[:, None] + s * offsets for x, s in zip(grid.axes_mm(), grid.spacing_mm, strict=True)]
    x, y, z = ((a - c) / r for a, c, r in zip(axes, centre_mm, np.broadcast_to(radii_mm, 3), strict=True))
    total = np.zeros(grid.shape, np.float32)
    for a in range(4):
        for b in range(4):
            for c in range(4):
                square = x[:, a, None, None] ** 2 + y[None, :, b, None] ** 2 + z[None, None, :, c] ** 2
                total += square <= 1
    return Structure(name, role, grid, total / 64)


def water_head(spacing_mm: float, radius_mm: float = 75.0) -> tuple[Volume, dict[str, Structure]]:
    grid = Grid.covering([-radius_mm - 4] * 3, [radius_mm + 4] * 3, spacing_mm)
    head = ball("external", grid, (0, 0, 0), radius_mm, Role.EXTERNAL)
    inner = ball("brain", grid, (0, 0, 0), radius_mm - 10, Role.ORGAN)
    return Volume(grid, head.occupancy, Quantity.DENSITY), {"external": head, "brain": inner}


@dataclass
class MatrixInfluence:
    matrix: np.ndarray

    @property
    def shape(self):
        return self.matrix.shape

    def forward(self, weights):
        return self.matrix @ weights

    def adjoint(self, gradient):
        return self.matrix.T @ gradient


@dataclass
class BlurredBeamlets:
    """Dose of a bixel: Gaussian-blurred box across, exp(-mu depth) along, depth in a sphere about the origin."""

    name: str = "blurred beamlets"
    can: Capability = Capability.PHOTON | Capability.INFLUENCE
    radius_mm: float = 75.0
    sigma_mm: float = 2.5

    def _beam(self, beam: Beam, sad_mm: float, points: np.ndarray) -> np.ndarray:
        frame = beam.frame(sad_mm)
        away = points - frame.source_mm
        local = away @ frame.axes.T
        distance = np.linalg.norm(away, axis=1)
        along = away / distance[:, None]
        half = (along * frame.source_mm).sum(axis=1)
        root = half**2 - (frame.source_mm**2).sum() + self.radius_mm**2
        depth = np.maximum(distance + half + np.sqrt(np.maximum(root, 0)), 0)
        strength = np.where(root > 0, np.exp(-0.005 * depth), 0) * (sad_mm / distance) ** 2
        x, y = (local[:, :2] * (sad_mm / local[:, 2:])).T
        low, size, open_ = beam.bixels.low_mm, beam.bixels.size_mm, beam.bixels.open

        def profile(position, start, step, count):
            edges = start + step * np.arange(count + 1)
            blurred = 0.5 * erf((position[:, None] - edges) / (np.sqrt(2) * self.sigma_mm))
            return blurred[:, :-1] - blurred[:, 1:]

        across = profile(x, low[0], size[0], open_.shape[0])
        up = profile(y, low[1], size[1], open_.shape[1])
        columns = np.argwhere(open_)
        return strength[:, None] * across[:, columns[:, 0]] * up[:, columns[:, 1]]

    def influence(
        self, density: Volume, beams: Sequence[Beam], machine: Machine, points_mm: np.ndarray, *, ignore_field: bool
    ) -> MatrixInfluence:
        parts = [self._beam(beam, machine.sad_mm.value, points_mm) for beam in beams]
        return MatrixInfluence(np.concatenate(parts, axis=1))

    def dose(self, density, beams, weights, machine, *, ignore_field: bool, region=None) -> Dose:
        grid = density.grid
        points = grid.point_of(np.indices(grid.shape).reshape(3, -1).T)
        total = np.zeros(len(points))
        inside = np.flatnonzero(np.linalg.norm(points, axis=1) < self.radius_mm)
        for beam, w in zip(beams, weights, strict=True):
            total[inside] += self._beam(beam, machine.sad_mm.value, points[inside]) @ w
        return Dose(Volume(grid, total.reshape(grid.shape), Quantity.DOSE), self.name, ignore_field)
