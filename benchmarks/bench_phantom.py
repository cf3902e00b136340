"""Synthetic patients: time of the background, an epoch, an MR volume and of writing, beside SciPy on as many voxels.

The peer is a Gaussian filter of one volume of the same size (sigma 1 voxel): ratios to it do not depend on the machine.
`lacuna phantom`, 1 mm, four days, load 6 to 8: 9.3 to 9.8 CPU-s a patient, 16 CPU-minutes for 100 (extrapolated).
"""

import pytest
from scipy.ndimage import gaussian_filter

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.head import painted
from planner.io.cohort_folder import write_patient

SPEC = CohortSpec(patients=2, spacing_mm=1.5)


@pytest.fixture(scope="module")
def patient():
    """Return a patient whose background is painted already."""
    anatomy = SyntheticAnatomy(SPEC, 0)
    anatomy.epoch(1.0)
    return anatomy


def test_peer_gaussian_filter(benchmark, patient):
    """SciPy on as many voxels."""
    density = patient.epoch(1.0, images=False).volumes["density"].data
    benchmark(gaussian_filter, density, 1.0)


def test_background(benchmark, patient):
    """Head without lesion or cavity."""
    benchmark.pedantic(painted, (patient.head, patient.grid, patient._signals), rounds=3)


def test_epoch_density_and_structures(benchmark, patient):
    """A day without images."""
    benchmark.pedantic(patient.epoch, (20.0,), {"images": False}, rounds=5)


def test_epoch_one_mr_volume(benchmark, patient):
    """A day with one image."""
    benchmark.pedantic(patient.epoch, (20.0,), {"images": ("t1gd",)}, rounds=5)


def test_epoch_all_mr_volumes(benchmark, patient):
    """A day with all images."""
    benchmark.pedantic(patient.epoch, (20.0,), rounds=5)


def test_write_a_patient_of_one_day(benchmark, patient, tmp_path):
    """Compression and writing of a day."""
    folders = (tmp_path / str(number) for number in range(9))
    benchmark.pedantic(write_patient, setup=lambda: ((patient, (20.0,), False, next(folders)), {}), rounds=3)
