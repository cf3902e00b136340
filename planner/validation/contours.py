"""Belief on synthetic patients: automatic segmentation against truth, and the agreement of observers."""

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from planner import library
from planner.contouring.observer import Observer
from planner.validation.compare import Row
from planner.validation.observers import CASES, agreement, agreement_rows
from planner.validation.segmentation import score, segmentation_rows

PATIENTS, SEED, EARLY, LATE = 20, 2018, 1.0, 21.0


def contour_rows() -> list[Row]:
    """Return the verdicts on twenty patients, one and twenty-one days after surgery; two and a half CPU minutes."""
    expert = library.load("observers", "expert", Observer)
    spec = CohortSpec(patients=PATIENTS, seed=SEED)
    scores, found = [], []
    for number in range(PATIENTS):
        anatomy = SyntheticAnatomy(spec, number)
        for day in (EARLY, LATE):
            epoch = anatomy.epoch(day, images=("t1gd", "t2"))
            scores.append(score(epoch))
            if day == LATE and number < CASES:
                found.append(agreement(epoch, number, expert))
    return segmentation_rows(scores) + agreement_rows(found)
