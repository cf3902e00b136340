"""Synthetic patients: time of the background, of an epoch and of an MR volume, beside SciPy on as many voxels.

The peer is a Gaussian filter of one volume of the same size (sigma 1 voxel): ratios to it do not depend on the machine.
"""

import pytest
from scipy.ndimage import gaussian_filter

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.head import painted

SPEC = CohortSpec(patients=2, spacing_mm=1.5)


@pytest.fixture(scope="module")
def patient():
    anatomy = SyntheticAnatomy(SPEC, 0)
    anatomy.epoch(1.0)
    return anatomy


def test_peer_gaussian_filter(benchmark, patient):
    density = patient.epoch(1.0, images=False).volumes["density"].data
    benchmark(gaussian_filter, density, 1.0)


def test_background(benchmark, patient):
    benchmark.pedantic(painted, (patient.head, patient.grid, patient._signals), rounds=3)


def test_epoch_density_and_structures(benchmark, patient):
    benchmark.pedantic(patient.epoch, (20.0,), {"images": False}, rounds=5)


def test_epoch_one_mr_volume(benchmark, patient):
    benchmark.pedantic(patient.epoch, (20.0,), {"images": ("t1gd",)}, rounds=5)


def test_epoch_all_mr_volumes(benchmark, patient):
    benchmark.pedantic(patient.epoch, (20.0,), rounds=5)
