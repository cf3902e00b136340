"""A small study store with plausible numbers and spheres in a fake head, as `planner.study` would leave it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phantoms.grid import Grid
from planner.study.store import CaseResult, collect, open_study, write_case, write_json

STRATEGIES = [
    {"name": "direct_postop", "title": "Direct post-op, ncVMAT", "summary": "Imaged on day 1, treated on day 2 to 5."},
    {"name": "mr_linac", "title": "MR-Linac, one session", "summary": "Imaged, planned and treated in one session."},
    {"name": "delayed", "title": "Delayed, ncVMAT", "summary": "Imaged on day 14 to 28, treated some days later."},
]
TITLE = "Three ways to time radiosurgery of a resection cavity"
ENDPOINTS = [
    "cavity.rim_0mm_percent",
    "cavity.rim_0mm_min_gy",
    "brain_minus_target.V12_cc",
    "ptv.gi",
]
CENTRE = np.array([22.0, -18.0, 30.0])
ORGANS = {"brainstem": ((0.0, 25.0, -25.0), 13.0), "chiasm": ((0.0, -18.0, -12.0), 5.0)}
LAW = {"tumour_median_cc": 9.9, "tumour_sigma": 0.65, "tumour_min_cc": 3.0, "tumour_max_cc": 30.0}
SHRINK = {"direct_postop": 1.0, "mr_linac": 1.0, "delayed": 0.88}


@dataclass(frozen=True)
class Scene:
    """What one case looks like: where the cavity is, how large it was drawn and how large it is when treated."""

    patient: int
    strategy: str
    spacing_mm: float
    plain: bool = False  # nothing but the white ball of the cavity, whose place can be measured

    @property
    def drawn_mm(self) -> float:
        return (11.0 + self.patient) * SHRINK[self.strategy]

    @property
    def true_mm(self) -> float:
        sign = -1.0 if self.patient % 2 else 1.0
        drift = {"direct_postop": 0.8, "mr_linac": 0.0, "delayed": 1.3}[self.strategy]
        return self.drawn_mm + sign * drift

    @property
    def seed(self) -> int:
        return 100 * self.patient + [s["name"] for s in STRATEGIES].index(self.strategy)


def ball(grid: Grid, centre_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    """Return the occupancy of a ball, from the signed distance at the voxel centres (0 to 255)."""
    return np.rint(255 * np.clip(0.5 - distance(grid, centre_mm, radius_mm) / max(grid.spacing_mm), 0, 1)).astype(
        np.uint8
    )


def distance(grid: Grid, centre_mm: np.ndarray, radius_mm: float, squash: tuple[float, ...] = (1, 1, 1)) -> np.ndarray:
    """Return the signed distance to a sphere (to an ellipsoid, roughly), negative inside."""
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij", sparse=True)
    squares = [((axis - c) * k) ** 2 for axis, c, k in zip((x, y, z), centre_mm, squash, strict=True)]
    return np.sqrt(sum(squares)) - radius_mm


def dose(grid: Grid, centre_mm: np.ndarray, radius_mm: float, falloff_mm: float) -> np.ndarray:
    """Return a dose that is 18 Gy at `radius_mm` and falls off outside."""
    beyond = distance(grid, centre_mm, radius_mm)
    return 24.0 / (1.0 + np.exp(beyond / falloff_mm + np.log(24.0 / 18.0 - 1.0))) + 1.5 * np.exp(
        -np.maximum(beyond, 0) / 40
    )


def views(scene: Scene) -> dict[str, np.ndarray]:
    """Return the content of views.npz."""
    grid = Grid.covering((-84, -104, -80), (84, 104, 92), scene.spacing_mm)
    skin = distance(grid, np.array([0.0, 0.0, 5.0]), 80.0, (1.0, 0.8, 0.97))
    falloff = 4.2 if scene.strategy == "mr_linac" else 3.0
    seen = CENTRE + np.array([0.6, 0.0, -0.4]) * (scene.strategy != "mr_linac")
    arrays = {
        "origin_mm": np.array(grid.origin_mm),
        "spacing_mm": np.array(grid.spacing_mm),
        "image": ball(grid, CENTRE, scene.true_mm) if scene.plain else picture(grid, skin, scene.true_mm, scene.seed),
        "belief_image": picture(grid, skin, scene.drawn_mm, scene.seed + 50),
        "dose_gy": np.where(skin < 0, dose(grid, seen + 0.4, scene.drawn_mm + 2, falloff), 0).astype(np.float16),
        "planned_gy": np.where(skin < 0, dose(grid, seen, scene.drawn_mm + 2, falloff), 0).astype(np.float16),
        "occupancy_external": np.rint(255 * np.clip(0.5 - skin / scene.spacing_mm, 0, 1)).astype(np.uint8),
        "occupancy_brain": np.rint(255 * np.clip(0.5 - (skin + 11) / scene.spacing_mm, 0, 1)).astype(np.uint8),
        "occupancy_gtv": ball(grid, seen, scene.drawn_mm),
        "occupancy_ptv": ball(grid, seen, scene.drawn_mm + 2),
        "occupancy_cavity": ball(grid, CENTRE, scene.true_mm),
        "occupancy_residual": ball(grid, CENTRE + np.array([0, 0, scene.true_mm]), 2.5),
    }
    for name, (centre, radius) in ORGANS.items():
        arrays[f"occupancy_{name}"] = ball(grid, np.array(centre), radius)
    return arrays


def picture(grid: Grid, skin: np.ndarray, radius_mm: float, seed: int) -> np.ndarray:
    """Return something that looks a little like a T1 image after contrast agent."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij", sparse=True)
    folds = np.sin(x / 4.1 + np.sin(y / 6)) * np.sin(y / 4.7 + np.sin(z / 7)) * np.sin(z / 4.3 + np.sin(x / 5))
    cavity = distance(grid, CENTRE, radius_mm)
    signal = np.select([skin > 0, skin > -5, skin > -10], [0.0, 190.0, 30.0], 105.0 + 22 * folds + 0 * skin)
    signal = np.select([cavity < 0, cavity < 2.2], [38.0, 205.0], signal)
    noisy = np.hypot(signal + rng.normal(0, 6, signal.shape), rng.normal(0, 6, signal.shape))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def records(scene: Scene, case: str) -> pd.DataFrame:
    """Return the long table of a case: metrics that rise and fall with how well plan and truth agree."""
    rng = np.random.default_rng(scene.seed)
    mr, late = scene.strategy == "mr_linac", scene.strategy == "delayed"
    volume = 4 / 3 * np.pi * scene.true_mm**3 / 1000
    rows = []
    for phase in ("planned", "delivered"):
        lost = 0.0 if phase == "planned" or mr else (3.0 if not late else 4.5) * abs(rng.normal(1, 0.3))
        values = {
            ("ptv", "V100_percent", "%"): 98.5 - 1.2 * lost,
            ("ptv", "D98_gy", "Gy"): 18.1 - 0.35 * lost,
            ("ptv", "paddick_ci", ""): 0.88 - 0.02 * lost + rng.normal(0, 0.01),
            ("ptv", "gi", ""): (3.5 if mr else 2.8) + rng.normal(0, 0.1),
            ("cavity", "rim_0mm_min_gy", "Gy"): 17.6 - 0.6 * lost,
            ("cavity", "rim_0mm_percent", "%"): 99.5 - 2.0 * lost,
            ("cavity", "rim_1mm_percent", "%"): 97.0 - 4.0 * lost,
            ("residual", "V100_percent", "%"): 100.0 - 2.5 * lost,
            ("brain_minus_target", "V12_cc", "cc"): volume * (1.15 if mr else 0.95) + rng.normal(0, 0.2),
            ("skin", "V3_cc", "cc"): (17.0 if mr else 2.0) + abs(rng.normal(0, 0.8)),
            ("brainstem", "D0.03cc_gy", "Gy"): 2.0 + abs(rng.normal(0, 0.4)),
            ("cavity", "volume_cc", "cc"): volume,
        }
        rows += [
            {"phase": phase, "structure": s, "metric": m, "value": float(v), "unit": u, "uncertainty": 0.0}
            for (s, m, u), v in values.items()
        ]
    head = {"case": case, "patient": f"p{scene.patient:02d}", "strategy": scene.strategy}
    return pd.DataFrame([head | row for row in rows])


def dvh(scene: Scene, case: str) -> pd.DataFrame:
    """Return dose-volume curves of the targets and of two organs."""
    at = np.linspace(0, 26, 105)
    middle = {"ptv": 20.5, "cavity": 21.5, "residual": 20.0, "brain_minus_target": 2.0, "brainstem": 1.6}
    rows = []
    for phase in ("planned", "delivered"):
        for structure, centre in middle.items():
            shift = -0.5 if phase == "delivered" else 0.0
            width = 0.9 if structure in ("ptv", "cavity", "residual") else 0.7
            late = {"direct_postop": 0.0, "mr_linac": 0.5, "delayed": -0.7}[scene.strategy]
            percent = 100 / (1 + np.exp((at - centre - shift - 0.1 * scene.patient - late) / width))
            percent[0] = 100.0
            rows.append(
                pd.DataFrame({"phase": phase, "structure": structure, "dose_gy": at, "volume_percent": percent})
            )
    table = pd.concat(rows, ignore_index=True)
    for place, value in enumerate((case, f"p{scene.patient:02d}", scene.strategy)):
        table.insert(place, ("case", "patient", "strategy")[place], value)
    return table


def timeline(scene: Scene) -> dict[str, list[dict[str, object]]]:
    """Return the steps of a case and the cavity's volume by day."""
    imaged, treated = {
        "direct_postop": (1, 4),
        "mr_linac": (2, 2),
        "delayed": (20 + scene.patient, 26 + scene.patient),
    }[scene.strategy]
    full = 4 / 3 * np.pi * (11.0 + scene.patient) ** 3 / 1000
    sign = -1.0 if scene.patient % 2 else 1.0

    def volumes(day: float) -> dict[str, float]:
        cavity = full * (1 + sign * 0.25 * (1 - np.exp(-day / 12)))
        return {
            "day": float(day),
            "cavity_cc": round(cavity, 4),
            "residual_cc": round(0.06 * 2 ** (day / 30), 4),
            "tumour_cc": 0.0,
        }

    marks = [("resect", 0), ("image", imaged), ("plan", imaged), ("treat", treated), ("follow", 90)]
    steps = [{"step": step, "label": step, **volumes(day)} for step, day in marks]
    return {"steps": steps, "by_day": [volumes(day) for day in range(0, 91, 3)]}


def drawn(patient: int) -> dict[str, float | str]:
    """Return what was drawn for a patient."""
    place = {f"tumour_{axis}_mm": float(c) for axis, c in zip("xyz", CENTRE + patient, strict=True)}
    told = {
        "site": "supratentorial left",
        "eloquence_grade": 2,
        "histology": "lung",
        "tumour_volume_cc": 8.0 + patient,
        **place,
    }
    return {**told, "residual_initial_cc": 0.06, "residual_doubling_day": 30.0}


def write_fake_case(folder: Path, scene: Scene) -> str:
    """Write one case and return its id."""
    case = f"{scene.patient:02d}{scene.strategy}"[:12]
    facts = {
        "id": case, "patient": f"p{scene.patient:02d}", "strategy": scene.strategy, "seed": scene.seed,
        "engine": "pencil 0.1.0", "field_ignored": scene.strategy == "mr_linac",
        "facts": drawn(scene.patient), "wall_s": 11.5,
        "plan": {"prescription_gy": 18.0, "fractions": 1, "technique": "ncvmat", "day": 1.0},
    }  # fmt: skip
    tables = [table.to_dict("list") for table in (records(scene, case), dvh(scene, case))]
    write_case(folder, CaseResult(facts, *tables, timeline(scene), views(scene)))
    return case


def write_store(
    folder: Path,
    patients: int = 6,
    strategies: int = 3,
    spacing_mm: float = 4.0,
    *,
    title: str = TITLE,
    plain: bool = False,
) -> Path:
    """Write a whole study store and return its folder."""
    arms = STRATEGIES[:strategies]
    open_study(folder)
    scenes = [Scene(n, arm["name"], spacing_mm, plain) for n in range(1, patients + 1) for arm in arms]
    ids = [write_fake_case(folder, scene) for scene in scenes]
    study = {
        "name": "timing", "title": title, "seed": 7,
        "versions": {"lacuna": "0.1.0", "python": "3.11.2", "numpy": "2.4.0"},
        "spec": {"cohort": {"kind": "synthetic", "patients": patients, **LAW}, "compare": {"endpoints": ENDPOINTS}},
        "strategies": arms, "patients": [f"p{n:02d}" for n in range(1, patients + 1)], "cases": [*ids, "ffffff"],
        "constants": [
            {"name": "machine.elekta-unity.sad_mm", "value": "1435", "source": "data sheet", "status": "published"},
            {"name": "patient.lesion.volume_median_cc", "value": "9.9", "source": "a series", "status": "published"},
            {"name": "cavity.shrink_per_day", "value": "0.01", "source": "chosen for the example", "status": "assumed"},
        ],
    }  # fmt: skip
    write_json(folder / "study.json", study)
    failed = [
        {"case": "ffffff", "patient": "p09", "strategy": arms[0]["name"], "error": "PlanningError: no beam reaches"}
    ]
    collect(folder, {"started": "2026-01-05T10:00:00+00:00", "wall_s": 222.0, "workers": 2, "failed": failed})
    return folder
