"""Images and masks from files (NIfTI; NRRD and MetaImage too), and back to NIfTI."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from phantoms.distance import has_surface
from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.io import nifti_file
from planner.io.orient import Upright, check_size, occupied, on_patient_axes, upright
from planner.treatment.errors import InputError

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
# Masks that were resampled elsewhere overshoot 0 and 1 by rounding.
_ROUNDING = 1e-4
# Stored occupancy of a full voxel.
_FULL = 255.0


@dataclass(frozen=True, eq=False)
class Image:
    """An image as read, brought to LPS.

    Attributes
    ----------
    path : Path
    upright : Upright
        Grid, values, and whether they were resampled.
    spacing_mm : tuple of 3 float
        Voxel sizes in the file, in the file's own order of axes.
    """

    path: Path
    upright: Upright
    spacing_mm: tuple[float, float, float]


def stem(path: Path) -> str:
    """Return the name of an image file without its ending (``brain`` for ``brain.nii.gz``)."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def read_image(path: Path, *, smooth: bool = False) -> Image:
    """Return an image on an axis-aligned LPS grid; NaN and infinities are refused.

    `smooth` is for oblique images; see `planner.io.orient.upright`.

    Raises
    ------
    InputError
        Naming the file and the field that is wrong.
    """
    array, affine = _lattice(path)
    _check_finite(array, path)
    first, second, third = (float(edge) for edge in np.linalg.norm(affine[:3, :3], axis=0))
    return Image(path, upright(array, affine, path, smooth=smooth), (first, second, third))


def read_volume(path: Path, quantity: Quantity) -> Volume:
    """Return a volume of a stated quantity.

    Raises
    ------
    InputError
        As `read_image`; also if a dose is nowhere positive, or a density is negative somewhere.
    """
    image = read_image(path, smooth=quantity == Quantity.DOSE).upright
    if quantity == Quantity.DENSITY and image.data.min() < 0:
        raise InputError(path, "voxels", f"densities must not be negative, got {image.data.min():g} g/cm3")
    if quantity == Quantity.DOSE and image.data.max() <= 0:
        raise InputError(path, "voxels", "the dose is nowhere positive")
    return Volume(image.grid, image.data, quantity)


def read_structure(
    path: Path, *, label: int | None = None, name: str | None = None, role: Role = Role.TARGET
) -> Structure:
    """Return a mask as a structure on the mask's own (whole) grid.

    Parameters
    ----------
    path : Path
        Occupancy 0 to 1, or binary 0 and 1, or binary 0 and 255, or labels if `label` is given.
    label : int, optional
        The label that is the structure.
    name : str, optional
        Its name; the file's stem by default.
    role : Role

    Raises
    ------
    InputError
        If the values are none of these, or nothing is occupied.
    """
    structure = on_patient_axes(*read_occupied(path, label))
    return replace(structure, name=name or stem(path), role=role)


def read_occupied(path: Path, label: int | None = None) -> tuple[Structure, np.ndarray | None]:
    """Return a mask as a structure on its own voxels, and what turns the patient to them if they are oblique.

    Raises
    ------
    InputError
        As `read_structure`.
    """
    array, affine = _lattice(path)
    _check_finite(array, path)
    structure, turn = occupied(_occupancy(array, label, path), affine, path)
    if not has_surface(structure):
        few = "" if structure.is_empty else " by more than a trace"
        raise InputError(path, "voxels", f"the mask is empty: no voxel is occupied{few}")
    return structure, turn


def write_volume(path: Path, volume: Volume, step: float | None = None) -> None:
    """Write a volume as NIfTI, whole or not at all; MR signals that are small integers are stored as int16.

    Parameters
    ----------
    path : Path
    volume : Volume
    step : float, optional
        Values are rounded to multiples of it, which are stored as int16.

    Raises
    ------
    InputError
        If the name does not end in .nii or .nii.gz, or cannot be written.
    ValueError
        If a value is too large for the step.
    """
    data = volume.data
    if step is not None:
        largest = max(float(data.max()), -float(data.min()))
        if largest > 32767 * step:
            raise ValueError(f"{path.name}: values up to {largest:g} are too large for steps of {step:g}")
        nifti_file.write(path, volume.grid, np.rint(data / np.float32(step)).astype(np.int16), step)
        return
    if volume.quantity == Quantity.MR_SIGNAL and np.abs(data).max() < 32767 and np.array_equal(data, np.rint(data)):
        data = data.astype(np.int16)
    nifti_file.write(path, volume.grid, data)


def write_structure(
    path: Path,
    structure: Structure,
    grid: Grid | None = None,
    *,
    compact: bool = False,
    turn: np.ndarray | None = None,
) -> None:
    """Write the occupancy of a structure as float32 NIfTI, on `grid` or on its own.

    Parameters
    ----------
    path : Path
    structure : Structure
    grid : Grid, optional
    compact : bool
        Occupancies are rounded to multiples of 1/255, which are stored as uint8. A margin of 1 to 10 mm then differs by
        0.02 % of its volume on cubic voxels and 0.05 % on 1 x 1 x 2 mm.
    turn : ndarray, shape (4, 4), optional
        Takes LPS points of the patient to those of `grid`: the file is oblique.

    Raises
    ------
    InputError
        As `write_volume`.
    """
    on = grid or structure.grid
    if compact:
        nifti_file.write(path, on, _steps(structure, on), 1.0 / _FULL, turn)
    else:
        nifti_file.write(path, on, structure.on(on), turn=turn)


def _steps(structure: Structure, grid: Grid) -> np.ndarray:
    """Return the occupancy on a grid as multiples of 1/255, rounded where the structure is and nowhere else."""
    part = structure.cropped()
    offset = part.grid.offset_in(grid)
    if offset is None or min(offset) < 0 or np.any(np.add(offset, part.grid.shape) > grid.shape):
        return np.rint(structure.on(grid) * np.float32(_FULL)).astype(np.uint8)
    steps = np.zeros(grid.shape, np.uint8, order="F")
    view = tuple(slice(o, o + n) for o, n in zip(offset, part.grid.shape, strict=True))
    steps[view] = np.rint(part.occupancy * np.float32(_FULL))
    return steps


def _lattice(path: Path) -> nifti_file.Lattice3D:
    if path.name.lower().endswith((".nrrd", ".mha")):
        return _read_itk(path)
    return nifti_file.read(path)


def _read_itk(path: Path) -> nifti_file.Lattice3D:
    """Return a NRRD or MetaImage file; its size is known and checked before its voxels are read."""
    if not path.is_file():
        raise InputError(path, "", "no such file")
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        check_size(tuple(reader.GetSize()), path, "sizes")
        if reader.GetNumberOfComponents() != 1:
            raise InputError(path, "components", "an image with one value a voxel is needed")
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(path, "", f"cannot be read: {str(error).strip().splitlines()[-1]}") from None
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    # SimpleITK hands arrays out as [k, j, i].
    return nifti_file.Lattice3D(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32), affine)


def _check_finite(array: np.ndarray, path: Path) -> None:
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise InputError(path, "voxels", f"{bad} of {array.size} voxels are NaN or infinite")


def _occupancy(array: np.ndarray, label: int | None, path: Path) -> np.ndarray:
    if label is not None:
        found = array == label
        if not found.any():
            present = np.unique(array)
            shown = ", ".join(f"{v:g}" for v in present[:20]) + (" ..." if len(present) > 20 else "")
            raise InputError(path, f"label {label}", f"no voxel has this label; values present: {shown}")
        return found.astype(np.float32)
    low, high = float(array.min()), float(array.max())
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return np.clip(array, 0, 1)
    if low == 0 and high == 255 and not np.any((array > 0) & (array < 255)):
        return array / 255
    raise InputError(
        path,
        "voxels",
        f"values run from {low:g} to {high:g}: a mask holds occupied fractions 0 to 1 (or 0 and 255); "
        "for a label map choose one label with --label",
    )
