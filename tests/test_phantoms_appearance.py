"""How a lesion and surgery look: what is changed, where, for how long, and what is left alone."""

import math

import numpy as np
import pytest

from phantoms.appearance import kept_signal
from phantoms.canvas import Canvas
from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.craniotomy import BURR_HOLES, BURR_MM, FLAP_RADIUS_MM, PLATE_CC, PLATES, SAW_CUT_MM
from phantoms.grid import Grid
from phantoms.mri import COIL_END_MM, SpinEcho, SpoiledGradientEcho, bias_field, void_mm

SPEC = CohortSpec(patients=40, seed=7, spacing_mm=2.0, residual_fraction=1.0)


@pytest.fixture(scope="module")
def patient():
    return SyntheticAnatomy(SPEC, 0)


def painted(patient, day, keep=()):
    """Return a canvas of density and T2 on which only some regions of a day are painted."""
    palettes = {"density": {}, "t2": dict.fromkeys(keep, 1.0)}
    canvas = Canvas(patient.grid, palettes, background="csf")
    regions = patient.course.regions(patient.grid, day)
    patient._appearance.paint(canvas, regions, patient._background.white, day)
    return canvas.maps["t2"], regions


def test_oedema_is_in_white_matter_only_and_within_its_reach(patient):
    share, regions = painted(patient, -1.0, keep=("oedema",))
    white = patient._background.white / 255.0
    reach = regions["oedema"].on(patient.grid)
    assert share.max() > 0.5
    assert (share <= 0.85 * white + 1e-6).all()
    assert share[reach == 0.0].max() == 0.0
    # Full stays full: the edge strays, not the inside.
    inside = (reach == 1.0) & (regions["tumour"].on(patient.grid) == 0.0)
    assert share[inside] == pytest.approx(0.85 * white[inside], abs=1e-5)


def test_swollen_scalp_lies_over_the_flap_outside_the_skull(patient):
    scalp, parts = patient._appearance._scalp, patient._background.structures
    on = {name: parts[name].on(scalp.grid) for name in ("skull", "external", "intracranial")}
    assert 2.0 < scalp.volume_cc < 40.0
    assert (scalp.occupancy <= 1.0 - on["skull"] + 1e-6).all()
    assert (scalp.occupancy <= on["external"] + 1e-6).all()
    assert np.minimum(scalp.occupancy, on["intracranial"]).sum() < 0.01 * scalp.occupancy.sum()
    offset = scalp.centroid_mm - np.asarray(patient.craniotomy.centre_mm)
    along = offset @ patient.craniotomy.axis
    assert along > 0.0
    assert np.linalg.norm(offset - along * np.asarray(patient.craniotomy.axis)) < 0.5 * FLAP_RADIUS_MM.value
    early, late = (painted(patient, day, keep=("oedema",))[0] for day in (0.0, 90.0))
    swollen = scalp.on(patient.grid) > 0.9
    assert early[swollen].mean() > 0.4
    assert late[swollen].mean() < 0.01


def test_plates_take_signal_and_no_density(patient):
    epoch, before = patient.epoch(20.0, images=("t2",)), patient.epoch(-1.0, images=("t2",))
    density, rest = (one.volumes["density"].data for one in (epoch, before))
    centre = np.asarray(patient.craniotomy.centre_mm)
    canvas = Canvas(Grid.covering((centre - 45.0).tolist(), (centre + 45.0).tolist(), 1.0), {"density": {}, "t2": {}})
    for values in canvas.maps.values():
        values[...] = 1.0
    patient._appearance._plates(canvas)
    assert (canvas.maps["density"] == 1.0).all()
    plates = patient.craniotomy.plates()
    assert plates[:, 3].sum() == pytest.approx(PLATES * PLATE_CC.value)
    away = plates[:, :3] - centre
    assert np.abs(away @ patient.craniotomy.axis).max() < 1e-9
    for place in plates[:, :3]:
        i, j, k = np.rint(canvas.grid.index_of(place)).astype(int)
        assert canvas.maps["t2"][i, j, k] < 0.2
        # Bone or the saw cut: no titanium.
        i, j, k = np.rint(patient.grid.index_of(place)).astype(int)
        assert density[i, j, k] <= max(rest[i, j, k], 1.1) + 1e-6
    # Away from the plates nothing is lost.
    points = canvas.grid.point_of(np.argwhere(canvas.maps["t2"] < 0.99))
    apart = np.linalg.norm(points[:, None] - plates[:, :3], axis=2).min(axis=1)
    assert apart.max() < 2.0 * patient._appearance.voids_mm["t2"]


def test_the_void_of_one_piece_is_that_of_a_dipole():
    grid, radius = Grid.covering((-15.0,) * 3, (15.0,) * 3, 0.5), 4.0
    kept = kept_signal(grid, np.array([[0.0, 0.0, 0.0, PLATE_CC.value]]), radius)
    # Lost over all space: 1 - exp(-(r / R)^4 / f) integrated is 4 pi R^3 / 3 * gamma(7 / 4) times the mean of f^(3/4).
    cosine, weight = np.polynomial.legendre.leggauss(40)
    f = np.sqrt(5.0 * cosine**4 - 2.0 * cosine**2 + 1.0)
    expected = 4.0 * np.pi / 3.0 * radius**3 * math.gamma(1.75) * float(weight @ f**0.75) / 2.0
    assert (1.0 - kept).sum() * 0.125 == pytest.approx(expected, rel=0.01)
    middle = [n // 2 for n in grid.shape]
    along, across = kept[middle[0], middle[1]], kept[:, middle[1], middle[2]]
    assert (along < 0.5).sum() > (across < 0.5).sum()
    # Half of the metal makes a void of half the volume, and three pieces in one place are one.
    half = kept_signal(grid, np.array([[0.0, 0.0, 0.0, PLATE_CC.value / 2]]), radius)
    assert (1.0 - half).sum() == pytest.approx(0.5 * (1.0 - kept).sum(), rel=0.02)


def test_burr_holes_are_in_the_cut_and_not_in_the_flap(patient):
    skull = patient._background.structures["skull"]
    cut, flap = (part.on(skull.grid) for part in (patient.craniotomy.cut(skull), patient.craniotomy.flap(skull)))
    assert np.minimum(cut, flap).max() <= 0.5
    ring_cc = np.pi * ((FLAP_RADIUS_MM.value + SAW_CUT_MM.value) ** 2 - FLAP_RADIUS_MM.value**2) / 1000.0
    holes_cc = BURR_HOLES * np.pi * BURR_MM.value**2 / 1000.0
    whole = (ring_cc + holes_cc) * patient.head.skull_mm
    # The vault is curved and of varied thickness; the holes cover a part of the ring.
    assert 0.6 * whole < cut.sum() * skull.grid.voxel_cc < 1.5 * whole


def test_voids_grow_with_the_field_and_with_the_echo_of_a_gradient_echo():
    early, late, spin = SpoiledGradientEcho(te_ms=3.0), SpoiledGradientEcho(te_ms=24.0), SpinEcho()
    assert void_mm(late, 1.5) == pytest.approx(2.0 * void_mm(early, 1.5))
    assert void_mm(early, 3.0) == pytest.approx(2.0 ** (1 / 3) * void_mm(early, 1.5))
    assert void_mm(spin, 1.5) < void_mm(early, 1.5)
    assert void_mm(SpinEcho(te_ms=10.0), 1.5) == void_mm(spin, 1.5)


def test_air_under_the_flap_is_resorbed_within_days(patient):
    depth, inside, total = patient._appearance._depth, patient._background.structures["intracranial"], []
    for day in (0.0, 2.5, 30.0):
        share, regions = painted(patient, day, keep=("air",))
        outside = patient.craniotomy.collection(depth, inside, day).on(patient.grid)
        cavity = regions["cavity"].on(patient.grid)
        assert share[(outside == 0.0) & (cavity == 0.0)].max() == 0.0
        total.append(float(share[cavity == 0.0].sum()))
    assert total[0] > 1.5 * total[1] > 0.0
    assert total[2] < 0.01 * total[0]


def test_the_coil_ends_at_the_neck_and_not_without_a_bias(patient):
    axes = patient.grid.axes_mm()
    assert (bias_field(patient._coil, axes, 0.0) == 1.0).all()
    field, z = bias_field(patient._coil, axes, 0.1), axes[2]
    at_end = field[:, :, np.argmin(np.abs(z - COIL_END_MM.value))].mean()
    assert at_end / field[:, :, z > 0.0].mean() == pytest.approx(0.56, abs=0.12)
    assert field[:, :, 0].mean() < 0.2
