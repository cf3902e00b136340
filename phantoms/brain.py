"""The brain: cerebrum with folded cortex, deep grey matter, ventricles, cerebellum, brainstem, meninges, vessels."""

import numpy as np

from phantoms.grid import Triple
from phantoms.noise import Noise
from phantoms.shapes import Box, Ellipsoid, Shape, Torus, union
from phantoms.skull import SIDES, Frame, mirrored, posterior_fossa

# Depth of sulci and thickness of the cortical ribbon: Fischl 2000 (2-3 mm, mean 2.5); sulci reach 10-20 mm.
_SULCUS_MM = 14.0
CORTEX_MM = 2.7
# No sulcus comes nearer to the corpus callosum and the basal nuclei.
_RIM_OF_CORE_MM = 5.0
# Folds are drawn on a ball of this radius and reach inwards along its rays.
_FOLD_RADIUS_MM = 70.0
FOLD_KNOT_MM = 7.6


def brainstem(frame: Frame) -> Shape:
    """Return midbrain, pons and medulla."""
    return union(
        frame.rod((0, 9, 13), (0, 8, -3), 11, 13),
        frame.ball((0, 5, -14), (15, 12.5, 13)),
        frame.rod((0, 12, -24), (0, 18, -42), 8.5, 6.5),
        width=5.0,
        reach=40.0,
    )


def spinal_cord(frame: Frame) -> Shape:
    """Return the cord below the brainstem."""
    return frame.path([(0, 18, -42), (0, 25, -57), (0, 29, -140)], 6.5, 5.5)


def core(frame: Frame) -> Shape:
    """Return the unfolded middle of the cerebrum: corpus callosum, basal nuclei, diencephalon."""
    return frame.ball((0, 4, 24), (34, 38, 21))


def hollows(frame: Frame) -> Shape:
    """Return what the cerebrum leaves free inside the skull: the posterior fossa, the cisterns, the brainstem."""
    cisterns = union(
        frame.ball((0, 2, -10), (20, 22, 17)),
        frame.ball((0, -19, 3), (12, 10, 7)),
        brainstem(frame).grown(2.0),
        width=4.0,
    )
    return posterior_fossa(frame).grown(2.0) | cisterns


def fissures(frame: Frame, opening_mm: float) -> Shape:
    """Return the interhemispheric and the Sylvian fissures, `opening_mm` wide."""
    long = Box(frame.at(0, 0, 40), (opening_mm / 2, 120.0, 120.0)) - core(frame)
    tilt = np.deg2rad(17.0)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    lateral = []
    for side in SIDES.values():
        centre = frame.at(side * 53, -6, 16)
        lateral.append(Ellipsoid(centre, (18.0, 32.0, opening_mm / 2 + 0.9)).rotated(turn, centre))
    return union(long, *lateral)


def pial_distance(
    hull: np.ndarray,
    unfolded: np.ndarray,
    folds: Noise,
    mesh: tuple[np.ndarray, np.ndarray, np.ndarray],
    width_mm: float,
) -> np.ndarray:
    """Return the signed distance, mm, to the folded surface of the cerebrum.

    Sulci are the zero surfaces of a noise drawn on a ball, carried inwards along its rays: sheets at right angles to
    the surface, up to about 18 mm deep.

    Parameters
    ----------
    hull, unfolded : ndarray
        Signed distances to the cerebrum without sulci and to its unfolded middle, mm.
    folds : Noise
    mesh : tuple of 3 ndarray
        Coordinates relative to the middle of the cerebrum, an open mesh.
    width_mm : float
        Opening of a sulcus at the surface; it narrows with depth.
    """
    surface = hull.copy()
    near = np.nonzero((hull < 1.0) & (hull > -_SULCUS_MM - 6.0) & (unfolded > _RIM_OF_CORE_MM))
    x, y, z = (np.broadcast_to(axis, hull.shape)[near] for axis in mesh)
    length = np.maximum(np.sqrt(x * x + y * y + z * z), 1.0)
    # A little of the radius is kept, so that a sulcus bends on its way down.
    stretch = (_FOLD_RADIUS_MM / length) ** np.float32(0.8)
    apart = np.abs(folds.sheet_mm(x * stretch, y * stretch, z * stretch)) / stretch
    depth = -surface[near]
    bottom = _SULCUS_MM + 4.0 * np.tanh(folds.at(z * stretch, x * stretch, y * stretch))
    half_width = 0.5 * np.float32(width_mm) * (1.15 - 0.7 * np.clip(depth / bottom, 0.0, 1.0))
    sulcus = np.maximum(np.maximum(apart - half_width, depth - bottom), _RIM_OF_CORE_MM + 1.0 - unfolded[near])
    surface[near] = np.maximum(surface[near], -sulcus)
    return surface


def deep_nuclei(frame: Frame) -> Shape:
    """Return caudate, putamen and thalamus of both sides."""
    parts: list[Shape] = []
    for side in SIDES.values():
        caudate = [(13, -24, 28), (15, -10, 36), (18, 12, 38), (22, 26, 32)]
        parts.append(frame.path(mirrored(caudate, side), 6.0, 2.0))
        parts.append(frame.ball((side * 26, -4, 22), (6, 17, 11)))
        parts.append(frame.ball((side * 11, 13, 23), (8.5, 14, 10)))
    return union(*parts)


def capsule_internal(frame: Frame) -> Shape:
    """Return the internal capsules, white matter between the deep nuclei."""
    return union(*(frame.path(mirrored([(18, -16, 32), (19, 2, 24), (21, 18, 28)], s), 3.0) for s in SIDES.values()))


def hippocampus(frame: Frame, side: float) -> Shape:
    """Return the hippocampus of one side."""
    return frame.path(mirrored([(26, -8, -6), (29, 6, -2), (28, 18, 4), (22, 28, 13)], side), 5.2, 3.0)


def ventricles(frame: Frame, dilation: float) -> Shape:
    """Return the lateral, third and fourth ventricles with the aqueduct; `dilation` scales their width."""
    parts: list[Shape] = []
    for side in SIDES.values():
        horn = [(8, -32, 28), (7, -14, 36), (9, 6, 39), (15, 26, 36), (24, 38, 26)]
        parts.append(frame.path(mirrored(horn, side), 4.4 * dilation, 5.2 * dilation))
        parts.append(frame.path(mirrored([(24, 38, 26), (25, 52, 22), (22, 63, 19)], side), 5.5 * dilation, 1.5))
        temporal = [(25, 37, 23), (33, 24, 8), (34, 8, -1), (32, -6, -7)]
        parts.append(frame.path(mirrored(temporal, side), 4.2 * dilation, 2.2 * dilation))
    parts.append(Box(frame.at(0, 7, 22), (1.6 * dilation, 12.0, 9.0), 1.4))
    parts.append(frame.path([(0, 18, 14), (0, 21, 0)], 1.3))
    parts.append(frame.ball((0, 21.5, -13), (6.5 * dilation, 4.8, 10.5)))
    return union(*parts, width=2.0)


def choroid_plexus(frame: Frame) -> Shape:
    """Return the choroid plexus of the atria."""
    return union(*(frame.path(mirrored([(17, 28, 34), (25, 38, 25), (30, 30, 15)], s), 1.8) for s in SIDES.values()))


def cerebellum(frame: Frame) -> Shape:
    """Return the cerebellar surface without its folia."""
    cistern = union(frame.ball((0, 4, -14), (24, 17, 24)), frame.ball((0, 24, -40), (9, 14, 9)), width=5.0)
    body = posterior_fossa(frame).grown(-2.0) - cistern
    peduncles = [frame.rod((side * 9, 10, -13), (side * 19, 28, -14), 8) for side in SIDES.values()]
    whole = union(body, *peduncles, width=3.0)
    return whole - Box(frame.at(0, 68, -30), frame.at(1.2, 12, 16))


def medullary_core(frame: Frame) -> Shape:
    """Return the white matter of the cerebellum."""
    lobes = [frame.ball((side * 21, 34, -13), (14, 13, 8)) for side in SIDES.values()]
    return union(*lobes, frame.rod((-19, 26, -13), (19, 26, -13), 6), width=6.0)


def falx(frame: Frame) -> Shape:
    """Return the falx: a sheet in the midline above the corpus callosum, not yet cut to the skull."""
    sheet = Box(frame.at(0, 0, 60), (0.8, 130.0, 130.0))
    free_edge = frame.ball((0, 10, 22), (60, 48, 33))
    return (sheet - free_edge) - posterior_fossa(frame).grown(1.0)


def tentorium(frame: Frame) -> Shape:
    """Return the tentorium: a sheet over the cerebellum with the notch for the brainstem, not yet cut to the skull."""
    fossa = posterior_fossa(frame)
    notch = frame.ball((0, 8, 4), (17, 25, 40))
    above = Box(frame.at(0, 40, 20), frame.at(80, 60, 26))
    return ((fossa.grown(1.7) - fossa) & above) - notch


def venous_sinuses(frame: Frame) -> Shape:
    """Return the sagittal, straight, transverse and sigmoid sinuses."""
    angles = np.deg2rad(np.linspace(-62.0, 118.0, 16))
    arc: list[Triple] = [(0.0, 2 + 79.5 * float(np.sin(a)), 36 + 58.5 * float(np.cos(a))) for a in angles]
    parts = [frame.path(arc, 1.8, 4.0), frame.path([(0, 34, 24), (0, 56, 16), (0, 71, 6)], 2.0, 2.6)]
    for side in SIDES.values():
        across = [(0, 71, 4), (20, 66, -2), (38, 56, -8), (49, 41, -15), (45, 30, -30), (33, 26, -38)]
        parts.append(frame.path(mirrored(across, side), 3.4, 3.8))
    return union(*parts)


def arteries(frame: Frame) -> Shape:
    """Return the carotids, the circle of Willis and its first branches."""
    parts: list[Shape] = [frame.path([(0, 3, -38), (0, -8, -16), (0, -10, 2)], 1.8, 1.5)]
    for side in SIDES.values():
        carotid = [(26, 2, -120), (24, -6, -40), (14, -10, -16), (11, -20, -6), (11, -17, 3)]
        parts.append(frame.path(mirrored(carotid, side), 2.8, 2.0))
        parts.append(frame.path(mirrored([(11, -17, 3), (24, -16, 6), (38, -14, 9), (40, 4, 20)], side), 1.5, 1.0))
        parts.append(frame.path(mirrored([(11, -17, 3), (2, -28, 10), (2, -40, 26), (2, -32, 42)], side), 1.2, 0.9))
        parts.append(frame.path(mirrored([(0, -10, 2), (14, 4, 4), (17, 22, 6), (14, 40, 12)], side), 1.2, 0.9))
    return union(*parts)


def pituitary(frame: Frame) -> Shape:
    """Return the pituitary gland with its stalk."""
    return frame.ball((0, -17, -8), (6.5, 5, 4)) | frame.rod((0, -17, -5), (0, -17, 3), 1.1)


def chiasm(frame: Frame) -> Shape:
    """Return the optic chiasm with the beginning of the tracts."""
    tracts = [frame.rod((side * 3, -19, 5), (side * 11, -9, 7), 2.0, 1.6) for side in SIDES.values()]
    return union(frame.ball((0, -21, 4.5), (7, 4.2, 2.6)), *tracts, width=1.5)


def cochlea(frame: Frame, side: float) -> Shape:
    """Return the cochlea of one side: its basal turn and apex, about 0.15 cm3."""
    x, y, z = frame.at(side * 22.5, 3, -17)
    return union(Torus((x, y, z), 2.4, 1.5), Ellipsoid((x, y, z + 1.4), (2.0, 2.0, 1.6)), width=1.0)


def auditory_canal(frame: Frame, side: float) -> Shape:
    """Return the internal auditory canal of one side."""
    return frame.rod((side * 9, 4, -16), (side * 18, 4, -17), 2.6)


def compartment(frame: Frame, inner: Shape, side: float, supratentorial: bool) -> Shape:
    """Return the space in which a lesion of one side, above or below the tentorium, may lie."""
    room = inner.grown(-1.0) - brainstem(frame).grown(2.0)
    if not supratentorial:
        return room & posterior_fossa(frame).grown(-0.5)
    midline = Box((side * 101.5, 0.0, 0.0), (100.0, 200.0, 200.0))
    return (room & midline) - posterior_fossa(frame).grown(2.0)
