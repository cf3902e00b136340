"""Ray tracing and pencil beam: ns a step and a voxel-beam, beside a stored matrix and the limits of memory in one run.

`extra_info` holds the nanoseconds; the figures that travel between machines are the ratio to the sparse product of the
same influence, and to the time that memory alone would need. One thread.
"""

import numpy as np
import pytest
from limits import beside_limits
from scipy.sparse import csr_array

from kernels.pencil import gather, scatter
from kernels.raytrace import Fan, trace_fan
from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.registry import engine_named
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.machine import Machine

BEAMS, RADIUS_MM = 12, 30.0


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Keep to one thread, which the limits of memory were measured with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LACUNA_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def head():
    """Return an ellipsoid of brain in a shell of bone."""
    grid = Grid.covering((-85, -105, -110), (85, 105, 110), 1.0)
    x, y, z = grid.axes_mm()
    r = (x[:, None, None] / 80) ** 2 + (y[:, None] / 100) ** 2 + (z / 105) ** 2
    return Volume(grid, np.select([r < 0.88, r < 1.0], [1.04, 1.7], 0.0), Quantity.DENSITY)


@pytest.fixture(scope="module")
def beams():
    """Return twelve fields of 16 x 16 bixels at three couch angles."""
    bixels = BixelGrid((-20.0, -20.0), (2.5, 2.5), np.ones((16, 16), bool))
    return [Beam(360.0 * n / BEAMS, (0.0, 45.0, -45.0)[n % 3], 0.0, (10.0, 5.0, 30.0), bixels) for n in range(BEAMS)]


@pytest.fixture(scope="module")
def influence(head, beams):
    """Return the influence of the fields on a ball of points about their isocentre."""
    at = np.arange(-RADIUS_MM, RADIUS_MM + 1, 1.5)
    x, y, z = np.meshgrid(at, at, at, indexing="ij")
    inside = x**2 + y**2 + z**2 < RADIUS_MM**2
    points = np.stack([x[inside] + 10.0, y[inside] + 5.0, z[inside] + 30.0], axis=1)
    return engine_named("pencil").influence(head, beams, machine(), points, ignore_field=False)


def machine():
    """Return the linac of these figures."""
    return library.load("machines", "truebeam-stx", Machine)


def stored(influence):
    """Return the influence of the first beam as CSR, float32, entries above 0.1 % of the largest: what others store."""
    first = influence.beam_slices[0]
    columns = []
    for bixel in range(first.start, first.stop):
        weights = np.zeros(influence.shape[1])
        weights[bixel] = 1.0
        columns.append(influence.forward(weights).astype(np.float32))
    dense = np.stack(columns, axis=1)
    dense[dense < 1e-3 * dense.max()] = 0.0
    return csr_array(dense)


def bytes_a_row(matrix):
    """Return the bytes of values and indices that a product reads for a point, on average."""
    return (matrix.data.nbytes + matrix.indices.nbytes) // matrix.shape[0]


def report(benchmark, work):
    """Note the time of a voxel-beam beside that of reading its footprint, 24 bytes."""
    beside_limits(benchmark, work, "voxel_beam", read=24)


def test_raytrace(benchmark, head):
    """One beam's fan of rays through the head."""
    axes = (0.8, 0.6, 0.0, 0.0, 0.0, 1.0, 0.6, -0.8, 0.0)
    fan = Fan((-600.0, 800.0, 0.0), axes, 1000.0, (-80.0, -80.0), 2.0, 880.0, 1.0, (81, 81, 240))
    out = np.empty(fan.shape, np.float32)
    visited = trace_fan(head.grid.lattice, head.data, fan, (0, fan.shape[0]), out)
    benchmark(trace_fan, head.grid.lattice, head.data, fan, (0, fan.shape[0]), out)
    beside_limits(benchmark, visited, "ray_step", read=4)


def test_forward(benchmark, influence):
    """Weights to dose."""
    weights = np.linspace(0, 1, influence.shape[1])
    benchmark(influence.forward, weights)
    report(benchmark, influence.shape[0] * BEAMS)


def test_adjoint(benchmark, influence):
    """Gradients by dose to gradients by weight."""
    gradient = np.linspace(-1, 1, influence.shape[0])
    benchmark(influence.adjoint, gradient)
    report(benchmark, influence.shape[0] * BEAMS)


def test_gather_alone(benchmark, influence):
    """The memory-bound half of a forward product."""
    plane = influence.planes[0].forward(np.ones(256))
    out = np.zeros(influence.shape[0])
    benchmark(gather, plane, influence.footprints[0], out)
    report(benchmark, influence.shape[0])


def test_scatter_alone(benchmark, influence):
    """The memory-bound half of an adjoint product."""
    plane = np.zeros_like(influence.planes[0].forward(np.ones(256)))
    benchmark(scatter, np.ones(influence.shape[0]), influence.footprints[0], plane)
    report(benchmark, influence.shape[0])


def test_peer_stored_csr_forward(benchmark, influence):
    """The product of a stored sparse matrix of the first beam."""
    matrix, weights = stored(influence), np.linspace(0, 1, 256, dtype=np.float32)
    benchmark(lambda: matrix @ weights)
    beside_limits(benchmark, influence.shape[0], "voxel_beam", read=bytes_a_row(matrix))


def test_peer_stored_csr_adjoint(benchmark, influence):
    """That of its transpose."""
    transposed = stored(influence).T.tocsr()
    gradient = np.linspace(-1, 1, influence.shape[0], dtype=np.float32)
    benchmark(lambda: transposed @ gradient)
    beside_limits(benchmark, influence.shape[0], "voxel_beam", read=bytes_a_row(transposed.T))


def test_dose_of_a_head(benchmark, head, beams):
    """Dose of every voxel of the head."""
    weights = [np.ones(256)] * len(beams)
    engine, this = engine_named("pencil"), machine()
    benchmark.pedantic(engine.dose, (head, beams, weights, this), {"ignore_field": False}, rounds=1)
    # Density and dose of a voxel, once a beam: footprints are made on the way and never stored.
    beside_limits(benchmark, int((head.data > 0).sum()) * BEAMS, "voxel_beam", moved=12)
