"""Tissues: mass density and MR properties, each with its source and status."""

from typing import Literal, NamedTuple

import numpy as np

from phantoms.cited import Cited

_BRAINWEB = "BrainWeb tissue_mr_parameters (Kwan 1999), 1.5 T"
_SOFT = "ICRU 46 densities; relaxation as the nearest BrainWeb tissue"
_FAT = (
    "fewer visible protons than BrainWeb, as its lines dephase: scalp as bright as white matter in MPRAGE of "
    "VS-SEG-001; T2 longer than its 70 ms, as trains of echoes undo J coupling (Henkelman 1992; recalled)"
)
_CSF = "T1: ventricles 0.26 of white in VS-SEG-001; BrainWeb has 2569 ms, Rooney 2007 about 4300 (recalled)"
_AGE = "Gomori 1985, Bradley 1993: appearance of blood by age, as T1 and T2 that reproduce it"

GD_RELAXIVITY = Cited(4.5, "gadolinium chelates at 1.5-3 T, Rohrer 2005: r1 about 4-5 per (s mM) in plasma", "assumed")
GD_RELAXIVITY_T2 = Cited(5.5, "Rohrer 2005: r2 about 5-6 per (s mM)", "assumed")
FIELD_EXPONENT = Cited(0.33, "Bottomley 1984: T1 grows about with the cube root of the field", "assumed")


class Tissue(NamedTuple):
    """What a tissue weighs and how it looks in MR.

    Attributes
    ----------
    density : float
        Mass density, g/cm3.
    t1_ms, t2_ms : float
        Relaxation times at 1.5 T, without contrast agent, ms.
    t1_3t_ms, t2_3t_ms : float
        The same at 3 T.
    protons : float
        Visible protons per volume, water = 1.
    gd_mm : float
        Gadolinium concentration, mmol/l, minutes after injection of a clinical dose.
    source : str
    status : str
        ``published``, ``fitted`` or ``assumed``, of the row as a whole: that of its weakest figure.
    """

    density: float
    t1_ms: float
    t2_ms: float
    t1_3t_ms: float
    t2_3t_ms: float
    protons: float
    gd_mm: float
    source: str
    status: Literal["published", "fitted", "assumed"]


TISSUES: dict[str, Tissue] = {
    "air": Tissue(0.0012, 1.0, 0.1, 1.0, 0.1, 0.0, 0.0, "air at 20 C", "published"),
    "skin": Tissue(1.09, 700, 45, 850, 40, 0.80, 0.10, _SOFT, "assumed"),
    "fat": Tissue(
        0.95, 350, 100, 382, 96, 0.72, 0.0, f"{_BRAINWEB}; ICRU 46; 3 T: de Bazelaire 2004; {_FAT}", "fitted"
    ),
    "fascia": Tissue(
        1.09, 600, 9, 700, 8, 0.60, 0.05, f"collagen of short T2: galea, fasciae, tendons; {_SOFT}", "assumed"
    ),
    "muscle": Tissue(1.05, 900, 47, 1412, 50, 0.88, 0.06, f"{_BRAINWEB}; ICRU 46; 3 T: Stanisz 2005", "assumed"),
    "gland": Tissue(1.03, 700, 70, 850, 66, 0.82, 0.10, f"salivary glands, part fat; {_SOFT}", "assumed"),
    "cortical_bone": Tissue(
        1.92, 250, 0.5, 250, 0.5, 0.12, 0.0, "ICRU 46; too short a T2 for these sequences", "assumed"
    ),
    "diploe": Tissue(
        1.40, 400, 50, 460, 50, 0.75, 0.03, "spongy bone with fatty marrow, ICRU 46 spongiosa 1.18", "assumed"
    ),
    "marrow": Tissue(1.18, 400, 55, 450, 50, 0.65, 0.04, "ICRU 46 spongiosa", "assumed"),
    "mucosa": Tissue(1.04, 1000, 90, 1300, 85, 0.95, 0.22, _SOFT, "assumed"),
    "dura": Tissue(1.08, 900, 45, 1100, 42, 0.80, 0.18, _SOFT, "assumed"),
    "csf": Tissue(1.007, 3300, 329, 4163, 500, 1.0, 0.0, f"{_CSF}; {_BRAINWEB} (T2); 3 T: Lin 2001", "fitted"),
    "grey": Tissue(1.045, 833, 83, 1331, 95, 0.86, 0.02, f"{_BRAINWEB}; ICRU 46; 3 T: Wansapura 1999", "assumed"),
    "white": Tissue(1.041, 500, 70, 832, 75, 0.77, 0.01, f"{_BRAINWEB}; ICRU 46; 3 T: Wansapura 1999", "assumed"),
    "deep_grey": Tissue(
        1.045, 760, 76, 1220, 82, 0.83, 0.02, "between grey and white, as iron and myelin make it", "assumed"
    ),
    "choroid": Tissue(1.04, 1100, 120, 1500, 110, 0.95, 0.40, _SOFT, "assumed"),
    "vessel": Tissue(
        1.06,
        1441,
        24,
        1932,
        20,
        0.95,
        2.5,
        "Stanisz 2005 blood T1; T2 stands for the flow void, gadolinium for inflow too",
        "assumed",
    ),
    "venous": Tissue(
        1.06,
        1441,
        24,
        1932,
        20,
        0.95,
        1.1,
        "as vessel, without inflow: sagittal sinus 1.7 times white in VS-SEG-001",
        "fitted",
    ),
    "vitreous": Tissue(1.008, 3200, 300, 4000, 250, 1.0, 0.0, "ICRU 46; like CSF, some protein", "assumed"),
    "lens": Tissue(1.07, 1050, 28, 1300, 22, 0.70, 0.0, "ICRU 46; short T2: about 21-29 ms", "assumed"),
    "sclera": Tissue(1.08, 900, 30, 1100, 28, 0.70, 0.15, _SOFT, "assumed"),
    "nerve": Tissue(
        1.04, 815, 77, 1083, 78, 0.80, 0.01, "Stanisz 2005 optic nerve; density of white matter", "assumed"
    ),
    "tumour": Tissue(
        1.045, 1150, 105, 1550, 100, 0.90, 0.55, "enhancing metastasis: T1 and T2 above grey matter", "assumed"
    ),
    "necrosis": Tissue(1.03, 2000, 190, 2300, 180, 0.95, 0.06, "necrotic core: between tumour and fluid", "assumed"),
    "rim": Tissue(1.045, 1050, 95, 1400, 92, 0.88, 0.38, "granulation and reactive gliosis at the wall", "assumed"),
    "oedema": Tissue(
        1.035, 1150, 145, 1500, 140, 0.90, 0.0, "vasogenic oedema: white matter with free water", "assumed"
    ),
    "cavity_fluid": Tissue(1.012, 2570, 270, 3000, 330, 1.0, 0.0, "CSF with some protein", "assumed"),
    "blood_acute": Tissue(1.06, 1150, 42, 1500, 36, 0.90, 0.0, f"{_AGE}: 1-3 days, deoxyhaemoglobin", "assumed"),
    "blood_early": Tissue(
        1.055, 420, 45, 500, 38, 0.92, 0.0, f"{_AGE}: 3-7 days, intracellular methaemoglobin", "assumed"
    ),
    "blood_late": Tissue(1.04, 450, 220, 540, 210, 0.95, 0.0, f"{_AGE}: 1-4 weeks, free methaemoglobin", "assumed"),
    "blood_old": Tissue(1.04, 900, 28, 1200, 22, 0.85, 0.0, f"{_AGE}: haemosiderin", "assumed"),
    "scar": Tissue(1.05, 950, 70, 1250, 66, 0.85, 0.12, "healing corridor: gliosis", "assumed"),
}

BONE = ("cortical_bone", "diploe", "marrow")

_BLOOD_BY_DAY = ((0.0, "blood_acute"), (4.0, "blood_early"), (10.0, "blood_late"), (45.0, "blood_old"))


def blood_shares(day: float) -> dict[str, float]:
    """Return the shares, summing to 1, of the blood products that `day` days old blood consists of."""
    days = [d for d, _ in _BLOOD_BY_DAY]
    names = [n for _, n in _BLOOD_BY_DAY]
    place = float(np.interp(day, days, np.arange(len(days))))
    first = min(int(place), len(names) - 2)
    part = place - first
    return {names[first]: 1.0 - part, names[first + 1]: part}


def relaxation_ms(name: str, field_t: float, contrast: bool = False) -> tuple[float, float]:
    """Return T1 and T2, ms, of a tissue at a field strength.

    1.5 T and 3 T are tabled; at other fields T1 follows Bottomley's power law from 1.5 T and T2 stays.

    Parameters
    ----------
    name : str
    field_t : float
        Field strength, tesla.
    contrast : bool
        Whether gadolinium has been given.

    Raises
    ------
    KeyError
        If the tissue is unknown.
    """
    tissue = TISSUES[name]
    if abs(field_t - 3.0) < 0.25:
        t1, t2 = tissue.t1_3t_ms, tissue.t2_3t_ms
    else:
        t1, t2 = tissue.t1_ms * (field_t / 1.5) ** FIELD_EXPONENT.value, tissue.t2_ms
    if not contrast:
        return t1, t2
    rate1 = 1.0 / t1 + GD_RELAXIVITY.value * tissue.gd_mm / 1000.0
    rate2 = 1.0 / t2 + GD_RELAXIVITY_T2.value * tissue.gd_mm / 1000.0
    return 1.0 / rate1, 1.0 / rate2
