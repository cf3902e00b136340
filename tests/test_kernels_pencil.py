"""Gather and scatter, blur and unblur: against plain loops, and as transposes of each other."""

import numpy as np
import pytest

from kernels.pencil import Nodes, blur, gather, node_of, scatter, unblur


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def blurring(rng, gaussians=3, u=11, v=9, bx=4, by=8):
    left = rng.random((gaussians, u, bx)).astype(np.float32)
    right = rng.random((gaussians, by, v)).astype(np.float32)
    spans = np.zeros((gaussians, by, 2), np.int64)
    spans[..., 1] = v
    spans[0, 4:, 0], spans[0, 4:, 1] = 2, 7
    right[0, 4:, :2] = right[0, 4:, 7:] = 0
    return left, right, spans, rng.random((gaussians, 4)).astype(np.float32)


def test_blur_is_the_sum_of_separable_products(rng):
    left, right, spans, mixture = blurring(rng)
    fluence = rng.random((4, 8)).astype(np.float32)
    out = np.full((11, 9, 4), np.nan, np.float32)
    blur(left, right, spans, mixture, fluence, out)
    np.testing.assert_allclose(out, np.einsum("jux,xy,jyv,jc->uvc", left, fluence, right, mixture), rtol=2e-6)


def test_unblur_is_the_transpose_of_blur(rng):
    left, right, spans, mixture = blurring(rng)
    plane = rng.standard_normal((11, 9, 4)).astype(np.float32)
    out = np.full((4, 8), np.nan)
    unblur(left, right, spans, mixture, plane, out)
    want = np.einsum("jux,uvc,jyv,jc->xy", left, plane, right, mixture, dtype=np.float64)
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)


def footprints(rng, n=50, u=7, v=6):
    out = rng.random((n, 6)).astype(np.float32)
    out[:, 0] *= u - 1
    out[:, 1] *= v - 1
    out[0, :2] = 0
    out[1, :2] = u - 1, v - 1  # the last node itself
    return out


def test_gather_is_bilinear_at_fractional_nodes(rng):
    plane, marks = rng.random((7, 6, 4)).astype(np.float32), footprints(rng)
    out = np.ones(len(marks))
    gather(plane, marks, out)
    for n, (x, y, *amplitude) in enumerate(marks.astype(float)):
        i, j = min(int(x), 5), min(int(y), 4)
        corner = plane[i : i + 2, j : j + 2].astype(float)
        here = np.einsum("a,b,abc->c", [1 - (x - i), x - i], [1 - (y - j), y - j], corner)
        assert out[n] == pytest.approx(1 + here @ amplitude, rel=1e-6)


def test_scatter_is_the_transpose_of_gather(rng):
    plane, marks, g = rng.random((7, 6, 4)).astype(np.float32), footprints(rng), rng.standard_normal(50)
    dose, back = np.zeros(50), np.zeros((7, 6, 4), np.float32)
    gather(plane, marks, dose)
    scatter(g, marks, back)
    assert dose @ g == pytest.approx(float((plane.astype(float) * back).sum()), rel=1e-5)


def test_nodes_are_fine_inside_and_coarse_outside():
    nodes = Nodes(low=-2.0, high=2.0, fine=0.5, coarse=4.0, before=3, inner=8, size=14)
    at = [-14.0, -2.0, -1.75, 2.0, 6.0, 10.0, 11.0]
    np.testing.assert_allclose([node_of(nodes, x) for x in at], [0, 3, 3.5, 11, 12, 13, 13.25])
