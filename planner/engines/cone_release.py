"""What the beams of a plan release in the voxels of a patient, in groups of similar direction.

The fluence of every beam is released in two shares (`FluenceMap.parted`). That of the field has edges; what arrives
about it (leakage, head scatter) is nearly smooth but reaches through all of the patient: it is released in wider
voxels, from wider fans, in fewer groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from kernels.cone import FIELDS
from kernels.raytrace import Fan, trace_fan
from kernels.terma import FluencePlane, ReleaseTable, release
from kernels.threads import chunks, run_chunks
from phantoms.grid import Grid
from phantoms.volume import Volume
from planner.engines.beam_model import Cells, fluence_map, soften
from planner.engines.cone_sources import Released, released_of
from planner.engines.fluence import fluence_plane, narrowed
from planner.engines.media import Media, media_of
from planner.treatment.beam import Beam
from planner.treatment.machine import Machine

# Numerical: rays that a fan has outside its cells.
_FAN_MARGIN = 2


@dataclass(frozen=True)
class Detail:
    """How finely a share of the fluence is released.

    Attributes
    ----------
    ray_mm, plane_mm : float
        Distance of traced rays in the isocentre plane and of the planes where depth is stored.
    group_deg : float
        Beams share one table of kernels, tilted to second order, whose axes are closer than this to each other's.
    node_mm : float
        The widest step of nodes of the fluence.
    """

    ray_mm: float
    plane_mm: float
    group_deg: float
    node_mm: float


@dataclass(frozen=True, eq=False)
class Matter:
    """A grid and what its voxels hold."""

    grid: Grid
    media: Media

    @classmethod
    def of(cls, density: Volume) -> "Matter":
        """Return the matter of a density."""
        return cls(density.grid, media_of(density.data, density.grid.spacing_mm))


@dataclass(frozen=True, eq=False)
class LitBeam:
    """A beam with a share of its fluence.

    Attributes
    ----------
    beam : Beam
    cells : Cells
    blur_mm : tuple of 2 float
        Standard deviation of the Gaussian that blurs the edges of cells along X and Y.
    """

    beam: Beam
    cells: Cells
    blur_mm: tuple[float, float]


def lit(
    beam: Beam, weight: np.ndarray, machine: Machine, per_weight: np.ndarray | float
) -> tuple[LitBeam, LitBeam | None]:
    """Return a beam with the fluence of its field, and with what arrives about it if anything does.

    The edges of the second are not blurred: in its wide voxels nobody would see it. For `per_weight` see `fluence_map`.
    """
    fluence = fluence_map(beam.bixels, machine, per_weight)
    field, about = fluence.parted(weight)
    return LitBeam(beam, field, fluence.blur_mm), LitBeam(beam, about, (0.0, 0.0)) if about.fluence.any() else None


def release_groups(
    matter: tuple[Matter, ...], beams: Sequence[LitBeam], machine: Machine, table: ReleaseTable, detail: Detail
) -> list[list[Released]]:
    """Return what groups of beams of similar direction release in each of `matter`; the first holds the others."""
    groups = run_chunks(
        lambda some: _released(matter, some, machine, table, detail),
        [(some,) for some in _similar(beams, machine, detail.group_deg)],
    )
    return [[group[m] for group in groups if len(group[m].voxel)] for m in range(len(matter))]


def _released(
    matter: tuple[Matter, ...], beams: list[LitBeam], machine: Machine, table: ReleaseTable, detail: Detail
) -> list[Released]:
    """Return the energy that beams of similar direction release in each of `matter`."""
    sums = [
        (np.zeros((FIELDS, *part.grid.shape), np.float32), np.zeros((3, *part.grid.shape), np.float32))
        for part in matter
    ]
    for beam in beams:
        planes = [_plane(beam, machine, part.grid.spacing_mm, detail) for part in matter]
        fan = _fan(matter[0].grid, beam.beam, planes[0], machine.sad_mm.value, detail)
        depths = _depths(matter[0], fan, machine)
        for part, plane, (energy, flight) in zip(matter, planes, sums, strict=True):
            run_chunks(
                lambda low, high, f=fan, d=depths, p=plane, m=part, e=energy, w=flight: release(
                    m.grid.lattice, (m.media.water, m.media.bone), f, d, p, table, (low, high), e, w
                ),
                chunks(part.grid.shape[0], 4),
            )
    return [released_of(energy, flight) for energy, flight in sums]


def _similar(beams: Sequence[LitBeam], machine: Machine, degrees: float) -> list[list[LitBeam]]:
    """Return the beams in groups whose axes are all closer together than some degrees."""
    groups: list[tuple[list[np.ndarray], list[LitBeam]]] = []
    for beam in beams:
        axis = beam.beam.frame(machine.sad_mm.value).axes[2]
        for axes, members in groups:
            if np.min(np.stack(axes) @ axis) > np.cos(np.radians(degrees)):
                axes.append(axis)
                members.append(beam)
                break
        else:
            groups.append(([axis], [beam]))
    return [members for _, members in groups]


def _plane(beam: LitBeam, machine: Machine, voxel_mm: tuple[float, float, float], detail: Detail) -> FluencePlane:
    """Return the fluence plane of a beam for voxels of a size."""
    # What a voxel releases is a mean over it, and so is what it keeps: only the second belongs to a voxel's dose.
    width = np.linalg.norm(beam.beam.frame(machine.sad_mm.value).axes[:2] * voxel_mm, axis=1)
    blur_mm = narrowed(beam.blur_mm, (float(width[0]), float(width[1])))
    return fluence_plane(beam.cells.edges, beam.cells.fluence, blur_mm, detail.node_mm)


def _fan(grid: Grid, beam: Beam, plane: FluencePlane, sad: float, detail: Detail) -> Fan:
    """Return the fan of rays over the cells of a fluence, through all of the grid."""
    frame, step = beam.frame(sad), detail.ray_mm
    low, high = np.asarray(grid.low_mm), np.asarray(grid.high_mm)
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    along = np.maximum((corners - frame.source_mm) @ frame.axes[2], 0.05 * sad)
    width = [size * (n - 1) for size, n in zip(plane.size, plane.integral.shape, strict=True)]
    rays = [int(np.ceil(w / step)) + 1 + 2 * _FAN_MARGIN for w in width]
    start = [lo + 0.5 * (w - (n - 1) * step) for lo, w, n in zip(plane.low, width, rays, strict=True)]
    planes = int(np.ceil((along.max() - along.min()) / detail.plane_mm)) + 2
    return Fan(
        tuple(frame.source_mm.tolist()),
        tuple(frame.axes.ravel().tolist()),
        sad,
        (float(start[0]), float(start[1])),
        step,
        float(along.min()),
        detail.plane_mm,
        (rays[0], rays[1], planes),
    )


def _depths(matter: Matter, fan: Fan, machine: Machine) -> tuple[np.ndarray, np.ndarray]:
    """Return the depths of water and of bone along a fan, softened as the beam is off its axis."""
    parts = (matter.media.water, matter.media.bone)
    depths = (np.zeros(fan.shape, np.float32), np.zeros(fan.shape, np.float32))
    there = [bool(part.any()) for part in parts]
    for part, depth in zip(compress(parts, there), compress(depths, there), strict=True):
        run_chunks(
            lambda low, high, p=part, d=depth: trace_fan(matter.grid.lattice, p, fan, (low, high), d),
            chunks(fan.shape[0], 4),
        )
        soften(depth, fan, machine)
    return depths
