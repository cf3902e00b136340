"""The beam model: fluence against rays from an extended source, transposes, leaves, spectra in closed form."""

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.beam_model import fluence_map, per_photon, softening
from planner.engines.registry import engine_named
from planner.library.tables import spectrum
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.constant import Constant, Status
from planner.treatment.machine import AliRogers, Machine, Source


def machine(name, **changes):
    return library.load("machines", name, Machine).model_copy(update=changes)


def constant(value):
    return Constant(value=value, source="test", status=Status.ASSUMED)


def field(low=(-20.0, -15.0), size=(5.0, 2.5), shape=(8, 12), closed=()):
    is_open = np.ones(shape, bool)
    for bixel in closed:
        is_open[bixel] = False
    return BixelGrid(low, size, is_open)


def middles(fluence):
    return [0.5 * (edge[1:] + edge[:-1]) for edge in fluence.edges]


def at(fluence, cells, x, y):
    i, j = (int(np.searchsorted(edge, v)) - 1 for edge, v in zip(fluence.edges, (x, y), strict=True))
    return cells[i, j]


# --- fluence ---


def test_head_scatter_is_what_an_extended_source_sends_through_the_opening():
    this = machine("synergy-agility", collimation=None, radial_fluence=None)
    bixels = field((-20.0, -10.0), (10.0, 10.0), (5, 2))  # off the axis along X
    fluence = fluence_map(bixels, this)
    bare = fluence_map(bixels, machine("synergy-agility", collimation=None, radial_fluence=None, extra_focal=None))
    scatter = this.extra_focal
    got = fluence.forward(np.ones(10)) - (1 - scatter.weight.value) * np.pad(
        np.ones((10, 4)), [(3, 3), (3, 3)]
    )  # cells of 5 mm, three more outside
    assert bare.forward(np.ones(10)).shape == (5, 2)
    # Rays: points of the source, straight through the plane of the collimator to the isocentre plane.
    sad, plane = 1000.0, this.source.collimator_mm.value
    from_source = np.linspace(-5, 5, 801) * scatter.sigma_mm.value
    share = np.exp(-0.5 * (from_source / scatter.sigma_mm.value) ** 2)
    share /= share.sum()
    along = (plane - scatter.distance_mm.value) / (sad - scatter.distance_mm.value)
    for x, y in [(0.0, 0.0), (12.0, -3.0), (40.0, 5.0), (-45.0, 20.0)]:
        i, j = (int(np.searchsorted(edge, v)) - 1 for edge, v in zip(fluence.edges, (x, y), strict=True))
        seen = []
        for edge, n, (low, high) in zip(fluence.edges, (i, j), ((-20.0, 30.0), (-10.0, 10.0)), strict=True):
            points = edge[n] + (edge[n + 1] - edge[n]) * (np.arange(40) + 0.5) / 40
            hit = (from_source[None, :] + along * (points[:, None] - from_source[None, :])) * sad / plane
            seen.append((((hit > low) & (hit < high)) * share).sum(axis=1).mean())
        assert got[i, j] == pytest.approx(scatter.weight.value * seen[0] * seen[1], rel=0.01, abs=1e-5)


@pytest.mark.parametrize("name", library.names("machines"))
def test_adjoint_is_the_transpose(name):
    rng = np.random.default_rng(7)
    fluence = fluence_map(field(closed=[(0, 0), (7, 3), (4, 4)]), machine(name), rng.random((8, 12)))
    weights = rng.random(93)
    cells = fluence.forward(weights)
    assert cells.shape == tuple(len(edge) - 1 for edge in fluence.edges)
    values = rng.standard_normal(cells.shape)
    assert (cells * values).sum() == pytest.approx(weights @ fluence.adjoint(values), rel=1e-12)


@pytest.mark.parametrize("name", ["truebeam-stx", "synergy-agility", "elekta-unity", "mridian", "brainlab-m3"])
def test_a_wide_open_field_has_unit_fluence_on_the_axis(name):
    this = machine(name, radial_fluence=None)
    half = 0.5 * max(this.max_field_mm.value)
    fluence = fluence_map(BixelGrid((-half, -half), (2 * half, 2 * half), np.ones((1, 1), bool)), this)
    # A little of the extra-focal source is hidden.
    assert 0.998 < at(fluence, fluence.forward(np.ones(1)), 0.1, 0.1) < 1 + 1e-9


@pytest.mark.parametrize("lit", [[40], range(96)])
def test_parts_of_the_fluence_sum_to_all_of_it(lit):
    weights = np.zeros(96)
    weights[lit] = 1.0
    fluence = fluence_map(field(), machine("truebeam-stx"))
    part, about = fluence.parted(weights)
    assert (part.edges[0][[0, -1]].tolist(), part.edges[1][[0, -1]].tolist()) == ([-20.0, 20.0], [-15.0, 15.0])
    assert part.fluence.shape == (8, 12) and np.all(part.fluence >= 0.0)
    inside = tuple(
        slice(*np.searchsorted(edge, small[[0, -1]])) for edge, small in zip(about.edges, part.edges, strict=True)
    )
    summed = about.fluence.copy()
    summed[inside] += part.fluence
    np.testing.assert_allclose(summed, fluence.forward(weights), rtol=1e-12)
    # What arrives about the field goes on within it: no hole, no more than what lies beside.
    assert np.ptp(about.fluence[inside]) == 0.0
    beside = np.pad(np.zeros(part.fluence.shape, bool), 1, constant_values=True)
    grown = tuple(slice(s.start - 1, s.stop + 1) for s in inside)
    assert 0.3 < about.fluence[inside][0, 0] / about.fluence[grown][beside].mean() <= 1.0 + 1e-12


def test_a_source_without_head_has_nothing_about_its_field():
    fluence = fluence_map(field(), machine("truebeam-stx", extra_focal=None, collimation=None, radial_fluence=None))
    part, about = fluence.parted(np.ones(96))
    np.testing.assert_array_equal(part.fluence, fluence.forward(np.ones(96)))
    assert not about.fluence.any()


@pytest.mark.parametrize("name", ["truebeam-stx", "elekta-unity", "point-6mv", "point-co60"])
def test_a_field_in_a_corner_of_its_grid_with_closed_bixels(name):
    rng = np.random.default_rng(4)
    bixels = field()
    bixels.open[:5] = bixels.open[:, 3:] = False
    bixels.open[6, 1] = False
    fluence = fluence_map(bixels, machine(name))
    weights = rng.uniform(0.1, 1.0, bixels.count)
    part, about = fluence.parted(weights)
    assert (part.edges[0][[0, -1]].tolist(), part.edges[1][[0, -1]].tolist()) == ([5.0, 20.0], [-15.0, -7.5])
    at = tuple(np.searchsorted(edge, small[0]) for edge, small in zip(about.edges, part.edges, strict=True))
    inside = tuple(slice(low, low + n) for low, n in zip(at, part.fluence.shape, strict=True))
    summed = about.fluence.copy()
    summed[inside] += part.fluence
    np.testing.assert_allclose(summed, fluence.forward(weights), rtol=1e-12)
    assert part.fluence.min() >= 0.0
    # Exactly nothing, or the dose of nothing would be computed.
    assert about.fluence.any() == (machine(name).kind != "point")


def test_closed_leaves_and_jaws_let_through_what_the_machine_says():
    this = machine("elekta-unity", extra_focal=None, radial_fluence=None)
    bixels = field(closed=[(3, 6)])
    fluence = fluence_map(bixels, this)
    cells = fluence.forward(np.full(95, 2.0))
    x, y = middles(fluence)
    through = this.collimation.transmission.value
    assert at(fluence, cells, 2.5, 5.0) == pytest.approx(2.0)
    assert at(fluence, cells, -2.5, 1.25) == pytest.approx(2.0 * through)  # the closed bixel
    assert cells[0, len(y) // 2] == pytest.approx(2.0 * through)  # beside the field, where there is no jaw
    behind = this.collimation.jaw_transmission.value
    assert cells[len(x) // 2, 0] == pytest.approx(2.0 * through * behind)
    assert fluence.open_range == ((-20.0, 20.0), (-15.0, 15.0))
    assert fluence.reach[1] == (-20.0, 20.0) and fluence.reach[0][0] < -90.0


def test_fluence_follows_the_radius():
    this = machine("truebeam-stx", extra_focal=None, collimation=None)
    fluence = fluence_map(BixelGrid((-100.0, -100.0), (200.0, 200.0), np.ones((1, 1), bool)), this)
    x, y = middles(fluence)
    radii, ratios = np.array(this.radial_fluence.value).T
    inside = (np.abs(x)[:, None] < 100) & (np.abs(y) < 100)
    want = np.interp(np.hypot(x[:, None], y), radii, ratios)
    np.testing.assert_allclose(fluence.forward(np.ones(1))[inside], want[inside])


def test_photons_of_a_point_source_stay_what_was_emitted():
    bixels, sad = field(), 1435.0
    fluence = fluence_map(bixels, machine("point-7mv"), per_photon(bixels, sad))
    cells = fluence.forward(np.ones(96))
    x, y = middles(fluence)
    # Fluence is that on the axis: on the flat plane it falls with the cube of the cosine.
    on_plane = cells * (1 + (x[:, None] ** 2 + y**2) / sad**2) ** -1.5
    assert (on_plane * 12.5).sum() == pytest.approx(96.0, rel=1e-5)


def test_spot_and_leaf_ends_add_in_quadrature():
    source = Source(
        spot_sigma_mm=constant((0.5, 1.0)), collimator_mm=constant(400.0), edge_sigma_mm=constant((1.0, 2.0))
    )
    assert source.blur_mm(1000.0) == pytest.approx((1.25, 2.5))


def test_softening_deepens_the_water_off_the_axis():
    soft, hard = (machine("point-6mv", softening=table) for table in (constant(((0.0, 1.0), (100.0, 1.1))), None))
    np.testing.assert_allclose(softening(soft, np.array([0.0, 50.0, 300.0])), [1.0, 1.05, 1.1])
    grid = Grid.covering((-100, -100, -100), (100, 100, 100), 10.0)
    water = Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)
    beam = Beam(0, 0, 0, (0, 0, 0), BixelGrid((-80.0, -80.0), (160.0, 160.0), np.ones((1, 1), bool)))
    points = np.array([[0.0, 0.0, 0.0], [60.0, 0.0, 0.0]])
    doses = [
        engine_named("pencil").influence(water, [beam], m, points, ignore_field=False).forward(np.ones(1))
        for m in (soft, hard)
    ]
    ratio = doses[0] / doses[1]
    assert ratio[0] == pytest.approx(1.0, rel=1e-4)
    # 6 % more of 100 mm at about 4.6 to 5.0 % a cm, less what scatter makes up for.
    assert 0.965 < ratio[1] < 0.98


# --- spectra in closed form ---


def test_closed_form_equals_its_formula_and_ends_at_the_electrons():
    form = AliRogers(electron_mev=5.76, tungsten=1.222, aluminium=5.147, slope=-1.186)
    beam = spectrum(form)
    assert beam.edges_mev[-1] == 5.76 and beam.probability.sum() == pytest.approx(1.0)
    # The value of the formula at 2 MeV over that at 4 MeV, with NIST coefficients at these energies.
    psi = []
    for e, tungsten, aluminium in ((2.0, 0.04433, 0.04324), (4.0, 0.04038, 0.03106)):
        x = e / 5.76
        bremsstrahlung = (1 - 1.186 * x + x**2) * (np.log(5.76 * (5.76 - e) / e + 1.65) - 0.5)
        psi.append(bremsstrahlung * np.exp(-tungsten * 1.222**2 - aluminium * 5.147**2) / e)
    density = beam.probability / np.diff(beam.edges_mev)
    ours = np.interp([2.0, 4.0], beam.centres_mev, density)
    assert ours[0] / ours[1] == pytest.approx(psi[0] / psi[1], rel=0.01)


def test_more_filter_hardens():
    means = [
        np.average(s.centres_mev, weights=s.probability)
        for s in (
            spectrum(AliRogers(electron_mev=6.0, tungsten=1.222, aluminium=thick, slope=-1.186)) for thick in (0, 3, 6)
        )
    ]
    assert means[0] + 0.1 < means[1] < means[2] - 0.1
