"""Slow, obvious twins of the ray tracing and of the pencil beam."""

from itertools import pairwise

import numpy as np
from scipy.special import ndtr


def siddon_depth(grid, density, source, point):
    """Return the radiological depth (mm) from `source` to `point`: all face crossings, sorted, by midpoints."""
    source, point = np.asarray(source, float), np.asarray(point, float)
    direction = point - source
    at = [0.0, 1.0]
    for axis in range(3):
        if direction[axis] != 0:
            faces = grid.low_mm[axis] + grid.spacing_mm[axis] * np.arange(grid.shape[axis] + 1)
            at += [t for t in (faces - source[axis]) / direction[axis] if 0 < t < 1]
    at = np.sort(at)
    total = 0.0
    for t0, t1 in pairwise(at):
        middle = source + 0.5 * (t0 + t1) * direction
        place = (middle - grid.low_mm) / np.asarray(grid.spacing_mm)
        if np.all(place >= 0) and np.all(place <= grid.shape):
            i, j, k = np.minimum(np.floor(place).astype(int), np.asarray(grid.shape) - 1)
            total += (t1 - t0) * density[i, j, k]
    return total * np.linalg.norm(direction)


def pencil_matrix(volume, beam, machine, frame, kernel, per_weight, points):
    """Return the dense influence matrix (points, open bixels) of one beam: no table, no node, one ray a point.

    `per_weight` is fluence per weight, shape of the bixels. Density must be that of water or vacuum (no tissue ratio).
    """
    sad = machine.sad_mm.value
    blur = machine.source.blur_mm(sad)
    x, y = (
        low + size * np.arange(n + 1)
        for low, size, n in zip(beam.bixels.low_mm, beam.bixels.size_mm, beam.bixels.open.shape, strict=True)
    )
    depths = kernel.depth_step_mm * np.arange(len(kernel.amplitude))
    rows = []
    for point in points:
        local = frame.axes @ (point - frame.source_mm)
        u, v, m = local[0] * sad / local[2], local[1] * sad / local[2], local[2] / sad
        d = siddon_depth(volume.grid, volume.data, frame.source_mm, point)
        plane = np.zeros(beam.bixels.open.shape)
        for c in range(kernel.amplitude.shape[2]):
            by_scale = [np.interp(d, depths, kernel.amplitude[:, i, c]) for i in range(len(kernel.magnifications))]
            amplitude = np.interp(m, kernel.magnifications, by_scale)
            for j, sigma in enumerate(kernel.sigma_mm):
                gx = np.diff(ndtr((x - u) / np.hypot(sigma, blur[0])))
                gy = np.diff(ndtr((y - v) / np.hypot(sigma, blur[1])))
                plane += amplitude * kernel.mixture[c, j] * np.outer(gx, gy)
        rows.append((plane * per_weight)[beam.bixels.open] * (sad / np.linalg.norm(local)) ** 2)
    return np.array(rows)
