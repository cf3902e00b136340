"""Plans as folders: what is written is read back; nothing but a plan is written over; broken files are named."""

import json

import numpy as np
import pytest
from ball_patients import ball
from hand_made import arcs_on, fields_on, machine_named

from phantoms.grid import Grid
from phantoms.structure import Role
from phantoms.volume import Quantity, Volume
from planner.io.plan_file import InputFile, PlanFile, Provenance, plain_facts, read_plan_file, write_plan_file
from planner.io.plan_folder import SavedPlan, plan_folder, read_plan, refuse_foreign, write_metrics, write_plan
from planner.treatment.errors import InputError

STX = machine_named("truebeam-stx")
GRID = Grid.covering((-30, -30, -30), (30, 30, 30), 3.0)


def about(fractions: int = 1) -> PlanFile:
    made = Provenance(
        software="lacuna 0",
        engine="cone 0",
        engine_name="cone",
        seed=7,
        uncertainty=0.0,
        wall_s=1.5,
        field_ignored=False,
        grid_mm=(3.0, 3.0, 3.0),
        inputs={"density": InputFile(path="/somewhere/density.nii.gz", sha256="00")},
        derived={"brain": "by hand"},
    )
    facts = plain_facts({"objective": 0.1, "normalisation": "coverage 99 %", "not_finite": float("nan")})
    return PlanFile(
        template="srs-marginal",
        margin_mm=1.0,
        dose_gy=20.0,
        fractions=fractions,
        sad_mm=1000.0,
        leaf_borders_mm=(-5.0, 0.0, 5.0),
        facts=facts,
        provenance=made,
    )


def saved() -> SavedPlan:
    head = ball("external", Role.EXTERNAL, GRID, (0, 0, 0), 26.0)
    brain = ball("brain", Role.ORGAN, GRID, (0, 0, 0), 22.0)
    targets = {name: ball(name, Role.TARGET, GRID, (3, 0, 0), r).cropped(1) for name, r in (("gtv", 7.0), ("ptv", 8.0))}
    dose = Volume(GRID, 20 * head.occupancy, Quantity.DOSE)
    density = Volume(GRID, head.occupancy, Quantity.DENSITY)
    return SavedPlan(arcs_on(STX), about(), dose, density, {"external": head, "brain": brain}, targets)


def test_a_delivery_is_read_back_as_it_was_written(tmp_path):
    for delivery in (arcs_on(STX, fractions=3), fields_on(machine_named("elekta-unity"), fractions=3)):
        path = tmp_path / "plan.json"
        write_plan_file(path, delivery, about(fractions=3))
        again, held = read_plan_file(path)
        assert held == about(fractions=3) and held.facts["not_finite"] is None
        assert (again.machine, again.technique, again.fractions) == (delivery.machine, delivery.technique, 3)
        for beam, read in zip(delivery.beams, again.beams, strict=True):
            assert (read.label, read.kind, read.isocentre_mm) == (beam.label, beam.kind, beam.isocentre_mm)
            for point, other in zip(beam.control_points, read.control_points, strict=True):
                np.testing.assert_allclose(other.left_mm, point.left_mm, atol=1e-4)
                np.testing.assert_allclose(other.right_mm, point.right_mm, atol=1e-4)
                assert other.mu == pytest.approx(point.mu) and other.span_deg == point.span_deg
                assert other.jaw_y_mm == pytest.approx(point.jaw_y_mm)


def test_a_reader_finds_a_control_point_in_a_few_lines(tmp_path):
    write_plan_file(tmp_path / "plan.json", arcs_on(STX), about())
    lines = (tmp_path / "plan.json").read_text().splitlines()
    leaves = [line for line in lines if '"left_mm"' in line]
    assert len(leaves) == 32 and all(line.count(",") >= 59 for line in leaves)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda d: d.pop("machine"), "machine"),
        (lambda d: d.update(format="lacuna plan 0"), "format"),
        (lambda d: d.update(beams=[]), "beams"),
        (lambda d: d["beams"][0]["control_points"][0].update(mu="many"), "beams.0.control_points.0.mu"),
        (lambda d: d["beams"][0]["control_points"][0].update(mu=float("nan")), "beams.0.control_points.0.mu"),
        (lambda d: d["beams"][0]["control_points"][0].update(mu=True), "beams.0.control_points.0.mu"),
        (lambda d: d.update(margin_mm=-1.0), "margin_mm"),
        (lambda d: d["prescription"].update(dose_gy=0), "prescription.dose_gy"),
        (lambda d: d["beams"][0].update(kind="wedge"), "beams.0.kind"),
        (lambda d: d.update(isocentre_mm=[0.0, 0.0, 99.0]), ""),
    ],
)
def test_a_broken_file_names_its_key(tmp_path, change, where):
    path = tmp_path / "plan.json"
    write_plan_file(path, arcs_on(STX), about())
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as found:
        read_plan_file(path)
    assert found.value.where == where and str(path) in str(found.value)


def test_no_json_and_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_plan_file(tmp_path / "plan.json")
    for text in ("{", "[" * 100_000):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(InputError, match="cannot be read"):
            read_plan_file(tmp_path / "plan.json")


def test_a_folder_is_read_back_and_replaced_whole(tmp_path):
    out, plan = tmp_path / "plan", saved()
    for _ in range(2):  # the second time over the first
        with plan_folder(out) as folder:
            assert folder != out
            write_plan(folder, plan)
            write_metrics(folder, {"a": 1.0})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan"]
    again = read_plan(out)
    np.testing.assert_array_equal(again.dose.data, plan.dose.data)
    np.testing.assert_array_equal(again.density.data, plan.density.data)
    assert set(again.structures) == {"external", "brain"} and set(again.targets) == {"gtv", "ptv"}
    assert again.targets["ptv"].volume_cc == pytest.approx(plan.targets["ptv"].volume_cc, rel=1e-6)
    assert again.structures["external"].role is Role.EXTERNAL and again.about.prescription.dose_gy == 20.0


def test_a_failure_leaves_the_older_plan_as_it_was(tmp_path):
    out = tmp_path / "plan"
    with plan_folder(out) as folder:
        write_plan(folder, saved())
    before = (out / "plan.json").read_bytes()
    with pytest.raises(RuntimeError), plan_folder(out) as folder:
        (folder / "plan.json").write_text("half")
        raise RuntimeError("power cut")
    assert (out / "plan.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan"]


def test_nothing_but_a_plan_is_written_over(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists already"):
        refuse_foreign(tmp_path / "thesis")
    with pytest.raises(InputError, match="exists already"), plan_folder(tmp_path / "thesis"):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="exists already"):
        refuse_foreign(tmp_path / "file")
    refuse_foreign(tmp_path / "new")


def test_a_folder_that_lacks_something_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_plan(tmp_path / "none")
    out = tmp_path / "plan"
    with plan_folder(out) as folder:
        write_plan(folder, saved())
    (out / "structures" / "ptv.nii.gz").unlink()
    with pytest.raises(InputError, match=r"ptv\.nii\.gz"):
        read_plan(out)
