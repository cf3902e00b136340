"""MR volumes: signal equations, Rician noise, bias field.

Signals are those of ideal sequences in the steady state. They are computed per tissue and mixed by tissue fractions
in the voxel (``phantoms.canvas``), which is what partial volume does.
"""

from dataclasses import dataclass

import numpy as np

from kernels.rician import add_rician
from kernels.threads import chunks, run_chunks
from phantoms.cited import Cited
from phantoms.noise import Noise
from phantoms.tissue import TISSUES, relaxation_ms


@dataclass(frozen=True)
class SpoiledGradientEcho:
    """Spoiled gradient echo: the three-dimensional T1-weighted sequence, after gadolinium if `contrast`.

    Attributes
    ----------
    tr_ms, te_ms : float
        Repetition and echo time.
    flip_deg : float
        Flip angle.
    contrast : bool
    """

    tr_ms: float = 22.0
    te_ms: float = 4.0
    flip_deg: float = 27.0
    contrast: bool = True

    def signal(self, t1_ms: float, t2_ms: float, protons: float, csf_t1_ms: float) -> float:
        """Return the steady-state signal (Ernst); T2 stands for T2*."""
        flip, e1 = np.deg2rad(self.flip_deg), np.exp(-self.tr_ms / t1_ms)
        return float(protons * np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1) * np.exp(-self.te_ms / t2_ms))


@dataclass(frozen=True)
class PreparedGradientEcho:
    """Inversion-prepared gradient echo (MPRAGE): the usual T1-weighted volume, after gadolinium if `contrast`.

    Attributes
    ----------
    tr_ms, ti_ms : float
        From one inversion to the next, and to the middle of the train of echoes.
    te_ms : float
        Echo time.
    flip_deg : float
        Flip angle of each of the `echoes`, which are `echo_spacing_ms` apart.
    echoes : int
    echo_spacing_ms : float
    contrast : bool
    """

    tr_ms: float = 1900.0
    ti_ms: float = 1100.0
    te_ms: float = 3.0
    flip_deg: float = 15.0
    echoes: int = 120
    echo_spacing_ms: float = 7.0
    contrast: bool = True

    def signal(self, t1_ms: float, t2_ms: float, protons: float, csf_t1_ms: float) -> float:
        """Return the magnitude signal of the middle echo in the steady state; T2 stands for T2*.

        Between pulses magnetisation relaxes, each pulse keeps its cosine: both are affine maps of the longitudinal
        magnetisation, and the steady state is the fixed point of one cycle (Deichmann 2000).
        """
        flip, half = np.deg2rad(self.flip_deg), self.echoes // 2
        one = np.exp(-self.echo_spacing_ms / t1_ms)

        def train(count: int) -> tuple[float, float]:
            kept = (np.cos(flip) * one) ** count
            return float(kept), float((1 - one) * (1 - kept) / (1 - np.cos(flip) * one))

        def rest(time_ms: float) -> tuple[float, float]:
            return float(np.exp(-time_ms / t1_ms)), float(1 - np.exp(-time_ms / t1_ms))

        before = rest(self.ti_ms - half * self.echo_spacing_ms)
        after = rest(self.tr_ms - self.ti_ms - (self.echoes - half) * self.echo_spacing_ms)
        middle = _then(_then((-1.0, 0.0), before), train(half))
        cycle = _then(_then(middle, train(self.echoes - half)), after)
        steady = cycle[1] / (1 - cycle[0])
        return float(protons * abs(middle[0] * steady + middle[1]) * np.sin(flip) * np.exp(-self.te_ms / t2_ms))


def _then(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Return the affine map that is `second` after `first`, each as slope and offset."""
    return second[0] * first[0], second[0] * first[1] + second[1]


@dataclass(frozen=True)
class SpinEcho:
    """Spin echo: T2-weighted with a long repetition and a long echo time.

    Attributes
    ----------
    tr_ms, te_ms : float
        Repetition and echo time.
    contrast : bool
    """

    tr_ms: float = 4500.0
    te_ms: float = 95.0
    contrast: bool = False

    def signal(self, t1_ms: float, t2_ms: float, protons: float, csf_t1_ms: float) -> float:
        """Return the signal of a 90-180 degree spin echo."""
        return float(protons * (1 - np.exp(-self.tr_ms / t1_ms)) * np.exp(-self.te_ms / t2_ms))


@dataclass(frozen=True)
class InversionRecovery:
    """Inversion recovery spin echo with the inversion time that nulls CSF: FLAIR.

    Attributes
    ----------
    tr_ms, te_ms : float
        Repetition and echo time.
    contrast : bool
    """

    tr_ms: float = 9000.0
    te_ms: float = 110.0
    contrast: bool = False

    def null_ti_ms(self, t1_ms: float) -> float:
        """Return the inversion time, ms, at which tissue of `t1_ms` gives no signal."""
        return float(t1_ms * np.log(2.0 / (1.0 + np.exp(-self.tr_ms / t1_ms))))

    def signal(self, t1_ms: float, t2_ms: float, protons: float, csf_t1_ms: float) -> float:
        """Return the magnitude signal; the inversion time follows from the T1 of CSF."""
        ti = self.null_ti_ms(csf_t1_ms)
        recovered = 1 - 2 * np.exp(-ti / t1_ms) + np.exp(-self.tr_ms / t1_ms)
        return float(protons * abs(recovered) * np.exp(-self.te_ms / t2_ms))


Sequence = SpoiledGradientEcho | PreparedGradientEcho | SpinEcho | InversionRecovery

SEQUENCES: dict[str, Sequence] = {
    "t1gd": PreparedGradientEcho(),
    "t2": SpinEcho(),
    "flair": InversionRecovery(),
    "t1": PreparedGradientEcho(contrast=False),
}
T1_SEQUENCES = {"mprage": PreparedGradientEcho, "spgr": SpoiledGradientEcho}


def sequence_of(image: str, t1_sequence: str) -> Sequence:
    """Return the sequence of an image, with the T1-weighted one asked for.

    Raises
    ------
    KeyError
        If one of them is unknown.
    """
    usual = SEQUENCES[image]
    return T1_SEQUENCES[t1_sequence](contrast=usual.contrast) if image in ("t1", "t1gd") else usual


USUAL_BIAS = Cited(0.10, "relative deviation of the sensitivity at which the coil ends as in VS-SEG-001", "assumed")
COIL_END_MM = Cited(-60.0, "half of the signal 20 mm below the foramen magnum: fitted to VS-SEG-001", "fitted")
COIL_FALL_MM = Cited(9.0, "as where it ends", "fitted")
COIL_REST = Cited(0.12, "share of the signal that is left far below", "assumed")
VOID_MM = Cited(4.5, "signal lost about a titanium plate in a gradient echo of 3 ms at 1.5 T", "assumed")
REFOCUSED = Cited(0.6, "the same in a spin echo, against a gradient echo of 3 ms", "assumed")


def void_mm(sequence: Sequence, field_t: float) -> float:
    """Return how far from a plate of titanium the signal is lost, mm.

    The field of a small magnet falls with the cube of the distance; in a gradient echo it dephases the longer, the
    later the echo. A spin echo loses what it excites or reads in the wrong place, whatever its echo time.
    """
    gradient = isinstance(sequence, SpoiledGradientEcho | PreparedGradientEcho)
    per = sequence.te_ms / 3.0 if gradient else REFOCUSED.value**3
    return VOID_MM.value * float(np.cbrt(per * field_t / 1.5))


# White matter of a patient is shown at this signal in every weighting, as scanners scale their images.
_WHITE_LEVEL = 300.0


def palette(sequence: Sequence, field_t: float) -> dict[str, float]:
    """Return the signal of every tissue in a sequence at a field strength, white matter scaled to 300."""
    csf_t1 = relaxation_ms("csf", field_t)[0]
    signals = {
        name: sequence.signal(*relaxation_ms(name, field_t, sequence.contrast), tissue.protons, csf_t1)
        for name, tissue in TISSUES.items()
    }
    scale = _WHITE_LEVEL / signals["white"]
    return {name: value * scale for name, value in signals.items()}


def acquire(signal: np.ndarray, bias: np.ndarray, snr: float, seed: np.random.SeedSequence) -> None:
    """Turn a noise-free signal into the magnitude image that a scanner would show, in place.

    Parameters
    ----------
    signal : ndarray, shape (nx, ny, nz), float32, C order
    bias : ndarray, shape (nx, ny, nz), float32, C order
        Receive sensitivity, about 1, that multiplies the signal but not the noise.
    snr : float
        White-matter signal over the standard deviation of the noise in one channel.
    seed : numpy.random.SeedSequence
        The noise is drawn per fixed slab of planes, so that it does not depend on the number of threads.
    """
    sigma = _WHITE_LEVEL / snr
    slabs = chunks(signal.shape[0], 8)
    keys = seed.generate_state(len(slabs), np.uint64)

    def slab(low: int, high: int, key: np.uint64) -> None:
        add_rician(bias[low:high].ravel(), sigma, key, signal[low:high].reshape(-1))

    run_chunks(slab, [(low, high, key) for (low, high), key in zip(slabs, keys, strict=True)])


def bias_field(noise: Noise, axes: tuple[np.ndarray, np.ndarray, np.ndarray], strength: float) -> np.ndarray:
    """Return a smooth receive sensitivity about 1, shape of the mesh of `axes`, from a noise of long waves.

    Towards the neck it falls off, as head coils and slabs end there; with half of the usual strength, half as steeply.
    """
    x, y, z = (axis.astype(np.float32) for axis in axes)
    field = np.float32(strength) * noise.at(x[:, None, None], y[None, :, None], z[None, None, :])
    steep = min(strength / USUAL_BIAS.value, 1.0)
    rest = COIL_REST.value + (1.0 - COIL_REST.value) / (1.0 + np.exp((COIL_END_MM.value - z) / COIL_FALL_MM.value))
    field += np.float32(steep) * np.log(rest)
    return np.exp(field, out=field)
