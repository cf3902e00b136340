"""Rician noise: the magnitude of a signal to which both channels of a receiver add Gaussian noise.

A pair of Gaussian numbers is a length and a direction (Box and Muller 1958); the magnitude needs the square of the
length, ``-2 ln u``, and the cosine of the direction. One random number of 64 bits gives both: `u` has 32 bits, the
direction one of 4096 places. The logarithm is read from a table, between whose nodes it is straight to 0.001; where it
is not, it is computed.
"""

import numpy as np

from kernels._jit import njit
from kernels.rng import splitmix64

_PLACES, _STEEP = 4096, 16
_SQUARES = -2.0 * np.log(np.maximum(np.arange(_PLACES + 1), 1) / _PLACES).astype(np.float32)
_COSINES = np.cos(2.0 * np.pi * (np.arange(_PLACES) + 0.5) / _PLACES).astype(np.float32)


@njit
def add_rician(bias: np.ndarray, sigma: float, key: int | np.uint64, signal: np.ndarray) -> None:
    """Replace a noise-free `signal` (n,) by its magnitude with noise.

    ``bias`` (n,) multiplies the signal but not the noise, whose standard deviation in a channel is `sigma`; `key` is
    the seed of the stream, 64 bits.
    """
    state = np.uint64(key)
    width = np.float32(sigma)
    for n in range(signal.size):
        state, bits = splitmix64(state)
        cell = np.int64(bits >> np.uint64(52))
        if cell < _STEEP:
            square = np.float32(-2.0 * np.log((np.float64(bits >> np.uint64(32)) + 0.5) / 4294967296.0))
        else:
            part = np.float32((bits >> np.uint64(32)) & np.uint64(0xFFFFF)) * np.float32(1.0 / 1048576.0)
            square = _SQUARES[cell] + part * (_SQUARES[cell + 1] - _SQUARES[cell])
        along = np.sqrt(square) * _COSINES[np.int64((bits >> np.uint64(16)) & np.uint64(0xFFF))]
        real = signal[n] * bias[n] + width * along
        signal[n] = np.sqrt(real * real + width * width * (square - along * along))
