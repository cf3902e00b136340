"""CTV rules: barriers that are not crossed, the tract, strips along surfaces; plain margins where nothing is near."""

import numpy as np
import pytest
from ball_patients import ball
from oracles_planning import constant

from phantoms.grid import Grid
from phantoms.shapes import Box, Ellipsoid, occupancy
from phantoms.structure import Role, Structure
from planner import library
from planner.optimise.barriers import held_back
from planner.optimise.extension import TUMOUR_BEFORE, extended
from planner.optimise.margins import expand
from planner.optimise.prescribing import left_out, targets
from planner.treatment.errors import InputError
from planner.treatment.rules import Extension, MarginRule

GRID = Grid.covering((-40,) * 3, (40,) * 3, 1.0)
BARRIERS = [("skull", 22.0, 4.0), ("falx", 13.0, 1.6), ("tentorium", 13.3, 1.6)]


def rule(name):
    return library.load("margins", name, MarginRule)


def shape(name, body, role=Role.SUPPORT):
    return Structure(name, role, GRID, occupancy(body, GRID))


def cavity(radius=10.0, centre=(0.0, 0.0, 0.0)):
    return shape("cavity", Ellipsoid(centre, (radius,) * 3), Role.TARGET)


def sheet(name, x, thick):
    """A sheet at right angles to x."""
    return shape(name, Box((x, 0, 0), (thick / 2, 60, 60)))


def along_x():
    return np.broadcast_to(GRID.axes_mm()[0][:, None, None], GRID.shape)


@pytest.mark.parametrize("mm", [1.0, 3.0])
@pytest.mark.parametrize(("name", "x", "thick"), BARRIERS)
def test_a_margin_does_not_cross_a_barrier(name, x, thick, mm):
    source, wall = cavity(x - 0.5 * thick - 0.7), sheet(name, x, thick)
    free = expand(source, mm)
    held = held_back(free, source, [wall])
    beyond = along_x() > x + 0.5 * thick
    if mm > 0.7 + thick:
        assert free.on(GRID)[beyond].sum() > 1.0
    assert held.on(GRID)[beyond].max() == 0.0
    assert np.minimum(held.on(GRID), wall.occupancy)[source.on(GRID) == 0].max() < 0.5
    far = along_x() < x - 0.5 * thick - 2.0
    assert np.array_equal(held.on(GRID)[far], free.on(GRID)[far])


def test_an_oblique_sheet_is_no_sieve():
    x, y, z = np.meshgrid(*GRID.axes_mm(), indexing="ij")
    level = (x + 0.7 * y + 0.4 * z) / np.sqrt(1 + 0.49 + 0.16)
    wall = Structure("falx", Role.ORGAN, GRID, np.clip(0.5 - (np.abs(level - 12.0) - 0.8), 0, 1))
    source = cavity()
    held = held_back(expand(source, 8.0), source, [wall])
    assert expand(source, 8.0).on(GRID)[level > 13.5].sum() > 100
    assert held.on(GRID)[level > 14.0].max() == 0.0


def test_without_a_barrier_near_the_margin_is_the_plain_one():
    source = cavity()
    free = expand(source, 2.0)
    assert held_back(free, source, [sheet("falx", 20.0, 1.6)]) is free
    assert held_back(free, source, []) is free


def test_what_is_drawn_within_a_barrier_stays():
    source, wall = cavity(), sheet("falx", 5.0, 1.6)
    held = held_back(expand(source, 2.0), source, [wall])
    assert (held.on(GRID) >= source.on(GRID) - 1e-6).all()


def test_every_rule_alone_is_a_plain_margin():
    """With nothing near there is nothing to follow and nothing to stop at: Minkowski sums of the GTV."""
    everything = {"cavity": cavity(), "intracranial": ball("intracranial", Role.ORGAN, GRID, (0, 0, 0), 38.0)}
    everything |= {
        name: sheet(name, 34.0, 2.0) for name in ("skull", "falx", "tentorium", "bone_flap", "dura", "venous_sinuses")
    }
    for name in ("soliman-2018", "soliman-2018-least", "minniti-2021", "minniti-2021-framed", "n107c", "mahajan-2017"):
        found, one = targets(everything, rule(name)), rule(name)
        mm = one.gtv_to_ctv_mm.value
        plain = expand(cavity(), mm)
        assert np.abs(found["ctv"].on(GRID) - plain.on(GRID)).max() < 1e-6
        grown = expand(found["ctv"], one.ctv_to_ptv_mm.value).on(GRID)
        assert np.abs(found["ptv"].on(GRID) - grown).max() < 1e-6


def test_published_margins():
    """Soliman 2018: tract; 5-10 mm with, 1-5 mm without contact, 1-5 mm along a sinus. Minniti 2021: 1 mm, 5 mm."""
    most, least = rule("soliman-2018"), rule("soliman-2018-least")
    assert [[part.touched_mm.value, part.apart_mm.value] for part in most.extensions] == [[10, 5], [5, 0]]
    assert [[part.touched_mm.value, part.apart_mm.value] for part in least.extensions] == [[5, 1], [1, 0]]
    assert most.whole_tract.value and least.whole_tract.value
    minniti = rule("minniti-2021")
    assert not minniti.whole_tract.value
    assert (minniti.gtv_to_ctv_mm.value, minniti.ctv_to_ptv_mm.value) == (1.0, 1.0)
    assert rule("n107c").ctv_to_ptv_mm.value == 2.0
    assert rule("mahajan-2017").ctv_to_ptv_mm.value == 1.0


def flap(x=12.0):
    return sheet("bone_flap", x + 3.0, 6.0)


def head():
    return shape("intracranial", Box((-20.0, 0, 0), (32.0, 60, 60)), Role.ORGAN)


def reach_of(strip, axis=1):
    """Half the length of a strip along an axis, mm, where it lies under the middle of the flap."""
    across = strip.on(GRID).sum(axis=tuple({0, 1, 2} - {axis}))
    return float((across > 0.5 * across.max()).sum()) / 2


@pytest.mark.parametrize(
    ("name", "contact", "reach"), [("soliman-2018", True, 10.0), ("soliman-2018-least", True, 5.0)]
)
def test_the_strip_reaches_beyond_the_contact_of_the_tumour(name, contact, reach):
    """A flat tumour of 12 mm touches the flap: the strip reaches as far as the rule says beyond it, to each side."""
    tumour = shape("tumour", Box((6.0, 0, 0), (6.0, 6.0, 6.0)))
    before = {"bone_flap": flap(), "intracranial": head(), TUMOUR_BEFORE: tumour}
    part = rule(name).extensions[0]
    strip = extended(cavity(4.0), before, part)
    outside = along_x() > 12.0
    assert strip.on(GRID)[outside].max() < 0.05
    touch = part.contact_mm.value
    assert reach_of(strip) == pytest.approx(6.0 + touch + reach, abs=1.5)
    assert strip.on(GRID)[along_x() < 12.0 - part.depth_mm.value - 1.0].max() < 0.05


def test_without_contact_the_strip_lies_about_the_tract():
    tract = shape("tract", Box((6.0, 0, 0), (6.0, 4.0, 4.0)))
    deep = cavity(6.0, (-8.0, 0, 0))
    before = shape("tumour", Ellipsoid((-8.0, 0, 0), (7.0,) * 3))
    known = {"cavity": deep, "tract": tract, "bone_flap": flap(), "intracranial": head()}
    found = targets({**known, TUMOUR_BEFORE: before}, rule("soliman-2018"))
    assert (found["ctv"].on(GRID) >= tract.occupancy - 1e-6).all()
    strip = found["ctv"].on(GRID)[(along_x() > 10.0) & (along_x() < 12.0)]
    under = np.count_nonzero(strip > 0.5) / 2
    assert under == pytest.approx((2 * (4 + 2 + 5)) ** 2, rel=0.15)  # a square with rounded corners
    without = targets({name: part for name, part in known.items() if name != "bone_flap"}, rule("soliman-2018"))
    assert without["ctv"].volume_cc < found["ctv"].volume_cc
    again = targets({**known, TUMOUR_BEFORE: before}, rule("soliman-2018"))
    assert np.array_equal(again["ptv"].occupancy, found["ptv"].occupancy)


def test_what_a_rule_cannot_follow_is_told():
    known = {"cavity": cavity()}
    told = left_out(known, rule("soliman-2018"))
    assert [
        f"asks for '{name}'" in line for name, line in zip(("tract", "bone_flap", "venous_sinuses"), told, strict=True)
    ]
    assert left_out(known, rule("ptv-2")) == []
    assert "before surgery" in left_out({**known, "bone_flap": flap()}, rule("soliman-2018"))[-1]


def test_extensions_that_make_no_sense_are_refused():
    good = {"along": "dura", "depth_mm": 2.0, "contact_mm": 2.0, "touched_mm": 5.0, "apart_mm": 1.0}
    for key, value in (("depth_mm", 0.0), ("contact_mm", -1.0), ("touched_mm", -1.0), ("apart_mm", -0.1)):
        data = {name: constant(v).model_dump(mode="json") for name, v in {**good, key: value}.items()}
        with pytest.raises(InputError):
            library.parse(Extension, data, "x.toml")
