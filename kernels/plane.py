"""A plane, slightly curved, in a box: the fraction below it, its inverse, and samples of the piece inside the box.

The local model of a surface everywhere in the geometry kernels: in a voxel, ``phi(x) = d + n.x + x.K.x / 2`` with x in
mm from the voxel's centre, phi < 0 inside, n a unit vector and K the symmetric shape operator (K n = 0), packed as
(xx, yy, zz, xy, xz, yz). The fraction below a plane follows Scardovelli and Zaleski, J Comput Phys 164:228 (2000);
curvature enters to first order as the mean of ``x.K.x / 2`` over the piece of the plane inside the box.
"""

from kernels._jit import njit_bare, njit_welded

# Lines across the box on which the surface is sampled: a rank-1 lattice, so that no two share a coordinate.
LINES = 16
_GENERATOR = 7


@njit_bare
def fraction_of_alpha(alpha, m1, m2, m3):
    """Return the fraction of the unit box where ``m.x < alpha``, and its slope; the m are positive and sum to one."""
    if alpha <= 0.0:
        return 0.0, 0.0
    if alpha >= 1.0:
        return 1.0, 0.0
    a = alpha if alpha <= 0.5 else 1.0 - alpha
    low, high = min(m1, m2, m3), max(m1, m2, m3)
    mid = 1.0 - low - high
    if a < low:
        slope = a * a / (2.0 * low * mid * high)
        v = a * slope / 3.0
    elif a < mid:
        slope = (2.0 * a - low) / (2.0 * mid * high)
        v = a * (a - low) / (2.0 * mid * high) + low * low / (6.0 * mid * high)
    elif a < min(low + mid, high):
        v = a * a * (3.0 * (low + mid) - a) + low * low * (low - 3.0 * a) + mid * mid * (mid - 3.0 * a)
        v /= 6.0 * low * mid * high
        slope = (a * (2.0 * (low + mid) - a) - low * low - mid * mid) / (2.0 * low * mid * high)
    elif high < low + mid:
        v = a * a * (3.0 - 2.0 * a) + low * low * (low - 3.0 * a)
        v += mid * mid * (mid - 3.0 * a) + high * high * (high - 3.0 * a)
        v /= 6.0 * low * mid * high
        slope = (2.0 * a * (1.0 - a) - low * low - mid * mid - high * high) / (2.0 * low * mid * high)
    else:
        v = (2.0 * a - low - mid) / (2.0 * high)
        slope = 1.0 / high
    return v if alpha <= 0.5 else 1.0 - v, slope


@njit_welded
def _weights(nx, ny, nz, hx, hy, hz):
    """Return the extent of the box along the normal and its three shares, none of them zero."""
    m1, m2, m3 = abs(nx) * hx + 1e-7, abs(ny) * hy + 1e-7, abs(nz) * hz + 1e-7
    extent = m1 + m2 + m3
    m1, m2, m3 = max(m1 / extent, 1e-4), max(m2 / extent, 1e-4), max(m3 / extent, 1e-4)
    total = m1 + m2 + m3
    return extent, m1 / total, m2 / total, m3 / total


@njit_bare
def fraction_below(d, nx, ny, nz, hx, hy, hz):
    """Return the fraction of a box (edges h, mm) where ``d + n.x < 0``."""
    return fraction_and_slope(d, nx, ny, nz, hx, hy, hz)[0]


@njit_bare
def fraction_and_slope(d, nx, ny, nz, hx, hy, hz):
    """Return the fraction of a box (edges h, mm) where ``d + n.x < 0``, and how fast it falls with d, per mm."""
    extent, m1, m2, m3 = _weights(nx, ny, nz, hx, hy, hz)
    fraction, slope = fraction_of_alpha(0.5 - d / extent, m1, m2, m3)
    return fraction, slope / extent


@njit_bare
def distance_of_fraction(fraction, nx, ny, nz, hx, hy, hz):
    """Return d (mm) such that ``fraction_below(d, ...) == fraction``; the touching plane for 0 and 1."""
    extent, m1, m2, m3 = _weights(nx, ny, nz, hx, hy, hz)
    low, high = 0.0, 1.0
    alpha = fraction
    for _ in range(60):
        told, slope = fraction_of_alpha(alpha, m1, m2, m3)
        miss = told - fraction
        if abs(miss) < 1e-9:
            break
        if miss > 0.0:
            high = alpha
        else:
            low = alpha
        guess = alpha - miss / slope if slope > 1e-6 else low
        alpha = guess if low < guess < high else 0.5 * (low + high)
    return (0.5 - alpha) * extent


@njit_welded
def quadratic(K, x, y, z):
    """Return ``x.K.x / 2``."""
    return 0.5 * (K[0] * x * x + K[1] * y * y + K[2] * z * z) + K[3] * x * y + K[4] * x * z + K[5] * y * z


@njit_bare
def sample_piece(d, nx, ny, nz, K, h, points):
    """Write to `points` (LINES, 3) where the surface crosses lines through the box; return how many and their area.

    The lines run along the axis that the normal is nearest to (in voxels). Every point stands for the same area, mm2,
    the second value returned. Points are relative to the centre of the box; curvature is followed along the line.
    """
    ax, ay, az = abs(nx) * h[0], abs(ny) * h[1], abs(nz) * h[2]
    if ax >= ay and ax >= az:
        a, b, c, na, nb, nc = 0, 1, 2, nx, ny, nz
    elif ay >= az:
        a, b, c, na, nb, nc = 1, 0, 2, ny, nx, nz
    else:
        a, b, c, na, nb, nc = 2, 0, 1, nz, nx, ny
    count = 0
    for n in range(LINES):
        x = points[count]
        x[b] = ((n + 0.5) / LINES - 0.5) * h[b]
        x[c] = ((n * _GENERATOR % LINES + 0.5) / LINES - 0.5) * h[c]
        flat = -(d + nb * x[b] + nc * x[c]) / na
        x[a] = flat
        x[a] = flat - quadratic(K, x[0], x[1], x[2]) / na
        count += abs(x[a]) <= 0.5 * h[a]
    return count, h[b] * h[c] / (LINES * abs(na))


@njit_bare
def bulge(d, nx, ny, nz, K, h, points):
    """Return the mean of ``x.K.x / 2`` over the piece of the plane ``d + n.x = 0`` inside the box, mm.

    A curved surface ``d' + n.x + x.K.x / 2 = 0`` cuts off the same fraction as the plane with ``d = d' + bulge``.
    """
    count, _ = sample_piece(d, nx, ny, nz, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0), h, points)
    total = 0.0
    for n in range(count):
        # Only the tangential part counts: K n = 0.
        total += quadratic(K, points[n, 0], points[n, 1], points[n, 2])
    return total / count if count else 0.0
