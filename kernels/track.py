"""One electron track used many times: at every interaction point of a split photon (history repetition).

An electron of given energy in an unbounded material makes a track whose shape, in g/cm2 and seen along its first
direction, does not depend on where it starts. It is simulated once and replayed at each point under another azimuth, so
that a replay costs a rotation a step and no random number. Every replay by itself follows the law of an independent
track; replays of one track are correlated, which the batches see. Where the material changes on the way, the replay
ends and the electron goes on by itself (`kernels.electron.transport`), so nothing is approximated near interfaces.
After Kawrakow, Fippel and Friedrich, Med Phys 23:445 (1996).

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
    move,
    plan_step,
    score,
    transport,
    voxel_index,
    walk,
)
from kernels.particle import ABSORBED, ELECTRON, ELECTRON_MASS, KNOCKED, PHOTON, POSITRON, ROW, isotropic, turn
from kernels.photon import dipole_cosine
from kernels.rng import uniform

SEGMENTS, PHOTONS, WAITING = 400, 24, 32

# Columns of a segment.
DX, DY, DZ, MASS, LOST, KINETIC, PLACE, PARENT, KIND = range(9)
# Columns of a spot: where the loss of a segment is scored (g/cm2 from the start), and how much.
# Columns of an emitted photon.
AT, PX, PY, PZ, ENERGY = range(5)


class Tracks(NamedTuple):
    """Tracks of the present photon, one a slot (kind of electron, material).

    Attributes
    ----------
    segment : ndarray float64 (slots, SEGMENTS, 9)
    spot : ndarray float64 (slots, SEGMENTS, 4)
    bend : ndarray float64 (slots, SEGMENTS, 5)
        How the field turns each segment: cosine and sine half-way, chord and length (mm), turn at the end (rad).
    photon : ndarray float64 (slots, PHOTONS, 5)
    counts : ndarray int64 (slots, 3)
        Segments, photons, and the photon history that the track was made for.
    extent : ndarray float64 (slots, 3)
        Farthest spot and longest path from the start, g/cm2; mm per g/cm2 that `bend` is for.
    end : ndarray float64 (SEGMENTS, 4)
        Ends of the segments of the replay at hand and the turn so far, rad.
    waiting : ndarray float64 (WAITING, ROW)
        Knock-on electrons of the track that is being made.
    present : ndarray float64 (ROW,)
        Its electron.
    """

    segment: np.ndarray
    spot: np.ndarray
    bend: np.ndarray
    photon: np.ndarray
    counts: np.ndarray
    extent: np.ndarray
    end: np.ndarray
    waiting: np.ndarray
    present: np.ndarray


@njit_welded
def _add(tracks, slot, n, p, start, mass, lost, state):
    """Add a straight segment of `mass` g/cm2 along `p`, and move `p` to its end; return its number."""
    segment = tracks.segment[slot, n]
    for a in range(3):
        segment[a] = p[3 + a]
    segment[MASS], segment[LOST], segment[KINETIC] = mass, lost, p[6]
    segment[PLACE], segment[PARENT], segment[KIND] = uniform(state), start, p[7]
    spot = tracks.spot[slot, n]
    reach = 0.0
    for a in range(3):
        spot[a] = p[a] + segment[PLACE] * mass * p[3 + a]
        p[a] += mass * p[3 + a]
        reach += spot[a] * spot[a]
    spot[3] = lost
    p[6] -= lost
    p[9] += mass
    tracks.extent[slot, 0] = max(tracks.extent[slot, 0], reach)
    tracks.extent[slot, 1] = max(tracks.extent[slot, 1], p[9])
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
    # Here a particle's weight column holds its parent segment and the last one the mass length that it has gone.
    waiting = tracks.waiting
    for a in range(ROW):
        waiting[0, a] = 0.0
    waiting[0, 5], waiting[0, 6], waiting[0, 7], waiting[0, 8] = 1.0, kinetic, kind, -1.0
    top = 1
    n = 0
    tracks.counts[slot, 1] = 0
    tracks.extent[slot, 0], tracks.extent[slot, 1], tracks.extent[slot, 2] = 0.0, 0.0, 0.0
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
    tracks.extent[slot, 0] = tracks.extent[slot, 0] ** 0.5


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
def replay(scene, tracks, slot, frame, p, voxel, photons, work, top):
    """Replay a track from the place of `p` with the axes `frame`.

    Parameters
    ----------
    scene : Scene
    tracks : Tracks
    slot : int
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
    lattice = scene.medium.lattice
    i, j, k = voxel[0], voxel[1], voxel[2]
    scale = 10.0 / scene.medium.density[i, j, k]
    smallest = min(lattice.step[0], lattice.step[1], lattice.step[2])
    room = scene.medium.room[i, j, k] * smallest
    if scene.strength == 0.0 and scale * tracks.extent[slot, 0] < room:
        _score_straight(scene, tracks, slot, frame, p, scale, work.out)
        if not photons or tracks.counts[slot, 1] == 0:
            return top, 0.0
        return _photons_straight(tracks, slot, frame, p, scale, work.stack, top), 0.0
    if scene.strength > 0.0 and scale * tracks.extent[slot, 1] < room and not (photons and tracks.counts[slot, 1] > 0):
        if tracks.extent[slot, 2] != scale:
            _bend(tracks, slot, scale, scene.strength)
        _score_bent(scene, tracks, slot, frame, p, scale, work.out)
        return top, 0.0
    return _replay_by_segment(scene, tracks, slot, frame, p, voxel, photons, work, top)


@njit_welded
def _score_straight(scene, tracks, slot, frame, p, scale, out):
    lattice = scene.medium.lattice
    # In units of voxels from the corner of the lattice.
    ix, iy, iz = 1.0 / lattice.step[0], 1.0 / lattice.step[1], 1.0 / lattice.step[2]
    x0 = (p[0] - lattice.origin[0]) * ix + 0.5
    y0 = (p[1] - lattice.origin[1]) * iy + 0.5
    z0 = (p[2] - lattice.origin[2]) * iz + 0.5
    ix, iy, iz = ix * scale, iy * scale, iz * scale
    ax, bx, cx = frame[0, 0] * ix, frame[1, 0] * ix, frame[2, 0] * ix
    ay, by, cy = frame[0, 1] * iy, frame[1, 1] * iy, frame[2, 1] * iy
    az, bz, cz = frame[0, 2] * iz, frame[1, 2] * iz, frame[2, 2] * iz
    weight = 0.1 * scale * p[8]  # over the density
    spot = tracks.spot[slot]
    for n in range(tracks.counts[slot, 0]):
        a, b, c = spot[n, 0], spot[n, 1], spot[n, 2]
        i = int(x0 + ax * a + bx * b + cx * c)
        j = int(y0 + ay * a + by * b + cy * c)
        k = int(z0 + az * a + bz * b + cz * c)
        out[i, j, k] += weight * spot[n, 3]


@njit_bare
def _bend(tracks, slot, scale, strength):
    """Write how a field turns the segments of a track in a density of ``10 / scale`` g/cm3."""
    tracks.extent[slot, 2] = scale
    for n in range(tracks.counts[slot, 0]):
        segment, bend = tracks.segment[slot, n], tracks.bend[slot, n]
        parent = int(segment[PARENT])
        before = tracks.bend[slot, parent, 4] if parent >= 0 else 0.0
        length = scale * segment[MASS]
        angle = length / bending_radius(segment[KINETIC] - 0.5 * segment[LOST], segment[KIND], strength)
        bend[0], bend[1] = cos(before + 0.5 * angle), sin(before + 0.5 * angle)
        # The chord of the arc across the field; along it nothing is bent.
        bend[2], bend[3], bend[4] = length * (1.0 - angle * angle / 24.0), length, before + angle


@njit_welded
def _score_bent(scene, tracks, slot, frame, p, scale, out):
    """Score a track in a field where nothing changes: places along the rows of ``scene.field``, then in the lattice."""
    lattice, field = scene.medium.lattice, scene.field
    ix, iy, iz = 1.0 / lattice.step[0], 1.0 / lattice.step[1], 1.0 / lattice.step[2]
    x0 = (p[0] - lattice.origin[0]) * ix + 0.5
    y0 = (p[1] - lattice.origin[1]) * iy + 0.5
    z0 = (p[2] - lattice.origin[2]) * iz + 0.5
    ax, bx, cx = field[0, 0] * ix, field[1, 0] * ix, field[2, 0] * ix
    ay, by, cy = field[0, 1] * iy, field[1, 1] * iy, field[2, 1] * iy
    az, bz, cz = field[0, 2] * iz, field[1, 2] * iz, field[2, 2] * iz
    # The axes of the track seen along the rows of the field.
    f00, f01, f02 = _seen(field, frame[0, 0], frame[0, 1], frame[0, 2])
    f10, f11, f12 = _seen(field, frame[1, 0], frame[1, 1], frame[1, 2])
    f20, f21, f22 = _seen(field, frame[2, 0], frame[2, 1], frame[2, 2])
    weight = 0.1 * scale * p[8]  # over the density
    segment, bend, end, lost = tracks.segment[slot], tracks.bend[slot], tracks.end, tracks.spot[slot]
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
        end[n, 0], end[n, 1], end[n, 2] = a + du, b + dv, c + dw
        part = segment[n, PLACE]
        a, b, c = a + part * du, b + part * dv, c + part * dw
        i = int(x0 + ax * a + bx * b + cx * c)
        j = int(y0 + ay * a + by * b + cy * c)
        k = int(z0 + az * a + bz * b + cz * c)
        out[i, j, k] += weight * lost[n, 3]


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


@njit_bare
def _photons_straight(tracks, slot, frame, p, scale, stack, top):
    for n in range(tracks.counts[slot, 1]):
        row = tracks.photon[slot, n]
        # The end of a segment: its spot and the rest of the way.
        at = int(row[AT])
        segment, spot = tracks.segment[slot, at], tracks.spot[slot, at]
        rest = (1.0 - segment[PLACE]) * segment[MASS]
        x = spot[0] + rest * segment[DX]
        y = spot[1] + rest * segment[DY]
        z = spot[2] + rest * segment[DZ]
        x, y, z = _world(frame, scale * x, scale * y, scale * z)
        direction = _world(frame, row[PX], row[PY], row[PZ])
        top = _photon_at(p, (p[0] + x, p[1] + y, p[2] + z), direction, row[ENERGY], stack, top)
    return top


@njit_welded
def _photon_at(p, place, direction, energy, stack, top):
    if top >= stack.shape[0]:
        return top
    row = stack[top]
    row[0], row[1], row[2] = place
    row[3], row[4], row[5] = direction
    row[6], row[7], row[8], row[9] = energy, PHOTON, p[9], p[9]
    return top + 1


@njit_bare
def _replay_by_segment(scene, tracks, slot, frame, p, voxel, photons, work, top):
    out = work.out
    medium, lattice = scene.medium, scene.medium.lattice
    axis = scene.field[2]
    smallest = min(lattice.step[0], lattice.step[1], lattice.step[2])
    end = tracks.end
    x0, y0, z0 = p[0], p[1], p[2]
    gone = 0.0
    m = medium.material[voxel[0], voxel[1], voxel[2]]
    for n in range(tracks.counts[slot, 0]):
        segment = tracks.segment[slot, n]
        parent = int(segment[PARENT])
        turned = 0.0
        end[n, 3] = 1e30  # not reached, until it is
        if parent < 0:
            p[0], p[1], p[2] = x0, y0, z0
        else:
            turned = end[parent, 3]
            if turned > 1e20:
                continue
            p[0], p[1], p[2] = end[parent, 0], end[parent, 1], end[parent, 2]
        locate(lattice, p, voxel)
        mass = segment[MASS]
        if mass == 0.0:
            score(medium, voxel, p[8] * segment[LOST], out)
        else:
            u, v, w = _world(frame, segment[DX], segment[DY], segment[DZ])
            if turned != 0.0:
                u, v, w = field_turn(u, v, w, axis, turned)
            p[3], p[4], p[5] = u, v, w
            p[7] = segment[KIND]
            radius = bending_radius(segment[KINETIC] - 0.5 * segment[LOST], p[7], scene.strength)
            i, j, k = voxel[0], voxel[1], voxel[2]
            length = 10.0 * mass / medium.density[i, j, k]
            rho = medium.density[i, j, k]
            if medium.material[i, j, k] == m and length <= medium.room[i, j, k] * smallest:
                before = segment[PLACE] * length
                move(p, before, radius, axis)
                i = voxel_index(lattice, p[0], 0)
                j = voxel_index(lattice, p[1], 1)
                k = voxel_index(lattice, p[2], 2)
                out[i, j, k] += p[8] * segment[LOST] / rho
                move(p, length - before, radius, axis)
            else:
                change = 1
                done = 0.0
                if medium.material[i, j, k] == m:
                    done, length, change = walk(scene, p, voxel, mass, segment[LOST] / mass, radius, out)
                if change != 0:
                    p[6] = segment[KINETIC] - segment[LOST] * (done / mass)
                    if change == 2:
                        gone += p[8] * (p[6] + (2.0 * ELECTRON_MASS if p[7] == POSITRON else 0.0))
                    else:
                        top, left = transport(scene, work.stack, top, p, voxel, work.state, out)
                        gone += left
                    continue
            if scene.strength > 0.0:
                turned += length / radius
        end[n, 0], end[n, 1], end[n, 2], end[n, 3] = p[0], p[1], p[2], turned
    if photons:
        for n in range(tracks.counts[slot, 1]):
            row = tracks.photon[slot, n]
            last = end[int(row[AT])]
            if last[3] < 1e20:
                u, v, w = _world(frame, row[PX], row[PY], row[PZ])
                if last[3] != 0.0:
                    u, v, w = field_turn(u, v, w, axis, last[3])
                top = _photon_at(p, (last[0], last[1], last[2]), (u, v, w), row[ENERGY], work.stack, top)
    return top, gone
