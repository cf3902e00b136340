"""The Monte Carlo engine as a user meets it."""

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.cli.doses import Request, dose_of
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.monte_carlo_calibration import fluence_per_mu
from planner.engines.transport_run import Effort
from planner.io.nifti import read_volume, write_volume
from planner.library import load
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.errors import CapabilityError, InputError
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine

BEAM = Beam(90.0, 90.0, 0.0, (0.0, 0.0, 100.0), BixelGrid((-15.0, -15.0), (30.0, 30.0), np.ones((1, 1), bool)))
PHOTONS = [np.array([1e10])]


def phantom(step=4.0):
    return Volume(
        grid := Grid.covering((-50, -50, 0), (50, 50, 120), step), np.ones(grid.shape, np.float32), Quantity.DENSITY
    )


def machine(name="point-6mv", field=(0.0, 0.0, 0.0)):
    made = load("machines", name, Machine)
    return made.model_copy(update={"magnetic_field_t": made.magnetic_field_t.model_copy(update={"value": field})})


def engine(histories=20_000, **more):
    return MonteCarlo(effort=Effort(histories=histories, **more))


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    doses = []
    for threads in ("1", "2"):
        monkeypatch.setenv("LACUNA_THREADS", threads)
        doses.append(engine(10_000).dose(phantom(), [BEAM], PHOTONS, machine(field=(0, 1.5, 0)), ignore_field=False))
    np.testing.assert_array_equal(doses[0].volume.data, doses[1].volume.data)
    np.testing.assert_array_equal(doses[0].deviation.data, doses[1].deviation.data)


def test_stated_uncertainty_is_the_spread_between_seeds():
    one, other = (
        engine(20_000, seed=seed).dose(phantom(), [BEAM], PHOTONS, machine(), ignore_field=False) for seed in (1, 2)
    )
    high = one.volume.data > 0.3 * one.volume.data.max()
    difference = (one.volume.data - other.volume.data)[high]
    variance = (one.deviation.data**2 + other.deviation.data**2)[high]
    # 20 batches: the expected value of t^2 with 38 degrees of freedom is 1.06; about 900 correlated voxels.
    assert np.mean(difference**2 / variance) == pytest.approx(1.06, abs=0.2)


def test_electrons_are_bent_to_plus_x_and_mirrored_by_the_opposite_field():
    def centroid(field):
        dose = engine(20_000).dose(phantom(), [BEAM], PHOTONS, machine(field=field), ignore_field=False).volume
        x = dose.grid.axes_mm()[0]
        profile = dose.data[:, :, 4:].sum(axis=(1, 2))
        return (profile * x).sum() / profile.sum()

    forth, back = centroid((0.0, 1.5, 0.0)), centroid((0.0, -1.5, 0.0))
    assert forth > 0.4
    assert forth == pytest.approx(-back, abs=0.15)
    assert abs(centroid((0.0, 0.0, 1.5))) < 0.15


@pytest.mark.parametrize(
    ("gantry", "couch", "field"),
    [
        (0.0, 0.0, (0.0, 0.0, 1.5)),
        (0.0, 0.0, (1.5, 0.0, 0.0)),
        (270.0, 0.0, (0.0, -1.5, 0.0)),
        (90.0, 90.0, (1.5, 0.0, 0.0)),
    ],
)
def test_electrons_are_bent_towards_the_force_on_a_negative_charge(gantry, couch, field):
    cube = Volume(grid := Grid((25, 25, 25), (4.0,) * 3, (-48.0,) * 3), np.ones(grid.shape), Quantity.DENSITY)
    beam = Beam(gantry, couch, 0.0, (0.0, 0.0, 0.0), BEAM.bixels)
    dose = engine(4000).dose(cube, [beam], PHOTONS, machine(field=field), ignore_field=False).volume.data
    centroid = np.array([np.average(at, weights=dose) for at in np.meshgrid(*grid.axes_mm(), indexing="ij")])
    along = beam_frame(gantry, couch, 0.0, (0.0, 0.0, 0.0), 1000.0).axes[2]
    force = -np.cross(along, np.array(field) / 1.5)
    assert np.dot(centroid, force) > 0.7
    assert abs(np.dot(centroid, np.array(field) / 1.5)) < 0.5


def test_runs_until_the_uncertainty_is_met_in_the_region():
    region = np.zeros(phantom().grid.shape, bool)
    region[11:14, 11:14, 10:15] = True
    told = []
    asked = MonteCarlo(effort=Effort(uncertainty_percent=2.0, most_histories=3_000_000))
    dose = asked.run(
        phantom(), [BEAM], PHOTONS, machine(), region=region, progress=lambda n, reached: told.append((n, reached))
    )
    assert dose.uncertainty <= 0.02 < told[0][1] or len(told) == 1
    assert [n for n, _ in told] == sorted(n for n, _ in told)
    rms = np.sqrt(np.mean(dose.deviation.data[region] ** 2)) / dose.volume.data[region].mean()
    assert rms == pytest.approx(dose.uncertainty, rel=0.02)


def test_a_monitor_unit_gives_the_calibration_dose():
    linac = machine("truebeam-stx")
    assert linac.calibration is not None
    _, doubt = fluence_per_mu(linac, 1)
    assert doubt < 0.005
    reference = linac.calibration
    step = 5.0
    grid = Grid((41, 50, 41), (step,) * 3, (-20 * step, 0.5 * step, -20 * step))
    half = 0.5 * reference.field_mm.value
    field = BixelGrid((-half, -half), (2 * half, 2 * half), np.ones((1, 1), bool))
    beam = Beam(0.0, 0.0, 0.0, (0.0, linac.sad_mm.value - reference.ssd_mm.value, 0.0), field)
    water = Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)
    dose = engine(60_000).dose(water, [beam], [np.array([100.0])], linac, ignore_field=False)
    at = int(reference.depth_mm.value / step)
    near = dose.volume.data[18:23, at - 2 : at + 2, 18:23].mean()
    assert near == pytest.approx(100 * reference.gy_per_mu.value, rel=0.02)


def test_labels_override_density_and_unknown_ones_are_named():
    labels = np.zeros(phantom().grid.shape)
    labels[:, :, 10:] = 8
    as_bone = engine(10_000).run(phantom(), [BEAM], PHOTONS, machine(), labels=labels).volume.data[12:14, 12:14, 15:25]
    as_water = engine(10_000).run(phantom(), [BEAM], PHOTONS, machine()).volume.data[12:14, 12:14, 15:25]
    # Per gram cortical bone absorbs about 5 % less from a megavoltage beam than water.
    assert as_bone.mean() / as_water.mean() == pytest.approx(0.95, abs=0.025)
    labels[0, 0, 0] = 77
    with pytest.raises(InputError, match="unknown label 77"):
        engine(1000).run(phantom(), [BEAM], PHOTONS, machine(), labels=labels)


def test_no_weight_no_dose_and_no_influence():
    dose = engine().dose(phantom(), [BEAM], [np.zeros(1)], machine(), ignore_field=False)
    assert not dose.volume.data.any()
    with pytest.raises(CapabilityError, match="influence"):
        engine().influence(phantom(), [BEAM], machine(), np.zeros((1, 3)), ignore_field=False)


def test_command_writes_dose_and_deviation(tmp_path):
    beams, density = tmp_path / "beams.toml", tmp_path / "density.nii.gz"
    beams.write_text(
        "magnetic_field_t = [0.0, 1.5, 0.0]\n[[beam]]\nmachine = 'point-6mv'\nisocentre_mm = [0, 0, 60]\n"
        "field_mm = [30, 30]\nweight = 1e10\n"
    )
    write_volume(density, phantom())
    out, spread = tmp_path / "dose.nii.gz", tmp_path / "sigma.nii.gz"
    request = Request(engine="monte_carlo", histories=4000, air=True, uncertainty_out=spread)
    told = dose_of(beams, density, out, request)
    dose, sigma = (read_volume(file, Quantity.DOSE) for file in (out, spread))
    assert dose.grid == phantom().grid
    assert 0 < sigma.data.max() < dose.data.max()
    assert 0 < told["uncertainty"] < 0.5
    with pytest.raises(InputError, match="only engine 'monte_carlo'"):
        dose_of(beams, density, out, Request(engine="cone", histories=10, ignore_field=True))
