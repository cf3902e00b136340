"""The surgical course: published sign statistics of the cavity, volumes on grids, purity, clipping."""

import numpy as np
import pytest

from phantoms import course as courses
from phantoms import dynamics, lesion
from phantoms.cavity import fitted_patch
from phantoms.cited import Cited
from phantoms.course import SurgicalCourse
from phantoms.dynamics import VolumeLaw, collapsed
from phantoms.grid import Grid
from phantoms.lesion import Lesion, draw_volume_cc
from phantoms.resection import Resection
from phantoms.shapes import Sphere, structure_of
from phantoms.structure import Role

AFTER = ("cavity", "residual", "rim", "air", "blood", "oedema", "tract")


def make(seed=1, within=None, residual=1.0, centre=(30.0, -12.0, 41.0)):
    rng = np.random.default_rng(seed)
    tumour = Lesion.draw(rng, centre, draw_volume_cc(rng))
    return SurgicalCourse.draw(rng, tumour, (18.0, -6.0, 15.0), within, Resection(residual))


def box(spacing, half=62.0, centre=(30.0, -12.0, 41.0)):
    middle = np.asarray(centre)
    return Grid.covering((middle - half).tolist(), (middle + half).tolist(), spacing)


@pytest.fixture(scope="module")
def laws():
    rng = np.random.default_rng(20)
    tumours = np.array([draw_volume_cc(rng) for _ in range(6000)])
    return tumours, [VolumeLaw.draw(rng, volume) for volume in tumours]


def test_cavities_swell_or_shrink_within_three_weeks_and_collapse_after_a_month(laws):
    # The published figures, each with its number of patients and timing: test_validation_cavity.py.
    tumours, drawn = laws
    early = np.array([law.cc(1.0) for law in drawn])
    change = {day: np.array([law.cc(day) for law in drawn]) - early for day in (20.0, 41.0, 60.0, 120.0)}
    assert 0.05 < (change[20.0] < -2).mean() < (change[20.0] > 2).mean() < 0.5
    late = [np.median(change[day] / early) for day in (20.0, 41.0, 60.0, 120.0)]
    assert late == sorted(late, reverse=True)
    assert -0.30 < np.median(early / tumours - 1) < -0.10
    assert 6.5 < np.median(early) < 9.0  # medians 7.5-8.7 cc


def test_larger_cavities_change_less_in_per_cent(laws):
    early = np.array([law.cc(1.0) for law in laws[1]])
    change = np.array([law.cc(20.0) for law in laws[1]]) / early
    rank = np.corrcoef(early.argsort().argsort(), change.argsort().argsort())[0, 1]
    assert -0.40 < rank < -0.15  # Patel 2018: rho -0.32


def test_volume_is_smooth_in_day_and_starts_at_its_initial_value(laws):
    days = np.arange(0.0, 120.0, 0.25)
    for law in laws[1][:40]:
        volume = np.array([law.cc(day) for day in days])
        assert volume[0] == pytest.approx(law.initial_cc)
        assert np.abs(np.diff(np.log(volume))).max() < 0.05
    assert collapsed(0.0) == 0.0
    assert collapsed(1e4) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("spacing", [1.0, 2.0, 3.0, (0.8, 1.1, 2.5)])
@pytest.mark.parametrize("day", [-10.0, 0.0, 20.0, 60.0])
def test_occupied_volume_is_that_of_the_course(spacing, day):
    course = make()
    found = course.regions(box(spacing), day, ("tumour", "cavity", "residual"))
    body = found["tumour" if day < 0 else "cavity"]
    assert body.volume_cc == pytest.approx(course.volume_cc(day), rel=5e-3)
    if day >= 0:
        assert found["residual"].volume_cc == pytest.approx(course.residual_volume_cc(day), rel=5e-3)


@pytest.mark.parametrize("seed", range(4))
def test_occupied_volume_is_that_within_the_exact_wall(seed):
    course, grid = make(seed), box(1.0)
    for day in (1.0, 20.0, 60.0):
        form, centre = course.form(day), course.centre_mm(day)
        _, _, scale = fitted_patch(grid, centre, form, course.volume_cc(day), None)
        # Gauss-Legendre in the cosine of the polar angle, even steps in azimuth: exact for a body as smooth as this.
        height, weight = np.polynomial.legendre.leggauss(120)
        around = 2 * np.pi * np.arange(240) / 240
        flat = np.sqrt(1 - height**2)[:, None]
        ray = (flat * np.cos(around), flat * np.sin(around), np.repeat(height[:, None], 240, axis=1))
        wall = scale * form.radius(ray, np.ones_like(ray[2])).astype(float)
        exact = float((weight[:, None] * wall**3 / 3).sum() * 2 * np.pi / 240) / 1000
        occupied = course.regions(grid, day, ("cavity",))["cavity"].volume_cc
        assert occupied == pytest.approx(exact, rel=5e-3)


@pytest.mark.parametrize("spacing_mm", [1.0, 4.0])
def test_uneven_levels_of_air_and_blood_keep_their_volumes(spacing_mm):
    course = make(3)
    found = course.regions(box(spacing_mm), 1.0)
    layers = ("air", courses.AIR_SHARE, courses.AIR_DECAY_DAY), ("blood", courses.BLOOD_SHARE, courses.BLOOD_DECAY_DAY)
    for name, share, decay in layers:
        expected = share.value * np.exp(-1.0 / decay.value) * found["cavity"].volume_cc
        assert found[name].volume_cc == pytest.approx(expected, rel=1e-4)


def test_regions_lie_where_they_should():
    grid = box(1.5)
    course = make(3)
    found = course.regions(grid, 1.0)
    assert tuple(sorted(found)) == tuple(sorted(AFTER))
    on = {name: part.on(grid) for name, part in found.items()}
    for name in ("air", "blood"):
        assert (on[name] <= on["cavity"] + 1e-6).all()
    for name in ("rim", "residual", "oedema", "tract"):
        assert (on[name] + on["cavity"]).max() < 1.0 + 0.3  # neighbours share voxels, they do not overlap
        assert (on[name] * on["cavity"]).sum() < 0.25 * on[name].sum()
    assert found["air"].centroid_mm[1] < found["cavity"].centroid_mm[1] < found["blood"].centroid_mm[1]
    assert course.regions(grid, 15.0)["air"].is_empty
    assert course.regions(grid, 60.0)["oedema"].volume_cc < 0.3 * found["oedema"].volume_cc


def test_walls_follow_their_room_and_the_volume_is_kept():
    grid = box(1.0, half=44.0)
    room = structure_of("room", Role.SUPPORT, Sphere((22.0, -12.0, 41.0), 21.0), grid)
    free, held = make(5), make(5, within=room)
    assert not np.array_equal(free.regions(grid, 14.0)["cavity"].on(grid), held.regions(grid, 14.0)["cavity"].on(grid))
    for day in (-1.0, 14.0):
        name = "tumour" if day < 0 else "cavity"
        body = held.regions(grid, day)[name]
        assert body.volume_cc == pytest.approx(held.volume_cc(day), rel=5e-3)
        assert (body.on(grid) <= room.on(grid) + 1e-6).all()


def test_a_cavity_that_cannot_fit_is_refused():
    grid = box(2.0)
    room = structure_of("room", Role.SUPPORT, Sphere((30.0, -12.0, 41.0), 6.0), grid)
    with pytest.raises(ValueError, match="does not fit"):
        make(5, within=room).regions(grid, 0.0)


def test_walls_deform_and_the_centre_moves_a_few_mm():
    moved = [np.linalg.norm(c.centre_mm(60.0) - c.centre_mm(0.0)) for c in (make(seed) for seed in range(60))]
    assert 1.0 < np.median(moved) < 5.0
    course = make(2)
    assert course.centre_mm(-5.0) == pytest.approx(course.lesion.centre_mm)
    step = np.linalg.norm(course.centre_mm(5.0) - course.centre_mm(4.75))
    assert step < 0.15


def test_residual_doubles_in_its_doubling_time_while_small():
    course = make(4)
    assert course.residual_cc > 0
    grown = course.residual_volume_cc(course.doubling_day) / course.residual_volume_cc(0.0)
    assert grown == pytest.approx(2.0, rel=0.05)
    assert course.residual_volume_cc(-1.0) == 0.0
    assert make(4, residual=0.0).residual_volume_cc(30.0) == 0.0
    assert course.residual_volume_cc(1e4) <= courses.RESIDUAL_LIMIT_CC.value


def test_the_share_of_residual_tumour_does_not_change_the_other_draws():
    with_, without = make(9, residual=1.0), make(9, residual=0.0)
    assert with_.volume_cc(33.0) == without.volume_cc(33.0)
    assert with_.doubling_day == without.doubling_day
    drawn = [make(seed, residual=0.3).residual_cc > 0 for seed in range(400)]
    assert 0.22 < np.mean(drawn) < 0.38


def test_a_day_is_bit_identical_for_any_number_of_threads(monkeypatch):
    grid = box(2.0)
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("LACUNA_THREADS", threads)
        results.append(make(6).regions(grid, 7.0))
    for name in AFTER:
        assert np.array_equal(results[0][name].occupancy, results[1][name].occupancy)


def test_every_constant_tells_source_and_status():
    found = [
        value
        for module in (courses, dynamics, lesion)
        for entry in vars(module).values()
        for value in (entry.values() if isinstance(entry, dict) else entry if type(entry) is tuple else [entry])
        if isinstance(value, Cited)
    ]
    assert len(found) > 30
    for constant in found:
        assert constant.source
        assert constant.status in ("published", "fitted", "assumed")
