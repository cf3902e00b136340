"""What each metric is: formula and reference, for the report."""

from typing import NamedTuple


class Definition(NamedTuple):
    """A metric in words.

    Attributes
    ----------
    formula : str
    reference : str
    """

    formula: str
    reference: str


_ICRU83 = "ICRU Report 83 (2010)"
_ICRU91 = "ICRU Report 91 (2014)"

DEFINITIONS: dict[str, Definition] = {
    "volume_cc": Definition("Volume from the structure's own geometry, not from the dose grid.", _ICRU83),
    "covered_fraction": Definition("Part of the structure inside the dose grid.", "this software"),
    "Dx_gy": Definition("Least dose in the hottest x percent of the volume (D98, D95, D50, D2).", _ICRU83),
    "Dxcc_gy": Definition("Least dose in the hottest x cm3 (D0.03cc).", "AAPM TG-101 (2010)"),
    "Dmin_gy": Definition("Lowest mean dose of a sub-voxel of the structure.", "this software"),
    "Dmax_gy": Definition("Highest mean dose of a sub-voxel of the structure.", "this software"),
    "Dmean_gy": Definition("Mean dose over the volume inside the dose grid.", _ICRU83),
    "V100_percent": Definition("Share of the volume that receives at least the prescription: TV_PIV / TV.", _ICRU91),
    "near_min_gy": Definition("D98 for targets of 2 cm3 and more, else the dose to all but 0.035 cm3.", _ICRU91),
    "near_max_gy": Definition("D2 for targets of 2 cm3 and more, else D0.035cc.", _ICRU91),
    "prescription_isodose_percent": Definition("Prescription / highest dose in the target.", _ICRU91),
    "surface_min_gy": Definition("Lowest dose on the target's surface.", "this software"),
    "piv_cc": Definition("Volume of the prescription isodose in the whole dose grid, PIV.", _ICRU91),
    "piv50_cc": Definition("Volume of half the prescription in the whole dose grid, PIV50.", _ICRU91),
    "rtog_ci": Definition("PIV / TV.", "Shaw et al. 1993, Int J Radiat Oncol Biol Phys 27:1231"),
    "paddick_ci": Definition("TV_PIV^2 / (TV x PIV), ideal 1.", "Paddick 2000, J Neurosurg 93(Suppl 3):219"),
    "selectivity": Definition("TV_PIV / PIV.", "Paddick 2000, J Neurosurg 93(Suppl 3):219"),
    "gi": Definition(
        "PIV50 / PIV; compare only plans of equal conformity, an over-large PIV lowers it.",
        "Paddick and Lippitz 2006, J Neurosurg 105(Suppl):194",
    ),
    "r50": Definition("PIV50 / TV.", "RTOG 0915"),
    "hi_rtog": Definition("Highest dose in the target / prescription.", "Shaw et al. 1993"),
    "hi_icru83": Definition("(D2 - D98) / D50.", _ICRU83),
    "rim_xmm_percent": Definition(
        "Share of the area of the surface x mm outside the structure that receives at least the prescription; only the "
        "part inside the skull counts where that is known.",
        "this software",
    ),
    "rim_xmm_min_gy": Definition("Lowest dose on the surface x mm outside the structure.", "this software"),
    "Vx_cc": Definition(
        "Volume that receives at least x Gy. brain: as contoured; brain_minus_target: without the CTV (or GTV, PTV).",
        "HyTEC brain; Milano et al. 2021, Int J Radiat Oncol Biol Phys 110:68",
    ),
    "V3_cc": Definition("Skin is the shell of stated thickness inside the external contour.", "Seravalli et al. 2023"),
    "setup_worst_V100_percent": Definition(
        "V100 in the worst of the setup scenarios: the dose moved as a whole against the target.",
        "planner/library/scenarios",
    ),
    "setup_mean_V100_percent": Definition("V100, mean over the setup scenarios.", "planner/library/scenarios"),
    "setup_worst_D98_gy": Definition("Lowest D98 in any of the setup scenarios.", "planner/library/scenarios"),
    "mu_per_fraction": Definition("Monitor units of one fraction.", "this software"),
    "modulation_factor": Definition(
        "Monitor units of a fraction / prescribed dose of a fraction in cGy.", "this software"
    ),
    "aperture_mean_cm2": Definition(
        "Area between leaves and jaws in the isocentre plane, mean over control points weighted by monitor units.",
        "this software",
    ),
    "beam_on_min": Definition(
        "Arcs run as fast as the slowest of gantry, dose rate and leaves permits; acceleration is left out.",
        "planner/library/machines",
    ),
    "delivery_min": Definition(
        "Beam-on time, ways of gantry, table and leaves with the beam off, and pauses.", "planner/library/timing"
    ),
    "machine_limits_violated": Definition(
        "Limits of leaves, jaws, gantry, table and dose rate that a control point violates.", "planner/library/machines"
    ),
    "limits_violated": Definition(
        "Number of mandatory limits exceeded. The optimiser aims lower: its objectives stand among the constants.",
        "planner/library/limits",
    ),
    "over_limit": Definition(
        "Quantity less its limit, for each limit; positive where exceeded.", "planner/library/limits"
    ),
}
