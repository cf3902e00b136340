"""Observers and automatic segmentation: balls of known contrast, synthetic heads, and what they refuse."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ball_patients import ball

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.distance import distance_field, level_surface
from phantoms.grid import Grid
from phantoms.patient import Epoch
from phantoms.shapes import Ellipsoid, occupancy
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner import library
from planner.cli.app import _status
from planner.contouring.consensus import staple
from planner.contouring.edges import edge_contrast
from planner.contouring.observer import Observer, Uniform, observer_named
from planner.contouring.segmentation import segment_cavity
from planner.evaluate.agreement import common_grid, dice, fleiss_kappa
from planner.evaluate.coverage import surface_distances
from planner.io.nifti import read_structure, write_volume
from planner.treatment.errors import InputError, PlanningError

GRID = Grid.covering((-40,) * 3, (40,) * 3, 1.0)
BRAIN, FLUID, WALL = 230.0, 130.0, 430.0


def image(radius_mm=12.0, noise=8.0, wall_mm=1.5, fluid=FLUID, seed=0, grid=GRID) -> Volume:
    """Return fluid with an enhancing wall in brain, with noise."""
    inner, outer = (occupancy(Ellipsoid((0, 0, 0), (r,) * 3), grid) for r in (radius_mm, radius_mm + wall_mm))
    signal = BRAIN + (outer - inner) * (WALL - BRAIN) + inner * (fluid - BRAIN)
    return Volume(grid, signal + noise * np.random.default_rng(seed).standard_normal(grid.shape), Quantity.MR_SIGNAL)


def cavity(radius_mm=12.0, grid=GRID):
    return Structure("cavity", Role.TARGET, grid, occupancy(Ellipsoid((0, 0, 0), (radius_mm,) * 3), grid))


def hand():
    return library.load("observers", "expert", Observer).hand


@pytest.mark.parametrize(
    ("radius", "spacing", "least"), [(9.0, 1.0, 0.96), (16.0, 1.0, 0.96), (12.0, (0.8, 0.8, 2.0), 0.94)]
)
def test_a_ball_is_found_with_its_edge_between_the_voxels(radius, spacing, least):
    grid = Grid.covering((-40,) * 3, (40,) * 3, spacing)
    found, truth = segment_cavity([image(radius, grid=grid)], (1.0, -2.0, 1.0)), cavity(radius, grid)
    assert dice(found, truth) > least
    assert found.volume_cc == pytest.approx(truth.volume_cc, rel=0.05)
    assert surface_distances(found, truth).mean_mm < 0.4


def test_the_seed_does_not_matter_within_the_fluid_and_neither_does_gain():
    first = segment_cavity([image()], (0, 0, 0))
    assert dice(first, segment_cavity([image()], (4.0, 3.0, -5.0))) > 0.995
    louder = image()
    again = segment_cavity([replace(louder, data=3.0 * louder.data)], (0, 0, 0))
    assert dice(first, again) > 0.999


def test_the_same_bits_for_any_number_of_threads(monkeypatch):
    one = segment_cavity([image()], (0, 0, 0))
    monkeypatch.setenv("LACUNA_THREADS", "1")
    other = segment_cavity([image()], (0, 0, 0))
    assert np.array_equal(one.occupancy, other.occupancy)


@pytest.mark.parametrize(
    ("seed", "picture", "problem"),
    [
        ((90.0, 0, 0), image(), "outside the image"),
        ((30.0, 0, 0), image(), "does not stand out"),
        ((0, 0, 0), image(fluid=BRAIN, wall_mm=0.0), "does not stand out"),
    ],
)
def test_what_cannot_be_found_is_refused(seed, picture, problem):
    with pytest.raises(PlanningError, match=problem):
        segment_cavity([picture], seed)


@pytest.mark.parametrize("blood", [(175.0, 140.0), (390.0, 170.0), (390.0, 310.0), (400.0, 930.0)])
def test_air_and_settled_blood_of_any_age_belong_to_the_cavity(blood):
    """Signals in T1 with gadolinium and T2 of brain, wall, fluid and air; fluid alone is 60 % of the ball."""
    inner, outer = (occupancy(Ellipsoid((0, 0, 0), (r,) * 3), GRID) for r in (12.0, 13.5))
    y = GRID.axes_mm()[1][None, :, None]
    air, settled = (np.clip(0.5 - side * (y - level), 0, 1) for side, level in ((1, -6.0), (-1, 5.0)))
    images = []
    for brain, wall, fluid, dark, sediment, noise in (
        (230, 430, 125, 0, blood[0], 8),
        (360, 480, 950, 0, blood[1], 12),
    ):
        content = fluid + air * (dark - fluid) + settled * (sediment - fluid)
        signal = brain + (outer - inner) * (wall - brain) + inner * (content - brain)
        grain = noise * np.random.default_rng(noise).standard_normal(GRID.shape)
        images.append(Volume(GRID, signal + grain, Quantity.MR_SIGNAL))
    found = segment_cavity(images, (0, 0, 0))
    assert dice(found, cavity()) > 0.95
    assert found.volume_cc == pytest.approx(cavity().volume_cc, rel=0.07)


def test_fluid_that_goes_on_for_ever_has_leaked():
    grid = Grid.covering((-60,) * 3, (60,) * 3, 1.5)
    x, y, _ = np.meshgrid(*grid.axes_mm(), indexing="ij")
    tube = np.where(np.hypot(x, y) < 10, FLUID, BRAIN)
    noisy = tube + 8.0 * np.random.default_rng(0).standard_normal(grid.shape)
    with pytest.raises(PlanningError, match="leaked"):
        segment_cavity([Volume(grid, noisy, Quantity.MR_SIGNAL)], (0, 0, 0))


@pytest.fixture(scope="module")
def late():
    """A synthetic patient three weeks after surgery."""
    return SyntheticAnatomy(CohortSpec(patients=1, seed=11), 0).epoch(21.0, images=("t1gd", "t2"))


def test_a_synthetic_cavity_at_three_weeks(late, tmp_path, capsys):
    truth = late.structures["cavity"]
    for name in ("t1gd", "t2"):
        write_volume(tmp_path / f"{name}.nii.gz", late.volumes[name])
    seed = [f"{x:.1f}" for x in truth.centroid_mm]
    words = ["segment", tmp_path / "t1gd.nii.gz", "--also", tmp_path / "t2.nii.gz", "--seed-mm", *seed]
    out = tmp_path / "cavity.nii.gz"
    assert _status([str(w) for w in (*words, "--out", out, "--json")], debug=False) == 0
    told = json.loads(capsys.readouterr().out)
    found = read_structure(out)
    assert dice(truth, found) > 0.95
    assert told["volume_cc"] == pytest.approx(found.volume_cc, rel=1e-4)
    assert set(told["provenance"]["files"]) == {str(tmp_path / "t1gd.nii.gz"), str(tmp_path / "t2.nii.gz")}
    bad = [*words[:4], "--seed-mm", "500", "0", "0", "--out", tmp_path / "no.nii.gz"]
    assert _status([str(w) for w in bad], debug=False) == 4
    assert "--seed-mm: seed (500.0, 0.0, 0.0) mm (LPS) lies outside the image" in capsys.readouterr().err
    assert not (tmp_path / "no.nii.gz").exists()


def test_contrast_is_the_step_across_an_edge():
    body = ball("b", Role.TARGET, GRID, (0, 0, 0), 15.0)
    sharp = Volume(GRID, 200.0 - 80.0 * body.occupancy, Quantity.MR_SIGNAL)
    found = edge_contrast(body, [sharp], 5.0)
    edge = (body.on(found.grid) > 0.2) & (body.on(found.grid) < 0.8)
    # The blur of the voxels adds to that of the eye.
    assert np.median(found.data[edge]) == pytest.approx(80.0 / 200.0, rel=0.1)
    flat = Volume(GRID, np.full(GRID.shape, 200.0), Quantity.MR_SIGNAL)
    assert edge_contrast(body, [flat], 5.0).data.max() < 1e-3
    both = edge_contrast(body, [flat, sharp], 5.0)
    assert np.array_equal(both.data, found.data)


def test_hands_stray_where_the_edge_is_faint():
    body, expert = cavity(15.0), hand()
    half = image(15.0, noise=2.0).data.copy()
    half[GRID.shape[0] // 2 :] = BRAIN
    picture = Volume(GRID, half, Quantity.MR_SIGNAL)
    points = level_surface(distance_field(body, 1.0)).points_mm
    seen, hidden = points[points[:, 0] < -6.0], points[points[:, 0] > 6.0]
    away = {"seen": [], "hidden": []}
    for number in range(12):
        field = distance_field(expert.draw(body, [picture], 0.0, np.random.default_rng(number)), 12.0)
        away["seen"].append(field.at(seen))
        away["hidden"].append(field.at(hidden))
    own = np.sqrt(1.0 - expert.systematic_share.value)
    clear, faint = expert.clear_sd_mm.value, expert.faint_sd_mm.value
    assert 0.7 * own * clear < np.std(away["seen"]) < 0.5 * (clear + faint)
    assert np.std(away["hidden"]) == pytest.approx(own * faint, rel=0.3)
    assert np.std(away["hidden"]) > 1.5 * np.std(away["seen"])


def test_a_generous_observer_draws_larger_everywhere():
    body, expert, picture = cavity(), hand(), [image()]
    volumes = [expert.draw(body, picture, habit, np.random.default_rng(3)).volume_cc for habit in (-1.5, 0.0, 1.5)]
    assert volumes[0] < volumes[1] < volumes[2]


def test_observers_draw_the_target_and_nothing_else():
    truth = Epoch(
        21.0,
        {"density": Volume(GRID, np.ones(GRID.shape), Quantity.DENSITY), "t1gd": image()},
        {"cavity": cavity(), "residual": ball("residual", Role.TARGET, GRID, (0, 13.0, 0), 4.0), "brain": cavity(30.0)},
    )
    uniform = Uniform(0.5, 10.0)

    def draws(purpose: str) -> np.random.Generator:
        return np.random.default_rng([*purpose.encode()])

    for name in ("uniform", "expert", "automatic"):
        observer = observer_named(name, uniform)
        drawn, again = (observer.contoured(truth, draws, 0.3) for _ in range(2))
        assert drawn.structures["brain"] is truth.structures["brain"]
        assert drawn.structures["cavity"] is not truth.structures["cavity"]
        assert (drawn.structures["residual"] is truth.structures["residual"]) == (name == "automatic")
        assert np.array_equal(drawn.structures["cavity"].occupancy, again.structures["cavity"].occupancy)
        assert drawn.volumes is truth.volumes
    blind = replace(truth, volumes={"density": truth.volumes["density"]})
    with pytest.raises(PlanningError, match="no MR image"):
        observer_named("automatic", uniform).contoured(blind, draws, 0.0)
    with pytest.raises(InputError, match=r"unknown observer 'expret'\. Did you mean 'expert'"):
        observer_named("expret", uniform)


def test_agreement_of_what_is_known():
    big, small = cavity(12.0), cavity(9.0)
    assert dice(big, big) == pytest.approx(1.0)
    assert dice(big, small) == pytest.approx(2 * 9**3 / (9**3 + 12**3), rel=0.01)
    apart = ball("x", Role.TARGET, GRID, (0, 0, 30.0), 5.0)
    assert dice(big, apart) == 0.0
    assert common_grid([big, apart], 5.0).high_mm[2] == pytest.approx(common_grid([apart]).high_mm[2] + 5.0)
    # Fleiss by hand: two of three agree in one voxel of four, all in the others.
    ratings = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
    share = 5 / 12
    chance = share**2 + (1 - share) ** 2
    assert fleiss_kappa(ratings) == pytest.approx(((3 + 1 / 3) / 4 - chance) / (1 - chance))


def test_the_consensus_finds_who_misses_what():
    rng = np.random.default_rng(2)
    truth = cavity(14.0).occupancy >= 0.5
    drawn = [np.where(truth, rng.random(GRID.shape) < 0.8, rng.random(GRID.shape) < 0.05) for _ in range(8)]
    sensitivity, specificity = staple(drawn)
    # Its prior is the share that is drawn on average, false alarms included: 6 % for 2 %.
    assert sensitivity == pytest.approx(0.8, abs=0.03)
    assert specificity == pytest.approx(0.95, abs=0.01)


def test_the_constants_of_a_segmentation_are_told_with_those_of_its_observer():
    found = observer_named("automatic", Uniform(0.5, 10.0)).constants()
    assert {"segmentation.neck_mm", "segmentation.late_t1"} <= {row["name"] for row in found}
    assert all(row["source"] and row["status"] for row in found)
