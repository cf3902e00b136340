"""IEC 61217 angles to DICOM patient coordinates (LPS), for a head-first supine patient; solid angles of a beam.

The one home of this conversion. IEC fixed system: X to the right of an observer facing the gantry, Y from the
isocentre to the gantry, Z up. Head-first supine on a table at 0 degrees: patient left = +X, anterior = +Z, superior =
+Y, so LPS (x, y, z) = (X, -Z, Y). Gantry angle turns the source from +Z towards +X about Y. Couch angle turns the
patient support counter-clockwise seen from above (about +Z). Collimator angle turns the beam limiting device about
the gantry system's +Z, which points from the isocentre to the source: counter-clockwise seen from the source
(IEC 61217:2011, sections 5.3 to 5.6).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BeamFrame:
    """Where a beam comes from, in patient coordinates.

    Attributes
    ----------
    source_mm : ndarray (3,)
        Position of the source, LPS.
    axes : ndarray (3, 3)
        Rows are unit vectors in LPS: beam limiting device X, beam limiting device Y, and the direction from the
        source to the isocentre.
    """

    source_mm: np.ndarray
    axes: np.ndarray


def _about_z(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _about_y(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


# LPS from the table-top system of a head-first supine patient.
_LPS_FROM_TABLE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def beam_frame(
    gantry_deg: float,
    couch_deg: float,
    collimator_deg: float,
    isocentre_mm: tuple[float, float, float],
    sad_mm: float,
) -> BeamFrame:
    """Return the frame of a beam in patient coordinates.

    Parameters
    ----------
    gantry_deg, couch_deg, collimator_deg : float
        IEC 61217 angles, degrees.
    isocentre_mm : tuple of 3 float
        LPS.
    sad_mm : float
        Source to isocentre distance.
    """
    # Columns: axes of the beam limiting device in the fixed system; then seen from the turned table.
    device = _about_y(gantry_deg) @ _about_z(collimator_deg)
    seen = _LPS_FROM_TABLE @ _about_z(-couch_deg) @ device
    axes = np.ascontiguousarray(np.stack([seen[:, 0], seen[:, 1], -seen[:, 2]]))
    return BeamFrame(np.asarray(isocentre_mm, float) - sad_mm * axes[2], axes)


def signed_deg(angle: float) -> float:
    """Return an angle between -180 (included) and 180 degrees."""
    return (angle + 180.0) % 360.0 - 180.0


def solid_angle_sr(x_mm: np.ndarray, y_mm: np.ndarray, sad_mm: float) -> np.ndarray:
    """Return the solid angle of rectangles in the isocentre plane, seen from the source: exact.

    Parameters
    ----------
    x_mm, y_mm : ndarray (nx + 1,), (ny + 1,)
        Borders, in coordinates of the beam limiting device.
    sad_mm : float
        Source to isocentre distance.

    Returns
    -------
    ndarray (nx, ny)
    """
    corner = np.arctan2(
        x_mm[:, None] * y_mm[None, :], sad_mm * np.sqrt(sad_mm**2 + x_mm[:, None] ** 2 + y_mm[None, :] ** 2)
    )
    return np.diff(np.diff(corner, axis=0), axis=1)
