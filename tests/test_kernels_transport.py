"""Photon and electron physics of Monte Carlo, one process at a time."""

import numpy as np
import pytest

from kernels.electron import bending_radius, longest, move, stop, transport
from kernels.history import Emission, fano, scratch, simulate
from kernels.particle import ELECTRON, ELECTRON_MASS, LOSS, POSITRON, ROW
from kernels.photon import compton
from kernels.rng import seed_stream, uniform
from kernels.track import LOST, MASS, grow
from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.engines.transport_scene import Splitting, clearance, scene
from planner.engines.transport_tables import Care, transport_tables, usual
from planner.library.materials import electron_stopping, material, photon_cross_sections
from planner.library.tables import attenuation

FIELD = (0.0, 1.5, 0.0)
ANALOG = Splitting(0.0, 0.0)


def stream(seed=1, number=0):
    state = np.empty(2, np.uint64)
    seed_stream(seed, number, state)
    return state


def water(size=40, step=2.0, density=1.0):
    """A cube centred on the axis, its surface at z = 0."""
    half = 0.5 * (size - 1) * step
    grid = Grid((size,) * 3, (step,) * 3, (-half, -half, 0.5 * step))
    return Volume(grid, np.full(grid.shape, density), Quantity.DENSITY)


def source(energy, half=10.0, sad=1000.0):
    """Photons of one energy along +z from a point `sad` above the surface."""
    return Emission(
        np.array([[0.0, 0.0, -sad]]),
        np.eye(3)[None].copy(),
        sad,
        (0.0, 0.0),
        np.zeros(1, np.int64),
        np.array([[-half, half, -half, half]]),
        np.ones(1),
        np.array([energy, energy * (1 + 1e-9)]),
        np.ones(1),
        np.ones(1),
        1.0,
    )


def run(where, emission, histories, batches=20, seed=1):
    """Energy per history of each batch, shape (batches, x, y, z)."""
    out = np.zeros((batches, *where.medium.lattice.shape), np.float32)
    for batch in range(batches):
        simulate(where, emission, seed, batch, histories, out[batch])
    return out / histories


def energy_in(volume, out):
    """Absorbed energy, MeV, of a score over density."""
    return (out * volume.data.astype(float)).sum()


def test_streams_are_uniform_and_unrelated():
    one, other = stream(1, 0), stream(1, 1)
    draws = np.array([[uniform(one), uniform(other)] for _ in range(20_000)])
    assert draws.min() > 0
    assert draws.max() < 1
    np.testing.assert_allclose(draws.mean(axis=0), 0.5, atol=4 * 0.289 / 20_000**0.5)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / 20_000**0.5


@pytest.mark.parametrize("energy", [0.1, 1.0, 6.0])
def test_compton_has_the_moments_of_klein_and_nishina(energy):
    state = stream()
    drawn = np.array([compton(energy, state) for _ in range(40_000)])
    cosine = np.linspace(-1, 1, 20_001)
    ratio = 1 / (1 + energy / ELECTRON_MASS * (1 - cosine))
    weight = ratio**2 * (ratio + 1 / ratio - 1 + cosine**2)
    for values, expected in ((drawn[:, 0] / energy, ratio), (drawn[:, 1], cosine), (drawn[:, 1] ** 2, cosine**2)):
        mean = np.trapezoid(weight * expected, cosine) / np.trapezoid(weight, cosine)
        assert abs(values.mean() - mean) < 4 * values.std() / len(values) ** 0.5


def test_attenuation_by_elements_is_that_of_the_media():
    energies = np.array([0.06, 0.2, 1.0, 3.0, 6.0])
    for name, medium in (("water", "water"), ("cortical_bone", "bone_cortical_icrp"), ("air", "air_dry")):
        ours = photon_cross_sections(material(name), energies).sum(axis=1)
        expected = attenuation(medium, energies) - attenuation(medium, energies, "coherent")
        np.testing.assert_allclose(ours, expected, rtol=2e-3)


def test_titanium_lies_where_nist_tables_it():
    # NIST XAAMDI (Hubbell and Seltzer): 0.05891 cm2/g at 1 MeV. Stopping: the minimum of heavy particles (PDG: 1.477)
    # times 1.465/1.615, what an electron of 1 MeV (ESTAR) is to that minimum in aluminium.
    assert photon_cross_sections(material("titanium"), np.array([1.0])).sum() == pytest.approx(0.0589, rel=0.01)
    assert electron_stopping(material("titanium"), np.array([1.0]))[0][0] == pytest.approx(
        1.477 * 1.465 / 1.615, rel=0.01
    )


@pytest.mark.parametrize("splitting", [ANALOG, Splitting()])
def test_primary_photons_are_attenuated_exponentially(splitting):
    where = scene(water(), (0.0, 0.0, 0.0), None, splitting)
    # Nothing leaves the place of the first interaction but photons that lost less than 1 %.
    limits = where.tables.limits.copy()
    limits[:, 0] = 100.0
    where = where._replace(tables=where.tables._replace(limits=limits, photon_cut=0.9999))
    depth = run(where, source(1.0, half=0.1), 4000, seed=2).sum(axis=(1, 2))
    mu = 0.1 * photon_cross_sections(material("water"), np.array([1.0])).sum()
    faces = np.exp(-mu * 2.0 * np.arange(41))
    blocks = depth.reshape(20, 8, 5).sum(axis=2)
    error = blocks.std(axis=0, ddof=1) / 20**0.5
    assert (np.abs(blocks.mean(axis=0) + np.diff(faces[::5])) < 4 * error).all()
    assert (error / blocks.mean(axis=0)).max() < 0.03


def test_path_of_an_electron_is_its_range():
    care = Care(usual().absorbed_mev, 100.0, usual().loss)
    tables = transport_tables([(material("water"), care)])._replace(photon_cut=100.0)
    tracks, _, _ = scratch(1)
    energy = np.exp(np.linspace(np.log(0.05), np.log(4.0), 2000))
    collision, radiative = electron_stopping(material("water"), energy)
    # No collision comes about above these cuts; of bremsstrahlung, (1 - 0.8 k/T)/k, only that below 50 keV slows down.
    stopping = collision + radiative * (0.05 - 0.4 * 0.05**2 / energy) / (0.6 * energy)
    for start in (1.0, 4.0):
        grow(tables, tracks, 0, 0, start, ELECTRON, stream())
        segments = tracks.segment[0, : tracks.counts[0, 0]]
        inside = (energy >= segments[-1, LOST]) & (energy <= start)
        expected = np.trapezoid(1 / stopping[inside], energy[inside])
        assert segments[:, LOST].sum() == pytest.approx(start, rel=1e-12)
        assert segments[:, MASS].sum() == pytest.approx(expected, rel=0.003)


def test_the_longest_way_is_the_range():
    tables = transport_tables([(material("water"), usual())])
    energy = np.exp(tables.ln_low + np.arange(tables.electron.shape[1]) / tables.per_ln)
    collision, _ = electron_stopping(material("water"), energy)
    for kinetic in (0.05, 0.2):  # below the energy of knock-ons and of bremsstrahlung that slow it down more
        least = np.trapezoid((1 / collision)[energy <= kinetic], energy[energy <= kinetic])
        assert least < longest(tables, 0, kinetic) < 1.05 * least + 0.01 / collision[0]
    where = scene(water(5, 4.0), FIELD, None, ANALOG)
    p, stack, out = np.zeros(ROW), np.zeros((8, ROW)), np.zeros((5, 5, 5), np.float32)
    p[2], p[5], p[6:] = 10.0, 1.0, (0.29, ELECTRON, 1.0, 1.0)
    transport(where, stack, 0, p, np.array([2, 2, 2]), stream(), out)
    assert out[2, 2, 2] == out.sum() == np.float32(0.29)


def test_gyroradius_and_sense_of_bending():
    radius = bending_radius(1.0, ELECTRON, 1.5)
    assert radius == pytest.approx(3.162, abs=0.001)
    assert bending_radius(1.0, POSITRON, 1.5) == -radius
    p = np.zeros(ROW)
    p[5] = 1.0
    axis = np.array([0.0, 1.0, 0.0])
    move(p, np.pi * radius, radius, axis)  # half a circle: from +z over +x to -z
    np.testing.assert_allclose(p[:6], [2 * radius, 0, 0, 0, 0, -1], atol=0.02)
    p = np.zeros(ROW)
    p[4] = 1.0
    move(p, 50.0, radius, axis)
    np.testing.assert_allclose(p[:3], [0, 50, 0], atol=1e-9)


def test_a_positron_at_rest_gives_two_opposite_photons():
    where = scene(water(), (0.0, 0.0, 0.0), None, ANALOG)
    p, stack = np.zeros(ROW), np.zeros((8, ROW))
    p[6:] = 0.1, POSITRON, 1.0, 1.0
    out = np.zeros(where.medium.lattice.shape, np.float32)
    top = stop(where, p, np.array([20, 20, 0]), stack, 0, stream(), out)
    assert top == 2
    assert out[20, 20, 0] == np.float32(0.1)
    np.testing.assert_allclose(stack[:2, 6], ELECTRON_MASS)
    np.testing.assert_allclose(stack[0, 3:6], -stack[1, 3:6])


@pytest.mark.parametrize("field", [(0.0, 0.0, 0.0), FIELD])
def test_energy_is_conserved_in_every_history(field):
    volume = water()
    volume.data[:, :, 10:14] = 0.0012
    volume.data[:, :, 20:24] = 1.85
    where = scene(volume, field, None, ANALOG)
    emission = source(6.0)
    out = np.zeros(where.medium.lattice.shape, np.float32)
    for history in range(300):
        out[:] = 0.0
        emitted, escaped = simulate(where, emission, 3, history, 1, out)
        # The tally is in single precision; its rounding is what is left.
        assert emitted - escaped - energy_in(volume, out) == pytest.approx(0.0, abs=2e-6)
    out[:] = 0.0
    emitted, escaped = simulate(where, emission, 3, 1000, 5000, out)
    assert abs(emitted - escaped - energy_in(volume, out)) < 1e-8 * emitted


def test_splitting_and_replay_change_no_mean():
    volume = water()
    volume.data[:, :, 10:14] = 0.0012
    for field in ((0.0, 0.0, 0.0), FIELD):
        split, analog = (
            run(scene(volume, field, None, how), source(4.0), histories)
            for how, histories in ((Splitting(), 2500), (ANALOG, 20_000))
        )
        for part in (np.s_[:, 16:24, 16:24, 1:10], np.s_[:, 16:24, 16:24, 10:14], np.s_[:, 16:24, 16:24, 15:40]):
            a, b = (values[part].sum(axis=(1, 2, 3)) for values in (split, analog))
            error = np.hypot(a.std(ddof=1), b.std(ddof=1)) / 20**0.5
            assert abs(a.mean() - b.mean()) < 3.5 * error
            assert error / b.mean() < 0.03


def test_a_region_changes_no_mean():
    volume = water()
    volume.data[:] *= np.random.default_rng(1).uniform(0.98, 1.05, volume.data.shape)
    volume.data[:, :, 4:7] = 1.6
    volume.data[17:21, 18:22, 14:18] = 0.0012
    region = np.zeros(volume.grid.shape, bool)
    region[15:25, 15:25, 10:20] = True
    near = np.zeros(volume.grid.shape, bool)
    near[16:20, 17:23, 12:20] = True  # the air and what surrounds it
    beyond = np.zeros(volume.grid.shape, bool)
    beyond[14:26, 14:26, 27:38] = True
    split, analog = (
        run(scene(volume, FIELD, None, how, part), source(4.0), histories)
        for how, part, histories in ((Splitting(), region, 2500), (ANALOG, None, 20_000))
    )
    for part in (region, near, beyond):
        a, b = (values[:, part].sum(axis=1) for values in (split, analog))
        error = np.hypot(a.std(ddof=1), b.std(ddof=1)) / 20**0.5
        assert abs(a.mean() - b.mean()) < 3.5 * error
        assert error / b.mean() < 0.02


@pytest.mark.parametrize("field", [(0.0, 0.0, 0.0), FIELD])
def test_fano_dose_does_not_depend_on_density(field):
    volume = water(30)
    pattern = volume.data
    pattern[8:22, 8:22, 8:22] = 0.5
    pattern[12:18, 12:18, 12:18] = 1.9
    pattern[10:20, 10:20, 10:12] = 1.0
    where = scene(volume, field, np.full(pattern.shape, 3), Splitting())
    dose = np.zeros((20, *pattern.shape))
    for batch in range(20):
        out = np.zeros(pattern.shape, np.float32)
        fano(where, 1.0, 5, batch, 30_000, out)
        dose[batch] = out
    regions = [pattern == value for value in (0.5, 1.9)]
    inner = np.zeros(pattern.shape, bool)
    inner[8:22, 8:22, 8:22] = True
    whole = (dose * pattern)[:, inner].sum(axis=1) / pattern[inner].sum()
    for region in [*regions, inner & (pattern == 1.0)]:
        ratio = (dose * pattern)[:, region & inner].sum(axis=1) / pattern[region & inner].sum() / whole
        assert abs(ratio.mean() - 1.0) < 0.003 + 2.5 * ratio.std(ddof=1) / 20**0.5


def test_clearance_is_the_distance_to_the_nearest_change():
    rng = np.random.default_rng(1)
    density = np.ones((14, 12, 13), np.float32)
    density[tuple(rng.integers(0, 12, (3, 4)))] = 2.0
    found = clearance(density, np.zeros(density.shape, np.uint8))
    for index in np.ndindex(*density.shape):
        n = 0
        while all(i > n and i + n + 1 < size for i, size in zip(index, density.shape, strict=True)):
            box = density[tuple(slice(i - n - 1, i + n + 2) for i in index)]
            if (box != density[index]).any():
                break
            n += 1
        assert found[index] == n


def test_tables_say_how_far_a_step_goes():
    tables = transport_tables([(material("water"), usual())])
    assert tables.limits[0, LOSS] == usual().loss
    # Both pieces of the deflection have a probability and an edge within 0 and 1, at all energies transported.
    energies = np.exp(tables.ln_low + np.arange(tables.electron.shape[1]) / tables.per_ln)
    part, edge = tables.electron[0, energies > usual().absorbed_mev, 4:6].T
    for values in (part, edge):
        assert values.min() > 0
        assert values.max() < 1


@pytest.mark.parametrize("energy", [0.3, 1.0, 4.0])
def test_an_electron_that_grazes_a_face_in_a_field_goes_on(energy):
    volume = water(20)
    volume.data[10:] = 0.0012
    volume.data[12:, 5:] = 0.7
    where = scene(volume, FIELD, None, ANALOG)
    for n, slope in enumerate([*np.logspace(-13, -0.5, 26), 0.0]):
        for sign in (1.0, -1.0):
            p, stack = np.zeros(ROW), np.zeros((64, ROW))
            p[3], p[5] = sign * slope, (1.0 - slope**2) ** 0.5
            p[2], p[6:] = 20.0, (energy, ELECTRON, 1.0, 1.0)
            voxel = np.array([10 if sign > 0 else 9, 10, 9])  # on the face between water and air
            out = np.zeros(volume.grid.shape, np.float32)
            top, gone = transport(where, stack, 0, p, voxel, stream(number=n), out)
            waiting = stack[:top, 6].sum()
            assert energy_in(volume, out) + gone + waiting == pytest.approx(energy, abs=1e-6)
