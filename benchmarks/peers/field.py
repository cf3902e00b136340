"""The Monte Carlo job: 3x3 cm, 6 MV, 2 mm voxels of water, and the figure of merit of a run over a fixed mask.

The beam, spectrum and voxels of the stored DOSXYZnrc runs (README.md): a point source, SAD 100 cm, SSD 90 cm, 3x3 cm at
the isocentre. Their phantom is a cube of 10 cm; this one is 20 cm deep, because the mask reaches to 15 cm.
"""

import csv
from pathlib import Path

import numpy as np

VOXEL_CM = 0.2
SHAPE = (50, 50, 100)
"""Voxels across, across, along the beam."""
SSD_CM, SAD_CM, FIELD_CM = 90.0, 100.0, 3.0
HALF_ON_SURFACE_CM = 0.5 * FIELD_CM * SSD_CM / SAD_CM
BATCHES = 20

_SPECTRUM = Path(__file__).resolve().parents[2] / "planner" / "library" / "physics" / "spectrum_mohan6.csv"
_MASK_CM, _DEPTH_CM = 1.0, (5.0, 15.0)


def spectrum() -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (MeV) of the bins of the 6 MV spectrum and the photons in each (relative)."""
    with _SPECTRUM.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    edges = [float(rows[0]["E_lo_MeV"]), *(float(row["E_hi_MeV"]) for row in rows)]
    return np.array(edges), np.array([float(row["probability"]) for row in rows])


def relative_deviation(dose: np.ndarray, deviation: np.ndarray) -> float:
    """Return the rms over the mask of the standard deviation relative to the mean dose of the mask at that depth.

    Parameters
    ----------
    dose, deviation : ndarray, shape `SHAPE`
        Of one voxel, in the same unit.
    """
    across = np.abs((np.arange(SHAPE[0]) - 0.5 * (SHAPE[0] - 1)) * VOXEL_CM) < _MASK_CM
    depth = (np.arange(SHAPE[2]) + 0.5) * VOXEL_CM
    inside = np.ix_(across, across, (depth > _DEPTH_CM[0]) & (depth < _DEPTH_CM[1]))
    level = dose[inside].mean(axis=(0, 1))
    return float(np.sqrt(np.mean((deviation[inside] / level) ** 2)))


def relative_deviation_above_half(dose: np.ndarray, deviation: np.ndarray) -> float:
    """Return what the stored DOSXYZnrc figures are made from: the rms over the first 10 cm where dose is above half.

    The maximum is that of the mean over the central square centimetre, not of a noisy voxel.
    """
    level = 0.5 * dose[22:28, 22:28].mean(axis=(0, 1)).max()
    inside = dose[..., : SHAPE[0]] > level
    return float(np.sqrt(np.mean((deviation[..., : SHAPE[0]][inside] / dose[..., : SHAPE[0]][inside]) ** 2)))


def depth_dose(dose: np.ndarray) -> dict[str, float]:
    """Return the mean dose of the central 1 cm at 5 and 15 cm relative to that at 10 cm, to compare the physics."""
    middle = dose[22:28, 22:28].mean(axis=(0, 1))
    slab = [middle[n - 3 : n + 3].mean() for n in (25, 50, 75)]
    return {"D5/D10": slab[0] / slab[1], "D15/D10": slab[2] / slab[1]}
