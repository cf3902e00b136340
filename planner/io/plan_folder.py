"""The folder of one plan, so complete that it can be checked wherever it is moved.

plan.json                 the delivery and its provenance (``planner.io.plan_file``)
dose.nii.gz               dose of the whole course, Gy
density.nii.gz            what the dose was computed on, g/cm3, on the same grid
structures/*.nii.gz       occupied fractions: gtv, ptv, external, brain, organs
own/KIND/NAME.toml        machine, technique and objectives that are not of the library but files of the user
metrics.json              metrics, figures of the delivery, robustness, violations
pictures/*.png, report.html
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.io.atomic import refuse_existing, refuse_unwritable, whole_folder
from planner.io.digest import sha256_of
from planner.io.nifti import read_structure, read_volume, write_structure, write_volume
from planner.io.plan_file import NAME, PlanFile, read_plan_file, write_plan_file
from planner.library import Model, is_name, load, read_own
from planner.treatment.delivery import Delivery
from planner.treatment.errors import InputError

DOSE, DENSITY, STRUCTURES, METRICS = "dose.nii.gz", "density.nii.gz", "structures", "metrics.json"
OWN = "own"
TARGETS = ("gtv", "ptv")


@dataclass(frozen=True)
class OwnFile:
    """A user's own machine, technique or objectives, as the file was when a plan began.

    Attributes
    ----------
    kind, name : str
        Of the library's kinds; the name that the file states.
    path : Path
    content : bytes
    """

    kind: str
    name: str
    path: Path
    content: bytes


@dataclass(frozen=True, eq=False)
class SavedPlan:
    """A plan as its folder holds it.

    Attributes
    ----------
    delivery : Delivery
    about : PlanFile
    dose, density : Volume
    structures, targets : mapping of str to Structure
    own : tuple of OwnFile
        Written beside the plan, so that it can be checked without them.
    """

    delivery: Delivery
    about: PlanFile
    dose: Volume
    density: Volume
    structures: Mapping[str, Structure]
    targets: Mapping[str, Structure]
    own: tuple[OwnFile, ...] = ()


def refuse_foreign(folder: Path) -> None:
    """Refuse to write a plan over anything but an older plan, or where nothing can be written.

    Raises
    ------
    InputError
    """
    if (folder / NAME).is_file():
        refuse_unwritable(folder)
    else:
        refuse_existing(folder)


@contextmanager
def plan_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `folder` on success, in the place of an older plan if there is one.

    Raises
    ------
    InputError
        If `folder` holds anything else, or cannot be written.
    """
    refuse_foreign(folder)
    folder = folder.resolve()  # what a link points to is written, not the link
    if not (folder / NAME).is_file():
        with whole_folder(folder) as temporary:
            yield temporary
        return
    fresh, old = folder.with_name(f".{folder.name}-new"), folder.with_name(f".{folder.name}-old")
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)  # of a run that was killed between two names
    with whole_folder(fresh) as temporary:
        yield temporary
    folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_plan(folder: Path, plan: SavedPlan) -> None:
    """Write all of a plan but its metrics and pictures into a folder that exists."""
    write_plan_file(folder / NAME, plan.delivery, plan.about)
    write_volume(folder / DOSE, plan.dose)
    write_volume(folder / DENSITY, plan.density)
    (folder / STRUCTURES).mkdir()
    for name, structure in {**plan.structures, **plan.targets}.items():
        write_structure(folder / STRUCTURES / f"{name}.nii.gz", structure)
    for own in plan.own:
        kept = _own(folder, own.kind, own.name)
        kept.parent.mkdir(parents=True)
        kept.write_bytes(own.content)


def _own(folder: Path, kind: str, name: str) -> Path:
    return folder / OWN / kind / f"{name}.toml"


def own_or_library(folder: Path, about: PlanFile, kind: str, called: tuple[str, str], model: type[Model]) -> Model:
    """Return the machine, technique or objectives of a plan: the file in its folder if it was made from the user's own.

    Parameters
    ----------
    folder : Path
    about : PlanFile
        Its provenance says what was a file of the user.
    kind : str
    called : tuple of str
        The key of ``plan.json`` and the name that it gives.
    model : type

    Raises
    ------
    InputError
        If the file is missing, is not the one that the plan was made from or does not fit the model; or if the library
        does not know the name.
    """
    key, name = called
    stated = about.provenance.inputs.get(kind)
    if stated is None:
        return load(kind, name, model, str(folder / NAME), key)
    if not is_name(name):
        raise InputError(folder / NAME, key, f"'{name}' is no name of a file in {OWN}/{kind}")
    file = _own(folder, kind, name)
    if file.is_file() and sha256_of(file) != stated.sha256:
        raise InputError(file, "", "is not the file that the plan was made from: its SHA-256 is another")
    return read_own(kind, file, model)


def read_plan(folder: Path) -> SavedPlan:
    """Return the plan of a folder.

    Raises
    ------
    InputError
        If a file is missing or not usable.
    """
    if not folder.is_dir():
        raise InputError(folder, "", "no such folder" if not folder.exists() else "is a file; the folder is needed")
    delivery, about = read_plan_file(folder / NAME)
    found = {}
    for path in sorted((folder / STRUCTURES).glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        role = Role.TARGET if name in TARGETS else Role.EXTERNAL if name == "external" else Role.ORGAN
        found[name] = read_structure(path, name=name, role=role)
    for name in (*TARGETS, "external"):
        if name not in found:
            raise InputError(folder / STRUCTURES / f"{name}.nii.gz", "", "no such file")
    return SavedPlan(
        delivery=delivery,
        about=about,
        dose=read_volume(folder / DOSE, Quantity.DOSE),
        density=read_volume(folder / DENSITY, Quantity.DENSITY),
        structures={name: s for name, s in found.items() if name not in TARGETS},
        targets={name: found[name] for name in TARGETS},
    )


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write ``metrics.json``; values must be plain and finite, or null."""
    text = json.dumps(metrics, indent=1, allow_nan=False)
    (folder / METRICS).write_text(text + "\n", encoding="utf-8")
