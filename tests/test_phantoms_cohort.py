"""Synthetic patients: plausible volumes, sides, disjoint organs, purity, independence of patients."""

import numpy as np
import pytest

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.craniotomy import COLLECTION_DAY, COLLECTION_MM, FLAP_RADIUS_MM
from phantoms.distance import distance_field, occupancy_of
from phantoms.flow import AT_REST_DAY, Carried
from phantoms.head import DURA_MM, STRUCTURES, field_of_view
from phantoms.shapes import covered
from phantoms.structure import Role

SPEC = CohortSpec(patients=40, seed=7, spacing_mm=2.0, residual_fraction=1.0)
PAIRED = ("eye", "lens", "optic_nerve", "cochlea", "hippocampus")
SINGLE = ("external", "skull", "brain", "intracranial", "brainstem", "cerebellum", "ventricles", "chiasm", "falx")
# Volumes, cm3. Brain: 1.0-1.6 l. Eye: 6-7.5 (diameter 23-24 mm). Ventricles: 7-40 (adults). Hippocampus: 2-4.
# Brainstem: 20-35. Cerebellum: 110-230 with its folia. Cochlea: 0.05-0.25. Lens: 0.13-0.25. Skull and facial bone.
RANGES = {
    "brain": (1000, 1600),
    "eye_left": (5.8, 7.6),
    "ventricles": (7, 40),
    "hippocampus_right": (2.0, 4.0),
    "brainstem": (19, 35),
    "cerebellum": (110, 235),
    "cochlea_left": (0.05, 0.25),
    "lens_right": (0.13, 0.25),
    "optic_nerve_left": (0.5, 1.3),
    "chiasm": (0.2, 0.9),
    "skull": (400, 900),
    "external": (3000, 4700),
}


@pytest.fixture(scope="module")
def patient():
    return SyntheticAnatomy(SPEC, 0)


@pytest.fixture(scope="module")
def day20(patient):
    return patient.epoch(20.0)


def test_every_structure_is_there_once(day20):
    support = {"dura", "venous_sinuses", "tract", "bone_flap"}
    names = {
        *SINGLE,
        "tentorium",
        "cavity",
        "residual",
        *support,
        *(f"{p}_{s}" for p in PAIRED for s in ("left", "right")),
    }
    assert set(day20.structures) == names
    roles = {name: part.role for name, part in day20.structures.items() if name in STRUCTURES}
    assert roles == STRUCTURES
    assert all(key == structure.name for key, structure in day20.structures.items())
    assert day20.structures["external"].role is Role.EXTERNAL
    assert day20.structures["cavity"].role is Role.TARGET


@pytest.mark.parametrize("name", RANGES)
def test_volumes_are_those_of_adults(name, day20):
    low, high = RANGES[name]
    assert low < day20.structures[name].volume_cc < high


def test_left_is_plus_x_and_front_is_minus_y(day20):
    for part in PAIRED:
        left, right = (day20.structures[f"{part}_{side}"].centroid_mm for side in ("left", "right"))
        assert left[0] > 5 > -5 > right[0]
    at = {name: day20.structures[name].centroid_mm for name in ("eye_left", "cerebellum", "brain", "brainstem")}
    assert at["eye_left"][1] < at["brain"][1] < at["cerebellum"][1]
    assert at["brainstem"][2] < at["brain"][2]


def test_organs_that_exclude_each_other_do(day20):
    grid = day20.grid
    on = {name: day20.structures[name].on(grid) for name in day20.structures}
    # Neighbours may share the partly filled voxels of their common surface.
    for first, second in [
        ("brain", "skull"),
        ("eye_left", "brain"),
        ("cerebellum", "tentorium"),
        ("ventricles", "cavity"),
        ("eye_right", "optic_nerve_right"),
        ("cavity", "skull"),
    ]:
        shared = np.minimum(on[first], on[second]).sum()
        assert shared < 0.12 * min(on[first].sum(), on[second].sum()), (first, second)
    for inner, outer in [
        ("brain", "intracranial"),
        ("brainstem", "brain"),
        ("lens_left", "eye_left"),
        ("skull", "external"),
    ]:
        assert (on[inner] - on[outer]).clip(0).sum() < 0.02 * on[inner].sum(), (inner, outer)
    assert (on["cavity"] <= on["intracranial"] + 0.3).all()


def test_calvaria_is_as_thick_as_drawn(patient, day20):
    assert 5.0 < patient.head.skull_mm < 9.0
    skull = day20.structures["skull"].on(day20.grid)
    # Rays upward through the vertex region, where the wall is nearly level.
    x, y, _ = (int(v) for v in np.rint(day20.grid.index_of((10.0, 5.0, 0.0))))
    z = int(np.rint(day20.grid.index_of((0.0, 0.0, 60.0))[2]))
    thick = skull[x - 3 : x + 4, y - 3 : y + 4, z:].sum(axis=2) * 2.0
    assert thick.mean() == pytest.approx(patient.head.skull_mm, rel=0.25)


def test_density_and_images_show_the_anatomy(patient):
    epoch = patient.epoch(2.0)
    density, t1, t2, flair = (epoch.volumes[name].data for name in ("density", "t1gd", "t2", "flair"))
    on = {name: epoch.structures[name].on(epoch.grid) for name in ("external", "ventricles", "brain", "skull")}
    assert density[on["external"] == 0].max() < 0.01
    assert density[on["skull"] > 0.99].mean() > 1.3
    inside = on["ventricles"] > 0.99
    brain = (on["brain"] > 0.99) & ~(on["ventricles"] > 0)
    assert t1[inside].mean() < 0.6 * t1[brain].mean()
    assert t2[inside].mean() > 1.5 * t2[brain].mean()
    assert flair[inside].mean() < 0.4 * flair[brain].mean()
    air = patient.course.regions(epoch.grid, 2.0)["air"].on(epoch.grid)
    assert (air > 0.99).any()
    assert (density <= 0.0012 * air + 1.1 * (1.0 - air) + 1e-6)[air > 0.2].all()


def test_the_flap_is_a_disc_of_skull_over_the_cavity(patient, day20):
    flap, skull = day20.structures["bone_flap"], day20.structures["skull"]
    whole = np.pi * FLAP_RADIUS_MM.value**2 * patient.head.skull_mm / 1000.0
    assert 0.7 * whole < flap.volume_cc < 1.6 * whole  # the vault is curved, its thickness varies
    assert (flap.occupancy <= skull.on(flap.grid) + 1e-6).all()
    outwards = flap.centroid_mm - np.asarray(patient.course.lesion.centre_mm)
    assert outwards @ patient.course.entry == pytest.approx(patient.course.depth_mm, abs=8.0)
    cut = patient.craniotomy.cut(skull)
    assert np.minimum(cut.on(skull.grid), flap.on(skull.grid)).max() <= 0.5
    assert 0.0 < day20.structures["tract"].volume_cc < 4.0  # nearly all of it opens into this cavity


def test_the_collection_under_the_flap_is_a_cap_that_is_resorbed(patient, day20):
    depth, inside = patient._appearance._depth, day20.structures["intracranial"]
    first, later = (patient.craniotomy.collection(depth, inside, day) for day in (0.0, COLLECTION_DAY.value))
    cap_cc = np.pi * FLAP_RADIUS_MM.value**2 * COLLECTION_MM.value / 2 / 1000.0  # a paraboloid
    assert first.volume_cc == pytest.approx(cap_cc, rel=0.25)  # the vault is curved
    assert later.volume_cc == pytest.approx(first.volume_cc / np.e, rel=0.15)
    assert (first.occupancy <= day20.structures["intracranial"].on(first.grid) + 1e-6).all()


def test_dura_lines_the_skull_and_holds_the_sinuses(day20):
    dura, inner = day20.structures["dura"], day20.structures["intracranial"]
    area_cc = dura.volume_cc / DURA_MM.value * 10.0  # cm2; the inside of the skull has 700-1000 cm2 with its base
    assert 600 < area_cc < 1200
    assert (dura.on(inner.grid) <= inner.occupancy + 1e-6).all()
    assert 3.0 < day20.structures["venous_sinuses"].volume_cc < 25.0


def test_cavity_has_the_volume_of_the_course(patient):
    for day in (0.0, 1.0, 20.0, 60.0):
        epoch = patient.epoch(day, images=False)
        assert epoch.structures["cavity"].volume_cc == pytest.approx(patient.course.volume_cc(day), rel=5e-3)
        assert set(epoch.volumes) == {"density"}
    before = patient.epoch(-3.0, images=("t1gd",))
    assert set(before.volumes) == {"density", "t1gd"}
    assert before.structures["tumour"].volume_cc == pytest.approx(patient.course.volume_cc(-3.0), rel=5e-3)
    assert "cavity" not in before.structures


@pytest.mark.parametrize("day", [0.0, 20.0])
def test_cavity_has_the_volume_of_its_signed_distance(day):
    cavity = SyntheticAnatomy(CohortSpec(patients=40, seed=7, spacing_mm=1.0), 0).course.regions(
        field_of_view(1.0), day, ("cavity",)
    )["cavity"]
    field = distance_field(cavity, 6.0)
    assert occupancy_of(field).sum(dtype=float) * field.grid.voxel_cc == pytest.approx(cavity.volume_cc, rel=5e-3)
    assert covered(field.data, field.grid).sum(dtype=float) * field.grid.voxel_cc == pytest.approx(
        cavity.volume_cc, rel=5e-3
    )


def test_a_day_is_bit_identical_whatever_came_before(patient, day20, monkeypatch):
    monkeypatch.setenv("LACUNA_THREADS", "1")
    again = SyntheticAnatomy(CohortSpec(**{**vars(SPEC), "patients": 3}), 0)
    again.epoch(60.0, images=("t2",))
    repeat = again.epoch(20.0)
    for name, volume in day20.volumes.items():
        assert np.array_equal(volume.data, repeat.volumes[name].data)
    for name, structure in day20.structures.items():
        assert np.array_equal(structure.occupancy, repeat.structures[name].occupancy)
    assert again.facts == patient.facts


def test_patients_differ_and_lesions_lie_where_metastases_do():
    cohort = [SyntheticAnatomy(SPEC, index) for index in range(24)]
    assert len({p.facts["tumour_volume_cc"] for p in cohort}) == 24
    assert len({p.id for p in cohort}) == 24
    assert 0 < sum(str(p.facts["site"]).startswith("cerebellar") for p in cohort) < 9
    for p in cohort:
        assert 3.0 <= p.facts["tumour_volume_cc"] <= 30.0
        assert (p.course.lesion.centre_mm[0] > 0) == str(p.facts["site"]).endswith("left")
        cavity = p.course.regions(p.grid, 15.0, ("cavity",))["cavity"]  # at its largest, it fits its compartment
        assert cavity.volume_cc == pytest.approx(p.course.volume_cc(15.0), rel=5e-3)


def test_brain_follows_the_cavity_and_the_skull_does_not(patient, day20):
    day1 = patient.epoch(1.0, images=False)
    before, after = day1.structures, day20.structures
    for name in ("skull", "external", "intracranial"):
        assert np.array_equal(before[name].occupancy, after[name].occupancy)
    white = patient._background.white  # the resting head, which no day may touch
    kept = white.copy()
    moved = patient.flow.displacement(1.0, 20.0, patient.grid)
    far = np.linalg.norm(moved, axis=0)
    change = np.abs(day20.volumes["density"].data - day1.volumes["density"].data)
    assert change[far == 0.0].max() < 1e-3 + change[far > 0.0].max()
    assert 0.2 < far.max() < 12.0
    patient.epoch(45.0)
    assert np.array_equal(white, kept)


def test_carried_volumes_are_those_of_the_point_map(patient):
    carried = Carried(patient.flow, 20.0, patient.grid)
    x, y, z = (axis.astype(np.float32) for axis in patient.grid.axes_mm())
    ramp = (0.3 * x[:, None, None] - 0.2 * y[None, :, None] + 0.5 * z[None, None, :]) + np.zeros(1, np.float32)
    moved = ramp.copy()
    carried.carry(moved)
    points = patient.grid.point_of(np.argwhere(np.ones(patient.grid.shape, bool))[::97])
    source, _ = patient.flow.moved(points, 20.0, AT_REST_DAY)
    # A linear field is interpolated exactly: what it shows is where each voxel's tissue came from.
    assert moved.reshape(-1)[::97] == pytest.approx(source @ np.array([0.3, -0.2, 0.5]), abs=1e-3)


def test_misuse_is_refused(patient):
    with pytest.raises(ValueError, match="spacing_mm"):
        CohortSpec(spacing_mm=0.0)
    with pytest.raises(ValueError, match="residual_fraction"):
        CohortSpec(residual_fraction=1.2)
    with pytest.raises(ValueError, match="patient 40"):
        SyntheticAnatomy(SPEC, 40)
    with pytest.raises(ValueError, match="dwi"):
        patient.epoch(1.0, images=("dwi",))
