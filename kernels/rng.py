"""Random streams for Monte Carlo: xoroshiro128+, one stream a (seed, batch), independent of the number of threads.

Blackman and Vigna, "Scrambled linear pseudorandom number generators" (ACM Trans Math Softw 2021;47:36), constants 24,
16, 37; seeded by splitmix64 (Steele, Lea, Flood 2014), whose outputs for different (seed, stream) never share a state.
"""

import numpy as np

from kernels._jit import njit_bare, njit_inline


@njit_bare
def splitmix64(x):
    """Return the next state of the counter `x` (uint64) and the well mixed number that it stands for."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    z = x
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x, z ^ (z >> np.uint64(31))


@njit_bare
def seed_stream(seed: int, stream: int, state: np.ndarray) -> None:
    """Write to `state` (2,) uint64 the start of a stream; different (seed, stream) give unrelated streams."""
    x = np.uint64(seed)
    x, mixed = splitmix64(x)
    x = mixed ^ (np.uint64(stream) * np.uint64(0xD1342543DE82EF95))
    x, first = splitmix64(x)
    x, second = splitmix64(x)
    state[0] = first
    state[1] = second | np.uint64(1)


@njit_inline
def uniform(state):
    """Return the next number in (0, 1): never 0, so that its logarithm is finite."""
    s0 = state[0]
    s1 = state[1]
    result = s0 + s1
    s1 ^= s0
    state[0] = ((s0 << np.uint64(24)) | (s0 >> np.uint64(40))) ^ s1 ^ (s1 << np.uint64(16))
    state[1] = (s1 << np.uint64(37)) | (s1 >> np.uint64(27))
    return (np.float64(result >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)
