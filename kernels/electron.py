"""Electron transport for Monte Carlo: class II condensed history in voxels and a uniform magnetic field.

Moller collisions and bremsstrahlung above the cuts are simulated one by one. The rest is grouped: a restricted stopping
power, and one deflection at a random hinge of the step whose first two Legendre moments are exact (Fernandez-Varea et
al. 1993 Nucl Instrum Methods B 73:447). Where nothing changes within the step, the energy lost on it is scored at the
hinge and no voxel face is looked for; elsewhere the electron walks from face to face and starts a new step wherever the
material changes (lengths are per mass, so that a change of density alone is none to the physics).
"""

from math import cos, exp, log, pi, sin, sqrt

from kernels._jit import njit_bare, njit_welded
from kernels.particle import (
    ABSORBED,
    ELECTRON,
    ELECTRON_MASS,
    KNOCKED,
    LOSS,
    POSITRON,
    column,
    isotropic,
    push,
    push_photon,
    turn,
)
from kernels.photon import dipole_cosine
from kernels.rng import uniform

# Columns of the electron table. A full step loses a fixed share of the kinetic energy.
LENGTH = 0  # of a full step, g/cm2
MAJORANT = 1  # largest sum of MOLLER and BREMS along a full step, cm2/g
FIRST, SECOND = 2, 3  # first and second transport moments of a full step: -ln <P1>, -ln <P2>
PART, EDGE = 4, 5  # the two-piece distribution of a full step, see `deflection`
MOLLER, BREMS = 6, 7  # cross sections above the cuts, cm2/g
RANGE = 8  # the longest that the way to the end can be, g/cm2
COLUMNS = 9
LARGEST_TURN = 0.2  # rad by which the field may bend an electron in one straight piece
ON_FACE = 1e-9  # mm from a face that count as on it
RANGE_MATTERS = 0.3  # MeV; faster ones are hardly ever within their range of no face
SHORTEST = 1e-12  # of a piece that may be left of it


@njit_bare
def field_turn(u, v, w, axis, angle):
    """Return a direction turned about the unit vector `axis` by `angle` (right-handed, as a negative charge turns)."""
    return _spin(u, v, w, axis, cos(angle), sin(angle))


@njit_welded
def _spin(u, v, w, axis, c, s):
    bx, by, bz = axis[0], axis[1], axis[2]
    along = (bx * u + by * v + bz * w) * (1.0 - c)
    return (
        u * c + (by * w - bz * v) * s + bx * along,
        v * c + (bz * u - bx * w) * s + by * along,
        w * c + (bx * v - by * u) * s + bz * along,
    )


@njit_welded
def _small(angle):
    """Return cosine and sine of an angle up to LARGEST_TURN, to 1e-9."""
    q = angle * angle
    return 1.0 - q * (0.5 - q * (1.0 / 24.0 - q / 720.0)), angle * (
        1.0 - q * (1.0 / 6.0 - q * (1.0 / 120.0 - q / 5040.0))
    )


@njit_bare
def bending_radius(kinetic, kind, strength):
    """Return the radius (mm) of the circle on which a field of `strength` tesla bends; negative for a positron."""
    if strength <= 0.0:
        return 1e30
    radius = sqrt(kinetic * (kinetic + 2.0 * ELECTRON_MASS)) / (0.299792458 * strength)
    return -radius if kind == POSITRON else radius


@njit_bare
def two_pieces(first, second):
    """Return (part, edge) of the distribution with moments ``-ln <P1> = first`` and ``-ln <P2> = second``.

    In x = (1 - cosine)/2: uniform below `edge` with probability `part`, uniform above it otherwise.
    """
    mean = 0.5 * (1.0 - exp(-first))
    square = mean - (1.0 - exp(-second)) / 6.0
    edge = (2.0 * mean - 3.0 * square) / (1.0 - 2.0 * mean + 1e-30)
    return 1.0 - 2.0 * mean + edge, edge


@njit_bare
def deflection(part, edge, state):
    """Return a cosine from the distribution of `two_pieces`."""
    r = uniform(state)
    half = edge * r / part if r < part else edge + (1.0 - edge) * (r - part) / max(1e-30, 1.0 - part)
    return 1.0 - 2.0 * min(max(half, 0.0), 1.0)


@njit_bare
def plan_step(tables, m, kinetic, state):
    """Plan the next step of an electron in material `m`.

    Returns
    -------
    (float, float, float, bool)
        Length (g/cm2), energy loss per length, cosine of the deflection, whether a collision may end the step.
    """
    table = tables.electron
    c, f = column(tables, kinetic)
    g = 1.0 - f
    full = table[m, c, LENGTH] * g + table[m, c + 1, LENGTH] * f
    majorant = table[m, c, MAJORANT] * g + table[m, c + 1, MAJORANT] * f
    rate = tables.limits[m, LOSS] * kinetic / full
    r = uniform(state)
    # 1 - exp(-x) < x: mostly no logarithm is needed to know that nothing happens within the step.
    if r < majorant * full:
        mass = -log(1.0 - r) / majorant
        if mass < full:
            share = mass / full
            first = share * (table[m, c, FIRST] * g + table[m, c + 1, FIRST] * f)
            second = share * (table[m, c, SECOND] * g + table[m, c + 1, SECOND] * f)
            part, edge = two_pieces(first, second)
            return mass, rate, deflection(part, edge, state), True
    part = table[m, c, PART] * g + table[m, c + 1, PART] * f
    edge = table[m, c, EDGE] * g + table[m, c + 1, EDGE] * f
    return full, rate, deflection(part, edge, state), False


@njit_welded
def longest(tables, m, kinetic):
    """Return the longest way (g/cm2) that an electron can go in material `m`."""
    c, f = column(tables, kinetic)
    return tables.electron[m, c, RANGE] * (1.0 - f) + tables.electron[m, c + 1, RANGE] * f


@njit_bare
def collision(tables, m, before, kinetic, state):
    """Choose the collision at the end of a step that began with energy `before`: 0 none, 1 Moller, 2 bremsstrahlung."""
    table = tables.electron
    c, f = column(tables, before)
    pick = uniform(state) * (table[m, c, MAJORANT] * (1.0 - f) + table[m, c + 1, MAJORANT] * f)
    c, f = column(tables, kinetic)
    pick -= table[m, c, MOLLER] * (1.0 - f) + table[m, c + 1, MOLLER] * f
    if pick < 0.0:
        return 1 if kinetic > 2.0 * tables.limits[m, KNOCKED] else 0
    pick -= table[m, c, BREMS] * (1.0 - f) + table[m, c + 1, BREMS] * f
    return 2 if pick < 0.0 and kinetic > tables.photon_cut else 0


@njit_bare
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


@njit_bare
def moller_cosine(kinetic, share):
    """Return the polar cosine of an electron that leaves a Moller collision with the energy `share`."""
    both = (kinetic + 2.0 * ELECTRON_MASS) / kinetic
    return sqrt(min(1.0, both * share / (share + 2.0 * ELECTRON_MASS)))


@njit_bare
def brems_energy(kinetic, cut, state):
    """Return the energy of a bremsstrahlung photon above `cut` from (1 - 0.8 k/T)/k."""
    while True:
        k = cut * (kinetic / cut) ** uniform(state)
        if uniform(state) < 1.0 - 0.8 * k / kinetic:
            return k


@njit_welded
def locate(lattice, p, voxel):
    """Write to `voxel` where `p` is; a particle on the border of the lattice belongs to the voxel inside."""
    for a in range(3):
        n = int((p[a] - lattice.origin[a]) / lattice.step[a] + 0.5)
        voxel[a] = min(max(n, 0), lattice.shape[a] - 1)


@njit_welded
def to_faces(lattice, p, voxel):
    """Return the distance (mm) of `p` from the nearest face of its voxel."""
    nearest = 1e30
    for a in range(3):
        away = abs(p[a] - lattice.origin[a] - lattice.step[a] * voxel[a])
        nearest = min(nearest, 0.5 * lattice.step[a] - away)
    return nearest


@njit_welded
def score(medium, voxel, energy, out):
    """Add absorbed energy to `out`, over the density of the voxel."""
    i, j, k = voxel[0], voxel[1], voxel[2]
    out[i, j, k] += energy / medium.density[i, j, k]


@njit_welded
def _to_face(lattice, voxel, x, d, axis):
    """Distance along the ray to the face of the voxel that the ray leaves through."""
    if d > 1e-14:
        return (lattice.origin[axis] + (voxel + 0.5) * lattice.step[axis] - x) / d
    if d < -1e-14:
        return (lattice.origin[axis] + (voxel - 0.5) * lattice.step[axis] - x) / d
    return 1e30


@njit_welded
def _leaves(p, chord, faces):
    """Tell whether the particle goes out of the face that its chord leads out of."""
    if faces[0] <= faces[1] and faces[0] <= faces[2]:
        return p[3] * chord[0] > 0.0
    if faces[1] <= faces[2]:
        return p[4] * chord[1] > 0.0
    return p[5] * chord[2] > 0.0


@njit_welded
def move(p, length, radius, axis):
    """Move the particle `p` freely by `length` mm on its helix, in straight pieces of small turn."""
    if abs(radius) >= 1e20:
        p[0] += p[3] * length
        p[1] += p[4] * length
        p[2] += p[5] * length
        return
    pieces = int(length / (LARGEST_TURN * abs(radius))) + 1
    d = length / pieces
    c, s = _small(0.5 * d / radius)
    for _ in range(pieces):
        u, v, w = _spin(p[3], p[4], p[5], axis, c, s)
        p[0] += u * d
        p[1] += v * d
        p[2] += w * d
        p[3], p[4], p[5] = _spin(u, v, w, axis, c, s)


@njit_welded
def walk(scene, p, voxel, mass, rate, radius, out):
    """Walk the particle by up to `mass` g/cm2, scoring `rate` MeV per g/cm2 in each voxel on the way.

    Returns
    -------
    (float, float, int)
        Mass length walked; mm walked; 0 if all of it was, 1 if the material changed, 2 if the lattice was left.
    """
    lattice, density, kinds = scene.medium.lattice, scene.medium.density, scene.medium.kind
    axis = scene.field[2]
    i, j, k = voxel[0], voxel[1], voxel[2]
    rho = density[i, j, k]
    kind = kinds[i, j, k]
    done = 0.0
    length = 0.0
    bent = abs(radius) < 1e20
    shrink = 1.0
    while True:
        wanted = 10.0 * (mass - done) / rho
        piece = wanted
        half, c, s = 0.0, 1.0, 0.0
        u, v, w = p[3], p[4], p[5]
        if bent:
            piece = shrink * min(piece, LARGEST_TURN * abs(radius))
            half = 0.5 * piece / radius
            c, s = _small(half)
            u, v, w = _spin(u, v, w, axis, c, s)
        fx, fy, fz = (
            _to_face(lattice, i, p[0], u, 0),
            _to_face(lattice, j, p[1], v, 1),
            _to_face(lattice, k, p[2], w, 2),
        )
        face = max(0.0, min(fx, fy, fz))
        crossing = face < piece
        if crossing and bent and face <= ON_FACE and shrink > SHORTEST and not _leaves(p, (u, v, w), (fx, fy, fz)):
            # On a face the chord leads out and the particle itself inwards: a shorter chord follows it. Crossing here
            # would let it go to and fro for ever, because chords are of another length on the other side.
            shrink *= 0.25
            continue
        shrink = 1.0
        d = face if crossing else piece
        p[0] += u * d
        p[1] += v * d
        p[2] += w * d
        length += d
        grams = 0.1 * d * rho
        done += grams
        out[i, j, k] += p[8] * rate * (0.1 * d)
        if crossing:
            # The crossed face is decided by comparison, not by position, so that rounding cannot trap the particle.
            if fx <= fy and fx <= fz:
                i += 1 if u > 0 else -1
            elif fy <= fz:
                j += 1 if v > 0 else -1
            else:
                k += 1 if w > 0 else -1
        if bent:
            if crossing:
                c, s = _small(d / radius - half)
            p[3], p[4], p[5] = _spin(u, v, w, axis, c, s)
        if not crossing:
            if piece >= wanted:
                voxel[0], voxel[1], voxel[2] = i, j, k
                return mass, length, 0
            continue
        voxel[0], voxel[1], voxel[2] = i, j, k
        nx, ny, nz = lattice.shape
        if i < 0 or j < 0 or k < 0 or i >= nx or j >= ny or k >= nz:
            return done, length, 2
        if kinds[i, j, k] != kind:
            return done, length, 1
        rho = density[i, j, k]


@njit_bare
def stop(scene, p, voxel, stack, top, state, out):
    """End the track of `p`: score what is left, let a positron annihilate; return the new height of the stack."""
    score(scene.medium, voxel, p[8] * p[6], out)
    if p[7] == POSITRON:
        u, v, w = isotropic(state)
        kept = push_photon(stack, top, p, u, v, w, ELECTRON_MASS, state)
        if kept > top:
            # Both photons survive the roulette together, or none.
            kept = push(stack, kept, stack[top], -u, -v, -w, ELECTRON_MASS, 0.0)
        top = kept
    return top


@njit_bare
def transport(scene, stack, top, p, voxel, state, out):
    """Follow the electron or positron `p`, in `voxel`, to its end.

    Returns
    -------
    (int, float)
        Height of the stack, and weighted energy that left the lattice, MeV.
    """
    medium, tables = scene.medium, scene.tables
    lattice = medium.lattice
    smallest = min(lattice.step[0], lattice.step[1], lattice.step[2])
    while True:
        i, j, k = voxel[0], voxel[1], voxel[2]
        kinetic = p[6]
        m = medium.kind[i, j, k]
        if kinetic <= tables.limits[m, ABSORBED]:
            return stop(scene, p, voxel, stack, top, state, out), 0.0
        rho = medium.density[i, j, k]
        inside = to_faces(lattice, p, voxel)
        if kinetic < RANGE_MATTERS and 10.0 * longest(tables, m, kinetic) < inside * rho:
            # It cannot leave its voxel any more.
            return stop(scene, p, voxel, stack, top, state, out), 0.0
        mass, rate, cosine, event = plan_step(tables, m, kinetic, state)
        hinge = mass * uniform(state)
        radius = bending_radius(kinetic - 0.5 * rate * mass, p[7], scene.strength)
        if 10.0 * mass / rho <= medium.room[i, j, k] * smallest + inside:
            move(p, 10.0 * hinge / rho, radius, scene.field[2])
            locate(lattice, p, voxel)
            out[voxel[0], voxel[1], voxel[2]] += p[8] * rate * mass / rho
            p[3], p[4], p[5] = turn(p[3], p[4], p[5], cosine, 2.0 * pi * uniform(state))
            move(p, 10.0 * (mass - hinge) / rho, radius, scene.field[2])
            locate(lattice, p, voxel)
        else:
            done, _, change = walk(scene, p, voxel, hinge, rate, radius, out)
            if change == 0:
                p[3], p[4], p[5] = turn(p[3], p[4], p[5], cosine, 2.0 * pi * uniform(state))
                more, _, change = walk(scene, p, voxel, mass - hinge, rate, radius, out)
                done += more
            if change != 0:
                p[6] = kinetic - rate * done
                if change == 2:
                    return top, p[8] * (p[6] + (2.0 * ELECTRON_MASS if p[7] == POSITRON else 0.0))
                continue
        p[6] = kinetic - rate * mass
        if event and p[6] > tables.limits[m, ABSORBED]:
            top = _collide(tables, m, kinetic, stack, top, p, state)


@njit_bare
def _collide(tables, m, before, stack, top, p, state):
    """Let the electron `p` collide, if it does, at the end of a step that began with energy `before`."""
    kinetic = p[6]
    what = collision(tables, m, before, kinetic, state)
    azimuth = 2.0 * pi * uniform(state)
    if what == 1:
        knock = moller_energy(kinetic, tables.limits[m, KNOCKED], state)
        u, v, w = turn(p[3], p[4], p[5], moller_cosine(kinetic, knock), azimuth)
        top = push(stack, top, p, u, v, w, knock, ELECTRON)
        p[3], p[4], p[5] = turn(p[3], p[4], p[5], moller_cosine(kinetic, kinetic - knock), azimuth + pi)
        p[6] = kinetic - knock
    elif what == 2:
        energy = brems_energy(kinetic, tables.photon_cut, state)
        u, v, w = turn(p[3], p[4], p[5], dipole_cosine(kinetic, state), azimuth)
        top = push_photon(stack, top, p, u, v, w, energy, state)
        p[6] = kinetic - energy
    return top
