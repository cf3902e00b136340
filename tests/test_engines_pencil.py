"""The pencil beam engine: against a dense matrix, EGSnrc in water, identities and limits."""

from pathlib import Path

import numpy as np
import pytest
from oracles_pencil import pencil_matrix

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.base import Capability
from planner.engines.beam_model import per_photon
from planner.engines.pencil_kernel import RING_EDGES_MM, pencil_kernel, ring_doses
from planner.engines.registry import ENGINES, engine_named
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.errors import CapabilityError, InputError
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine

REFERENCE = Path(library.ROOT) / "reference" / "water-6mv"
PENCIL = engine_named("pencil")


def machine(name):
    return library.load("machines", name, Machine)


def water(half=100.0, spacing=5.0):
    grid = Grid.covering((-half,) * 3, (half,) * 3, spacing)
    return Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)


def square(side, gantry=0.0, couch=0.0, collimator=0.0, isocentre=(0.0, 0.0, 0.0), at=(0.0, 0.0)):
    half = 0.5 * side
    bixels = BixelGrid((at[0] - half, at[1] - half), (side, side), np.ones((1, 1), bool))
    return Beam(gantry, couch, collimator, isocentre, bixels)


def field(gantry=0.0, couch=0.0, collimator=0.0, isocentre=(0.0, 0.0, 0.0), closed=()):
    is_open = np.ones((6, 5), bool)
    for bixel in closed:
        is_open[bixel] = False
    return Beam(gantry, couch, collimator, isocentre, BixelGrid((-15.0, -10.0), (5.0, 4.0), is_open))


def dose_of(density, beam, points, name="point-6mv", **options):
    influence = PENCIL.influence(density, [beam], machine(name), np.asarray(points, float), ignore_field=False)
    return influence.forward(np.ones(influence.shape[1]))


# --- oracle: a dense matrix ---


@pytest.mark.parametrize("blurred", [False, True])
def test_forward_equals_a_dense_matrix_from_direct_sums(blurred):
    rng = np.random.default_rng(3)
    density = water(60.0, 4.0)
    density.data[:, 9:13, :] = 0.0  # a gap
    beam, this = field(37.0, -25.0, 11.0, (3.0, -4.0, 5.0), closed=[(0, 0), (2, 3)]), machine("point-6mv")
    if blurred:  # a head is judged in test_engines_beam_model.py
        this = this.model_copy(update={"source": machine("truebeam-stx").source})
    points = rng.uniform(-38, 38, size=(150, 3))
    points = points[density.at(points) > 0.9]
    frame = beam_frame(37.0, -25.0, 11.0, (3.0, -4.0, 5.0), this.sad_mm.value)
    kernel = pencil_kernel(this.spectrum.value)
    matrix = pencil_matrix(density, beam, this, frame, kernel, per_photon(beam.bixels, 1000.0), points)
    influence = PENCIL.influence(density, [beam], this, points, ignore_field=False)
    assert influence.shape == matrix.shape == (len(points), 28)
    weights = rng.random(28)
    want = matrix @ weights
    # Interpolation between nodes is worst at the edges of bixels and has no bias.
    np.testing.assert_allclose(influence.forward(weights), want, atol=0.004 * want.max())
    assert influence.forward(weights).sum() == pytest.approx(want.sum(), rel=2e-3)
    gradient = rng.standard_normal(len(points))
    np.testing.assert_allclose(
        influence.adjoint(gradient), matrix.T @ gradient, atol=0.02 * np.abs(matrix.T @ gradient).max()
    )


# --- reference: EGSnrc ---


def table(name):
    lines = [line for line in (REFERENCE / name).read_text().splitlines() if not line.startswith("#")]
    return np.genfromtxt(lines, delimiter=",", names=True)


def bin_means(side, x, y, z):
    """Mean dose of bins in water with SSD 90 cm; each range is (low, high) in cm, arrays of one length."""
    fine = [
        np.asarray(low)[..., None] + np.subtract(high, low)[..., None] * (np.arange(n) + 0.5) / n
        for (low, high), n in ((x, 4), (y, 4), (z, 3))
    ]
    xs, ys, zs = np.broadcast_arrays(
        fine[0][..., :, None, None], fine[1][..., None, :, None], fine[2][..., None, None, :]
    )
    points = 10.0 * np.stack([xs, zs - 10.0, ys], axis=-1).reshape(-1, 3)
    grid = Grid.covering((-150, -100, -150), (150, 300, 150), 10.0)
    density = Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)
    return dose_of(density, square(10.0 * side), points).reshape(xs.shape).mean(axis=(-3, -2, -1))


@pytest.mark.parametrize(("side", "half_column"), [(1, 0.1), (3, 0.5), (10, 0.5)])
def test_depth_dose_in_water_equals_egsnrc_in_absolute_dose(side, half_column):
    rows = table(f"pdd_{side}x{side}.csv")
    rows = rows[(rows["z_lo_cm"] >= 1.0) & (rows["z_hi_cm"] <= 25.0)]
    column = (np.full(len(rows), -half_column), np.full(len(rows), half_column))
    ratio = bin_means(side, column, column, (rows["z_lo_cm"], rows["z_hi_cm"])) / rows["dose_Gy_per_history"]
    assert abs(ratio.mean() - 1) < 0.01
    # 1 % of systematic deviation and 3 sigma of the reference's statistics.
    assert (np.abs(ratio - 1) < 0.01 + 3 * rows["rel_unc_1sigma"]).all()


@pytest.mark.parametrize(("side", "half_column"), [(1, 0.1), (3, 0.5), (10, 0.5)])
@pytest.mark.parametrize("depth", [1.5, 5.0, 10.0, 20.0])
def test_profiles_in_water_equal_egsnrc(side, half_column, depth):
    rows = table(f"profile_x_{side}x{side}.csv")
    rows = rows[rows["depth_cm"] == depth]
    column = (np.full(len(rows), -half_column), np.full(len(rows), half_column))
    ours = bin_means(side, (rows["x_lo_cm"], rows["x_hi_cm"]), column, (rows["z_lo_cm"], rows["z_hi_cm"]))
    theirs = rows["dose_Gy_per_history"]
    top = theirs[:3].mean()
    edge = side * (0.9 + depth / 100) / 2
    middle = 0.5 * (rows["x_lo_cm"] + rows["x_hi_cm"])
    flat = np.abs(middle - edge) > 0.4
    allowed = (0.015 + 3 * rows["rel_unc_1sigma"]) * top
    assert (np.abs(ours - theirs)[flat] < allowed[flat]).all()
    for level in (0.8, 0.5, 0.2):
        shift = np.interp(-level * top, -ours, middle) - np.interp(-level * top, -theirs, middle)
        assert abs(shift) < 0.04, f"{level:.0%} edge is {10 * shift:.2f} mm off"


def test_kernel_is_positive_and_smooth_and_keeps_the_energy_where_it_belongs():
    kernel = pencil_kernel("mohan6")
    assert (kernel.amplitude >= 0).all() and (kernel.mixture >= 0).all()
    np.testing.assert_allclose(kernel.mixture.sum(axis=1), 1.0)
    at_isocentre = np.abs(kernel.magnifications - 1).argmin()
    radius = RING_EDGES_MM[1:]
    inside = kernel.mixture @ (1 - np.exp(-0.5 * (radius / kernel.sigma_mm[:, None]) ** 2))
    ours, true = kernel.amplitude[:, at_isocentre] @ inside, np.cumsum(ring_doses("mohan6"), axis=1)
    # What falls inside circles up to the size of a head, from 1 to 20 cm depth: the factorisation's own error.
    wanted = (radius > 1.5) & (radius < 70)
    assert np.abs(ours / true - 1)[10:100:5][:, wanted][:, ::4].max() < 0.012
    total = kernel.amplitude[:, at_isocentre].sum(axis=1)
    assert np.abs(np.diff(total[10:150], 2)).max() < 0.005 * total.max()


# --- identities ---


def test_adjoint_is_the_transpose_for_many_beams_and_random_signs():
    rng = np.random.default_rng(1)
    beams = [field(40.0 * n, 15.0 * (n % 3), 10.0 * n, closed=[(n % 6, 2)]) for n in range(9)]
    influence = PENCIL.influence(
        water(), beams, machine("truebeam-stx"), rng.uniform(-30, 30, (4000, 3)), ignore_field=False
    )
    assert influence.shape == (4000, 9 * 29)
    assert [part.stop - part.start for part in influence.beam_slices] == [29] * 9
    for _ in range(3):
        w, g = rng.random(influence.shape[1]), rng.standard_normal(influence.shape[0])
        forward = influence.forward(w)
        scale = np.linalg.norm(forward) * np.linalg.norm(g)
        assert abs(forward @ g - w @ influence.adjoint(g)) < 1e-7 * scale
        w, g = rng.random(influence.shape[1]), rng.random(influence.shape[0])
        assert influence.forward(w) @ g == pytest.approx(w @ influence.adjoint(g), rel=1e-6)


def test_forward_is_linear_and_beams_add():
    rng = np.random.default_rng(2)
    beams, points = [field(0.0), field(90.0, 30.0)], rng.uniform(-20, 20, (500, 3))
    both = PENCIL.influence(water(), beams, machine("truebeam-stx"), points, ignore_field=False)
    a, b = rng.random((2, both.shape[1]))
    np.testing.assert_allclose(both.forward(a + 2 * b), both.forward(a) + 2 * both.forward(b), rtol=1e-5)
    alone = [PENCIL.influence(water(), [x], machine("truebeam-stx"), points, ignore_field=False) for x in beams]
    parts = [one.forward(a[part]) for one, part in zip(alone, both.beam_slices, strict=True)]
    np.testing.assert_allclose(both.forward(a), sum(parts), rtol=1e-6)


@pytest.mark.parametrize("gantry", [0.0, 90.0, 180.0])
def test_the_centroid_of_an_axial_bixel_is_on_the_axis(gantry):
    beam = square(2.5, gantry)
    frame = beam_frame(gantry, 0, 0, (0, 0, 0), 1000.0)
    at = np.arange(-12, 12.01, 0.2) + 0.013  # a lattice that is not that of the nodes
    x, y = np.meshgrid(at, at, indexing="ij")
    points = x.reshape(-1, 1) * frame.axes[0] + y.reshape(-1, 1) * frame.axes[1]
    dose = dose_of(water(), beam, points).reshape(x.shape)
    inside = (np.abs(x) < 11.5) & (np.abs(y) < 11.5)
    # The sum over a lattice that is off by 0.013 mm keeps no more than the tails' share of that offset.
    for axis in (x, y):
        assert abs((dose * axis)[inside].sum() / dose[inside].sum()) < 0.01


def test_turning_beam_and_phantom_together_turns_the_dose():
    points = np.random.default_rng(4).uniform(-25, 25, (300, 3))
    density = water(80.0, 4.0)
    density.data[5:12, 3:9, :] = 1.6
    turned = Volume(density.grid, np.ascontiguousarray(np.rot90(density.data, 1, axes=(0, 1))), Quantity.DENSITY)
    # rot90 of [x, y]: (x, y) -> (-y, x), anterior (-y) goes to +x, patient left: gantry 0 becomes gantry 90.
    moved = np.stack([-points[:, 1], points[:, 0], points[:, 2]], axis=1)
    this = dose_of(density, field(0.0), points)
    np.testing.assert_allclose(dose_of(turned, field(90.0), moved), this, rtol=1e-4, atol=1e-6 * this.max())


def test_dose_falls_with_the_square_of_the_distance_in_a_moved_patient():
    # Depth and field on the surface's scale stay: the same water further away gets (r1 / r2)^2 of the broad-beam dose.
    beams = [square(60.0, isocentre=(0.0, y, 0.0)) for y in (0.0, -50.0)]
    near, far = (dose_of(water(), beam, [[0.0, 0.0, 0.0]])[0] for beam in beams)
    # The field is 5 % wider at 105 cm: a little more scatter.
    assert far / near == pytest.approx((1000 / 1050) ** 2, rel=0.006)
    assert far / near > (1000 / 1050) ** 2


def test_one_monitor_unit_gives_the_calibration_dose():
    for name, ssd in (("truebeam-stx", 900.0), ("elekta-unity", 1335.0)):
        this = machine(name)
        assert this.calibration.ssd_mm.value == ssd
        influence = PENCIL.influence(water(), [square(100.0)], this, np.zeros((1, 3)), ignore_field=True)
        assert influence.forward(np.ones(1))[0] == pytest.approx(0.01, rel=2e-4)


def test_the_bixels_of_a_field_add_up_to_the_field():
    is_open = np.ones((8, 8), bool)
    fine = Beam(0, 0, 0, (0, 0, 0), BixelGrid((-20, -20), (5, 5), is_open))
    points = np.random.default_rng(0).uniform(-40, 40, (200, 3))
    whole, parts = (dose_of(water(), beam, points, "truebeam-stx") for beam in (square(40.0), fine))
    np.testing.assert_allclose(parts, whole, rtol=2e-5)


def test_one_and_two_threads_give_the_same_bits(monkeypatch):
    rng = np.random.default_rng(6)
    beams, points = [field(10.0 * n) for n in range(5)], rng.uniform(-30, 30, (40000, 3))
    got = []
    for threads in ("1", "2"):
        monkeypatch.setenv("LACUNA_THREADS", threads)
        influence = PENCIL.influence(water(), beams, machine("truebeam-stx"), points, ignore_field=False)
        w = np.linspace(0, 1, influence.shape[1])
        forward = influence.forward(w)
        parts = [w[part] for part in influence.beam_slices]
        whole = PENCIL.dose(water(60.0), beams, parts, machine("truebeam-stx"), ignore_field=False)
        got.append((forward, influence.adjoint(forward), whole.volume.data))
    for one, two in zip(*got, strict=True):
        np.testing.assert_array_equal(one, two)


def test_dose_on_a_grid_equals_the_influence_at_its_voxels():
    grid = Grid.covering((-50, -60, -50), (50, 60, 50), (2.0, 2.0, 2.5))
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij")
    density = Volume(grid, np.where(x**2 + y**2 + z**2 < 45**2, 1.04, 0.0), Quantity.DENSITY)
    beams = [field(20.0), field(200.0, 40.0)]
    weights = [np.linspace(0.2, 1, 30), np.linspace(1, 0, 30)]
    dose = PENCIL.dose(density, beams, weights, machine("truebeam-stx"), ignore_field=False)
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    influence = PENCIL.influence(density, beams, machine("truebeam-stx"), points, ignore_field=False)
    want = influence.forward(np.concatenate(weights)).reshape(grid.shape)
    inside = x**2 + y**2 + z**2 < 30**2  # farther out, the staircase of the surface meets the build-up
    assert np.abs(dose.volume.data - want)[inside].max() < 0.005 * want.max()
    assert not dose.volume.data[density.data == 0].any() and not want[density.data == 0].any()
    assert dose.engine.startswith("pencil") and not dose.field_ignored and dose.volume.quantity == Quantity.DOSE


# --- limits and refusals ---


def test_no_weight_no_dose_and_no_open_bixel_no_column():
    closed = Beam(0, 0, 0, (0, 0, 0), BixelGrid((-5, -5), (5, 5), np.zeros((2, 2), bool)))
    influence = PENCIL.influence(
        water(), [field(), closed], machine("truebeam-stx"), np.zeros((3, 3)), ignore_field=False
    )
    assert influence.shape == (3, 30) and influence.beam_slices[1] == slice(30, 30)
    assert not influence.forward(np.zeros(30)).any()
    assert influence.adjoint(np.ones(3)).shape == (30,)


def test_no_points_and_no_beams():
    influence = PENCIL.influence(water(), [field()], machine("truebeam-stx"), np.zeros((0, 3)), ignore_field=False)
    assert influence.forward(np.ones(30)).shape == (0,) and not influence.adjoint(np.zeros(0)).any()
    none = PENCIL.influence(water(), [], machine("truebeam-stx"), np.zeros((2, 3)), ignore_field=False)
    assert none.shape == (2, 0) and not none.forward(np.zeros(0)).any()


def test_points_outside_the_patient_get_nothing():
    points = np.array([[0.0, -130.0, 0.0], [0.0, 130.0, 0.0], [500.0, 0.0, 0.0], [0.0, -2000.0, 0.0]])
    assert not dose_of(water(), field(), points, "truebeam-stx").any()


def test_a_patient_of_air_gets_no_dose():
    density = water(20.0)
    density.data[:] = 0.001
    dose = PENCIL.dose(density, [field()], [np.ones(30)], machine("truebeam-stx"), ignore_field=False)
    assert not dose.volume.data.any()


def test_a_magnetic_field_is_refused_unless_it_may_be_ignored():
    with pytest.raises(CapabilityError, match=r"1\.5 T.*elekta-unity"):
        PENCIL.influence(water(), [field()], machine("elekta-unity"), np.zeros((1, 3)), ignore_field=False)
    with pytest.raises(CapabilityError):
        PENCIL.dose(water(), [field()], [np.ones(30)], machine("elekta-unity"), ignore_field=False)
    dose = PENCIL.dose(water(20.0), [field()], [np.ones(30)], machine("elekta-unity"), ignore_field=True)
    assert dose.field_ignored and dose.volume.data.max() > 0


def test_engines_are_known_by_name():
    assert PENCIL.can == Capability.PHOTON | Capability.INFLUENCE
    assert all(engine.name == name for name, engine in ENGINES.items())
    with pytest.raises(InputError, match="Did you mean 'pencil'"):
        engine_named("pensil")


# --- machines ---


def test_every_machine_loads_and_is_consistent():
    for name in library.names("machines"):
        this = machine(name)
        assert this.name == name
        assert (this.calibration is None) == (this.kind == "point")
        # The bank of the m3 is 102 mm wide, of which 98 mm are used.
        assert -1e-6 < sum(this.leaf_width_mm.value) - this.max_field_mm.value[1] < 5.0
        assert pencil_kernel(this.spectrum.value).amplitude.max() > 0
    np.testing.assert_allclose(machine("elekta-unity").magnetic_field_t.value, (0, 0, 1.5))
