"""Superposition: the energy that groups of beams release, carried along all directions, batch by batch."""

from dataclasses import dataclass

import numpy as np

from kernels.cone import Layout, Rays, Sources, sweep
from kernels.threads import chunks, run_chunks
from phantoms.grid import Grid
from planner.engines.cone_kernel import ConeKernel
from planner.engines.cone_rays import Cones, dominant, layouts, rays_along, shares
from planner.engines.cone_sources import Released, normalised, pack

# Numerical: rays that one task sweeps.
_RAYS_PER_SWEEP = 16


def superpose(
    grid: Grid,
    stopping: np.ndarray,
    groups: list[Released],
    cones: Cones,
    kernel: ConeKernel,
    *,
    larger: Grid | None = None,
) -> tuple[np.ndarray, float]:
    """Return the deposited energy (x, y, z), MeV, and the escaped energy of all groups.

    Rays are swept in batches that depend on the directions only, each batch into a volume of its own; the volumes are
    added in order, so the result is the same for any number of threads. In a window of a `larger` grid rays go from
    voxel to voxel as they do there, so that both doses have the same errors of the directions.
    """
    larger = larger or grid
    low = grid.offset_in(larger)
    assert low is not None
    outside = [(at, n - at - m) for at, n, m in zip(low, larger.shape, grid.shape, strict=True)]
    tilt = max(float(np.linalg.norm(group.tilt, axis=0).max()) for group in groups)
    share = shares(kernel, cones, np.stack([group.axis for group in groups]), tilt)
    exact = [normalised(group, cones.direction, share[:, g]) for g, group in enumerate(groups)]
    main = dominant(cones, grid.spacing_mm)
    total, escaped = np.zeros(grid.shape, np.float32), 0.0
    for axis, layout in enumerate(layouts(grid.shape)):
        chosen = np.flatnonzero(main == axis)
        if not len(chosen):
            continue
        turned = (2, 0, 1) if axis == 2 else (0, 1, 2)
        seen = np.ascontiguousarray(stopping.transpose(turned))
        task = _Batch(layout, seen, pack(exact, grid.shape, axis))
        batches = [chosen[low:high] for low, high in chunks(len(chosen), _RAYS_PER_SWEEP)]
        rays = [(rays_along(axis, batch, cones, share, grid.spacing_mm, outside[axis]),) for batch in batches]
        for deposit, lost in run_chunks(task.sweep, rays):
            total += deposit.transpose(np.argsort(turned))
            escaped += lost
    return total, escaped


@dataclass(frozen=True, eq=False)
class _Batch:
    """What all sweeps along one axis share."""

    layout: Layout
    stopping: np.ndarray
    sources: Sources

    def sweep(self, rays: Rays) -> tuple[np.ndarray, float]:
        """Return the energy that the rays deposit and the energy that leaves with them."""
        deposit, balance = np.zeros(self.stopping.size, np.float32), np.zeros(2)
        sweep(self.layout, self.stopping.ravel(), self.sources, rays, deposit, balance)
        return deposit.reshape(self.stopping.shape), float(balance[1])
