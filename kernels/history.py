"""Photon histories from a source of rectangles to the energy that they leave in a lattice.

A photon interacts not once but at many points of its way, evenly spaced in optical depth (with a random offset), each
with the weight of an interaction there, ``exp(-depth) * spacing``; the spacing is wider where the dose is not wanted
precisely. Its scattered photon leaves at full weight from one of the points, chosen with just these probabilities
(systematic sampling: whenever the sum of the weights passes a random offset). Every electron that the points need is
simulated once (`kernels.track`). After Kawrakow and Fippel, Phys Med Biol 45:2163 (2000), with evenly spaced instead of
exponential depths, which keeps the relative uncertainty even along the beam. With a spacing of 0 every photon interacts
once, and energy is conserved in every history.
"""

from math import cos, exp, log, pi, sin, sqrt
from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_bare, njit_welded
from kernels.electron import locate, score, transport
from kernels.particle import ABSORBED, ELECTRON, ELECTRON_MASS, PHOTON, POSITRON, ROW, Work, column, isotropic, push
from kernels.photon import compton, dipole_cosine, enter
from kernels.rng import seed_stream, uniform
from kernels.track import PHOTONS, SEGMENTS, TURNS, WAITING, Tracks, grow, replay

STACK = 512
AZIMUTHS = 1024
APART = 3  # turns between neighbouring interactions: 3/8 of the circle
COMPTON, PHOTO, PAIR = 0, 1, 2
# What an electron is needed for: a slot of tracks for each and every material.
RECOIL, PHOTOELECTRON, PAIR_ELECTRON, PAIR_POSITRON = range(4)
SLOTS = 4
# Powers of the inverse of the root of x^4 = x + 1: photons fill cells and spectrum evenly (Roberts 2018).
LEAPS = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)
NUDGE = 1e-7  # mm past a face, so that the place is in the next voxel


class Emission(NamedTuple):
    """Photons emitted through rectangles in the isocentre plane.

    Attributes
    ----------
    position : ndarray float64 (beams, 3)
        Source, mm.
    axes : ndarray float64 (beams, 3, 3)
        Rows: X and Y of the beam limiting device, direction to the isocentre.
    sad : float
        mm.
    blur : tuple of 2 float
        Standard deviation of the edges of rectangles along X and Y, in the isocentre plane, mm.
    beam : ndarray int64 (rectangles,)
    edges : ndarray float64 (rectangles, 4)
        Low X, high X, low Y, high Y at the isocentre plane, mm.
    cumulative : ndarray float64 (rectangles,)
        Running sum of the rectangles' photon numbers, ending at 1.
    energies : ndarray float64 (bins + 1,)
        Edges of the spectrum, MeV.
    probabilities : ndarray float64 (bins,)
        Running sum of the photon numbers in the bins, ending at 1.
    softening : ndarray float64 (radii,)
        Factor on the energy of photons at radii in the isocentre plane that are multiples of `softening_step`, mm; the
        number of photons is divided by it, so that their energy together stays.
    softening_step : float
    """

    position: np.ndarray
    axes: np.ndarray
    sad: float
    blur: tuple[float, float]
    beam: np.ndarray
    edges: np.ndarray
    cumulative: np.ndarray
    energies: np.ndarray
    probabilities: np.ndarray
    softening: np.ndarray
    softening_step: float


class Event(NamedTuple):
    """What the present photon does wherever it interacts.

    Attributes
    ----------
    number : ndarray float64 (12,)
        0-2 energy, weight, pick of the kind of interaction; 3-5 scattered energy, its cosine, recoil cosine;
        6-8 energy of the pair's electron, its cosine, the positron's; 9 serial number; 10 azimuth of the first of
        TURNS; 11 number of its interactions so far.
    share : ndarray float64 (materials, 4)
        Total attenuation (cm2/g), and running share of Compton and photoelectric.
    axes : ndarray float64 (3, 3)
        Rows: two directions across the photon, and its own.
    frame : ndarray float64 (3, 3)
    circle : ndarray float64 (AZIMUTHS, 2)
        Cosines and sines.
    voxel : ndarray int64 (3,)
    electron : ndarray float64 (ROW,)
    """

    number: np.ndarray
    share: np.ndarray
    axes: np.ndarray
    frame: np.ndarray
    circle: np.ndarray
    voxel: np.ndarray
    electron: np.ndarray


@njit_bare
def emit(source, place, particle, state):
    """Write to `particle` (ROW,) the photon at `place` (4,): rectangle, X, Y and energy as fractions of 1."""
    r, s, t = place[0], place[1], place[2]
    while True:
        n = np.searchsorted(source.cumulative, r)
        edges = source.edges[n]
        x = edges[0] + (edges[1] - edges[0]) * s
        y = edges[2] + (edges[3] - edges[2]) * t
        # Photons are even in solid angle: their number in a plane at distance SAD thins out as the cube of the cosine.
        if uniform(state) < (1.0 + (x * x + y * y) / (source.sad * source.sad)) ** -1.5:
            break
        r, s, t = uniform(state), uniform(state), uniform(state)
    if source.blur[0] > 0.0 or source.blur[1] > 0.0:
        r = sqrt(-2.0 * log(uniform(state)))
        azimuth = 2.0 * pi * uniform(state)
        x += source.blur[0] * r * cos(azimuth)
        y += source.blur[1] * r * sin(azimuth)
    b = source.beam[n]
    axes = source.axes[b]
    length = sqrt(x * x + y * y + source.sad * source.sad)
    for a in range(3):
        particle[a] = source.position[b, a]
        particle[3 + a] = (x * axes[0, a] + y * axes[1, a] + source.sad * axes[2, a]) / length
    e = np.searchsorted(source.probabilities, place[3])
    below = source.probabilities[e - 1] if e > 0 else 0.0
    part = (place[3] - below) / (source.probabilities[e] - below)
    particle[6] = source.energies[e] + (source.energies[e + 1] - source.energies[e]) * part
    softer = 1.0
    if source.softening.size > 1:
        at = min(sqrt(x * x + y * y) / source.softening_step, source.softening.size - 1.001)
        n = int(at)
        softer = source.softening[n] + (at - n) * (source.softening[n + 1] - source.softening[n])
    particle[6] *= softer
    particle[7], particle[8], particle[9] = PHOTON, 1.0 / softer, 1.0 / softer


@njit_welded
def _across(event, p):
    """Write the axes of the photon `p`: two directions across, and its own."""
    u, v, w = p[3], p[4], p[5]
    axes = event.axes
    if abs(w) < 0.8:
        r = 1.0 / sqrt(u * u + v * v)
        axes[0, 0], axes[0, 1], axes[0, 2] = -v * r, u * r, 0.0
    else:
        r = 1.0 / sqrt(v * v + w * w)
        axes[0, 0], axes[0, 1], axes[0, 2] = 0.0, -w * r, v * r
    axes[2, 0], axes[2, 1], axes[2, 2] = u, v, w
    axes[1, 0] = v * axes[0, 2] - w * axes[0, 1]
    axes[1, 1] = w * axes[0, 0] - u * axes[0, 2]
    axes[1, 2] = u * axes[0, 1] - v * axes[0, 0]


@njit_bare
def _prepare(tables, event, p, state):
    """Decide what the photon `p` does wherever it interacts, and write its attenuation."""
    number, share = event.number, event.share
    energy = p[6]
    i, f = column(tables, energy)
    table = tables.photon
    for m in range(table.shape[0]):
        incoherent = table[m, i, 0] * (1.0 - f) + table[m, i + 1, 0] * f
        photo = table[m, i, 1] * (1.0 - f) + table[m, i + 1, 1] * f
        pair = table[m, i, 2] * (1.0 - f) + table[m, i + 1, 2] * f
        total = incoherent + photo + pair
        share[m, 0] = total
        share[m, 1] = incoherent / total
        share[m, 2] = (incoherent + photo) / total
    number[0], number[1], number[2] = energy, p[8], uniform(state)
    scattered, cosine = compton(energy, state)
    kinetic = energy - scattered
    number[3], number[4] = scattered, cosine
    # Momentum balance of the recoil electron.
    number[5] = min(1.0, (energy - scattered * cosine) / sqrt(kinetic * (kinetic + 2.0 * ELECTRON_MASS) + 1e-30))
    available = energy - 2.0 * ELECTRON_MASS
    if available > 0.0:
        number[6] = available * uniform(state)
        number[7] = dipole_cosine(number[6], state)
        number[8] = dipole_cosine(available - number[6], state)
    number[9] += 1.0
    number[10], number[11] = int(uniform(state) * AZIMUTHS), 0.0
    _across(event, p)


@njit_welded
def _frame(event, cosine, turn):
    """Write to `event.frame` the axes of a track at a polar cosine and one of TURNS azimuths."""
    azimuth = (int(event.number[10]) + turn * (AZIMUTHS // TURNS)) % AZIMUTHS
    c, s = event.circle[azimuth, 0], event.circle[azimuth, 1]
    axes, frame = event.axes, event.frame
    sine = sqrt(max(0.0, 1.0 - cosine * cosine))
    for a in range(3):
        away = c * axes[0, a] + s * axes[1, a]
        frame[2, a] = cosine * axes[2, a] + sine * away
        frame[0, a] = cosine * away - sine * axes[2, a]
        frame[1, a] = c * axes[1, a] - s * axes[0, a]


@njit_welded
def _electron(scene, tracks, event, product, photons, work, top):
    """Send an electron from the place and with the weight of `event.electron`; return (stack height, energy gone).

    `product` says what it is, its energy, polar cosine and which of TURNS azimuths it takes.
    """
    what, kinetic, cosine, turn = product
    p, voxel = event.electron, event.voxel
    m = scene.medium.kind[voxel[0], voxel[1], voxel[2]]
    kind = POSITRON if what == PAIR_POSITRON else ELECTRON
    slot = SLOTS * m + what
    if tracks.counts[slot, 2] != event.number[9]:
        tracks.counts[slot, 2] = int(event.number[9])
        grow(scene.tables, tracks, slot, m, kinetic, kind, work.state)
    _frame(event, cosine, turn)
    if tracks.counts[slot, 0] == 0:
        # Too long a track: every one of these electrons goes its own way.
        p[3], p[4], p[5], p[6], p[7] = event.frame[2, 0], event.frame[2, 1], event.frame[2, 2], kinetic, kind
        return transport(scene, work.stack, top, p, voxel, work.state, work.out)
    return replay(scene, tracks, (slot, turn), event.frame, p, voxel, photons, work, top)


@njit_welded
def _interact(scene, tracks, event, place, weight, photons, work, top):
    """Let the present photon interact at a place with a weight; return (stack height, energy gone).

    `photons` says whether the photons that come of it go on.
    """
    medium, tables, number = scene.medium, scene.tables, event.number
    p, voxel = event.electron, event.voxel
    out = work.out
    p[0], p[1], p[2] = place
    p[8], p[9] = weight, number[1]
    locate(medium.lattice, p, voxel)
    i, j, k = voxel[0], voxel[1], voxel[2]
    m = medium.material[i, j, k]
    # Azimuths take turns, neighbours on the way far apart; the first is random.
    turn = int(number[11]) * APART % TURNS
    opposite = (turn + TURNS // 2) % TURNS
    number[11] += 1.0
    gone = 0.0
    what, kinetic, cosine = RECOIL, number[0] - number[3], number[5]
    if number[2] < event.share[m, 1]:
        if number[3] <= tables.photon_cut:
            score(medium, voxel, weight * number[3], out)
        elif photons:
            _frame(event, number[4], opposite)
            f = event.frame[2]
            top = push(work.stack, top, p, f[0], f[1], f[2], number[3], PHOTON)
            work.stack[top - 1, 8] = number[1]
    elif number[2] < event.share[m, 2] or number[0] <= 2.0 * ELECTRON_MASS:
        what, kinetic, cosine = PHOTOELECTRON, number[0], 1.0
    else:
        what, kinetic, cosine = PAIR_ELECTRON, number[6], number[7]
    while True:
        if kinetic <= tables.limits[medium.kind[i, j, k], ABSORBED] and what != PAIR_POSITRON:
            score(medium, voxel, weight * kinetic, out)
        else:
            top, lost = _electron(scene, tracks, event, (what, kinetic, cosine, turn), photons, work, top)
            gone += lost
        if what != PAIR_ELECTRON:
            return top, gone
        what, kinetic, cosine, turn = PAIR_POSITRON, number[0] - 2.0 * ELECTRON_MASS - number[6], number[8], opposite
        p[0], p[1], p[2] = place
        voxel[0], voxel[1], voxel[2] = i, j, k


@njit_welded
def _crossing(per_mm):
    """Return how many millimetres it takes to cross a voxel."""
    return 1.0 / abs(per_mm) if abs(per_mm) > 1e-12 else 1e12


@njit_bare
def _fly(scene, tracks, event, p, spacing, work, top):
    """Take the photon `p` through the lattice; return (stack height, weighted energy gone)."""
    medium, lattice, state, out = scene.medium, scene.medium.lattice, work.state, work.out
    nx, ny, nz = lattice.shape
    smallest = min(lattice.step[0], lattice.step[1], lattice.step[2])
    if p[6] <= scene.tables.photon_cut:
        voxel = event.voxel
        locate(lattice, p, voxel)
        score(medium, voxel, p[8] * p[6], out)
        return top, 0.0
    _prepare(scene.tables, event, p, state)
    share, weight = event.share, p[8]
    split = spacing[0] > 0.0
    # Points lie where the count of them, that grows by 1 in every spacing of optical depth, passes `next`.
    count, next = 0.0, uniform(state) if split else -log(uniform(state))
    total, scatter = 0.0, uniform(state)
    x, y, z, u, v, w = p[0], p[1], p[2], p[3], p[4], p[5]
    # In voxels from the corner of the lattice: the place, and what a millimetre adds; millimetres to cross a voxel.
    fx, fy, fz = (
        (x - lattice.origin[0]) / lattice.step[0] + 0.5,
        (y - lattice.origin[1]) / lattice.step[1] + 0.5,
        (z - lattice.origin[2]) / lattice.step[2] + 0.5,
    )
    fu, fv, fw = u / lattice.step[0], v / lattice.step[1], w / lattice.step[2]
    across_x, across_y, across_z = _crossing(fu), _crossing(fv), _crossing(fw)
    went = 0.0
    passed = 0.0
    gone = 0.0
    while True:
        if not (0.0 <= fx < nx and 0.0 <= fy < ny and 0.0 <= fz < nz):
            break
        i, j, k = int(fx), int(fy), int(fz)
        mu = 0.1 * medium.density[i, j, k] * share[medium.material[i, j, k], 0]
        clear = medium.clearance[i, j, k]
        if clear > 1:
            d = clear * smallest
        else:
            d = NUDGE + min(
                across_x * ((i + 1 - fx) if fu > 0.0 else (fx - i)),
                across_y * ((j + 1 - fy) if fv > 0.0 else (fy - j)),
                across_z * ((k + 1 - fz) if fw > 0.0 else (fz - k)),
            )
        wide = spacing[medium.coarse[i, j, k]] if split else 1.0
        rate = mu / wide
        until = count + rate * d
        while next < until:
            s = (next - count) / rate
            place = (x + (went + s) * u, y + (went + s) * v, z + (went + s) * w)
            share_here = wide * exp(-passed - mu * s) if split else 1.0
            total += share_here
            top, lost = _interact(scene, tracks, event, place, weight * share_here, total > scatter, work, top)
            gone += lost
            if not split:
                return top, gone
            if total > scatter:
                scatter += 1.0
            next += 1.0
        count = until
        passed += mu * d
        went += d
        fx += d * fu
        fy += d * fv
        fz += d * fw
    return top, gone + weight * p[6] * (exp(-passed) if split else 1.0)


@njit
def scratch(materials):
    """Return (tracks, event, stack) for one batch."""
    slots = SLOTS * materials
    tracks = Tracks(
        np.empty((slots, SEGMENTS, 9)),
        np.empty((slots, SEGMENTS, 5)),
        np.zeros(slots),
        np.empty((slots, TURNS, SEGMENTS, 4)),
        np.empty((slots, TURNS, SEGMENTS, 3)),
        np.zeros((slots, TURNS, 2)),
        np.empty((slots, PHOTONS, 5)),
        np.zeros((slots, 3), np.int64),
        np.empty((SEGMENTS, 4)),
        np.empty((WAITING, ROW)),
        np.empty(ROW),
    )
    circle = np.empty((AZIMUTHS, 2))
    for n in range(AZIMUTHS):
        circle[n, 0] = cos(2.0 * pi * (n + 0.5) / AZIMUTHS)
        circle[n, 1] = sin(2.0 * pi * (n + 0.5) / AZIMUTHS)
    event = Event(
        np.zeros(12),
        np.empty((materials, 4)),
        np.empty((3, 3)),
        np.empty((3, 3)),
        circle,
        np.empty(3, np.int64),
        np.empty(ROW),
    )
    return tracks, event, np.empty((STACK, ROW))


@njit
def follow(scene, tracks, event, work, top):
    """Follow every particle on the stack to its end; return the weighted energy that left the lattice, MeV."""
    escaped = 0.0
    p = np.empty(ROW)
    voxel = np.empty(3, np.int64)
    spacing = scene.spacing[0]
    while top > 0:
        top -= 1
        for n in range(ROW):
            p[n] = work.stack[top, n]
        if p[7] == PHOTON:
            top, gone = _fly(scene, tracks, event, p, spacing, work, top)
        else:
            locate(scene.medium.lattice, p, voxel)
            top, gone = transport(scene, work.stack, top, p, voxel, work.state, work.out)
        escaped += gone
        spacing = scene.spacing[1]
    return escaped


@njit
def simulate(scene, source, seed, batch, histories, out):
    """Simulate one batch of photon histories and add the absorbed energy over density (MeV cm3/g) to `out`.

    Within a batch the photons fill the source evenly, from a random start: batches are independent, histories are not.
    They go through the rectangles in order, so that photons that follow each other go through the same voxels.

    Returns
    -------
    ndarray (2,)
        Energy emitted and energy that left the lattice, MeV.
    """
    state = np.empty(2, np.uint64)
    seed_stream(seed, batch, state)
    tracks, event, stack = scratch(scene.tables.photon.shape[0])
    work = Work(stack, state, out)
    p = np.empty(ROW)
    place = np.empty(4)
    for a in range(4):
        place[a] = uniform(state)
    first = place[0]
    totals = np.zeros(2)
    for n in range(histories):
        place[0] = (n + first) / histories
        for a in range(3):
            place[1 + a] += LEAPS[a]
            place[1 + a] -= int(place[1 + a])
        emit(source, place, p, state)
        totals[0] += p[8] * p[6]
        d = enter(scene.medium.lattice, p[0], p[1], p[2], p[3], p[4], p[5])
        if d < 0.0:
            totals[1] += p[8] * p[6]
            continue
        for a in range(ROW):
            stack[0, a] = p[a]
        for a in range(3):
            stack[0, a] += (d + NUDGE) * p[3 + a]
        totals[1] += follow(scene, tracks, event, work, 1)
    return totals


@njit
def add_batch(batch, total, squares):
    """Add a batch to the sum and the sum of squares, all of one shape; the batch is set to zero."""
    b, t, s = batch.reshape(-1), total.reshape(-1), squares.reshape(-1)
    for n in range(b.size):
        if b[n] != 0.0:
            t[n] += b[n]
            s[n] += b[n] * b[n]
            b[n] = 0.0


@njit
def fano(scene, energy, seed, batch, histories, out):
    """Start electrons of one energy, isotropic and uniform per mass in the lattice, and add what they leave to `out`.

    The dose is the same everywhere that none can have escaped from, whatever the density and the field (Fano 1954;
    Bouchard and Bielajew 2015). Photons born of the electrons are dropped where they are born.

    Returns
    -------
    float
        Energy that left the lattice or was dropped, MeV.
    """
    medium = scene.medium
    state = np.empty(2, np.uint64)
    seed_stream(seed, batch, state)
    tracks, event, stack = scratch(scene.tables.photon.shape[0])
    work = Work(stack, state, out)
    p = event.electron
    densest = medium.density.max()
    gone = 0.0
    event.axes[:] = np.eye(3)
    for n in range(histories):
        while True:
            for a in range(3):
                low = medium.lattice.origin[a] - 0.5 * medium.lattice.step[a]
                p[a] = low + uniform(state) * medium.lattice.step[a] * medium.lattice.shape[a]
            locate(medium.lattice, p, event.voxel)
            if uniform(state) * densest < medium.density[event.voxel[0], event.voxel[1], event.voxel[2]]:
                break
        event.number[9] += 1.0
        u, v, w = isotropic(state)
        p[3], p[4], p[5], p[6], p[7], p[8], p[9] = u, v, w, energy, ELECTRON, 1.0, 1.0
        if n % 2 == 0:
            top, left = transport(scene, stack, 0, p, event.voxel, state, out)
        else:
            _across(event, p)
            top, left = _electron(scene, tracks, event, (RECOIL, energy, 1.0, 0), False, work, 0)
        gone += left
        while top > 0:
            top -= 1
            p[:] = stack[top]
            if p[7] == PHOTON:
                gone += p[6]
            else:
                locate(medium.lattice, p, event.voxel)
                top, left = transport(scene, stack, top, p, event.voxel, state, out)
                gone += left
    return gone
