"""The planning job by pyRadPlan. Arguments: file for the dose, or ``--case`` and a file for the phantom."""

import sys
from importlib import resources

import numpy as np
import SimpleITK
from pyRadPlan import PhotonPlan, calc_dose_influence, fluence_optimization, generate_stf, load_patient
from pyRadPlan.ct import default_hlut
from stages import Stages
from tg119 import BIXEL_MM, DOSE_GRID_MM, GANTRY_DEG

clock = Stages()
clock.end("import")

ct, cst = load_patient(resources.files("pyRadPlan.data.phantoms").joinpath("TG119.mat"))


def array(image: SimpleITK.Image) -> np.ndarray:
    """Return an image as an array indexed along x, y, z."""
    return SimpleITK.GetArrayFromImage(image).T


if sys.argv[1] == "--case":
    masks = {voi.name: array(voi.mask) > 0 for voi in cst.vois}
    target, core = masks["OuterTarget"], masks["Core"]
    np.savez(
        sys.argv[2],
        density=array(ct.compute_wet(default_hlut())).astype(np.float32),
        spacing=ct.cube_hu.GetSpacing(),
        origin=ct.cube_hu.GetOrigin(),
        outline=masks["BODY"] | target | core,
        target=target,
        core=core & ~target,
    )
    sys.exit()

plan = PhotonPlan(machine="Generic")
plan.prop_stf = {"gantry_angles": GANTRY_DEG, "couch_angles": [0.0] * len(GANTRY_DEG), "bixel_width": BIXEL_MM}
plan.prop_dose_calc = {"dose_grid": {"resolution": dict.fromkeys("xyz", DOSE_GRID_MM)}}
beams = generate_stf(ct, cst, plan)
clock.end("setup")
influence = calc_dose_influence(ct, cst, beams, plan)
clock.end("influence")
weights = fluence_optimization(ct, cst, beams, influence, plan)
clock.end("optimisation")
dose = array(influence.compute_result_ct_grid(weights)["physical_dose"])
clock.end("dose")
np.save(sys.argv[1], dose.astype(np.float32))
clock.note(bixels=len(weights))
clock.tell()
