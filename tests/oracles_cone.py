"""Slow, obvious twins of the collapsed cone kernels."""

import numpy as np

from kernels.cone import RATES


def follow_ray(density, released, direction, step, jitter):
    """Return the deposit (x, y, z) of `released` (4, x, y, z) along one direction with dominant axis x, upwards.

    Every source voxel is followed by itself: its energy leaves evenly along its path through the voxel, then each
    voxel that its ray meets keeps 1 - exp(-rate * density * path) of what arrives.
    """
    nx, ny, nz = density.shape
    path = step[0] / direction[0]
    slopes = direction[1] / direction[0] * step[0] / step[1], direction[2] / direction[0] * step[0] / step[2]
    out = np.zeros(density.shape)
    for i, j, k in np.argwhere(released.any(axis=0)):
        for rate, q in zip(RATES, released[:, i, j, k], strict=True):
            t = rate * path * density[i, j, k]
            leaves = q * (-np.expm1(-t) / t if t > 0 else 1.0)
            out[i, j, k] += q - leaves
            for m in range(i + 1, nx):
                y, z = (
                    index + int(np.floor(m * s + o + 0.5)) - int(np.floor(i * s + o + 0.5))
                    for index, s, o in zip((j, k), slopes, jitter, strict=True)
                )
                if not (0 <= y < ny and 0 <= z < nz):
                    break
                stays = leaves * -np.expm1(-rate * path * density[m, y, z])
                out[m, y, z] += stays
                leaves -= stays
    return out


def energy_in_shells(kernel, field, edges_mm):
    """Return the energy that the kernel leaves between radii in water, summed over all angles."""
    reached = 1.0 - np.exp(-np.outer(edges_mm, RATES))
    return np.diff(reached @ kernel.share[field].sum(axis=1))
