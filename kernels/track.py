"""One electron track used many times: at every interaction point of a split photon (history repetition).

An electron of given energy in an unbounded material makes a track whose shape, in g/cm2 and seen along its first
direction, does not depend on where it starts. It is simulated once and laid out in the lattice under a few azimuths
about the photon. These take turns at the interaction points, so that most replays cost no more than a sum a step and no
random number. Every replay by itself follows the law of an independent track; replays of one track are correlated,
which the batches see. Steps that come near other matter are walked, and where the material changes the replay ends and
the electron goes on by itself (`kernels.electron.transport`), so nothing is approximated near interfaces. After
Kawrakow, Fippel and Friedrich, Med Phys 23:445 (1996).

A track is a list of straight segments from hinge to hinge, each with the energy lost on it and a point, uniform on it,
where that is scored; knock-on electrons are further segments that start at the end of an earlier one.
"""

from math import cos, pi, sin
from typing import NamedTuple

import numpy as np

from kernels._jit import njit_bare, njit_welded
from kernels.electron import (
    bending_radius,
    brems_energy,
    collision,
    field_turn,
    locate,
    moller_cosine,
    moller_energy,
    plan_step,
    score,
    transport,
    walk,
)
from kernels.particle import ABSORBED, ELECTRON, ELECTRON_MASS, KNOCKED, PHOTON, POSITRON, ROW, isotropic, turn
from kernels.photon import dipole_cosine
from kernels.rng import uniform

SEGMENTS, PHOTONS, WAITING = 400, 24, 32
TURNS = 8  # azimuths that a track is laid out under

# Columns of a segment.
DX, DY, DZ, MASS, LOST, KINETIC, PLACE, PARENT, KIND = range(9)
# Columns of an emitted photon.
AT, PX, PY, PZ, ENERGY = range(5)
# Columns of what a track is laid out for.
SCALE, REACH = 0, 1
# Instead of a turn: the segment ends where it is laid out to; it is not come to.
AS_LAID, NEVER = 1e20, 1e30


class Tracks(NamedTuple):
    """Tracks of the present photon, one a slot (kind of electron, material).

    Attributes
    ----------
    segment : ndarray float64 (slots, SEGMENTS, 9)
    bend : ndarray float64 (slots, SEGMENTS, 5)
        How the field turns each segment: cosine and sine half-way, chord and length (mm), turn at the end (rad).
    bent : ndarray float64 (slots,)
        mm per g/cm2 that `bend` is for; 0: none yet.
    laid : ndarray float64 (slots, TURNS, SEGMENTS, 4)
        Where the loss of each segment is scored, in voxels from the start, and how much.
    ends : ndarray float64 (slots, TURNS, SEGMENTS, 3)
        Where each segment ends, in voxels from the start.
    fits : ndarray float64 (slots, TURNS, 2)
        SCALE: mm per g/cm2 that it is laid out for, 0: not yet; REACH: how far it goes along any axis, in voxels.
    photon : ndarray float64 (slots, PHOTONS, 5)
    counts : ndarray int64 (slots, 3)
        Segments, photons, and the photon history that the track was made for.
    end : ndarray float64 (SEGMENTS, 4)
        Ends of the segments of the replay at hand (mm), and the turn so far (rad) or one of AS_LAID and NEVER.
    waiting : ndarray float64 (WAITING, ROW)
        Knock-on electrons of the track that is being made.
    present : ndarray float64 (ROW,)
        Its electron.
    """

    segment: np.ndarray
    bend: np.ndarray
    bent: np.ndarray
    laid: np.ndarray
    ends: np.ndarray
    fits: np.ndarray
    photon: np.ndarray
    counts: np.ndarray
    end: np.ndarray
    waiting: np.ndarray
    present: np.ndarray


@njit_welded
def _add(tracks, slot, n, p, start, mass, lost, state):
    """Add a straight segment of `mass` g/cm2 along `p`, which loses the energy; return its number."""
    segment = tracks.segment[slot, n]
    for a in range(3):
        segment[a] = p[3 + a]
    segment[MASS], segment[LOST], segment[KINETIC] = mass, lost, p[6]
    segment[PLACE], segment[PARENT], segment[KIND] = uniform(state), start, p[7]
    p[6] -= lost
    return n


@njit_welded
def _emit(tracks, slot, at, u, v, w, energy):
    n = tracks.counts[slot, 1]
    if n < PHOTONS:
        row = tracks.photon[slot, n]
        row[AT], row[PX], row[PY], row[PZ], row[ENERGY] = at, u, v, w, energy
        tracks.counts[slot, 1] = n + 1


@njit_bare
def grow(tables, tracks, slot, m, kinetic, kind, state):
    """Simulate in `slot` the track of an electron or positron of energy `kinetic` in material `m`.

    A track too long for its slot (electrons of many MeV that are followed closely) is given up: it has no segments.
    """
    # Here a particle's weight column holds its parent segment.
    waiting = tracks.waiting
    for a in range(ROW):
        waiting[0, a] = 0.0
    waiting[0, 5], waiting[0, 6], waiting[0, 7], waiting[0, 8] = 1.0, kinetic, kind, -1.0
    top = 1
    n = 0
    tracks.counts[slot, 1] = 0
    tracks.bent[slot] = 0.0
    for a in range(TURNS):
        tracks.fits[slot, a, SCALE] = 0.0
    p = tracks.present
    while top > 0:
        top -= 1
        for a in range(ROW):
            p[a] = waiting[top, a]
        last = int(p[8])
        mass, lost = 0.0, 0.0
        while n < SEGMENTS - 2 and top < WAITING - 1:
            before = p[6] - lost
            if before <= tables.limits[m, ABSORBED]:
                last = _add(tracks, slot, n, p, last, mass, lost, state)
                last = _add(tracks, slot, n + 1, p, last, 0.0, p[6], state)
                n += 2
                if kind == POSITRON and p[7] == POSITRON:
                    u, v, w = isotropic(state)
                    _emit(tracks, slot, last, u, v, w, ELECTRON_MASS)
                    _emit(tracks, slot, last, -u, -v, -w, ELECTRON_MASS)
                break
            step, rate, cosine, event = plan_step(tables, m, before, state)
            hinge = step * uniform(state)
            last = _add(tracks, slot, n, p, last, mass + hinge, lost + rate * hinge, state)
            n += 1
            p[3], p[4], p[5] = turn(p[3], p[4], p[5], cosine, 2.0 * pi * uniform(state))
            mass, lost = step - hinge, rate * (step - hinge)
            if event and before - rate * step > tables.limits[m, ABSORBED]:
                what = collision(tables, m, before, before - rate * step, state)
                if what > 0:
                    last = _add(tracks, slot, n, p, last, mass, lost, state)
                    n += 1
                    mass, lost = 0.0, 0.0
                    top = _collide(tables, m, tracks, slot, p, last, what, top, state)
        else:
            n = 0
            break
    tracks.counts[slot, 0] = n


@njit_welded
def _collide(tables, m, tracks, slot, p, last, what, top, state):
    kinetic = p[6]
    azimuth = 2.0 * pi * uniform(state)
    if what == 1:
        knock = moller_energy(kinetic, tables.limits[m, KNOCKED], state)
        row = tracks.waiting[top]
        for a in range(ROW):
            row[a] = p[a]
        row[3], row[4], row[5] = turn(p[3], p[4], p[5], moller_cosine(kinetic, knock), azimuth)
        row[6], row[7], row[8] = knock, ELECTRON, last
        p[3], p[4], p[5] = turn(p[3], p[4], p[5], moller_cosine(kinetic, kinetic - knock), azimuth + pi)
        p[6] = kinetic - knock
        return top + 1
    energy = brems_energy(kinetic, tables.photon_cut, state)
    u, v, w = turn(p[3], p[4], p[5], dipole_cosine(kinetic, state), azimuth)
    _emit(tracks, slot, last, u, v, w, energy)
    p[6] = kinetic - energy
    return top


@njit_welded
def replay(scene, tracks, which, frame, p, voxel, photons, work, top):
    """Replay a track from the place of `p` with the axes `frame`.

    Parameters
    ----------
    scene : Scene
    tracks : Tracks
    which : tuple of 2 int
        Slot of the track, and which of TURNS azimuths `frame` has.
    frame : ndarray (3, 3)
        Rows: where the three axes of the track point.
    p : ndarray (ROW,)
        Place and weights of the electron; the rest is overwritten.
    voxel : ndarray int64 (3,)
        Where it is.
    photons : bool
        Whether photons of the track go on the stack (with the full weight).
    work : Work
    top : int
        Height of the stack.

    Returns
    -------
    (int, float)
        Height of the stack, weighted energy that left the lattice.
    """
    slot, turn = which
    i, j, k = voxel[0], voxel[1], voxel[2]
    room = scene.medium.room[i, j, k]
    scale = 10.0 / scene.medium.density[i, j, k]
    fits = tracks.fits[slot, turn]
    if abs(fits[SCALE] - scale) > scene.tolerance * scale:
        _lay(scene, tracks, slot, turn, frame, scale)
    if fits[REACH] < room and not (photons and tracks.counts[slot, 1] > 0):
        _score(scene.medium.lattice, tracks, slot, turn, p, 0.1 * scale, work.out)
        return top, 0.0
    return _replay_by_segment(scene, tracks, which, frame, p, voxel, photons, work, top)


@njit_welded
def _score(lattice, tracks, slot, turn, p, per_density, out):
    """Score a track as it is laid out, from the place of `p`."""
    x = (p[0] - lattice.origin[0]) / lattice.step[0] + 0.5
    y = (p[1] - lattice.origin[1]) / lattice.step[1] + 0.5
    z = (p[2] - lattice.origin[2]) / lattice.step[2] + 0.5
    weight = per_density * p[8]
    laid = tracks.laid[slot, turn]
    for n in range(tracks.counts[slot, 0]):
        out[int(x + laid[n, 0]), int(y + laid[n, 1]), int(z + laid[n, 2])] += weight * laid[n, 3]


@njit_bare
def _bend(tracks, slot, scale, strength):
    """Write how a field turns the segments of a track in a density of ``10 / scale`` g/cm3."""
    tracks.bent[slot] = scale
    for n in range(tracks.counts[slot, 0]):
        segment, bend = tracks.segment[slot, n], tracks.bend[slot, n]
        parent = int(segment[PARENT])
        before = tracks.bend[slot, parent, 4] if parent >= 0 else 0.0
        length = scale * segment[MASS]
        angle = length / bending_radius(segment[KINETIC] - 0.5 * segment[LOST], segment[KIND], strength)
        bend[0], bend[1] = cos(before + 0.5 * angle), sin(before + 0.5 * angle)
        # The chord of the arc across the field; along it nothing is bent.
        bend[2], bend[3], bend[4] = length * (1.0 - angle * angle / 24.0), length, before + angle


@njit_bare
def _lay(scene, tracks, slot, turn, frame, scale):
    """Lay out a track in unbounded matter: places along the rows of ``scene.field``, then in voxels of the lattice."""
    if abs(tracks.bent[slot] - scale) > scene.tolerance * scale:
        _bend(tracks, slot, scale, scene.strength)
    step, field = scene.medium.lattice.step, scene.field
    ax, bx, cx = field[0, 0] / step[0], field[1, 0] / step[0], field[2, 0] / step[0]
    ay, by, cy = field[0, 1] / step[1], field[1, 1] / step[1], field[2, 1] / step[1]
    az, bz, cz = field[0, 2] / step[2], field[1, 2] / step[2], field[2, 2] / step[2]
    # The axes of the track seen along the rows of the field.
    f00, f01, f02 = _seen(field, frame[0, 0], frame[0, 1], frame[0, 2])
    f10, f11, f12 = _seen(field, frame[1, 0], frame[1, 1], frame[1, 2])
    f20, f21, f22 = _seen(field, frame[2, 0], frame[2, 1], frame[2, 2])
    segment, bend, end = tracks.segment[slot], tracks.bend[slot], tracks.end
    laid, ends = tracks.laid[slot, turn], tracks.ends[slot, turn]
    reach = 0.0
    for n in range(tracks.counts[slot, 0]):
        parent = int(segment[n, PARENT])
        a, b, c = 0.0, 0.0, 0.0
        if parent >= 0:
            a, b, c = end[parent, 0], end[parent, 1], end[parent, 2]
        dx, dy, dz = segment[n, DX], segment[n, DY], segment[n, DZ]
        u = f00 * dx + f10 * dy + f20 * dz
        v = f01 * dx + f11 * dy + f21 * dz
        w = f02 * dx + f12 * dy + f22 * dz
        cosine, sine, across = bend[n, 0], bend[n, 1], bend[n, 2]
        du, dv, dw = across * (u * cosine - v * sine), across * (u * sine + v * cosine), bend[n, 3] * w
        part = segment[n, PLACE]
        for share in (part, 1.0):  # the spot, then the end
            x, y, z = a + share * du, b + share * dv, c + share * dw
            dx, dy, dz = ax * x + bx * y + cx * z, ay * x + by * y + cy * z, az * x + bz * y + cz * z
            reach = max(reach, abs(dx), abs(dy), abs(dz))
            ends[n, 0], ends[n, 1], ends[n, 2] = dx, dy, dz
            if share == part:
                laid[n, 0], laid[n, 1], laid[n, 2], laid[n, 3] = dx, dy, dz, segment[n, LOST]
        end[n, 0], end[n, 1], end[n, 2] = a + du, b + dv, c + dw
    tracks.fits[slot, turn, SCALE], tracks.fits[slot, turn, REACH] = scale, reach


@njit_welded
def _seen(rows, x, y, z):
    return (
        rows[0, 0] * x + rows[0, 1] * y + rows[0, 2] * z,
        rows[1, 0] * x + rows[1, 1] * y + rows[1, 2] * z,
        rows[2, 0] * x + rows[2, 1] * y + rows[2, 2] * z,
    )


@njit_welded
def _world(frame, a, b, c):
    return (
        frame[0, 0] * a + frame[1, 0] * b + frame[2, 0] * c,
        frame[0, 1] * a + frame[1, 1] * b + frame[2, 1] * c,
        frame[0, 2] * a + frame[1, 2] * b + frame[2, 2] * c,
    )


@njit_welded
def _alike(medium, start, end, kind, density):
    """Tell whether the voxels of the box between two are of one kind, and of densities within (least, largest)."""
    for i in range(min(start[0], end[0]), max(start[0], end[0]) + 1):
        for j in range(min(start[1], end[1]), max(start[1], end[1]) + 1):
            for k in range(min(start[2], end[2]), max(start[2], end[2]) + 1):
                rho = medium.density[i, j, k]
                if medium.kind[i, j, k] != kind or rho < density[0] or rho > density[1]:
                    return False
    return True


@njit_bare
def _replay_by_segment(scene, tracks, which, frame, p, voxel, photons, work, top):
    slot, turn = which
    out = work.out
    medium, lattice = scene.medium, scene.medium.lattice
    laid, ends, end = tracks.laid[slot, turn], tracks.ends[slot, turn], tracks.end
    i, j, k = voxel[0], voxel[1], voxel[2]
    kind = medium.kind[i, j, k]
    rho = 10.0 / tracks.fits[slot, turn, SCALE]
    densities = (rho * (1.0 - scene.tolerance), rho * (1.0 + scene.tolerance))
    start = (
        (p[0] - lattice.origin[0]) / lattice.step[0] + 0.5,
        (p[1] - lattice.origin[1]) / lattice.step[1] + 0.5,
        (p[2] - lattice.origin[2]) / lattice.step[2] + 0.5,
    )
    gone = 0.0
    for n in range(tracks.counts[slot, 0]):
        segment = tracks.segment[slot, n]
        parent = int(segment[PARENT])
        before = AS_LAID if parent < 0 else end[parent, 3]
        end[n, 3] = NEVER
        if before == NEVER:
            continue
        if before == AS_LAID:
            x, y, z = start
            if parent >= 0:
                x, y, z = x + ends[parent, 0], y + ends[parent, 1], z + ends[parent, 2]
                i, j, k = int(x), int(y), int(z)
            xe, ye, ze = start[0] + ends[n, 0], start[1] + ends[n, 1], start[2] + ends[n, 2]
            inside = _inside(lattice.shape, xe, ye, ze)
            if inside and _alike(medium, (i, j, k), (int(xe), int(ye), int(ze)), kind, densities):
                to = int(start[0] + laid[n, 0]), int(start[1] + laid[n, 1]), int(start[2] + laid[n, 2])
                out[to] += p[8] * segment[LOST] / medium.density[i, j, k]
                end[n, 3] = AS_LAID
                continue
            p[0], p[1], p[2] = _place(lattice, x, y, z)
            turned = tracks.bend[slot, parent, 4] if parent >= 0 else 0.0
            top, left = _replay_segment(scene, segment, frame, turned, p, voxel, work, top, end[n])
            if inside and end[n, 3] != NEVER:
                i, j, k = int(xe), int(ye), int(ze)
                if _alike(medium, (i, j, k), (i, j, k), kind, densities):
                    end[n, 3] = AS_LAID
        else:
            p[0], p[1], p[2] = end[parent, 0], end[parent, 1], end[parent, 2]
            top, left = _replay_segment(scene, segment, frame, before, p, voxel, work, top, end[n])
        gone += left
    if photons:
        top = _send_photons(scene, tracks, which, frame, start, p, work.stack, top)
    return top, gone


@njit_welded
def _inside(shape, x, y, z):
    return 0.0 <= x < shape[0] and 0.0 <= y < shape[1] and 0.0 <= z < shape[2]


@njit_welded
def _place(lattice, x, y, z):
    """Return where (mm) a place in voxels from the corner of the lattice is."""
    return (
        lattice.origin[0] + (x - 0.5) * lattice.step[0],
        lattice.origin[1] + (y - 0.5) * lattice.step[1],
        lattice.origin[2] + (z - 0.5) * lattice.step[2],
    )


@njit_bare
def _replay_segment(scene, segment, frame, turned, p, voxel, work, top, end):
    """Replay one segment from the place of `p`, a track turned so far by the field, looking for changes of matter.

    Writes to `end` where it ends and the turn there, or NEVER if the electron goes on by itself or has left the
    lattice. Returns (height of the stack, weighted energy that left the lattice).
    """
    medium, lattice, axis = scene.medium, scene.medium.lattice, scene.field[2]
    end[3] = NEVER
    locate(lattice, p, voxel)
    mass = segment[MASS]
    if mass == 0.0:
        score(medium, voxel, p[8] * segment[LOST], work.out)
    else:
        u, v, w = _world(frame, segment[DX], segment[DY], segment[DZ])
        if turned != 0.0:
            u, v, w = field_turn(u, v, w, axis, turned)
        p[3], p[4], p[5], p[7] = u, v, w, segment[KIND]
        radius = bending_radius(segment[KINETIC] - 0.5 * segment[LOST], p[7], scene.strength)
        done, length, change = walk(scene, p, voxel, mass, segment[LOST] / mass, radius, work.out)
        if change != 0:
            p[6] = segment[KINETIC] - segment[LOST] * (done / mass)
            if change == 2:
                return top, p[8] * (p[6] + (2.0 * ELECTRON_MASS if p[7] == POSITRON else 0.0))
            return transport(scene, work.stack, top, p, voxel, work.state, work.out)
        if scene.strength > 0.0:
            turned += length / radius
    end[0], end[1], end[2], end[3] = p[0], p[1], p[2], turned
    return top, 0.0


@njit_bare
def _send_photons(scene, tracks, which, frame, start, p, stack, top):
    """Put on the stack the photons of a replay from where it came to; `start` is its start in voxels."""
    slot, turn = which
    for n in range(tracks.counts[slot, 1]):
        row = tracks.photon[slot, n]
        at = int(row[AT])
        last, turned = tracks.end[at], tracks.end[at, 3]
        place = last[0], last[1], last[2]
        if turned == NEVER:
            continue
        if turned == AS_LAID:
            turned, last = tracks.bend[slot, at, 4], tracks.ends[slot, turn, at]
            place = _place(scene.medium.lattice, start[0] + last[0], start[1] + last[1], start[2] + last[2])
        u, v, w = _world(frame, row[PX], row[PY], row[PZ])
        u, v, w = field_turn(u, v, w, scene.field[2], turned)
        if top < stack.shape[0]:
            new = stack[top]
            new[0], new[1], new[2] = place
            new[3], new[4], new[5], new[6], new[7], new[8], new[9] = u, v, w, row[ENERGY], PHOTON, p[9], p[9]
            top += 1
    return top
