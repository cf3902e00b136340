"""The planning job: pyRadPlan's own TG-119 phantom, its objectives, 9 beams, 5 mm bixels, a dose grid of 3 mm.

Both programs minimise the same function of dose: mean squared deviations (Gy2) times the priorities that the phantom
carries. What they reach is scored here, for both, on the voxels of the CT (3 x 3 x 2.5 mm).
"""

import numpy as np

GANTRY_DEG = tuple(40.0 * n for n in range(9))
BIXEL_MM, DOSE_GRID_MM = 5.0, 3.0
TARGET_GY, CORE_GY, REST_GY = 50.0, 25.0, 30.0
PRIORITY = {"target": 1000.0, "core": 300.0, "body": 100.0}


def score(dose: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the objective that a dose reaches and what a planner would look at.

    Parameters
    ----------
    dose : ndarray, Gy
        As each program delivers it, not scaled afterwards.
    masks : dict of str to ndarray of bool
        ``target``, ``core``, ``body``, disjoint.
    """
    target, core, body = (dose[masks[name]].astype(float) for name in ("target", "core", "body"))
    value = PRIORITY["target"] * np.mean((target - TARGET_GY) ** 2)
    value += PRIORITY["core"] * np.mean(np.maximum(core - CORE_GY, 0) ** 2)
    value += PRIORITY["body"] * np.mean(np.maximum(body - REST_GY, 0) ** 2)
    near_minimum, median, near_maximum = np.percentile(target, (2, 50, 98))
    return {
        "objective": float(value),
        "target D98 [Gy]": float(near_minimum),
        "target D2 [Gy]": float(near_maximum),
        "(D2 - D98) / D50 [%]": float(100 * (near_maximum - near_minimum) / median),
        "target V95 [%]": float(100 * np.mean(target >= 0.95 * TARGET_GY)),
        "core D5 [Gy]": float(np.percentile(core, 95)),
        "body mean [Gy]": float(body.mean()),
    }
