"""Sites, contact with dura, eloquence and techniques of resection: shares, identities and limits."""

from dataclasses import replace

import numpy as np
import pytest

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.flow import AT_REST_DAY, TissueFlow
from phantoms.head import Head
from phantoms.lesion import Lesion, ball_cc
from phantoms.resection import FREE_MARGIN_MM, FREE_MARGIN_RISK, Resection
from phantoms.site import DEEP_FRACTION, DEEP_MM, Site

SPEC = CohortSpec(patients=60, seed=11, spacing_mm=3.0)


@pytest.fixture(scope="module")
def drawn():
    head = Head.draw(np.random.default_rng(3))
    rng = np.random.default_rng(8)
    sites = []
    for _ in range(160):
        site = Site.draw(rng, head, 8.0, bool(rng.random() < SPEC.cerebellar_fraction))
        sites.append((site, Lesion.draw(rng, tuple(site.centre_mm.tolist()), 8.0)))
    return head, sites


def test_shares_of_sites(drawn):
    _, sites = drawn
    n = len(sites)
    below, deep = sum(s.below for s, _ in sites), sum(s.deep for s, _ in sites)
    for count, share in ((below, SPEC.cerebellar_fraction), (deep, DEEP_FRACTION.value)):
        assert abs(count - n * share) < 3.3 * np.sqrt(n * share * (1 - share))
    assert not any(s.below and s.deep for s, _ in sites)


def test_lesions_hang_at_the_junction_and_deep_ones_lie_deeper(drawn):
    head, sites = drawn
    edge = {True: [], False: []}
    for site, tumour in sites:
        (depth,) = head.vault.distance(*head.pose.template(*site.centre_mm[:, None, None, None])).ravel()
        edge[site.deep].append(-depth - 0.95 * tumour.radius_mm)
    assert 2.0 < np.median(edge[False]) < 6.0
    assert np.median(edge[True]) == pytest.approx(DEEP_MM.value, abs=4.0)


def test_contact_and_eloquence_are_those_of_the_tumour_as_painted():
    patient = SyntheticAnatomy(CohortSpec(patients=60, seed=11, spacing_mm=1.0), 4)
    tumour = patient.course.regions(patient.grid, AT_REST_DAY, ("tumour",))["tumour"]
    points = tumour.grid.point_of(np.argwhere(tumour.occupancy > 0.5))
    x, y, z = (column[:, None, None] for column in points.T)
    gap = -patient.head.vault.distance(*patient.head.pose.template(x, y, z)).max()
    facts = patient.site.facts(patient.head, patient.course.lesion)
    if facts["dural_contact"] == "none":
        assert facts["dural_gap_mm"] <= gap + 1.0
    assert facts["eloquence_grade"] in (1.0, 2.0, 3.0)
    assert (facts["eloquent_distance_mm"] == 0) == (facts["eloquence_grade"] == 3.0)


def test_a_lesion_in_the_motor_strip_is_eloquent_and_one_at_the_frontal_pole_is_not(drawn):
    head, sites = drawn
    site, tumour = sites[0]
    for place, grade in (((30.0, 4.0, 78.0), 3.0), ((-22.0, -60.0, 50.0), 1.0)):
        centre = tuple(head.pose.placed(np.array(head.frame.at(*place))).tolist())
        facts = replace(site, centre_mm=np.array(centre), below=False).facts(head, replace(tumour, centre_mm=centre))
        assert facts["eloquence_grade"] == grade


def test_a_free_margin_takes_more_brain_and_leaves_less_tumour_outside_eloquent_brain_only():
    tumour = Lesion((0.0, 0.0, 0.0), 10.0, None, "lung")
    minimal, free = (Resection.of(name, 0.3, 1.0) for name in ("minimal", "free_margin"))
    assert minimal.taken_cc(tumour) == 10.0
    assert free.taken_cc(tumour) == pytest.approx(ball_cc(tumour.radius_mm + FREE_MARGIN_MM.value))
    assert free.residual_fraction == pytest.approx(0.3 * FREE_MARGIN_RISK.value)
    assert Resection.of("free_margin", 0.3, 3.0) == minimal


def test_the_technique_changes_the_cavity_and_not_the_patient():
    for index in range(8):
        minimal = SyntheticAnatomy(SPEC, index)
        free = SyntheticAnatomy(replace(SPEC, resection="free_margin"), index)
        assert free.facts["tumour_volume_cc"] == minimal.facts["tumour_volume_cc"]
        ratio = free.course.volume_cc(0.0) / minimal.course.volume_cc(0.0)
        if free.facts["eloquence_grade"] == 3.0:
            assert ratio == 1.0
            continue
        assert ratio > 1.3
        assert free.course.bed_cc(AT_REST_DAY) == pytest.approx(free.facts["resected_cc"], rel=1e-3)
    with pytest.raises(ValueError, match="resection"):
        CohortSpec(resection="radical")


def test_brain_that_stays_rests_if_the_cavity_is_what_was_taken():
    course = SyntheticAnatomy(replace(SPEC, resection="free_margin"), 1).course
    taken = course.volume_cc(0.0) / course.lesion.volume_cc
    still = replace(course, taken=taken, wall=0.0 * course.wall, shift_mm=1e-3 * course.shift_mm)
    grid = SyntheticAnatomy(SPEC, 1).grid
    assert np.abs(TissueFlow(still).displacement(AT_REST_DAY, 0.0, grid)).max() < 0.05
    assert np.abs(TissueFlow(replace(still, taken=0.5 * taken)).displacement(AT_REST_DAY, 0.0, grid)).max() > 1.0
