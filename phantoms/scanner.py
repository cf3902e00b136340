"""What a scanner makes of a noise-free signal: place errors, slices, motion, receive sensitivity and noise.

Each effect is off where its figure is 0. The place error is kept as truth: `Scanner.place_error`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from kernels.radial import warp
from kernels.threads import chunks, run_chunks
from phantoms import mri
from phantoms.cited import Cited
from phantoms.grid import Grid
from phantoms.resampling import averaged
from phantoms.volume import Quantity, Volume

AIR_PPM = Cited(9.4, "Schenck 1996: water -9.05 ppm, air +0.36 ppm; recalled", "assumed")
BONE_PPM = Cited(-2.0, "cortical bone about -11 ppm, Hopkins 1997; recalled; against water", "assumed")
TITANIUM_PPM = Cited(190.0, "Schenck 1996: titanium 182 ppm; recalled; against water", "assumed")
PROTON_HZ_PER_PPM_T = Cited(42.58, "gyromagnetic ratio of the proton, CODATA", "published")
READOUT_HZ_PER_MM = Cited(250.0, "MPRAGE of planning: 190 Hz a pixel of 0.4 to 1 mm", "assumed")
MOTION_LINES = Cited(24.0, "lines of k-space over which the head's place stays alike", "assumed")

# The field of air and metal is smooth at some distance: it is solved on voxels of this size, in a box padded by air.
_FIELD_MM, _PADDING = 4.0, 8
_ISOCENTRE_MM = np.array([0.0, 0.0, 10.0])
_FREQUENCY, _PHASE = 1, 0


@dataclass(frozen=True)
class Scanner:
    """A scanner with its imperfections.

    Attributes
    ----------
    field_t : float
        Field strength, tesla.
    snr : float
        White-matter signal over the standard deviation of the noise.
    slice_mm : float
        Thickness of slices along z; 0: as thick as the voxels.
    motion_mm : float
        Standard deviation of the head's place along the phase direction (x) during the scan.
    gradient_mm : float
        What the correction of non-linear gradients leaves, 100 mm from the isocentre, along each axis.
    susceptibility : float
        1 for the field errors of air, bone and titanium, 0 for none; frequency is encoded along y.
    truncation : float
        Share of the phase-encoded lines of k-space (along x) that is not taken: the outer ones, filled with zeros.
    """

    field_t: float
    snr: float
    slice_mm: float = 0.0
    motion_mm: float = 0.0
    gradient_mm: float = 0.0
    susceptibility: float = 0.0
    truncation: float = 0.0

    def place_error(self, density: Volume, metal_cc: np.ndarray | None, rng: np.random.Generator) -> np.ndarray | None:
        """Return where tissue is shown less where it is, mm, at the voxels where it is shown; None if always right.

        Parameters
        ----------
        density : Volume
            g/cm3; tells air and bone.
        metal_cc : ndarray (n, 4) or None
            Pieces of titanium: place, LPS mm, and volume, cm3.
        rng : numpy.random.Generator
            Draws how each gradient errs.

        Returns
        -------
        ndarray, shape (3, *density.grid.shape), float32, or None
        """
        if not (self.gradient_mm or self.susceptibility):
            return None
        error = np.zeros((3, *density.grid.shape), np.float32)
        if self.gradient_mm:
            error += _gradient_residual(density.grid, self.gradient_mm, rng)
        if self.susceptibility:
            ppm = field_error_ppm(density, metal_cc).on(density.grid).data
            scale = self.susceptibility * PROTON_HZ_PER_PPM_T.value * self.field_t / READOUT_HZ_PER_MM.value
            error[_FREQUENCY] += ppm * np.float32(scale)
        return error

    def image(
        self, signal: np.ndarray, grid: Grid, bias: np.ndarray, error: np.ndarray | None, seed: np.random.SeedSequence
    ) -> np.ndarray:
        """Return the magnitude image, shape ``grid.shape``, of a noise-free signal, which may be overwritten.

        Parameters
        ----------
        signal, bias : ndarray, shape ``grid.shape``, float32
        grid : Grid
        error : ndarray or None
            As `place_error` returns it.
        seed : numpy.random.SeedSequence
        """
        if error is not None:
            signal = _displaced(signal, grid, error)
        if self.motion_mm:
            signal = moved(signal, grid, self.motion_mm, np.random.default_rng(seed))
        if self.slice_mm <= grid.spacing_mm[2]:
            mri.acquire(signal, bias, self.snr, seed)
            return truncated(signal, self.truncation) if self.truncation else signal
        into, back = slice_weights(grid, self.slice_mm)
        slices = np.ascontiguousarray(signal @ into.T)
        mri.acquire(slices, np.ascontiguousarray(bias @ into.T), self.snr, seed)
        return (truncated(slices, self.truncation) if self.truncation else slices) @ back.T


def _gradient_residual(grid: Grid, at_100_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Return errors that grow with the cube of the distance, each axis of drawn sign and shape."""
    x, y, z = ((axis - c) / 100.0 for axis, c in zip(grid.axes_mm(), _ISOCENTRE_MM, strict=True))
    mesh = np.meshgrid(x, y, z, indexing="ij", sparse=True)
    squares = [axis.astype(np.float32) ** 2 for axis in mesh]
    error = np.empty((3, *grid.shape), np.float32)
    for component in range(3):
        weights = at_100_mm * rng.normal(0.0, 1.0, 3).clip(-2.0, 2.0)
        growth = sum(float(w) * square for w, square in zip(weights, squares, strict=True))
        error[component] = mesh[component] * growth
    return error


def field_error_ppm(density: Volume, metal_cc: np.ndarray | None = None) -> Volume:
    """Return the error of the main field along z, ppm, that air, bone and metal make, less what a linear shim takes.

    The field of a susceptibility map is its convolution with that of a dipole: in k-space a product with
    ``1/3 - kz^2 / k^2`` (Marques and Bowtell 2005).

    Parameters
    ----------
    density : Volume
    metal_cc : ndarray (n, 4), optional
        Pieces of titanium: place, LPS mm, and volume, cm3.
    """
    grid = Grid.covering(density.grid.low_mm.tolist(), density.grid.high_mm.tolist(), _FIELD_MM)
    rho = averaged(density, grid).data
    tissue = np.clip(rho, 0.0, 1.0)
    chi = -AIR_PPM.value * tissue + BONE_PPM.value * np.clip((rho - 1.1) / 0.7, 0.0, 1.0)
    for x, y, z, volume in () if metal_cc is None else metal_cc:
        i, j, k = np.clip(np.rint(grid.index_of(np.array([x, y, z]))), 0, np.array(grid.shape) - 1).astype(int)
        chi[i, j, k] += TITANIUM_PPM.value * volume / grid.voxel_cc
    # Below the neck the body goes on; on the other sides there is air.
    chi = np.pad(chi, ((_PADDING, _PADDING), (_PADDING, _PADDING), (0, _PADDING)))
    chi = np.pad(chi, ((0, 0), (0, 0), (_PADDING, 0)), mode="edge").astype(np.float32)
    kx, ky, kz = np.meshgrid(*(fft.fftfreq(n) for n in chi.shape), indexing="ij", sparse=True)
    square = kx**2 + ky**2 + kz**2
    square[0, 0, 0] = 1.0
    # Smoothed over a voxel, or a small piece of metal would ring.
    kernel = ((1.0 / 3.0 - kz**2 / square) * np.exp(-2.0 * np.pi**2 * square)).astype(np.float32)
    kernel[0, 0, 0] = 0.0
    field = fft.ifftn(fft.fftn(chi) * kernel).real[(slice(_PADDING, -_PADDING),) * 3].astype(np.float32)
    return Volume(grid, _shimmed(field, grid, (rho > 0.98) & (rho < 1.1)), Quantity.FIELD_ERROR)


def _shimmed(field: np.ndarray, grid: Grid, inside: np.ndarray) -> np.ndarray:
    """Return a field less its best linear fit over the voxels `inside`."""
    points = grid.point_of(np.argwhere(np.ones(grid.shape, bool))).astype(np.float32)
    columns = np.column_stack([np.ones(len(points), np.float32), points / 100.0])
    fit, *_ = np.linalg.lstsq(columns[inside.ravel()], field[inside], rcond=None)
    return field - (columns @ fit).reshape(field.shape).astype(np.float32)


def _displaced(signal: np.ndarray, grid: Grid, error: np.ndarray) -> np.ndarray:
    """Return the signal as it is shown: at each voxel that of the tissue that is shown there."""
    out = np.empty(grid.shape, np.float32)
    source = -error
    run_chunks(
        lambda low, high: warp(grid.lattice, signal, grid.lattice, source, (low, high), out),
        chunks(grid.shape[0], 8),
    )
    return out


def moved(signal: np.ndarray, grid: Grid, sd_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Return the magnitude image of a head that moves along x while the lines of k-space are taken.

    Each line is that of the head where it is at that time, a first-order autoregressive walk: its phase turns by
    ``2 pi k d``.

    Parameters
    ----------
    signal : ndarray, shape ``grid.shape``, float32
    grid : Grid
    sd_mm : float
        Standard deviation of the place.
    rng : numpy.random.Generator
    """
    n = grid.shape[_PHASE]
    keep = np.exp(-1.0 / MOTION_LINES.value)
    place = np.empty(n)
    place[0] = rng.normal()
    for line in range(1, n):
        place[line] = keep * place[line - 1] + np.sqrt(1 - keep**2) * rng.normal()
    order = np.argsort(fft.fftfreq(n))  # from the lowest to the highest line, in time
    k = fft.fftfreq(n, grid.spacing_mm[_PHASE])
    turn = np.empty(n, np.complex64)
    turn[order] = np.exp(-2j * np.pi * k[order] * sd_mm * (place - place[n // 2]))
    lines = fft.fft(signal, axis=_PHASE)
    lines *= turn[:, None, None]
    return np.abs(fft.ifft(lines, axis=_PHASE)).astype(np.float32)


def truncated(image: np.ndarray, share: float) -> np.ndarray:
    """Return the magnitude of an image of which the outer lines of k-space along x are missing: edges ring (Gibbs).

    The noise is truncated with the signal, as lines that are not taken bring none.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz), float32
    share : float
        Of the lines, 0 to 1.
    """
    lines = fft.rfft(image, axis=_PHASE)
    lines[round((1.0 - share) * (len(lines) - 1)) + 1 :] = 0.0
    return np.abs(fft.irfft(lines, image.shape[_PHASE], axis=_PHASE)).astype(np.float32)


def slice_weights(grid: Grid, thickness_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what voxels along z count in slices, shape (slices, nz), and slices in voxels, shape (nz, slices).

    Slices lie side by side, each the mean over its thickness; between their middles the image is interpolated.
    """
    z = grid.axes_mm()[2]
    low, high = float(grid.low_mm[2]), float(grid.high_mm[2])
    count = max(2, round((high - low) / thickness_mm))
    edges = np.linspace(low, high, count + 1)
    half = grid.spacing_mm[2] / 2
    shared = np.minimum(edges[1:, None], z + half) - np.maximum(edges[:-1, None], z - half)
    into = np.clip(shared, 0.0, None)
    into /= into.sum(axis=1, keepdims=True)
    middles = 0.5 * (edges[1:] + edges[:-1])
    back = np.stack([np.interp(z, middles, row) for row in np.eye(count)], axis=1)
    return into.astype(np.float32), back.astype(np.float32)
