"""The outside of the head: skin, fat, muscle, bones, air spaces, eyes and neck, as shapes in a patient's own frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phantoms.grid import Triple
from phantoms.shapes import Below, Box, Capsule, Ellipsoid, Shape, Torus, union

SIDES = {"left": 1.0, "right": -1.0}


@dataclass(frozen=True)
class Frame:
    """Scale of one patient's head against the template; the template's figures are mm of an average adult.

    Attributes
    ----------
    scale : tuple of 3 float
        Factors along x (breadth), y (length), z (height).
    """

    scale: Triple

    def at(self, x: float, y: float, z: float) -> Triple:
        """Return a point (or a size along each axis) of the template in this head."""
        a, b, c = self.scale
        return x * a, y * b, z * c

    def ball(self, centre: Triple, radii: Triple) -> Ellipsoid:
        """Return an ellipsoid given in the template."""
        return Ellipsoid(self.at(*centre), self.at(*radii))

    def rod(self, start: Triple, end: Triple, radius: float, end_radius: float | None = None) -> Capsule:
        """Return a capsule between two points of the template; its radius is not scaled."""
        return Capsule(self.at(*start), self.at(*end), radius, end_radius)

    def path(self, points: Sequence[Triple], radius: float, end_radius: float | None = None) -> Shape:
        """Return a tube through points of the template, tapering from `radius` to `end_radius`."""
        radii = np.linspace(radius, radius if end_radius is None else end_radius, len(points))
        rods = [
            self.rod(points[n], points[n + 1], float(radii[n]), float(radii[n + 1])) for n in range(len(points) - 1)
        ]
        return union(*rods)

    def vessel(self, points: Sequence[Triple], radius: float, end_radius: float) -> Shape:
        """Return a tube that runs smoothly through points of the template (Catmull-Rom) and tapers."""
        return self.path(smooth(points), radius, end_radius)


def smooth(points: Sequence[Triple]) -> list[Triple]:
    """Return points on the Catmull-Rom curve through points, four to each piece; at its ends it is straight."""
    p = np.asarray(points, float)
    p = np.concatenate([2.0 * p[:1] - p[1:2], p, 2.0 * p[-1:] - p[-2:-1]])
    t = (np.arange(4) / 4.0)[:, None]
    curve = [points[0]]
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        piece = b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
        curve += [(float(x), float(y), float(z)) for x, y, z in piece[1:]]
        curve.append((float(c[0]), float(c[1]), float(c[2])))
    return curve


def mirrored(points: Sequence[Triple], side: float) -> list[Triple]:
    """Return points of the left (+x) half on the side asked for."""
    return [(side * x, y, z) for x, y, z in points]


def cranium(frame: Frame) -> Ellipsoid:
    """Return the calvaria's inner surface, as one ellipsoid."""
    return frame.ball((0, 2, 36), (66, 82, 61))


def occiput(frame: Frame) -> Ellipsoid:
    """Return the bony bowl of the posterior fossa, as one ellipsoid."""
    return frame.ball((0, 37, -10), (50, 35, 31))


def posterior_fossa(frame: Frame) -> Shape:
    """Return the inside of the posterior fossa up to the tentorium, which falls off from a ridge in the midline."""
    roof = [Below(frame.at(0, 44, 18), (side * 0.36, 0.55, 0.75)) for side in SIDES.values()]
    return occiput(frame).eased(roof[0].eased(roof[1], 12.0), 5.0)


def vault(frame: Frame) -> Shape:
    """Return the inner surface of the skull: calvaria, middle and posterior fossae, with the foramen magnum."""
    floor = Below(frame.at(0, 10, -9), (0.0, -0.28, -1.0))
    upper = cranium(frame) & floor
    middle = [frame.ball((side * 38, -14, 4), (25, 33, 25)) for side in SIDES.values()]
    clivus = frame.rod((0, 6, 6), (0, 17, -36), 19, 15)
    return union(upper, *middle, occiput(frame), clivus, width=7.0)


def spinal_canal(frame: Frame) -> Shape:
    """Return the dural sac from the foramen magnum down."""
    return frame.path([(0, 18, -34), (0, 25, -56), (0, 29, -140)], 13, 8)


def skin(frame: Frame, over_mm: float) -> Shape:
    """Return the outer surface of the head and neck, `over_mm` outside the calvaria's inner surface."""
    head = cranium(frame).grown(over_mm)
    face = frame.ball((0, -44, -34), (57, 53, 66))
    jaw = frame.ball((0, -58, -84), (40, 34, 27))
    neck = frame.ball((0, 14, -110), (56, 54, 100))
    sides: list[Shape] = [frame.ball((side * 59, -19, 6), (17, 37, 42)) for side in SIDES.values()]
    sides += [mastoid(frame, side).grown(6.0) for side in SIDES.values()]
    body = union(head, face, jaw, neck, occiput(frame).grown(over_mm), *sides, width=22.0)
    nose = frame.path([(0, -88, 0), (0, -102, -30), (0, -97, -40)], 6, 10)
    lips = frame.ball((0, -92, -60), (20, 9, 11))
    ears = [_auricle(frame, side, 3.4, 1.0) for side in SIDES.values()]
    brow = frame.ball((0, -78, 8), (46, 14, 10))
    temples = frame.ball((0, -22, -13), (72, 61, 33))
    lids = [frame.ball((side * 32, -77.5, -7), (16, 15.5, 15)) for side in SIDES.values()]
    return union(union(body, temples, nose, lips, brow, *lids, width=10.0), *ears, width=5.0)


def _auricle(frame: Frame, side: float, thick_mm: float, size: float) -> Shape:
    """Return the outer ear of one side, a plate that stands off backwards."""
    x, y, z = frame.at(side * 77.5, 15, -8)
    turn = np.deg2rad(side * 14.0)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    rim = Ellipsoid((x, y, z), (thick_mm, 17.0 * size, 29.0 * size))
    return (rim - Ellipsoid((x + side * 5.0, y - 3.0, z + 2.0), (5.5, 10.0, 18.0))).rotated(matrix, (x, y, z))


def deep_face(frame: Frame) -> Shape:
    """Return the soft tissue between face, skull base and neck, mostly muscle."""
    face = frame.ball((0, -40, -40), (50, 46, 52))
    jaw = frame.ball((0, -54, -82), (34, 28, 24))
    return union(face, jaw, frame.ball((0, 14, -110), (48, 46, 92)), width=15.0)


def muscles(frame: Frame, side: float) -> list[Shape]:
    """Return temporalis, masseter, sternomastoid and the posterior neck on one side."""
    temporalis = frame.ball((side * 66, -21, 6), (13.5, 34, 42))
    return [
        temporalis | frame.path([(side * 62, -30, -8), (side * 50, -36, -44)], 9, 6),
        frame.ball((side * 54, -34, -62), (9, 18, 30)),
        frame.path([(side * 60, 22, -40), (side * 46, 4, -140)], 11, 13),
        frame.ball((side * 17, 60, -86), (13, 22, 58)),
        frame.ball((side * 38, 48, -84), (11, 22, 56)),
        frame.ball((side * 28, -24, -50), (8, 17, 24)),
        frame.ball((side * 36, -22, -34), (13, 18, 9)),
        frame.path([(side * 14, 2, -44), (side * 14, 0, -140)], 7, 8),
    ]


def glands(frame: Frame, side: float) -> list[Shape]:
    """Return the parotid and the submandibular gland of one side."""
    return [frame.ball((side * 60, -8, -52), (9, 14, 22)), frame.ball((side * 33, -44, -94), (9, 14, 9))]


def jugular_veins(frame: Frame) -> Shape:
    """Return the internal jugular veins, from the jugular foramen down beside the carotids."""
    course = [(31, 23, -38), (33, 15, -50), (36, 7, -64), (37, 2, -84), (36, -4, -108), (38, -14, -140)]
    # The right one is the wider one in most.
    return union(*(frame.vessel(mirrored(course, side), 3.2 - 0.6 * side, 5.0 - 0.8 * side) for side in SIDES.values()))


def tongue(frame: Frame) -> Shape:
    """Return the tongue and the floor of the mouth."""
    return frame.ball((0, -52, -74), (22, 32, 22))


def mandible(frame: Frame) -> Shape:
    """Return the lower jaw."""
    arch = [(0, -86, -90), (20, -79, -91), (38, -52, -84), (47, -26, -66), (50, -16, -34)]
    return union(*(frame.path(mirrored(arch, side), 7.0, 5.0) for side in SIDES.values()), width=3.0)


def face_bones(frame: Frame) -> Shape:
    """Return maxilla, palate, zygomata, orbital walls and nasal bones."""
    parts: list[Shape] = [
        frame.ball((0, -66, -46), (33, 26, 13)),
        frame.ball((0, -84, 10), (42, 10, 9)),
        frame.path([(0, -87, 2), (0, -95, -18)], 3.5, 2.0),
    ]
    for side in SIDES.values():
        zygoma = [(44, -76, -14), (54, -66, -24), (65, -40, -20), (68, -14, -18)]
        parts.append(frame.path(mirrored(zygoma, side), 6.0, 3.5))
        parts.append(frame.ball((side * 27, -62, -34), (16, 19, 19)))
        parts.append(orbit(frame, side).grown(2.5))
    return union(*parts, width=3.0)


def skull_base(frame: Frame) -> Shape:
    """Return clivus, petrous and mastoid bones, and the sphenoid."""
    parts: list[Shape] = [frame.rod((0, -22, -12), (0, 4, -40), 13, 9), frame.ball((0, -56, -6), (13, 28, 14))]
    for side in SIDES.values():
        parts.append(frame.rod((side * 16, -2, -18), (side * 58, 18, -16), 9, 13))
        parts.append(frame.ball((side * 58, 26, -26), (12, 16, 21)))
    return union(*parts, width=4.0)


def vertebrae(frame: Frame) -> tuple[Shape, Shape]:
    """Return the cervical vertebral bodies with arches, and their marrow."""
    bodies = [Box(frame.at(0, 11, -60 - 18 * n), (12.0, 8.5, 7.4), 3.0) for n in range(4)]
    arches = [Torus(frame.at(0, 27, -60 - 18 * n), 14.0, 3.4) for n in range(4)]
    spines = [frame.rod((0, 40, -62 - 18 * n), (0, 54, -67 - 18 * n), 4, 3) for n in range(4)]
    inner = [*(body.grown(-1.1) for body in bodies), *(part.grown(-1.4) for part in (*arches, *spines))]
    return union(*bodies, *arches, *spines, width=2.0), union(*inner)


def discs(frame: Frame) -> Shape:
    """Return the cervical discs."""
    return union(*(Box(frame.at(0, 11, -69 - 18 * n), (11.0, 7.6, 1.8), 1.5) for n in range(3)))


def teeth(frame: Frame) -> Shape:
    """Return both rows of teeth."""
    front = Below(frame.at(0, -58, 0), (0.0, 1.0, 0.0))
    rows = [Torus(frame.at(0, -64, height), 20.0, 4.2) for height in (-60.0, -69.0)]
    return union(*rows) & front


def sinuses(frame: Frame) -> Shape:
    """Return the air of the paranasal sinuses."""
    parts: list[Shape] = []
    for side in SIDES.values():
        antrum = frame.ball((side * 27, -63, -33), (14, 16, 17))
        parts.append(antrum.eased(Below(frame.at(side * 31, -62, -33), (side * 0.8, 0.6, -0.3)), 6.0))
        parts.append(frame.ball((side * 9, -83.5, 12), (8, 3.5, 8)))
        parts.append(frame.ball((side * 8, -29, -10), (8, 10, 8)))
    return union(*parts)


def ethmoid(frame: Frame) -> Shape:
    """Return the region of the ethmoid air cells, between the orbits."""
    return union(*(Box(frame.at(side * 7.5, -58, -4), (6.0, 20.0, 9.0), 4.0) for side in SIDES.values()))


def airways(frame: Frame) -> Shape:
    """Return the air of nose, pharynx and ear canals."""
    nose = [frame.ball((side * 6.5, -61, -30), (4.6, 37, 19)) for side in SIDES.values()]
    pharynx = frame.path([(-4, -32, -34), (-4, -19, -48), (-4, -15, -140)], 6, 5)
    pharynx |= frame.path([(4, -32, -34), (4, -19, -48), (4, -15, -140)], 6, 5)
    ears = [frame.rod((side * 75, 12, -11), (side * 57, 9, -13), 2.6, 2.2) for side in SIDES.values()]
    mouth = frame.ball((0, -62, -51.5), (18, 24, 2.0))
    return union(*nose, pharynx, *ears, mouth)


def turbinates(frame: Frame) -> Shape:
    """Return the nasal conchae, covered by mucosa."""
    parts: list[Shape] = []
    for side in SIDES.values():
        for height, radius, front in ((-39.0, 4.2, -84.0), (-28.0, 3.8, -76.0), (-19.0, 2.6, -66.0)):
            parts.append(
                frame.path(mirrored([(7, front, height), (8.2, -58, height + 2), (7, -40, height)], side), radius)
            )
    return union(*parts)


def septum(frame: Frame) -> Shape:
    """Return the nasal septum."""
    return frame.ball((0, -64, -29), (1.3, 34, 19))


def cartilage(frame: Frame) -> Shape:
    """Return the cartilage of the ears and the tip of the nose."""
    ears = [_auricle(frame, side, 1.2, 0.86) for side in SIDES.values()]
    return union(*ears, frame.path([(0, -92, -12), (0, -101, -31)], 2.5, 5.0))


def mastoid(frame: Frame, side: float) -> Shape:
    """Return the region of the mastoid air cells on one side."""
    return frame.ball((side * 58, 26, -24), (8.5, 13, 16))


def orbit(frame: Frame, side: float) -> Shape:
    """Return the orbit, a cone filled with fat."""
    return frame.rod((side * 32, -76, -7), (side * 13, -34, -2), 16.5, 3.0)


@dataclass(frozen=True)
class Eye:
    """The eye of one side with its nerve and muscles, shapes in the patient's frame."""

    globe: Shape
    vitreous: Shape
    lens: Shape
    nerve: Shape
    muscles: Shape


def globe_centre(frame: Frame, side: float) -> Triple:
    """Return the middle of the eye of one side, mm."""
    return frame.at(side * 32, -78, -7)


def eye(frame: Frame, side: float, radius_mm: float) -> Eye:
    """Return the eye of one side; `radius_mm` is that of the globe (about 12 mm in adults)."""
    x, y, z = globe_centre(frame, side)
    globe = Ellipsoid((x, y, z), (radius_mm, radius_mm, radius_mm))
    lens = Ellipsoid((x, y - 0.68 * radius_mm, z), (4.6, 2.2, 4.6))
    nerve = frame.path(mirrored([(31, -66, -7), (25, -52, -4), (15, -36, 0), (5, -24, 4.5)], side), 2.4, 2.1)
    recti = []
    for dx, dz in ((9.5, 0.0), (-9.5, 0.0), (0.0, 9.5), (0.0, -9.5)):
        recti.append(Capsule((x + dx, y + 5.0, z + dz), frame.at(side * 14, -38, -2), 2.0, 1.2))
    return Eye(globe, globe.grown(-1.0), lens, nerve, union(*recti))
