"""A patient of balls: a head whose cavity and tumour are exact spheres that change with the day. Quick, and obvious."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from phantoms.grid import Grid
from phantoms.patient import Epoch
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume

HEAD_MM, BRAIN_MM = 60.0, 52.0
CENTRE_MM = (20.0, -10.0, 5.0)


@dataclass(frozen=True)
class BallAnatomy:
    """A ball of water with a brain in it; the cavity's radius changes by `growth_mm` a day."""

    id: str = "ball"
    spacing_mm: float = 4.0
    radius_mm: float = 12.0
    growth_mm: float = -0.1
    asked: list = field(default_factory=list)
    facts: Mapping[str, float | str] = field(default_factory=lambda: {"tumour_volume_cc": 7.2})

    def epoch(self, day: float, *, images: bool = True) -> Epoch:
        self.asked.append((day, images))
        grid = Grid.covering((-66,) * 3, (66,) * 3, self.spacing_mm)
        head, brain = (
            ball("external", Role.EXTERNAL, grid, (0, 0, 0), HEAD_MM),
            ball("brain", Role.ORGAN, grid, (0, 0, 0), BRAIN_MM),
        )
        structures = [head, brain]
        if day < 0:
            structures.append(ball("tumour", Role.TARGET, grid, CENTRE_MM, self.radius_mm))
        else:
            radius = self.radius_mm + self.growth_mm * day
            structures.append(ball("cavity", Role.TARGET, grid, CENTRE_MM, radius))
            structures.append(ball("residual", Role.TARGET, grid, (20.0, -10.0, 5.0 + radius), 4.0 * 2 ** (day / 90)))
        volumes = {"density": Volume(grid, head.occupancy, Quantity.DENSITY)}
        if images:
            volumes["t1gd"] = Volume(grid, 100 * head.occupancy + 50 * structures[2].on(grid), Quantity.MR_SIGNAL)
        return Epoch(day, volumes, {s.name: s for s in structures})


def ball(name, role, grid, centre_mm, radius_mm) -> Structure:
    """Return a ball with a linear edge one voxel wide."""
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij", sparse=True)
    squares = [(axis - c) ** 2 for axis, c in zip((x, y, z), centre_mm, strict=True)]
    distance = np.sqrt(sum(squares)) - radius_mm
    return Structure(name, role, grid, np.clip(0.5 - distance / max(grid.spacing_mm), 0, 1))
