"""Random numbers of a patient, by purpose: the same in every strategy, so that arms are paired."""

import zlib

import numpy as np


def generator(seed: int, patient: int, purpose: str, occurrence: int = 0) -> np.random.Generator:
    """Return the random stream of one purpose in the life of one patient.

    Parameters
    ----------
    seed : int
        Of the study.
    patient : int
        Number of the patient in the cohort.
    purpose : str
        What is drawn (``day image``, ``observer``). Purposes are independent of each other.
    occurrence : int
        How often the same purpose was drawn before in this strategy.
    """
    key = (patient, zlib.crc32(purpose.encode()), occurrence)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def drawn_day(days: tuple[float, float], random: np.random.Generator) -> float:
    """Return one of the whole days from the lowest to the highest, both included, with equal chance."""
    low, high = days
    count = int(high - low) + 1
    return low + min(int(random.random() * count), count - 1)
