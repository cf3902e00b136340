"""Plans of free fluence on a ball in water: coverage, limits, normalisation, and what cannot be planned."""

from dataclasses import replace

import numpy as np
import pytest
from oracles_planning import BlurredBeamlets, ball, constant, machine, water_head

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner import library
from planner.evaluate.dvh import dvh
from planner.optimise.free_fluence import make_plan
from planner.optimise.goals import limit_of, objective_of
from planner.optimise.normalisation import normalisation_factor
from planner.optimise.planning import Effort, PlanRequest, samples_of
from planner.optimise.sampling import Budget, sample
from planner.treatment.errors import InputError, PlanningError
from planner.treatment.objective import Normalisation, ObjectiveTemplate
from planner.treatment.prescription import Prescription
from planner.treatment.technique import Apertures, FieldRing, TechniqueSpec

RX = Prescription(18.0, 1, "fixed", "test")
EFFORT = Effort(stages=((2.0, 12), (1.0, 25)), budget=Budget(target=1200, outside=2000, organ=100, skin=200))


def template(name="srs-marginal"):
    return library.load("objectives", name, ObjectiveTemplate)


def request(**changes):
    density, structures = water_head(4.0, 60.0)
    ptv = ball("ptv", density.grid, (10, 5, 0), 11)
    technique = TechniqueSpec(
        name="ring",
        title="Ring",
        ring=constant(FieldRing(count=9, first_deg=0.0)),
        bixel_step_mm=constant(2.5),
        aperture_margin_mm=constant(2.0),
        apertures=constant(Apertures(shape="optimised", fall_off=0.25)),
    )
    fields = {
        "day": 1.0,
        "density": density,
        "structures": structures,
        "targets": {"gtv": ptv, "ctv": ptv, "ptv": ptv},
        "machine": machine(),
        "technique": technique,
        "objectives": template(),
        "prescription": RX,
        "effort": EFFORT,
    }
    return PlanRequest(**(fields | changes))


ENGINE = BlurredBeamlets(radius_mm=60.0)


@pytest.fixture(scope="module")
def plan():
    return make_plan(request(), ENGINE)


def test_a_plan_covers_and_hugs_its_target(plan):
    ptv, dose = plan.targets["ptv"], plan.dose.volume
    fine = Grid.covering([-15, -20, -25], [35, 30, 25], 1.0)
    inside = ptv_fine(fine)
    at = dose.on(fine).data
    covered = (at[inside] >= 18).mean()
    isodose = (at >= 18).sum()
    assert covered == pytest.approx(0.99, abs=0.015)
    assert covered**2 * inside.sum() / isodose > 0.85
    assert ptv.volume_cc > 5


def test_a_plan_covers_what_its_template_says_by_the_histogram_that_is_reported(plan):
    for name in library.names("objectives"):
        asked = request(objectives=template(name))
        factor = normalisation_factor(plan.dose.volume, asked)
        found = dvh(plan.dose.volume, plan.targets["ptv"]).volume_at_dose_percent(18.0 / factor)
        assert found == pytest.approx(asked.objectives.normalisation.value.percent, abs=1e-3)


def ptv_fine(grid):
    return ball("ptv", grid, (10, 5, 0), 11).occupancy >= 0.5


def test_the_weights_give_the_dose(plan):
    r = request()
    again = ENGINE.dose(r.density, plan.beams, plan.weights, r.machine, ignore_field=False)
    assert np.allclose(again.volume.data, plan.dose.volume.data, rtol=1e-5, atol=1e-5)
    assert all(w.min() >= 0 and len(w) == b.bixels.count for w, b in zip(plan.weights, plan.beams, strict=True))


def test_facts_tell_what_was_done(plan):
    facts = plan.facts
    assert facts["beams"] == 9
    assert facts["normalisation"] == "coverage 99 %"
    assert 20 <= facts["evaluations"] <= 42
    inside = plan.targets["ptv"].on(plan.dose.volume.grid) > 0
    assert facts["isodose_percent"] == pytest.approx(1800 / plan.dose.volume.data[inside].max())
    assert 100 / 1.6 < facts["isodose_percent"] < 100 / 1.15


def test_the_same_request_gives_the_same_plan(plan):
    other = make_plan(request(), ENGINE)
    assert np.array_equal(other.dose.volume.data, plan.dose.volume.data)


def test_a_homogeneous_template_gives_a_homogeneous_dose(plan):
    other = make_plan(request(objectives=template("srs-homogeneous")), ENGINE)
    assert other.facts["isodose_percent"] > plan.facts["isodose_percent"] + 5


def test_an_organ_limit_is_kept():
    """An organ beside the target gets less than its limit, which it exceeds when nobody asks."""
    density, structures = water_head(4.0, 60.0)
    organ = ball("chiasm", density.grid, (-7.5, 5, 0), 6, Role.ORGAN)
    free, kept = (make_plan(request(structures=structures | extra), ENGINE) for extra in ({}, {"chiasm": organ}))
    inside = organ.occupancy >= 0.5
    assert free.dose.volume.data[inside].max() > 10.0 > kept.dose.volume.data[inside].max()


def test_normalisation_to_an_isodose():
    r = request()
    how = Normalisation(kind="isodose", percent=70)
    other = make_plan(request(objectives=r.objectives.model_copy(update={"normalisation": constant(how)})), ENGINE)
    assert 18.0 / other.dose.volume.data.max() == pytest.approx(0.7, rel=0.03)
    asked = request(objectives=r.objectives.model_copy(update={"normalisation": constant(how)}))
    assert normalisation_factor(other.dose.volume, asked) == pytest.approx(1.0, rel=1e-4)


def test_coverage_normalisation_on_a_known_dose():
    """A dose that falls linearly from the centre of a ball: D99 lies where the radius holds 99 % of the volume."""
    grid = Grid.covering([-20] * 3, [20] * 3, 2.0)
    radius = np.linalg.norm(np.moveaxis(np.indices(grid.shape), 0, -1) * 2.0 + grid.origin_mm, axis=-1)
    dose = Volume(grid, 40 - radius, Quantity.DOSE)
    how = constant(Normalisation(kind="coverage", percent=99))
    objectives = template().model_copy(update={"normalisation": how})
    target = ball("ptv", grid, (0, 0, 0), 15).cropped()
    factor = normalisation_factor(dose, request(objectives=objectives, targets={"ptv": target}))
    assert 18 / factor == pytest.approx(40 - 15 * 0.99 ** (1 / 3), abs=0.15)


def test_a_template_with_a_negative_leaf_margin_is_refused():
    file = library.ROOT / "objectives" / "srs-marginal.toml"
    data = library.read_toml(file)
    data["leaf_margin_mm"]["value"] = -0.5
    with pytest.raises(InputError, match=r"leaf_margin_mm\.value.*greater than or equal to 0"):
        library.parse(ObjectiveTemplate, data, file)


def test_a_template_is_like_the_one_it_names_but_for_what_it_says():
    marginal, flat = template(), template("srs-homogeneous")
    other = {key for key in ObjectiveTemplate.model_fields if getattr(flat, key) != getattr(marginal, key)}
    assert other - {"name", "title"} == {
        "target_minimum",
        "target_maximum",
        "normalisation",
        "maximum_dose",
        "leaf_margin_mm",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: {"structures": {"brain": r.structures["brain"]}}, "'external', which is not drawn"),
        (lambda r: {"structures": {"external": r.structures["external"]}}, "'brain', which is not drawn"),
        (
            lambda r: {
                "targets": {"ptv": Structure("ptv", Role.TARGET, r.density.grid, np.zeros(r.density.grid.shape))}
            },
            "'ptv' is empty",
        ),
        (
            lambda r: {"targets": {"ptv": ball("ptv", Grid.covering([90] * 3, [130] * 3, 4.0), (110, 110, 110), 9)}},
            "lie inside the density",
        ),
        (lambda r: {"prescription": Prescription(27.0, 4, "x", "x")}, "no brain volume goal for 4 fractions"),
    ],
)
def test_what_cannot_be_planned_is_told(change, words):
    with pytest.raises(PlanningError, match=words):
        make_plan(request(**change(request())), ENGINE)


def test_limits_hold_for_either_side_and_the_course():
    t = template()
    assert limit_of("optic_nerve_left", t, 1).dose_gy == 10
    assert limit_of("optic_nerve_right", t, 3).dose_gy == 17.4
    assert limit_of("brainstem", t, 5).dose_gy == 31
    assert limit_of("hippocampus_left", t, 1) is None


@pytest.mark.parametrize("name", library.names("objectives"))
def test_gradient_of_a_whole_template(name):
    density, structures = water_head(6.0, 40.0)
    organs = {"chiasm": ball("chiasm", density.grid, (-20, 0, 0), 8, Role.ORGAN)}
    ptv = ball("ptv", density.grid, (5, 0, 0), 10)
    samples = sample(density.grid, ptv, structures | organs, (("chiasm",), 5.0), Budget(150, 300, 30, 30))
    objective = objective_of(samples, template(name), RX, 1.0)
    assert {t.name for t in objective.terms} >= {
        "target minimum",
        "conformity",
        "fall-off",
        "gradient",
        "brain volume",
        "skin",
        "chiasm",
    }
    dose = np.random.default_rng(1).uniform(0, 30, len(samples.points_mm))
    _, gradient = objective.evaluate(dose)
    some = np.random.default_rng(2).choice(len(dose), 60, replace=False)
    expected = np.empty(60)
    for n, point in enumerate(some):
        values = []
        for step in (1e-4, -1e-4):
            moved = dose.copy()
            moved[point] += step
            values.append(objective.evaluate(moved)[0])
        expected[n] = (values[0] - values[1]) / 2e-4
    assert np.abs(gradient[some] - expected).max() <= 1e-6 * np.abs(gradient).max()
    assert sum(objective.values(dose).values()) == pytest.approx(objective.evaluate(dose)[0])


def test_an_organ_within_the_target_asks_for_no_less_than_the_target():
    """Where coverage is met nothing of the organ is missed; beside the target its own level holds."""
    density, structures = water_head(4.0, 60.0)
    ptv, organ = (ball(name, density.grid, (10, 5, 0), size) for name, size in (("ptv", 11), ("chiasm", 14)))
    samples = sample(density.grid, ptv, structures | {"chiasm": organ}, (("chiasm",), 5.0), Budget(150, 300, 300, 30))
    points = samples.organs["chiasm"].index
    within = samples.distance_mm[points] == 0
    assert within.any() and not within.all()
    dose = np.zeros(len(samples.points_mm))
    for chosen, level_gy in ((within, 1.05 * 18.0), (~within, 0.9 * 10.0)):
        for above, met in ((-0.01, True), (0.5, False)):
            dose[:] = 0.0
            dose[points[chosen]] = level_gy + above
            assert (objective_of(samples, template(), RX, 1.0).values(dose)["chiasm"] == 0) is met


def test_gas_in_the_target_is_not_asked_to_be_covered():
    """The dose of an engine that gives gas half of what it gives tissue: coverage is judged, and sought, in tissue."""
    whole = request()
    x, y, z = np.meshgrid(*whole.density.grid.axes_mm(), indexing="ij")
    away = np.sqrt((x - 10) ** 2 + (y - 5) ** 2 + z**2)
    gas = away < 8.0
    bubbled = request(density=Volume(whole.density.grid, np.where(gas, 0.0012, 1.0), Quantity.DENSITY))
    dose = Volume(whole.density.grid, np.where(away < 3.5, 9.0, 18.0), Quantity.DOSE)
    assert normalisation_factor(dose, bubbled) == pytest.approx(1.0, abs=0.03)
    assert normalisation_factor(dose, whole) > 1.5
    samples, all_of_it = samples_of(bubbled), samples_of(whole)
    near = np.linalg.norm(samples.points_mm[samples.target.index] - (10, 5, 0), axis=1)
    assert near.min() > 5.0
    assert samples.target.volume_cc.sum() == pytest.approx(all_of_it.target.volume_cc.sum())
    # A target of nothing but gas is still one.
    empty = request(density=Volume(whole.density.grid, np.full(gas.shape, 0.0012), Quantity.DENSITY))
    assert len(samples_of(empty).target.index) == len(all_of_it.target.index)


class Colder(BlurredBeamlets):
    """An accurate engine: what the fast one gives, less by a tenth in the middle of the target."""

    def dose(self, density, *rest, **options):
        found = super().dose(density, *rest, **options)
        x, y, z = np.meshgrid(*density.grid.axes_mm(), indexing="ij")
        cold = (x - 10) ** 2 + (y - 5) ** 2 + z**2 < 11.0**2
        return replace(found, volume=Volume(density.grid, found.volume.data * np.where(cold, 0.88, 1.0), Quantity.DOSE))


def test_free_fluence_that_was_scaled_by_much_is_searched_again():
    """Normalisation lifts what the fast engine overestimates; the second search leaves less to lift."""
    wanted = request(effort=replace(EFFORT, corrections=1, correction_evaluations=1))
    once, again = (
        make_plan(replace(wanted, effort=effort), Colder(radius_mm=60.0), fast=ENGINE)
        for effort in (replace(wanted.effort, corrections=0), wanted.effort)
    )
    assert once.facts["normalisation_factor"] > 1.05 >= again.facts["normalisation_factor"]
    assert again.facts["evaluations"] > once.facts["evaluations"]


def test_the_weight_of_the_gradient_falls_with_the_square_of_the_radius_of_large_targets():
    goal = template().gradient.value
    full = goal.full_below_cc
    assert goal.weight_at(0.1 * full) == goal.weight_at(full) == goal.weight
    assert goal.weight_at(8 * full) == pytest.approx(goal.weight / 4)


def test_minding_the_gradient_lowers_the_gradient_index(plan):
    idle = template().gradient.value.model_copy(update={"weight": 0.0})
    without = make_plan(request(objectives=template().model_copy(update={"gradient": constant(idle)})), ENGINE)
    fine = Grid.covering([-25, -30, -35], [45, 40, 35], 1.0)
    minded, unminded = (made.dose.volume.on(fine).data for made in (plan, without))
    assert (minded >= 9).sum() / (minded >= 18).sum() < 0.98 * (unminded >= 9).sum() / (unminded >= 18).sum()
