"""MR volumes: signal equations, Rician noise, bias field.

Signals are those of ideal sequences in the steady state. They are computed per tissue and mixed by tissue fractions
in the voxel (``phantoms.canvas``), which is what partial volume does.
"""

from dataclasses import dataclass

import numpy as np

from kernels.threads import chunks, run_chunks
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


Sequence = SpoiledGradientEcho | SpinEcho | InversionRecovery

SEQUENCES: dict[str, Sequence] = {
    "t1gd": SpoiledGradientEcho(),
    "t2": SpinEcho(),
    "flair": InversionRecovery(),
}

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
    signal : ndarray, shape (nx, ny, nz), float32
    bias : ndarray, shape (nx, ny, nz), float32
        Receive sensitivity, about 1, that multiplies the signal but not the noise.
    snr : float
        White-matter signal over the standard deviation of the noise in one channel.
    seed : numpy.random.SeedSequence
        The noise is drawn per fixed slab of planes, so that it does not depend on the number of threads.
    """
    sigma = np.float32(_WHITE_LEVEL / snr)
    slabs = chunks(signal.shape[0], 8)

    def slab(low: int, high: int, child: np.random.SeedSequence) -> None:
        rng = np.random.Generator(np.random.SFC64(child))
        shape = signal[low:high].shape
        real = signal[low:high] * bias[low:high]
        real += sigma * rng.standard_normal(shape, np.float32)
        imaginary = sigma * rng.standard_normal(shape, np.float32)
        real *= real
        imaginary *= imaginary
        real += imaginary
        np.sqrt(real, out=signal[low:high])

    children = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(len(slabs))
    run_chunks(slab, [(low, high, child) for (low, high), child in zip(slabs, children, strict=True)])


def bias_field(noise: Noise, axes: tuple[np.ndarray, np.ndarray, np.ndarray], strength: float) -> np.ndarray:
    """Return a smooth receive sensitivity about 1, shape of the mesh of `axes`, from a noise of long waves."""
    x, y, z = axes
    return np.exp(np.float32(strength) * noise.at(x[:, None, None], y[None, :, None], z[None, None, :]))
