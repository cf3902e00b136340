"""Electron transport for Monte Carlo: mixed (class II) condensed history in voxels and a uniform magnetic field.

Collisions above the cuts are simulated one by one (elastic beyond a cut-off angle, Moller, bremsstrahlung), the rest is
grouped: a restricted stopping power, and one deflection at a random hinge of the step whose first two Legendre moments
are exact (Fernandez-Varea et al. 1993 Nucl Instrum Methods B 73:447; Salvat, PENELOPE-2018, section 4.3).
Where nothing changes within the step, the energy lost on it is scored at the hinge and no voxel face is looked for;
elsewhere the electron walks from face to face and starts a new step at every change of material or density.
Columns of the electron table: see the constants below.
"""

from math import cos, exp, log, pi, sin, sqrt

import numpy as np

from kernels._jit import njit
from kernels.photon import ELECTRON, ELECTRON_MASS, PHOTON, POSITRON, annihilate, dipole_cosine, push, turn
from kernels.rng import uniform

STOPPING, MAJORANT, ELASTIC, MOLLER, BREMS, SOFT_1, SOFT_2, SCREENING, CUTOFF, MOTT = range(10)
COLUMNS = 10
LARGEST_TURN = 0.2  # rad by which the field may bend an electron in one straight piece
LARGEST_LOSS = 0.16  # of the kinetic energy in one step


@njit
def field_turn(u, v, w, field, angle):
    """Return a direction turned about the unit vector `field` by `angle` (right-handed, as a negative charge turns)."""
    bx, by, bz = field[0], field[1], field[2]
    c, s = cos(angle), sin(angle)
    along = (bx * u + by * v + bz * w) * (1.0 - c)
    return (
        u * c + (by * w - bz * v) * s + bx * along,
        v * c + (bz * u - bx * w) * s + by * along,
        w * c + (bx * v - by * u) * s + bz * along,
    )


@njit
def soft_cosine(first, second, state):
    """Return the cosine of the grouped deflection with moments `first` and `second` (transport paths per step).

    The artificial distribution of PENELOPE (two uniform pieces in (1 - cos)/2) has the exact first two moments.
    """
    mean = 0.5 * (1.0 - exp(-first))
    square = mean - (1.0 - exp(-second)) / 6.0
    b = (2.0 * mean - 3.0 * square) / (1.0 - 2.0 * mean + 1e-30)
    a = 1.0 - 2.0 * mean + b
    r = uniform(state)
    if a > 0.0 and r < a:
        half = b * r / a
    else:
        half = b + (1.0 - b) * (r - a) / max(1e-30, 1.0 - a)
    return 1.0 - 2.0 * min(max(half, 0.0), 1.0)


@njit
def moller_energy(kinetic, cut, state):
    """Return the kinetic energy of a knock-on electron above `cut`, sampled from the Moller cross section."""
    total = kinetic + ELECTRON_MASS
    g2 = (kinetic / total) ** 2
    g3 = ELECTRON_MASS * (2.0 * kinetic + ELECTRON_MASS) / (total * total)
    low = cut / kinetic
    # 1/e^2 between low and 1/2, accepted by the rest of the cross section (largest at e = 1/2).
    bound = 1.0 + g2 * 0.25 + 1.0
    while True:
        e = low / (1.0 - uniform(state) * (1.0 - 2.0 * low))
        other = e / (1.0 - e)
        if uniform(state) * bound < 1.0 + g2 * e * e + other * (other - g3):
            return e * kinetic


@njit
def brems_energy(kinetic, cut, state):
    """Return the energy of a bremsstrahlung photon above `cut` from (1 - 0.8 k/T)/k."""
    while True:
        k = cut * (kinetic / cut) ** uniform(state)
        if uniform(state) < 1.0 - 0.8 * k / kinetic:
            return k


@njit
def _index(lattice, x, axis):
    return int((x - lattice.origin[axis]) / lattice.step[axis] + 0.5)


@njit
def _to_face(lattice, voxel, x, d, axis):
    """Distance along the ray to the face of the voxel that the ray leaves through."""
    if d > 1e-14:
        return (lattice.origin[axis] + (voxel + 0.5) * lattice.step[axis] - x) / d
    if d < -1e-14:
        return (lattice.origin[axis] + (voxel - 0.5) * lattice.step[axis] - x) / d
    return 1e30


@njit
def _move(p, length, radius, field):
    """Move the particle `p` freely by `length` mm on its helix, in straight pieces of small turn."""
    if radius >= 1e20:
        p[0] += p[3] * length
        p[1] += p[4] * length
        p[2] += p[5] * length
        return
    pieces = int(length / (LARGEST_TURN * radius)) + 1
    d = length / pieces
    half = 0.5 * d / radius
    for _ in range(pieces):
        u, v, w = field_turn(p[3], p[4], p[5], field, half)
        p[0] += u * d
        p[1] += v * d
        p[2] += w * d
        p[3], p[4], p[5] = field_turn(u, v, w, field, half)


@njit
def _walk(medium, p, voxel, mass, rate, radius, field, out):
    """Walk the particle by up to `mass` g/cm2, scoring `rate` MeV per g/cm2 in each voxel on the way.

    Returns
    -------
    (float, int)
        Mass length walked, and 0 if all of it was, 1 if material or density changed on the way, 2 if the lattice was left.
    """
    lattice, density, material = medium.lattice, medium.density, medium.material
    i, j, k = voxel[0], voxel[1], voxel[2]
    rho = density[i, j, k]
    kind = material[i, j, k]
    done = 0.0
    while True:
        wanted = 10.0 * (mass - done) / rho
        piece = wanted
        half = 0.0
        u, v, w = p[3], p[4], p[5]
        if radius < 1e20:
            piece = min(piece, LARGEST_TURN * radius)
            half = 0.5 * piece / radius
            u, v, w = field_turn(u, v, w, field, half)
        fx, fy, fz = _to_face(lattice, i, p[0], u, 0), _to_face(lattice, j, p[1], v, 1), _to_face(lattice, k, p[2], w, 2)
        face = max(0.0, min(fx, fy, fz))
        crossing = face < piece
        d = face if crossing else piece
        p[0] += u * d
        p[1] += v * d
        p[2] += w * d
        if radius < 1e20:
            u, v, w = field_turn(u, v, w, field, d / radius - half)
            p[3], p[4], p[5] = u, v, w
        grams = 0.1 * d * rho
        done += grams
        out[i, j, k] += rate * grams
        if not crossing:
            if piece >= wanted:
                voxel[0], voxel[1], voxel[2] = i, j, k
                return mass, 0
            continue
        # The crossed face is decided by comparison, not by position, so that rounding cannot trap the particle.
        if fx <= fy and fx <= fz:
            i += 1 if p[3] > 0 else -1
        elif fy <= fz:
            j += 1 if p[4] > 0 else -1
        else:
            k += 1 if p[5] > 0 else -1
        voxel[0], voxel[1], voxel[2] = i, j, k
        nx, ny, nz = lattice.shape
        if i < 0 or j < 0 or k < 0 or i >= nx or j >= ny or k >= nz:
            return done, 2
        if material[i, j, k] != kind or density[i, j, k] != rho:
            return done, 1


@njit
def transport(medium, tables, field, strength, stack, top, p, voxel, state, out):
    """Follow the electron or positron `p` to its end; return (stack height, energy that left the lattice).

    Parameters
    ----------
    medium : Medium
    tables : Tables
    field : ndarray (3,), unit vector
    strength : float, tesla
    stack, top : ndarray (n, 8), int
    p : ndarray (8,)
    voxel : ndarray int64 (3,)
        Voxel of the particle, kept up to date.
    state : ndarray uint64 (2,)
    out : ndarray (nx, ny, nz), MeV
    """
    lattice = medium.lattice
    table = tables.electron
    smallest = min(lattice.step[0], lattice.step[1], lattice.step[2])
    while True:
        i, j, k = voxel[0], voxel[1], voxel[2]
        kinetic = p[6]
        if kinetic <= tables.electron_cut:
            out[i, j, k] += kinetic
            if p[7] == POSITRON:
                top = annihilate(stack, top, p[0], p[1], p[2], state)
            return top, 0.0
        rho = medium.density[i, j, k]
        m = medium.material[i, j, k]
        column = (log(kinetic) - tables.ln_low) * tables.per_ln
        c = int(column)
        f = column - c
        stopping = table[m, c, STOPPING] * (1.0 - f) + table[m, c + 1, STOPPING] * f
        majorant = table[m, c, MAJORANT] * (1.0 - f) + table[m, c + 1, MAJORANT] * f
        longest = LARGEST_LOSS * kinetic / stopping
        mass = -log(uniform(state)) / majorant
        event = mass < longest
        if not event:
            mass = longest
        middle = kinetic - 0.5 * stopping * mass
        column = (log(middle) - tables.ln_low) * tables.per_ln
        c = int(column)
        f = column - c
        rate = table[m, c, STOPPING] * (1.0 - f) + table[m, c + 1, STOPPING] * f
        hinge = mass * uniform(state)
        radius = 1e30
        if strength > 0.0:
            radius = sqrt(middle * (middle + 2.0 * ELECTRON_MASS)) / (0.299792458 * strength)
            if p[7] == POSITRON:
                radius = -radius
        free = 10.0 * mass / rho <= medium.clearance[i, j, k] * smallest
        turning = field
        if radius < 0.0:
            turning = -field
            radius = -radius
        if free:
            _move(p, 10.0 * hinge / rho, radius, turning)
            i, j, k = _index(lattice, p[0], 0), _index(lattice, p[1], 1), _index(lattice, p[2], 2)
            out[i, j, k] += rate * mass
            first = mass * (table[m, c, SOFT_1] * (1.0 - f) + table[m, c + 1, SOFT_1] * f)
            second = mass * (table[m, c, SOFT_2] * (1.0 - f) + table[m, c + 1, SOFT_2] * f)
            p[3], p[4], p[5] = turn(p[3], p[4], p[5], soft_cosine(first, second, state), 2.0 * pi * uniform(state))
            _move(p, 10.0 * (mass - hinge) / rho, radius, turning)
            voxel[0], voxel[1], voxel[2] = _index(lattice, p[0], 0), _index(lattice, p[1], 1), _index(lattice, p[2], 2)
        else:
            done, change = _walk(medium, p, voxel, hinge, rate, radius, turning, out)
            if change == 0:
                first = mass * (table[m, c, SOFT_1] * (1.0 - f) + table[m, c + 1, SOFT_1] * f)
                second = mass * (table[m, c, SOFT_2] * (1.0 - f) + table[m, c + 1, SOFT_2] * f)
                p[3], p[4], p[5] = turn(
                    p[3], p[4], p[5], soft_cosine(first, second, state), 2.0 * pi * uniform(state)
                )
                more, change = _walk(medium, p, voxel, mass - hinge, rate, radius, turning, out)
                done += more
            if change == 2:
                left = kinetic - rate * done
                return top, left + (2.0 * ELECTRON_MASS if p[7] == POSITRON else 0.0)
            if change == 1:
                p[6] = kinetic - rate * done
                continue
        p[6] = kinetic - rate * mass
        if event and p[6] > tables.electron_cut:
            top = _collide(tables, m, majorant, stack, top, p, state)


@njit
def _collide(tables, m, majorant, stack, top, p, state):
    """Let the electron collide: which collision, if any (the majorant allows for none), and its products."""
    table = tables.electron
    kinetic = p[6]
    column = (log(kinetic) - tables.ln_low) * tables.per_ln
    c = int(column)
    f = column - c
    pick = uniform(state) * majorant
    pick -= table[m, c, ELASTIC] * (1.0 - f) + table[m, c + 1, ELASTIC] * f
    if pick < 0.0:
        a = table[m, c, SCREENING] * (1.0 - f) + table[m, c + 1, SCREENING] * f
        low = table[m, c, CUTOFF] * (1.0 - f) + table[m, c + 1, CUTOFF] * f
        total = kinetic + ELECTRON_MASS
        beta2 = kinetic * (kinetic + 2.0 * ELECTRON_MASS) / (total * total)
        mott = table[m, c, MOTT] * sqrt(beta2)
        while True:
            # 1/(x + a)^2 between the cut-off and 1, then the Mott to Rutherford ratio by rejection.
            r = uniform(state)
            x = (low + a) * (1.0 + a) / (1.0 + a - r * (1.0 - low)) - a
            root = sqrt(max(x, 0.0))
            if uniform(state) * (1.0 + 0.25 * mott) < 1.0 - beta2 * x + mott * root * (1.0 - root):
                break
        p[3], p[4], p[5] = turn(p[3], p[4], p[5], 1.0 - 2.0 * x, 2.0 * pi * uniform(state))
        return top
    pick -= table[m, c, MOLLER] * (1.0 - f) + table[m, c + 1, MOLLER] * f
    if pick < 0.0:
        if kinetic <= 2.0 * tables.electron_cut:
            return top
        knock = moller_energy(kinetic, tables.electron_cut, state)
        rest = kinetic - knock
        azimuth = 2.0 * pi * uniform(state)
        both = (kinetic + 2.0 * ELECTRON_MASS) / kinetic
        cosine = sqrt(min(1.0, both * knock / (knock + 2.0 * ELECTRON_MASS)))
        u, v, w = turn(p[3], p[4], p[5], cosine, azimuth)
        top = push(stack, top, p[0], p[1], p[2], u, v, w, knock, ELECTRON)
        cosine = sqrt(min(1.0, both * rest / (rest + 2.0 * ELECTRON_MASS)))
        p[3], p[4], p[5] = turn(p[3], p[4], p[5], cosine, azimuth + pi)
        p[6] = rest
        return top
    pick -= table[m, c, BREMS] * (1.0 - f) + table[m, c + 1, BREMS] * f
    if pick < 0.0 and kinetic > tables.photon_cut:
        photon = brems_energy(kinetic, tables.photon_cut, state)
        u, v, w = turn(p[3], p[4], p[5], dipole_cosine(kinetic, state), 2.0 * pi * uniform(state))
        top = push(stack, top, p[0], p[1], p[2], u, v, w, photon, PHOTON)
        p[6] = kinetic - photon
    return top
