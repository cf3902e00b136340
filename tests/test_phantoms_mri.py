"""Signal equations: identities and limits; Rician noise: published moments; blood by age; painting."""

import numpy as np
import pytest

from phantoms.canvas import Canvas
from phantoms.grid import Grid
from phantoms.mri import (
    SEQUENCES,
    InversionRecovery,
    PreparedGradientEcho,
    SpinEcho,
    SpoiledGradientEcho,
    acquire,
    palette,
    sequence_of,
)
from phantoms.tissue import TISSUES, blood_shares, relaxation_ms


def test_flair_nulls_csf_at_every_field():
    for field in (0.35, 1.5, 3.0):
        signals = palette(InversionRecovery(), field)
        assert signals["csf"] == pytest.approx(0.0, abs=1e-9)


def test_inversion_time_is_ln2_t1_at_infinite_repetition():
    assert InversionRecovery(tr_ms=1e7).null_ti_ms(2569.0) == pytest.approx(2569.0 * np.log(2.0))


def test_spin_echo_limits():
    assert SpinEcho(tr_ms=1e9, te_ms=0.0).signal(900.0, 80.0, 0.8, 4000.0) == pytest.approx(0.8)
    assert SpinEcho(tr_ms=1e9, te_ms=80.0).signal(900.0, 80.0, 1.0, 4000.0) == pytest.approx(np.exp(-1))


def test_gradient_echo_peaks_at_the_ernst_angle_and_reaches_sine_at_infinite_repetition():
    t1, tr = 833.0, 22.0
    flips = np.linspace(1, 60, 2000)
    signals = [SpoiledGradientEcho(tr, 0.0, flip).signal(t1, 80.0, 1.0, 4000.0) for flip in flips]
    assert flips[int(np.argmax(signals))] == pytest.approx(np.rad2deg(np.arccos(np.exp(-tr / t1))), abs=0.05)
    assert SpoiledGradientEcho(1e8, 0.0, 40.0).signal(t1, 80.0, 1.0, 4000.0) == pytest.approx(np.sin(np.deg2rad(40)))


def test_prepared_gradient_echo_is_the_steady_state_of_its_pulses():
    sequence, t1 = PreparedGradientEcho(te_ms=0.0), 833.0
    flip, spacing, half = np.deg2rad(sequence.flip_deg), sequence.echo_spacing_ms, sequence.echoes // 2
    before = sequence.ti_ms - half * spacing
    after = sequence.tr_ms - sequence.ti_ms - (sequence.echoes - half) * spacing
    m = 1.0
    for _ in range(30):  # cycles of inversion, rest, echoes, rest
        m = 1 + (-m - 1) * np.exp(-before / t1)
        for echo in range(sequence.echoes):
            if echo == half:
                middle = m
            m = 1 + (m * np.cos(flip) - 1) * np.exp(-spacing / t1)
        m = 1 + (m - 1) * np.exp(-after / t1)
    assert sequence.signal(t1, 1e9, 0.8, 4000.0) == pytest.approx(0.8 * abs(middle) * np.sin(flip), rel=1e-6)


def test_prepared_gradient_echo_of_weak_pulses_is_inversion_recovery():
    weak = PreparedGradientEcho(tr_ms=1e6, flip_deg=1e-3, te_ms=0.0)
    expected = abs(1 - 2 * np.exp(-weak.ti_ms / 700.0)) * np.sin(np.deg2rad(1e-3))
    assert weak.signal(700.0, 1e9, 1.0, 4000.0) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["mprage", "spgr"])
def test_either_t1_sequence_shows_enhancement_only_after_contrast(name):
    plain, enhanced = (palette(sequence_of(image, name), 1.5) for image in ("t1", "t1gd"))
    assert plain["tumour"] < plain["white"] < enhanced["tumour"]


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_contrast_is_that_of_the_clinic(field):
    t1, t2, flair = (palette(SEQUENCES[name], field) for name in ("t1gd", "t2", "flair"))
    assert t1["csf"] < t1["grey"] < t1["white"] < t1["tumour"]
    assert t1["white"] < t1["fat"]
    assert t1["cavity_fluid"] < t1["white"] < t1["rim"] < t1["tumour"]
    assert t2["white"] < t2["grey"] < t2["oedema"] < t2["csf"]
    assert flair["csf"] < flair["white"] < flair["grey"] < flair["oedema"]
    assert flair["cavity_fluid"] < flair["white"]
    assert max(t1["cortical_bone"], t2["cortical_bone"], flair["cortical_bone"]) < 3.0


def test_gadolinium_shortens_and_the_field_lengthens():
    plain, enhanced = relaxation_ms("tumour", 1.5), relaxation_ms("tumour", 1.5, contrast=True)
    rate = 1 / plain[0] + 4.5 * TISSUES["tumour"].gd_mm / 1000
    assert enhanced[0] == pytest.approx(1 / rate)
    assert relaxation_ms("white", 0.35)[0] < relaxation_ms("white", 1.5)[0] < relaxation_ms("white", 3.0)[0]
    assert palette(SpoiledGradientEcho(contrast=False), 1.5)["tumour"] < palette(SpoiledGradientEcho(), 1.5)["tumour"]


def test_methaemoglobin_makes_old_blood_bright_on_t1():
    t1 = palette(SEQUENCES["t1gd"], 1.5)

    def bright(day):
        return sum(share * t1[name] for name, share in blood_shares(day).items())

    assert bright(0.5) < 0.8 * t1["white"] < 1.15 * t1["white"] < bright(7.0)
    assert all(sum(blood_shares(day).values()) == pytest.approx(1.0) for day in (0.0, 3.0, 9.9, 10.0, 200.0))


@pytest.mark.parametrize("name", TISSUES)
def test_tissues_are_possible(name):
    tissue = TISSUES[name]
    assert tissue.source
    assert tissue.status in ("published", "fitted", "assumed")
    assert tissue.t2_ms <= tissue.t1_ms
    assert tissue.t2_3t_ms <= tissue.t1_3t_ms
    assert 0.9 < tissue.density < 2.0 or name == "air"
    assert 0.0 <= tissue.protons <= 1.0


def noisy(level, snr=10.0, seed=3):
    image = np.full((40, 60, 60), level, np.float32)
    acquire(image, np.ones_like(image), snr, np.random.SeedSequence(seed))
    return image.astype(float)


def test_noise_is_rayleigh_in_air_and_rician_in_tissue():
    sigma = 300.0 / 10.0
    air = noisy(0.0)
    assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.01)
    assert air.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=0.01)
    tissue = noisy(60.0)
    assert (tissue**2).mean() == pytest.approx(60.0**2 + 2 * sigma**2, rel=0.01)
    bright = noisy(3000.0)
    assert bright.std() == pytest.approx(sigma, rel=0.01)


def test_noise_does_not_depend_on_threads_and_does_on_the_seed(monkeypatch):
    monkeypatch.setenv("LACUNA_THREADS", "1")
    one = noisy(100.0)
    monkeypatch.setenv("LACUNA_THREADS", "2")
    assert np.array_equal(one, noisy(100.0))
    assert not np.array_equal(one, noisy(100.0, seed=4))


def test_painting_mixes_by_occupancy_in_every_map():
    grid = Grid((4, 5, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    canvas = Canvas(grid, {"a": {"air": 1.0, "fat": 5.0}, "b": {"fat": 2.0}})
    part = np.array([[[0.0, 0.25, 1.0]]], np.float32)
    canvas.fill("fat", part, grid.window((1, 2, 3), (2, 3, 6)))
    assert canvas.maps["a"][1, 2, 3:] == pytest.approx([1.0, 2.0, 5.0])
    assert canvas.maps["b"][1, 2, 3:] == pytest.approx([0.0, 0.5, 2.0])
    assert (np.delete(canvas.maps["a"].ravel(), np.ravel_multi_index((1, 2, 4), grid.shape)) != 2.0).all()
    with pytest.raises(ValueError, match="does not lie"):
        canvas.fill("fat", part, grid.window((1, 2, 4), (2, 3, 7)))
