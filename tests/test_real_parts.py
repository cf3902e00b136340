"""Lacuna beside independent programs, and on a real MRI: ``make test-real DATA=FOLDER``.

These tests fail, and do not skip, where their part is missing: plastimatch (Debian's package), or the folder of a DICOM
MR series in the environment variable ``LACUNA_REAL_MRI``.
"""

import csv
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from images_real import head_image, write_series
from typer.testing import CliRunner

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.cli.app import app
from planner.evaluate.dvh import Histograms
from planner.io.nifti import read_structure, write_structure, write_volume

pytestmark = pytest.mark.real


def plastimatch(*arguments: str | Path) -> None:
    """Run plastimatch."""
    subprocess.run(["plastimatch", *map(str, arguments)], capture_output=True, check=True)


@pytest.fixture(scope="module")
def real_mri() -> Path:
    """Return the folder of a real MR series."""
    folder = os.environ.get("LACUNA_REAL_MRI", "")
    assert folder and Path(folder).is_dir(), "name the folder of a DICOM MR series: make test-real DATA=FOLDER"
    return Path(folder)


def imported(series: Path, out: Path) -> Path:
    """Import a series by the command and return its case."""
    done = CliRunner().invoke(app, ["import", str(series), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out


def assert_same_image(case: Path, series: Path, folder: Path) -> None:
    """Hold the image of a case to plastimatch's reading of its series: every voxel, and its place to 0.01 mm."""
    theirs_path = folder / "theirs.nii.gz"
    plastimatch("convert", "--input", series, "--output-img", theirs_path)
    ours, theirs = (SimpleITK.ReadImage(str(path)) for path in (case / "mr.nii.gz", theirs_path))
    assert ours.GetSize() == theirs.GetSize()
    corner = [size - 1 for size in ours.GetSize()]
    for index in ([0, 0, 0], corner):
        here, there = (np.array(image.TransformIndexToPhysicalPoint(index)) for image in (ours, theirs))
        assert np.abs(here - there).max() < 0.01
    ours_array, theirs_array = (SimpleITK.GetArrayFromImage(image) for image in (ours, theirs))
    assert np.array_equal(ours_array, theirs_array.astype(ours_array.dtype))


def test_a_written_series_is_read_as_plastimatch_reads_it(tmp_path: Path):
    array, affine = head_image(3.0)
    series = tmp_path / "series"
    write_series(series, array.astype(np.uint16), affine)
    assert_same_image(imported(series, tmp_path / "case"), series, tmp_path)


def test_the_real_series_is_read_as_plastimatch_reads_it(tmp_path: Path, real_mri: Path):
    assert_same_image(imported(real_mri, tmp_path / "case"), real_mri, tmp_path)


def test_the_real_head_has_the_size_of_a_head(tmp_path: Path, real_mri: Path):
    case = imported(real_mri, tmp_path / "case")
    sizes = {name: read_structure(case / "structures" / f"{name}.nii.gz").volume_cc for name in ("brain", "skull")}
    # Adults: brains of 1000 to 1700 cc (Allen 2002, Am J Phys Anthropol 118:341), here with what the mask takes of CSF.
    assert 1000 < sizes["brain"] < 1800
    assert 150 < sizes["skull"] < 700


def test_a_dose_volume_histogram_is_that_of_plastimatch(tmp_path: Path):
    grid = Grid.covering([-30.0] * 3, [30.0] * 3, 1.0)
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij")
    radius = np.sqrt((x - 0.13) ** 2 + (y - 0.22) ** 2 + (z - 0.31) ** 2)
    dose = Volume(grid, 20 * np.exp(-(radius**2) / (2 * 12.0**2)), Quantity.DOSE)
    ball = Structure("ball", Role.TARGET, grid, radius <= 13.0)
    write_volume(tmp_path / "dose.nii.gz", dose)
    write_structure(tmp_path / "ball.nii.gz", ball)
    image = SimpleITK.ReadImage(str(tmp_path / "ball.nii.gz"), SimpleITK.sitkUInt8)
    SimpleITK.WriteImage(image, str(tmp_path / "bits.nii.gz"))
    files = ["--input-dose", tmp_path / "dose.nii.gz", "--input-ss-img", tmp_path / "bits.nii.gz"]
    bins = ["--bin-width", "0.05", "--num-bins", "450", "--cumulative", "--output-csv", tmp_path / "dvh.csv"]
    plastimatch("dvh", *files, *bins)
    with (tmp_path / "dvh.csv").open() as file:
        theirs = np.array([row[:2] for row in csv.reader(file)][1:], dtype=float)
    half_bin = 0.025  # what plastimatch prints beside a dose is the volume from half a bin below it
    histogram = Histograms(dose).of(ball)
    ours = np.array([histogram.volume_at_dose_percent(level) for level in theirs[:, 0] - half_bin])
    difference = np.abs(ours - 100.0 * theirs[:, 1] / theirs[0, 1])
    # plastimatch counts whole voxels by the dose in their centres; Lacuna draws a surface through those of the edge.
    assert difference.max() < 1.0
    assert difference.mean() < 0.1
