"""IEC 61217 signs, each computed by hand for a head-first supine patient (LPS: +x left, +y posterior, +z superior)."""

import numpy as np
import pytest

from planner.treatment.geometry import beam_frame

LEFT, POSTERIOR, SUPERIOR = np.eye(3)
ANTERIOR, RIGHT, INFERIOR = -POSTERIOR, -LEFT, -SUPERIOR


@pytest.mark.parametrize(
    ("gantry", "couch", "collimator", "source_side", "device_x", "device_y"),
    [
        # Gantry 0: beam from above, so from anterior; device X = fixed X = patient left, device Y = towards the gantry.
        (0, 0, 0, ANTERIOR, LEFT, SUPERIOR),
        # Gantry 90: source on the right of who faces the gantry = patient left; device X then points down.
        (90, 0, 0, LEFT, POSTERIOR, SUPERIOR),
        (180, 0, 0, POSTERIOR, RIGHT, SUPERIOR),
        (270, 0, 0, RIGHT, ANTERIOR, SUPERIOR),
        # Couch 90: table turned counter-clockwise from above. The head (was at +Y) is at -X, the left side (was +X) at
        # +Y; a source at -X is above the vertex.
        (270, 90, 0, SUPERIOR, ANTERIOR, LEFT),
        (90, 90, 0, INFERIOR, POSTERIOR, LEFT),
        (0, 90, 0, ANTERIOR, INFERIOR, LEFT),
        # Collimator 90: counter-clockwise seen from the source turns device X to where device Y was.
        (0, 0, 90, ANTERIOR, SUPERIOR, RIGHT),
        (90, 0, 90, LEFT, SUPERIOR, ANTERIOR),
    ],
)
def test_directions_by_hand(gantry, couch, collimator, source_side, device_x, device_y):
    frame = beam_frame(gantry, couch, collimator, (10.0, -20.0, 30.0), 1000.0)
    np.testing.assert_allclose(frame.source_mm, np.array([10.0, -20.0, 30.0]) + 1000.0 * source_side, atol=1e-9)
    np.testing.assert_allclose(frame.axes, [device_x, device_y, -source_side], atol=1e-12)


def test_axes_are_orthonormal_and_device_z_points_to_the_source():
    frame = beam_frame(33.0, -50.0, 17.0, (0.0, 0.0, 0.0), 1435.0)
    np.testing.assert_allclose(frame.axes @ frame.axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.cross(frame.axes[0], frame.axes[1]), -frame.axes[2], atol=1e-12)
    np.testing.assert_allclose(frame.source_mm, -1435.0 * frame.axes[2], atol=1e-9)
