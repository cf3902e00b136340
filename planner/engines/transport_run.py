"""Batches of Monte Carlo: run until enough, summed in order, with their statistics.

Batches of fixed size have their own random streams and are added in order, so that a seed gives the same bits for any
number of threads.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from kernels.history import Emission, add_batch, simulate
from kernels.particle import Scene
from kernels.threads import thread_count
from planner.engines.media import is_gas

LEAST_BATCHES = 20
"""A standard deviation between batches is then known to 16 % itself."""
# Numerical: least and most histories of a batch, voxels for each (adding a batch to the sums then costs 2 percent of
# simulating it), and after how many batches the uncertainty is looked at.
_BATCH = (2_000, 20_000)
_VOXELS_PER_HISTORY = 200
_CHECK = 2


@dataclass(frozen=True)
class Effort:
    """How long to simulate.

    Attributes
    ----------
    histories : int or None
        Photons to emit; None: until `uncertainty_percent` is met.
    uncertainty_percent : float
        Root mean square over the region of the standard deviation of a voxel, over the mean dose of the region.
    most_histories : int
        Where to stop even so.
    seed : int
    """

    histories: int | None = None
    uncertainty_percent: float = 1.0
    most_histories: int = 200_000_000
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over batches.

    Attributes
    ----------
    total, squares : ndarray, shape of the grid
        Absorbed energy over density of all batches, and the sum of its squares; MeV cm3/g.
    batches, per_batch : int
        Number of batches, histories in each.
    emitted, escaped : float
        MeV.
    """

    total: np.ndarray
    squares: np.ndarray
    batches: int
    per_batch: int
    emitted: float
    escaped: float

    def mean(self) -> np.ndarray:
        """Return the absorbed energy over density per history, MeV cm3/g."""
        return np.asarray(self.total / (self.batches * self.per_batch))

    def deviation(self, where: np.ndarray | None = None) -> np.ndarray:
        """Return the standard deviation of `mean`, everywhere or at voxels `where` (flat indices)."""
        total, squares = self.total.reshape(-1), self.squares.reshape(-1)
        if where is not None:
            total, squares = total[where], squares[where]
        spread = np.maximum(squares / self.batches - (total / self.batches) ** 2, 0.0)
        deviation = np.sqrt(spread / (self.batches - 1)) / self.per_batch
        return np.asarray(deviation if where is not None else deviation.reshape(self.total.shape))

    def uncertainty(self, where: np.ndarray) -> float:
        """Return the root mean square deviation of voxels over their mean."""
        mean = float(self.total.reshape(-1)[where].mean()) / (self.batches * self.per_batch)
        return float(np.sqrt(np.mean(self.deviation(where) ** 2)) / mean) if mean > 0 else float("inf")


Progress = Callable[[int, float], None]
"""Told now and then: histories so far, and the relative uncertainty reached."""


def simulated(
    where: Scene, source: Emission, effort: Effort, region: np.ndarray | None = None, progress: Progress | None = None
) -> Tally:
    """Return the sums of as many batches as the effort asks for. An interrupt ends it after the batches at work."""
    shape = where.medium.lattice.shape
    total, squares = np.zeros(shape), np.zeros(shape)
    emitted, escaped = 0.0, 0.0
    most = effort.most_histories if effort.histories is None else effort.histories
    batch_size = int(np.clip(total.size / _VOXELS_PER_HISTORY, *_BATCH))
    wanted = max(LEAST_BATCHES, -(-most // batch_size))
    per_batch = max(1, -(-most // wanted)) if effort.histories is not None else batch_size
    tally = Tally(total, squares, 0, per_batch, 0.0, 0.0)
    for done, (batch, energy) in enumerate(batches(where, source, effort.seed, per_batch, wanted), start=1):
        add_batch(batch, total, squares)
        emitted, escaped = emitted + energy[0], escaped + energy[1]
        tally = Tally(total, squares, done, per_batch, emitted, escaped)
        if done < LEAST_BATCHES or done % _CHECK or (effort.histories is not None and progress is None):
            continue
        reached = tally.uncertainty(watched(total, region, where.medium.density))
        if progress is not None:
            progress(done * per_batch, reached)
        if effort.histories is None and reached <= effort.uncertainty_percent / 100.0:
            break
    return tally


def batches(
    where: Scene, source: Emission, seed: int, per_batch: int, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield score and energy balance of batches, in order, a few ahead; the grid of a score is used again later."""
    shape = where.medium.lattice.shape
    threads = thread_count()
    spare: deque[np.ndarray] = deque(np.zeros(shape, np.float32) for _ in range(threads))

    def one(batch: int, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return out, simulate(where, source, seed, batch, per_batch, out)

    waiting: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for batch in range(count):
                if not spare:
                    out, energy = waiting.popleft().result()
                    yield out, energy
                    spare.append(out)
                waiting.append(pool.submit(one, batch, spare.popleft()))
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def watched(total: np.ndarray, region: np.ndarray | None, density: np.ndarray) -> np.ndarray:
    """Return the flat indices of the voxels whose uncertainty counts.

    Gas does not, unless the region is nothing else: little interacts in it, and nobody treats it.
    """
    matter = ~is_gas(density)
    if region is not None:
        return np.flatnonzero(region & matter if (region & matter).any() else region)
    flat = np.where(matter, total, 0.0).reshape(-1)
    # A single voxel may be a spike of noise: the maximum is the mean of the highest voxels.
    top = min(flat.size, max(8, flat.size // 10_000))
    maximum = float(np.partition(flat, flat.size - top)[-top:].mean())
    return np.flatnonzero(flat > 0.5 * maximum)
