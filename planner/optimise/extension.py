"""Extensions of a CTV along a surface: the dura under a bone flap, a venous sinus."""

from collections.abc import Mapping

import numpy as np

from phantoms.distance import has_surface
from phantoms.structure import Role, Structure
from planner.optimise.margins import expand
from planner.treatment.rules import Extension

# The tumour before surgery, where the planner saw it.
TUMOUR_BEFORE = "tumour_before"


def extended(ctv: Structure, structures: Mapping[str, Structure], rule: Extension) -> Structure | None:
    """Return the strip along a surface that a rule adds to a CTV, or None where the rule finds nothing to follow.

    The surface is the layer of `Extension.depth_mm` on the structure, inside the skull. The strip is what of it lies
    within the rule's distance of the contact: of the part that the tumour touched before surgery, else of the part
    that the CTV touches now.

    Parameters
    ----------
    ctv : Structure
    structures : mapping of str to Structure
    rule : Extension
    """
    surface = structures.get(rule.along.value)
    if surface is None or not has_surface(surface):
        return None
    before = structures.get(TUMOUR_BEFORE)
    layer = _layer(surface, ctv, structures, rule)
    if layer is None:
        return None
    touched = None if before is None or not has_surface(before) else _contact(before, layer, rule)
    reach = rule.touched_mm.value
    if touched is None:
        touched, reach = _contact(ctv, layer, rule), rule.apart_mm.value
    if touched is None or reach == 0.0:
        return None
    strip = expand(touched, reach, within=layer)
    return Structure("extension", Role.TARGET, strip.grid, np.minimum(strip.occupancy, layer.on(strip.grid)))


def _layer(
    surface: Structure, ctv: Structure, structures: Mapping[str, Structure], rule: Extension
) -> Structure | None:
    """Return the layer on a surface, inside the skull and as far about the CTV as the rule may reach."""
    far = rule.depth_mm.value + rule.contact_mm.value + max(rule.touched_mm.value, rule.apart_mm.value)
    voxels = np.ceil(2.0 * far / np.asarray(ctv.grid.spacing_mm)).astype(int)
    around = ctv.cropped().grid
    window = around.window((-voxels).tolist(), (np.asarray(around.shape) + voxels).tolist())
    nearby = Structure(surface.name, surface.role, window, surface.on(window))
    if not has_surface(nearby):
        return None
    layer = expand(nearby, rule.depth_mm.value)
    room = structures.get("intracranial", structures.get("brain"))
    inside = layer.occupancy if room is None else np.minimum(layer.occupancy, room.on(layer.grid))
    found = Structure(surface.name, surface.role, layer.grid, inside)
    return found if has_surface(found) else None


def _contact(body: Structure, layer: Structure, rule: Extension) -> Structure | None:
    """Return the part of a layer within the distance of contact of a body."""
    near = expand(body, rule.contact_mm.value)
    touched = Structure(layer.name, layer.role, layer.grid, np.minimum(layer.occupancy, near.on(layer.grid)))
    return None if (touched.occupancy >= 0.5).sum() == 0 else touched.cropped(1)
