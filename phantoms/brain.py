"""The brain: cerebrum with folded cortex, deep grey matter, ventricles, cerebellum, brainstem, meninges, vessels."""

from itertools import pairwise

import numpy as np

from phantoms.grid import Triple
from phantoms.noise import Noise
from phantoms.shapes import Below, Box, Ellipsoid, Shape, Torus, turned, union
from phantoms.skull import SIDES, Frame, cranium, mirrored, posterior_fossa


def brainstem(frame: Frame) -> Shape:
    """Return midbrain, pons and medulla."""
    return union(
        frame.rod((0, 12, 4), (0, 11, -3), 9.5, 10.5),
        *(frame.rod((side * 11, 7, 14), (side * 6, 2, -4), 6.0, 7.0) for side in SIDES.values()),
        frame.ball((0, 5, -14), (16, 12.5, 13)),
        frame.rod((0, 12, -24), (0, 18, -42), 8.5, 6.5),
        width=4.0,
        reach=40.0,
    )


def spinal_cord(frame: Frame) -> Shape:
    """Return the cord below the brainstem."""
    return frame.path([(0, 18, -42), (0, 25, -57), (0, 29, -140)], 6.5, 5.5)


def core(frame: Frame) -> Shape:
    """Return the unfolded middle of the cerebrum: corpus callosum, basal nuclei, diencephalon."""
    return frame.ball((0, 4, 24), (31, 38, 19))


def hollows(frame: Frame) -> Shape:
    """Return what the cerebrum leaves free inside the skull: the posterior fossa, the cisterns, the brainstem."""
    cisterns = union(
        frame.ball((0, 2, -10), (20, 22, 17)),
        frame.ball((0, -19, 3), (12, 10, 7)),
        quadrigeminal_cistern(frame),
        brainstem(frame).grown(2.0) & Below(frame.at(0, 0, 5), (0.0, 0.0, 1.0)),
        width=4.0,
    )
    return posterior_fossa(frame).grown(1.4) | cisterns


def quadrigeminal_cistern(frame: Frame) -> Shape:
    """Return the cistern between midbrain, vermis and splenium, with its wings around the midbrain."""
    return frame.ball((0, 28, 14), (12, 8, 9)) | frame.ball((0, 18, 6), (19, 10, 7))


def interhemispheric_fissure(frame: Frame, opening_mm: float) -> Shape:
    """Return the cleft between the hemispheres, `opening_mm` wide."""
    # Below the falx the gyri of both sides meet.
    wide = Box(frame.at(0, 0, 40), (opening_mm / 2, 120.0, 120.0)) - _free_edge(frame)
    return (wide | Box(frame.at(0, 0, 40), (opening_mm / 5, 120.0, 120.0))) - core(frame)


def _free_edge(frame: Frame) -> Shape:
    """Return the space about the corpus callosum that the falx leaves free."""
    return frame.ball((0, 10, 22), (60, 48, 33))


def sylvian_fissures(frame: Frame, opening_mm: float) -> Shape:
    """Return the Sylvian fissures with the clefts over the insulae, about `opening_mm` wide."""
    half = 0.45 * opening_mm + 0.5
    parts: list[Shape] = []
    for side in SIDES.values():
        mouth, outer = frame.at(side * 55, -8, 14), frame.at(side * 48, -5, 17)
        cleft = Box(mouth, (40.0, 40.0, half)) & Ellipsoid(mouth, (17.0, 31.0, 14.0))
        parts.append(cleft.rotated(turned(1, side * 14.0) @ turned(0, 19.0), mouth))
        # The cleft over the insula is part of a shell about the lentiform nucleus.
        insula = frame.ball((side * 22, -5, 17), (19, 30, 20))
        shell = (insula.grown(half) - insula.grown(-half)) & Ellipsoid(outer, (14.0, 23.0, 15.0))
        parts.append(shell.rotated(turned(2, side * 9.0), outer))
    return union(*parts)


def central_sulci(frame: Frame, opening_mm: float, noise: Noise) -> Shape:
    """Return the central sulci, winding sheets from the vertex down and forwards, along the sensorimotor strips."""
    parts: list[Shape] = []
    for side in SIDES.values():
        # Drawn across x, where sheets can be bowed, away from the other side's; then turned across y and tilted.
        start: Triple = (0.0, side * 60.0, 0.0)
        sheet = Box(start, (0.3 * opening_mm + 0.1, 31.0, 34.0)).bowed(noise, 5.0)
        turned_in = sheet.moved((0.0, -side * 60.0, 0.0)).rotated(turned(0, -17.0) @ turned(2, 90.0 + side * 14.0))
        parts.append(turned_in.moved(frame.at(side * 37, 0, 66)) - cranium(frame).grown(-19.0))
    return union(*parts)


def deep_nuclei(frame: Frame) -> Shape:
    """Return caudate, putamen and thalamus of both sides."""
    parts: list[Shape] = []
    for side in SIDES.values():
        caudate = [(14, -22, 22), (16, -14, 30), (19, 2, 37), (23, 24, 33)]
        parts.append(frame.path(mirrored(caudate, side), 7.0, 2.0))
        lentiform = frame.at(side * 25, -3, 17)
        parts.append(Ellipsoid(lentiform, (6.5, 20.0, 12.0)).rotated(turned(2, -side * 14.0), lentiform))
        thalamus = frame.at(side * 11, 14, 20)
        parts.append(Ellipsoid(thalamus, (8.5, 15.0, 11.0)).rotated(turned(2, -side * 25.0), thalamus))
    return union(*parts)


def capsule_internal(frame: Frame) -> Shape:
    """Return the internal capsules, white matter between the deep nuclei."""
    return union(*(frame.path(mirrored([(19, -20, 28), (17, -2, 20), (22, 18, 24)], s), 3.0) for s in SIDES.values()))


def corpus_callosum(frame: Frame) -> Shape:
    """Return the corpus callosum between the hemispheres: an arch over the lateral ventricles."""
    arch = [(-12, 24, 2.4), (-24, 20, 3.0), (-31, 26, 4.6), (-28, 35, 4.6), (-14, 42, 3.4), (4, 44, 3.0), (20, 42, 2.8)]
    arch += [(33, 36, 3.6), (39, 28, 4.8)]
    parts: list[Shape] = []
    for (y0, z0, r0), (y1, z1, r1) in pairwise(arch):
        parts += [frame.rod((x, y0, z0), (x, y1, z1), r0, r1) for x in (-10.0, -3.5, 3.5, 10.0)]
    return union(*parts, width=2.0)


def fornix(frame: Frame) -> Shape:
    """Return the fornix, which hangs below the corpus callosum, with the septum between the lateral ventricles."""
    body = frame.path([(0, -12, 16), (0, -14, 25), (0, -4, 33), (0, 10, 36), (0, 24, 36), (0, 34, 31)], 2.2, 1.8)
    return body | Ellipsoid(frame.at(0, -6, 34), (0.6, 22.0, 8.0))


def hippocampus(frame: Frame, side: float) -> Shape:
    """Return the hippocampus of one side."""
    return frame.path(mirrored([(26, -8, -6), (29, 6, -2), (28, 18, 4), (22, 28, 13)], side), 5.2, 3.0)


def ventricles(frame: Frame, dilation: float) -> Shape:
    """Return the lateral, third and fourth ventricles with the aqueduct; `dilation` scales their width."""
    parts: list[Shape] = []
    wide = dilation
    for side in SIDES.values():
        front, body, atrium = (frame.at(side * x, y, z) for x, y, z in ((5.5, -18, 30), (7.5, 6, 36.5), (23, 36, 26)))
        parts.append(Ellipsoid(front, (4.0 * wide, 17.0, 10.0)).rotated(turned(2, side * 15.0), front))
        parts.append(Ellipsoid(body, (7.5 * wide, 27.0, 4.8 * wide)).rotated(turned(1, side * 16.0), body))
        parts.append(Ellipsoid(atrium, (5.4 * wide, 9.0, 11.0)).rotated(turned(2, -side * 20.0), atrium))
        bend = [(6, -12, 33), (9, 12, 37), (16, 26, 36), (23, 36, 30)]
        parts.append(frame.path(mirrored(bend, side), 3.6 * wide, 5.6 * wide))
        parts.append(frame.path(mirrored([(25, 42, 24), (26, 54, 21), (23, 64, 19)], side), 4.0 * wide, 1.2))
        temporal = [(26, 36, 22), (33, 24, 8), (34, 8, -1), (32, -6, -7)]
        parts.append(frame.path(mirrored(temporal, side), 3.6 * wide, 1.7 * wide))
    parts.append(frame.ball((0, 6, 21), (2.2 * dilation, 14.0, 8.5)) - frame.ball((0, 8, 23), (6, 3.5, 3)))
    parts.append(frame.path([(0, 18, 14), (0, 21, 0)], 1.3))
    parts.append(frame.ball((0, 21, -13), (6.5 * dilation, 4.0, 9.5)))
    return union(*parts, width=3.0)


def choroid_plexus(frame: Frame) -> Shape:
    """Return the choroid plexus of the atria."""
    return union(*(frame.path(mirrored([(14, 24, 36), (23, 37, 26), (30, 30, 15)], s), 2.0) for s in SIDES.values()))


def cerebellum(frame: Frame) -> Shape:
    """Return the cerebellar surface without its folia."""
    before, below = frame.ball((0, 4, -14), (24, 17, 24)), frame.ball((0, 24, -40), (9, 14, 9))
    cistern = union(before, below, quadrigeminal_cistern(frame), width=5.0)
    body = posterior_fossa(frame).grown(-1.0) - cistern
    peduncles = [frame.rod((side * 9, 10, -13), (side * 19, 28, -14), 8) for side in SIDES.values()]
    whole = union(body, *peduncles, width=3.0)
    return whole - frame.ball((0, 72, -34), (2.4, 10, 20))


def medullary_core(frame: Frame) -> Shape:
    """Return the white matter of the cerebellum without its branches."""
    lobes = [frame.ball((side * 23, 34, -13), (19, 16, 10)) for side in SIDES.values()]
    return union(*lobes, frame.rod((-19, 26, -13), (19, 26, -13), 5), width=6.0)


def folia(
    frame: Frame, mesh: tuple[np.ndarray, np.ndarray, np.ndarray], bend: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far round the cerebellum a point lies, and how much this grows per mm: folia are sheets of one value.

    They fan out from the peduncles about a transverse axis, as a sagittal section shows, and turn outwards, so that
    level sections cut them too. Sheets 30 mm from the axis are as far apart as this says.

    Parameters
    ----------
    frame : Frame
    mesh : tuple of 3 ndarray
        Coordinates, an open mesh, mm.
    bend : ndarray
        What the sheets are bent by, mm.
    """
    _, y0, z0 = frame.at(0, 22, -13)
    x, y, z = mesh
    back, up = y - y0, z - z0
    square = back * back + up * up
    along = 30.0 * np.arctan2(up, back) + 1.1 * np.sqrt(square + 0.9 * x * x) + bend
    return along, np.sqrt(1.2 + 900.0 / np.maximum(square, 16.0))


def falx(frame: Frame) -> Shape:
    """Return the falx: a sheet in the midline above the corpus callosum, not yet cut to the skull."""
    sheet = Box(frame.at(0, 0, 60), (0.45, 130.0, 130.0))
    return (sheet - _free_edge(frame)) - posterior_fossa(frame).grown(1.0)


def tentorium(frame: Frame) -> Shape:
    """Return the tentorium: a sheet over the cerebellum with the notch for the brainstem, not yet cut to the skull."""
    fossa = posterior_fossa(frame)
    notch = frame.ball((0, 8, 4), (17, 25, 40))
    above = Box(frame.at(0, 40, 16), frame.at(80, 60, 30))
    return ((fossa.grown(1.1) - fossa.grown(0.3)) & above) - notch


def venous_sinuses(frame: Frame) -> Shape:
    """Return the sagittal, straight, transverse and sigmoid sinuses."""
    angles = np.deg2rad(np.linspace(-62.0, 118.0, 16))
    arc: list[Triple] = [(0.0, 2 + 79.5 * float(np.sin(a)), 36 + 58.5 * float(np.cos(a))) for a in angles]
    parts = [frame.path(arc, 1.0, 2.6), frame.vessel([(0, 33, 25), (0, 46, 17), (0, 60, 7), (0, 71, -2)], 1.2, 2.0)]
    for side in SIDES.values():
        across = [(0, 71, -3), (20, 66, -7), (38, 55, -10), (46.5, 41, -14), (44, 31, -27), (32, 26, -37)]
        # The right one drains most of the brain in most heads.
        parts.append(frame.vessel(mirrored(across, side), 2.3 - 0.5 * side, 2.6 - 0.5 * side))
    return union(*parts)


def arteries(frame: Frame) -> Shape:
    """Return the carotids, the circle of Willis and its branches: thin tubes that wind in and out of any section."""
    basilar = [(1, 3, -38), (-1, -6, -24), (1, -8, -14), (0, -9, -4), (0, -10, 2)]
    parts: list[Shape] = [frame.vessel(basilar, 1.5, 1.2)]
    carotid = [(27, 4, -120), (25, -3, -84), (26, -7, -56), (24, -6, -40), (17, -8, -24), (14, -8, -15), (11, -18, -10)]
    carotid += [(12, -22, -4), (10, -16, -1), (11, -17, 3)]
    middle = [(11, -17, 3), (18, -17, 6), (26, -15, 4), (34, -13, 8), (39, -6, 14), (42, 4, 17), (46, 14, 25)]
    over_insula = [(34, -13, 8), (39, -14, 15), (43, -11, 23), (47, -15, 30)]
    back = [(0, -10, 2), (8, -6, 3), (15, 4, 5), (18, 16, 3), (16, 28, 9), (12, 40, 10), (14, 52, 15)]
    for side in SIDES.values():
        parts.append(frame.vessel(mirrored(carotid, side), 2.3, 1.6))
        parts.append(frame.vessel(mirrored(middle, side), 1.2, 0.5))
        parts.append(frame.vessel(mirrored(over_insula, side), 0.8, 0.4))
        parts.append(frame.vessel(mirrored(back, side), 0.9, 0.4))
        # Both run in the cleft between the hemispheres, now nearer to its middle, now farther off.
        off = 0.6 * side
        anterior = [
            (11, -17, 3),
            (4, -23, 7),
            (1 + off, -30, 9),
            (3 + off, -37, 15),
            (1.2, -41, 24),
            (3 - off, -38, 34),
        ]
        parts.append(
            frame.vessel(mirrored([*anterior, (1, -28, 43), (3 + off, -12, 48), (1.5, 6, 51)], side), 0.8, 0.25)
        )
        marginal = [(3 + off, -37, 15), (2, -48, 24), (4, -53, 38), (2 - off, -46, 54), (4, -32, 64), (3, -16, 68)]
        parts.append(frame.vessel(mirrored(marginal, side), 0.6, 0.3))
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
    return frame.rod((side * 10, 4, -16), (side * 18, 4, -17), 2.1)


def eloquent_areas(frame: Frame) -> dict[str, Shape]:
    """Return the eloquent areas of Sawaya 1998 by name; speech on the left, places those of an average brain."""
    strip = [(5, 8, 90), (30, 4, 80), (50, -2, 60), (60, -8, 36)]
    return {
        "sensorimotor": union(*(frame.path(mirrored(strip, side), 8.0) for side in SIDES.values())),
        "speech": frame.ball((54, -38, 24), (12, 12, 11)) | frame.ball((57, 28, 26), (12, 15, 11)),
        "visual": union(*(frame.ball((side * 9, 68, 18), (9, 14, 12)) for side in SIDES.values())),
        "deep nuclei": deep_nuclei(frame) | capsule_internal(frame),
        "brainstem": brainstem(frame),
        "dentate": union(*(frame.ball((side * 14, 32, -14), (4.5, 7, 4)) for side in SIDES.values())),
    }


def compartment(frame: Frame, inner: Shape, side: float, supratentorial: bool) -> Shape:
    """Return the space in which a lesion of one side, above or below the tentorium, may lie."""
    room = inner.grown(-1.0) - brainstem(frame).grown(2.0)
    if not supratentorial:
        return room & posterior_fossa(frame).grown(-0.5)
    midline = Box((side * 101.5, 0.0, 0.0), (100.0, 200.0, 200.0))
    return (room & midline) - posterior_fossa(frame).grown(2.0)
