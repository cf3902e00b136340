"""An anatomical head: sizes drawn for a patient, painted tissue by tissue, with the structures a planner needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phantoms import brain, cortex, skull
from phantoms.canvas import Canvas
from phantoms.cited import Cited
from phantoms.grid import Grid
from phantoms.noise import Noise
from phantoms.pose import Placement, Pose
from phantoms.shapes import Shape, covered, occupancy, sampled, window_of
from phantoms.skull import SIDES, Frame
from phantoms.structure import Role, Structure
from phantoms.tissue import BONE, TISSUES
from phantoms.volume import Quantity, Volume

# The field of view, mm: a head with a little air around it, the neck cut at the lower border.
FIELD_OF_VIEW_MM = ((-92.0, -122.0, -116.0), (92.0, 104.0, 120.0))

SIZE = Cited(0.981, "so that 1370 cc lie within the skull: 1469 of men, 1289 of women, Matsumae 1996", "fitted")
SIZE_SIGMA = Cited(0.018, "with proportions 6 % of volume (Matsumae 1996: 8 %), as the field of view ends", "assumed")
DILATION = Cited(
    1.045, "ventricles of 30 cc at 60: 25 cc in the forties (Neurosci Lett 2006; 395:155), 0.3 cc a year more", "fitted"
)
DILATION_SIGMA = Cited(0.22, "two thirds of ventricles between 20 and 43 cc; spread recalled", "assumed")
SKIN_MM = Cited(1.6, "thickness of the skin over the fat of the scalp; recalled", "assumed")
DURA_MM = Cited(0.7, "thickness of the dura, less than 1 mm; recalled", "assumed")
FOLIUM_MM = Cited(4.2, "folia of the cerebellum are a few mm apart; a lobule has four of them", "assumed")
VAULT_MM = Cited(0.7, "impressions of gyri and asymmetry of the inner table", "assumed")
MUSCLE_FAT_MM = Cited(1.3, "half of the fat between muscles of face and neck", "assumed")
GALEA_MM = Cited(1.4, "galea with periosteum: dark layer over the skull in VS-SEG-001", "assumed")
LAYER_MM = Cited(3.8, "depth of a dark layer in the scalp: minimum of the mean profile in VS-SEG-001", "fitted")
TABLES_MM = Cited(1.4, "each compact table of the calvaria about 1.5 mm; recalled", "assumed")
MIDLINE_MM = Cited(1.3, "how far the falx strays from the plane of symmetry", "assumed")
SUNK_MM = Cited(1.2, "brain from the skull at the vertex, beyond the usual: wide in VS-SEG-001", "assumed")
TEXTURE = Cited(0.033, "what the noise of air leaves of the variation of white matter in VS-SEG-001", "fitted")
TEXTURE_KNOT_MM = Cited(1.3, "small vessels and perivascular spaces; variogram of the same white matter", "fitted")
BONES_MM = Cited(1.1, "how far bones of face and skull base stray from their smooth forms", "assumed")
UNEVEN = Cited(0.12, "relative deviation of the calvaria's thickness over several cm", "assumed")
SQUAMA = Cited(0.4, "temporal squama thinner than the rest by this share, without diploe; recalled", "assumed")
_PAIRED = ("eye", "lens", "optic_nerve", "hippocampus", "cochlea")
_SINGLE = ("intracranial", "skull", "brain", "cerebellum", "brainstem", "ventricles", "chiasm", "falx", "tentorium")
STRUCTURES = {"external": Role.EXTERNAL} | dict.fromkeys(
    (*_SINGLE, *(f"{name}_{side}" for name in _PAIRED for side in SIDES)), Role.ORGAN
)
STRUCTURES |= dict.fromkeys(("dura", "venous_sinuses"), Role.SUPPORT)
"""Names and roles of what is painted."""
_WHITE_SHARE = {"white": 1.0}
_BONE_SHARE = dict.fromkeys(BONE, 1.0)


@dataclass(frozen=True, eq=False)
class Head:
    """Sizes of one patient's head and the noises that shape it.

    Attributes
    ----------
    frame : Frame
    skull_mm : float
        Thickness of the calvaria; adults 6-8 mm (Lillie 2016: frontal 7.0, parietal 7.2, occipital 8.0).
    scalp_mm : float
        Thickness of skin and fat over it; 4-7 mm (Oltulu 2022).
    csf_mm : float
        Width of the subarachnoid space; grows with atrophy.
    dilation : float
        Width of the ventricles against the average.
    globe_mm : float
        Radius of the eye, 11-12.5 mm in adults.
    folds, coarse, fine : Noise
        The pattern of sulci; surface irregularity of several cm; of several mm.
    pose : Pose
        How it lies and strays from the template; all other shapes are those of the template.
    texture_seed : int
        Of how the signal varies within tissues.
    """

    frame: Frame
    skull_mm: float
    scalp_mm: float
    csf_mm: float
    dilation: float
    globe_mm: float
    folds: Noise
    coarse: Noise
    fine: Noise
    pose: Pose
    texture_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Head":
        """Draw a head: sizes and proportions vary by 2-3 %, wall thicknesses by 10 %, CSF spaces by 20 %."""
        sides = 0.025 * np.clip(rng.standard_normal(3), -1.6, 1.6)
        skull_mm, scalp_mm, csf_mm, dilation, globe = np.clip(rng.standard_normal(5), -2.0, 2.0)
        low, high = FIELD_OF_VIEW_MM
        folds = Noise.draw(rng, (-98.0,) * 3, (102.0,) * 3, cortex.FOLD_KNOT_MM.value).without_long_waves(1.6)
        coarse, fine = Noise.draw(rng, low, high, 17.0), Noise.draw(rng, low, high, 3.2)
        pose, texture_seed = Pose.draw(rng, low, high), int(rng.integers(2**63))
        wide, long, tall = SIZE.value + SIZE_SIGMA.value * float(np.clip(rng.standard_normal(), -1.4, 1.4)) + sides
        return cls(
            Frame((float(wide), float(long), float(tall))),
            float(6.8 * np.exp(0.10 * skull_mm)),
            float(5.6 * np.exp(0.15 * scalp_mm)),
            float(1.4 * np.exp(0.25 * csf_mm)),
            float(DILATION.value * np.exp(DILATION_SIGMA.value * dilation)),
            float(11.7 + 0.3 * globe),
            folds,
            coarse,
            fine,
            pose,
            texture_seed,
        )

    @cached_property
    def vault(self) -> Shape:
        """Inner surface of the skull, in the template."""
        return skull.vault(self.frame).roughened(self.coarse, VAULT_MM.value)

    @cached_property
    def external(self) -> Shape:
        """Outer surface of the head, in the template."""
        return skull.skin(self.frame, self.skull_mm + self.scalp_mm).roughened(self.coarse, 0.5)

    def texture(self, grid: Grid) -> np.ndarray:
        """Return how the signal varies within tissues, about 1, shape ``grid.shape``, float32.

        White matter varies by more than the noise of the air about a head: as much again, alike in all directions, and
        over about a millimetre.
        """
        noise = Noise.draw(np.random.default_rng(self.texture_seed), *FIELD_OF_VIEW_MM, TEXTURE_KNOT_MM.value)
        texture = sampled_noise(noise, grid)
        texture *= np.float32(TEXTURE.value)
        texture += np.float32(1.0)
        return texture


def field_of_view(spacing_mm: float) -> Grid:
    """Return the grid of a head at a spacing."""
    return Grid.covering(*FIELD_OF_VIEW_MM, spacing_mm)


@dataclass(frozen=True, eq=False)
class Background:
    """A painted head.

    Attributes
    ----------
    grid : Grid
    maps : mapping of str to ndarray, shape ``grid.shape``, float32
        ``density`` and the noise-free signals that were asked for.
    white : ndarray, shape ``grid.shape``, uint8
        Share of white matter, 0 to 255.
    structures : mapping of str to Structure
    """

    grid: Grid
    maps: Mapping[str, np.ndarray]
    white: np.ndarray
    structures: Mapping[str, Structure]


def painted(head: Head, grid: Grid, signals: Mapping[str, Mapping[str, float]]) -> Background:
    """Return a head painted on a grid: density, signals by tissue, and structures.

    Parameters
    ----------
    head : Head
    grid : Grid
    signals : mapping of str to (mapping of str to float)
        For each MR weighting, the signal of each tissue.
    """
    palettes = {
        "density": {name: tissue.density for name, tissue in TISSUES.items()},
        **signals,
        "bone": _BONE_SHARE,
        "white": _WHITE_SHARE,
    }
    upright = head.pose.upright(grid)
    painter = _Painter(head, Canvas(upright, palettes))
    painter.outside()
    painter.bones()
    painter.spaces()
    painter.eyes()
    painter.brain()
    painter.small_parts()
    placement = Placement(head.pose, upright, grid)
    placed = {name: placement.distance(part) for name, part in painter.kept.items()}
    structures = {name: _structure(name, part.grid, covered(part.data, part.grid)) for name, part in placed.items()}
    inner = placed["intracranial"]
    sheet = covered(inner.data, inner.grid) - covered(inner.data + np.float32(DURA_MM.value), inner.grid)
    structures["dura"] = _structure("dura", inner.grid, sheet)
    window = structures["external"].grid
    maps = {name: placement.carried(drawn, window) for name, drawn in painter.canvas.maps.items()}
    if signals:
        texture = head.texture(window)
    for name in signals:
        maps[name] *= texture
    structures["skull"] = _structure("skull", window, np.clip(maps.pop("bone"), 0.0, 1.0))
    white = np.rint(maps.pop("white") * np.float32(255.0)).astype(np.uint8)
    # Beyond the skin there is air.
    beyond = structures["external"].occupancy == 0.0
    for name, drawn in maps.items():
        air = palettes[name].get("air", 0.0)
        drawn[beyond] = air
        maps[name] = _within(grid, window, drawn, air)
    return Background(grid, maps, _within(grid, window, white, 0), structures)


class _Painter:
    """Paints a head on a canvas in the order of its layers and keeps the structures."""

    def __init__(self, head: Head, canvas: Canvas) -> None:
        self.head, self.canvas, self.grid, self.frame = head, canvas, canvas.grid, head.frame
        self.kept: dict[str, Volume] = {}
        self.coarse, self.fine = sampled_noise(head.coarse, canvas.grid), sampled_noise(head.fine, canvas.grid)
        self.vault = sampled(head.vault, canvas.grid)
        self.skin = sampled(head.external, canvas.grid)

    def keep(self, name: str, window: Grid, distance_mm: np.ndarray) -> None:
        """Keep a structure as its signed distance, which stays sharp when it is carried, where it is and about it."""
        near = distance_mm < max(window.spacing_mm)
        along = [np.flatnonzero(near.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        low = [max(int(found[0]) - 1, 0) for found in along]
        high = [min(int(found[-1]) + 2, n) for found, n in zip(along, window.shape, strict=True)]
        tight = window.window(low, high)
        self.kept[name] = Volume(tight, distance_mm[window.part(tight)], Quantity.DISTANCE)

    def draw(
        self, tissue: str, shape: Shape, name: str | None = None, within: np.ndarray | None = None
    ) -> tuple[Grid, np.ndarray]:
        """Paint a shape, cut to where the distance `within` (on the whole grid) is negative; keep it if named."""
        window = window_of(shape, self.grid)
        distance = sampled(shape, window)
        if within is not None:
            np.maximum(distance, within[self.grid.part(window)], out=distance)
        fraction = covered(distance, window)
        self.canvas.fill(tissue, fraction, window)
        if name is not None:
            self.keep(name, window, distance)
        return window, fraction

    def layer(self, tissue: str, distance_mm: np.ndarray, share: float = 1.0) -> np.ndarray:
        fraction = covered(distance_mm, self.grid)
        self.canvas.fill(tissue, fraction if share == 1.0 else fraction * np.float32(share))
        return fraction

    def _streaks(self, window: Grid, width_mm: float) -> np.ndarray:
        """Return the distance, mm, to wavy sheets a few mm apart, longest upwards."""
        x, y, z = (axis.astype(np.float32) for axis in window.axes_mm())
        waves = self.head.fine.at(0.8 * x[:, None, None], 0.8 * y[None, :, None], 0.3 * z[None, None, :])
        return np.float32(2.5) * np.abs(waves) - np.float32(width_mm)

    def _sheets(self, window: Grid, apart_mm: float, width_mm: float) -> np.ndarray:
        """Return the distance, mm, to sheets about ten times `apart_mm` apart that run down the neck."""
        x, y, z = (axis.astype(np.float32) for axis in window.axes_mm())
        waves = self.head.coarse.at(1.8 * x[:, None, None], 1.8 * y[None, :, None], 0.6 * z[None, None, :])
        return np.float32(apart_mm) * np.abs(waves) - np.float32(width_mm)

    def outside(self) -> None:
        """Skin, fat and muscle."""
        self.layer("skin", self.skin)
        self.keep("external", self.grid, self.skin)
        self.layer("fat", self.skin + np.float32(SKIN_MM.value))
        coarse = self.head.coarse
        deep = self.skin + np.float32(SKIN_MM.value + 2.5)
        self.layer("fascia", np.abs(self.skin + np.float32(LAYER_MM.value)) - np.float32(0.6), share=0.5)
        # Septa and small vessels of the subcutaneous fat.
        septa = np.float32(2.5) * np.abs(self.fine) - np.float32(0.8)
        self.layer("fascia", np.maximum(self.skin + np.float32(SKIN_MM.value), septa), share=0.25)
        window, face = self.draw("muscle", skull.deep_face(self.frame).roughened(coarse, 1.5), within=deep + 4.0)
        # Fat between the bellies of muscles.
        self.canvas.fill("fat", face * covered(self._sheets(window, 5.0, 1.0), window), window)
        self.canvas.fill("fat", 0.5 * face * covered(self._streaks(window, 0.7), window), window)
        for side in SIDES.values():
            for gland in skull.glands(self.frame, side):
                self.draw("gland", gland.roughened(coarse, 1.5), within=deep)
        for side in SIDES.values():
            for muscle in skull.muscles(self.frame, side):
                self._belly(muscle.roughened(coarse, 0.8), deep)
        window, tongue = self.draw("muscle", skull.tongue(self.frame).roughened(coarse, 1.0), within=deep)
        self.canvas.fill("fat", 0.6 * tongue * covered(self._streaks(window, 0.35), window), window)
        self.draw("skin", skull.cartilage(self.frame), within=self.skin)

    def _belly(self, muscle: Shape, within: np.ndarray) -> None:
        """Paint a muscle with the fat between it and its neighbours, and that between its bundles."""
        window = window_of(muscle.grown(MUSCLE_FAT_MM.value), self.grid)
        distance = sampled(muscle, window)
        inside = within[self.grid.part(window)]
        about = covered(np.maximum(distance - np.float32(MUSCLE_FAT_MM.value), inside), window)
        # Here there is none, as fasciae touch.
        about *= np.clip(0.4 + 0.7 * self.coarse[self.grid.part(window)], 0.0, 1.0)
        self.canvas.fill("fat", about, window)
        belly = covered(np.maximum(distance, inside), window)
        self.canvas.fill("muscle", belly, window)
        self.canvas.fill("fat", 0.5 * belly * covered(self._streaks(window, 0.3), window), window)

    def bones(self) -> None:
        """Calvaria with its two tables and diploe, skull base, face, jaw and cervical spine."""
        x, y, z = (axis.astype(np.float32) for axis in self.grid.axes_mm())
        self.slow = self.head.coarse.at(0.4 * x[:, None, None], 0.4 * y[None, :, None], 0.4 * z[None, None, :])
        side = np.clip((np.abs(x) - 40.0) / 16.0, 0.0, 1.0)[:, None, None]
        squama = side * np.exp(-(((z - 6.0) / 20.0) ** 2))[None, None, :]
        # So is the floor of the anterior and middle fossae.
        floor = np.clip((4.0 - z) / 14.0, 0.0, 1.0)[None, None, :] * np.clip((18.0 - y) / 16.0, 0.0, 1.0)[None, :, None]
        squama = np.maximum(squama, floor)
        thick = np.float32(UNEVEN.value) * self.slow
        thick += np.float32(0.06) * self.coarse
        thick -= np.float32(SQUAMA.value) * squama
        thick += 1.0
        thick *= np.float32(self.head.skull_mm)
        deep = self.skin + np.float32(3.5)
        outer = np.subtract(self.vault, thick, out=thick)
        np.maximum(outer, deep, out=outer)
        self.layer("fascia", np.maximum(outer - np.float32(GALEA_MM.value), deep - np.float32(1.0)), share=0.7)
        self.layer("cortical_bone", outer)
        self._diploe(outer, squama)
        for bone in (skull.skull_base(self.frame), skull.face_bones(self.frame), skull.mandible(self.frame)):
            uneven = bone.roughened(self.head.coarse, BONES_MM.value)
            self.draw("cortical_bone", uneven, within=deep)
            window, spongy = self.draw("marrow", uneven.grown(-1.8), within=deep + 2.0)
            trabeculae = np.clip(0.25 + 0.35 * self.fine[self.grid.part(window)], 0.0, 0.8)
            self.canvas.fill("cortical_bone", spongy * trabeculae, window)
        spine, bodies = skull.vertebrae(self.frame)
        self.draw("cortical_bone", spine)
        self.draw("marrow", bodies)
        self.draw("muscle", skull.discs(self.frame))
        self.draw("cortical_bone", skull.teeth(self.frame))

    def _diploe(self, outer: np.ndarray, squama: np.ndarray) -> None:
        """Spongy bone between the tables, less and darker in places, none in sutures and where the bone is thin."""
        near = np.nonzero((outer < max(self.grid.spacing_mm)) & (self.vault > -max(self.grid.spacing_mm)))
        slow, fine = self.slow[near], self.fine[near]
        # The tables are thickest where the bone is thinnest: there they leave no diploe.
        table = np.float32(TABLES_MM.value) * (1 + np.clip(0.15 * fine - 0.5 * slow, 0.0, 1.5)) + squama[near]
        share = covered(np.maximum(outer[near] + table, 0.8 * table - self.vault[near]), self.grid)
        share *= np.clip(self._sutures(near), 0.0, 1.0) * np.clip(0.5 + 0.3 * slow + 0.1 * fine, 0.1, 1.0)
        spongy = np.zeros(self.grid.shape, np.float32)
        spongy[near] = share
        self.canvas.fill("diploe", spongy)

    def _sutures(self, near: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return how far, mm, voxels are from the sagittal, coronal and lambdoid sutures."""
        x, y, z = (axis.astype(np.float32)[index] for axis, index in zip(self.grid.axes_mm(), near, strict=True))
        coronal = y + 0.25 * (z - 90.0) + 10.0
        lambdoid = 0.7 * y - 0.35 * np.abs(x) + 0.6 * (z - 75.0) - 34.0
        sagittal = np.where((coronal > 0.0) & (lambdoid < 0.0) & (z > 40.0), np.abs(x), 9.0)
        wavy = np.float32(1.5) * self.fine[near]
        apart = np.minimum(np.abs(coronal + wavy), np.abs(lambdoid + wavy))
        return np.minimum(apart, np.abs(sagittal + wavy)) - np.float32(0.4)

    def spaces(self) -> None:
        """Air with its mucosa, mastoid cells, and the CSF of skull and spinal canal."""
        air = skull.airways(self.frame).roughened(self.head.coarse, 0.8)
        cavities = skull.sinuses(self.frame).roughened(self.head.coarse, 1.8)
        self.draw("mucosa", air.grown(1.8) | cavities.grown(0.9), within=self.skin)
        self.draw("air", air | cavities)
        self.draw("mucosa", skull.turbinates(self.frame).roughened(self.head.fine, 0.5))
        self.draw("muscle", skull.septum(self.frame))
        for region in (skull.ethmoid(self.frame), *(skull.mastoid(self.frame, side) for side in SIDES.values())):
            window = window_of(region, self.grid)
            cells = np.clip(0.75 + 1.6 * self.fine[self.grid.part(window)], 0.0, 1.0)
            inside = occupancy(region, window)
            self.canvas.fill("mucosa", inside, window)
            self.canvas.fill("air", cells * inside, window)
        self.draw("dura", skull.spinal_canal(self.frame).grown(1.0))
        self.draw("csf", skull.spinal_canal(self.frame))
        self.layer("dura", self.vault)
        within = self.layer("csf", self.vault + np.float32(DURA_MM.value))
        # Veins and arteries of the pia: sheets, of which the brain that is painted next leaves lines in the sulci.
        window = window_of(self.head.vault, self.grid)
        x, y, z = (axis.astype(np.float32) for axis in window.axes_mm())
        sheets = np.abs(self.head.folds.at(-x[:, None, None], -y[None, :, None], z[None, None, :]))
        vessels = covered(np.float32(4.5) * sheets - np.float32(0.25), window) * within[self.grid.part(window)]
        vessels *= np.clip(0.4 + 0.8 * self.coarse[self.grid.part(window)], 0.0, 1.0)
        self.canvas.fill("venous", vessels, window)
        self.keep("intracranial", self.grid, self.vault)

    def eyes(self) -> None:
        """Orbital fat, eyes with lenses, muscles and optic nerves."""
        room = np.maximum(np.float32(3.0) - self.vault, self.skin + np.float32(SKIN_MM.value))
        self.skin = np.empty(0, np.float32)  # not used again, and 40 MB at 1 mm
        for name, side in SIDES.items():
            # A globe is of one size wherever the head is wider.
            globe_mm = self.head.globe_mm * self.head.pose.scale_at(skull.globe_centre(self.frame, side))
            eye = skull.eye(self.frame, side, globe_mm)
            self.draw("fat", skull.orbit(self.frame, side), within=room)
            self.draw("muscle", eye.muscles)
            self.draw("sclera", eye.globe, f"eye_{name}")
            self.draw("vitreous", eye.vitreous)
            self.draw("lens", eye.lens, f"lens_{name}")
            self.draw("nerve", eye.nerve - eye.globe, f"optic_nerve_{name}")

    def brain(self) -> None:
        """Cerebrum, deep nuclei, cerebellum, brainstem and ventricles."""
        frame, head = self.frame, self.head
        window = window_of(self.head.vault, self.grid)
        vault = self.vault[self.grid.part(window)]
        # The brain lies closer to the skull here than there, and has sunk from the vertex of a supine, ageing head.
        vertex = np.clip((window.axes_mm()[2].astype(np.float32) - 50.0) / 45.0, 0.0, 1.0)
        gap = np.float32(head.csf_mm) * (1.15 + 0.4 * self.slow[self.grid.part(window)])
        gap += vertex * np.float32(SUNK_MM.value)
        hull = np.maximum(vault + gap, -sampled(brain.hollows(frame), window))
        whole = hull
        opening = 0.5 + 0.45 * head.csf_mm
        clefts = brain.interhemispheric_fissure(frame, opening).bowed(head.coarse, MIDLINE_MM.value)
        clefts = clefts.roughened(head.coarse, 0.5)
        clefts |= brain.sylvian_fissures(frame, opening).roughened(head.coarse, 1.3)
        clefts |= brain.central_sulci(frame, opening, head.coarse)
        hull = np.maximum(hull, -sampled(clefts, window))
        core = sampled(brain.core(frame), window)
        # Here sulci are closed, there they are open, at the vertex most.
        width = np.tanh(self.coarse[self.grid.part(window)])
        width *= np.float32(cortex.OPENING.value)
        np.exp(width, out=width)
        width *= np.float32(0.46 + 0.38 * head.csf_mm) * (1.0 + vertex * np.float32(cortex.VERTEX.value))
        pial = cortex.pial_distance(hull, core, window, (head.folds, head.coarse), width)
        self.canvas.fill("grey", covered(pial, window), window)
        deep = np.clip(0.5 - (pial + np.float32(cortex.CORTEX_MM.value)) / np.float32(cortex.BLUR_MM.value), 0.0, 1.0)
        self.canvas.fill("white", deep, window)
        for name, side in SIDES.items():
            self.draw("deep_grey", brain.hippocampus(frame, side), f"hippocampus_{name}")
        self._cerebellum()
        self.draw("white", brain.brainstem(frame), "brainstem")
        at, nuclei = self.draw("deep_grey", brain.deep_nuclei(frame).roughened(head.coarse, 0.7))
        self.canvas.fill("white", 0.25 * nuclei, at)
        self.draw("white", brain.capsule_internal(frame))
        self.draw("white", brain.spinal_cord(frame))
        self.draw("white", brain.corpus_callosum(frame))
        self.draw("csf", brain.ventricles(frame, head.dilation), "ventricles")
        self.draw("white", brain.fornix(frame))
        at, plexus = self.draw("choroid", brain.choroid_plexus(frame).roughened(head.fine, 0.7))
        self.canvas.fill("csf", plexus * np.clip(0.3 + 0.4 * self.fine[self.grid.part(at)], 0.0, 0.8), at)
        for name in ("cerebellum", "brainstem", "ventricles"):
            np.minimum(whole, self.kept[name].on(window, outside=1e3).data, out=whole)
        self.keep("brain", window, whole)

    def _cerebellum(self) -> None:
        """Paint the cerebellum with its folia; it is kept with folia filled."""
        shape = brain.cerebellum(self.frame)
        window = window_of(shape, self.grid)
        distance = np.maximum(sampled(shape, window), self.vault[self.grid.part(window)] + np.float32(1.2))
        x, y, z = (axis.astype(np.float32) for axis in window.axes_mm())
        mesh = (x[:, None, None], y[None, :, None], z[None, None, :])
        bend = 3.5 * self.head.coarse.at(*mesh) + 0.8 * self.head.fine.at(*(0.4 * axis for axis in mesh))
        along, steep = brain.folia(self.frame, mesh, bend)
        leaves, lobules = (
            np.abs(np.mod(along, apart) - apart / 2) / steep for apart in (FOLIUM_MM.value, 4.0 * FOLIUM_MM.value)
        )
        fissure = np.maximum(lobules - 0.15, -9.0 - distance)
        self.canvas.fill("grey", covered(np.maximum(distance, -fissure), window), window)
        branches = np.maximum(2.0 * FOLIUM_MM.value / steep - 1.6 - lobules, distance + 4.0)
        self.canvas.fill("white", 0.85 * covered(branches, window), window)
        core = sampled(brain.medullary_core(self.frame), window) + 2.0 * self.coarse[self.grid.part(window)]
        self.canvas.fill("white", covered(np.maximum(core, distance + 3.0), window), window)
        # Folia and the clefts between them are finer than a voxel: they show as faint stripes.
        stripes = covered(np.maximum(leaves - 0.7, distance + 0.8), window)
        self.canvas.fill("csf", 0.24 * stripes * covered(-10.0 - distance, window), window)
        self.keep("cerebellum", window, distance)

    def small_parts(self) -> None:
        """Chiasm, cochleae, pituitary, meninges and vessels."""
        frame = self.frame
        for name, side in SIDES.items():
            self.draw("csf", brain.auditory_canal(frame, side))
            self.draw("csf", brain.cochlea(frame, side), f"cochlea_{name}")
        self.draw("nerve", brain.chiasm(frame), "chiasm")
        self.draw("mucosa", brain.pituitary(frame))
        falx = brain.falx(frame).bowed(self.head.coarse, MIDLINE_MM.value)
        # It enhances more than the dura of the vault, as veins run within.
        window, sheet = self.draw("dura", falx, "falx", within=self.vault)
        self.canvas.fill("venous", 0.2 * sheet, window)
        self.draw("dura", brain.tentorium(frame), "tentorium", within=self.vault + np.float32(0.3))
        sinuses = brain.venous_sinuses(frame)
        self.draw("venous", sinuses, "venous_sinuses", within=self.vault - np.float32(0.5))
        self.draw("vessel", brain.arteries(frame).roughened(self.head.coarse, 0.35))
        self.draw("venous", skull.jugular_veins(frame).roughened(self.head.coarse, 0.9))


def _structure(name: str, window: Grid, fraction: np.ndarray) -> Structure:
    return Structure(name, STRUCTURES[name], window, fraction).cropped()


def _within(grid: Grid, window: Grid, drawn: np.ndarray, outside: float) -> np.ndarray:
    """Return a volume of a window on the whole grid."""
    whole = np.full(grid.shape, outside, drawn.dtype)
    whole[grid.part(window)] = drawn
    return whole


def sampled_noise(noise: Noise, grid: Grid) -> np.ndarray:
    """Return a noise field, shape ``grid.shape``, float32, at the voxel centres."""
    x, y, z = (axis.astype(np.float32) for axis in grid.axes_mm())
    return noise.at(x[:, None, None], y[None, :, None], z[None, None, :])
