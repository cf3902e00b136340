"""The report page without a browser: content, size, escaping, and the same page for the same store."""

import base64
import io
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_stores import ENDPOINTS, write_store
from PIL import Image

from phantoms.grid import Grid
from planner.report import page, slices
from planner.report.collect import Findings, collect
from planner.report.isodoses import isodoses
from planner.report.naming import figure
from planner.report.page import render, write_report
from planner.report.scales import Scale, around, path
from planner.report.slices import gallery
from planner.report.volumes import ZERO_CHANGE, cropped, pack_change, pack_exact, pack_picture
from planner.treatment.errors import InputError

HOSTILE = "</script><script>alert(1)</script><!-- {{ 7*7 }} \"'&amp; <b>"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("study") / "timing", patients=6, spacing_mm=8.0)


@pytest.fixture(scope="module")
def findings(store: Path) -> Findings:
    return collect(store)


@pytest.fixture(scope="module")
def html(store: Path) -> str:
    return write_report(store).read_text(encoding="utf-8")


def unpacked(webp: str, shape: tuple[int, int, int], columns: int) -> np.ndarray:
    """Read a mosaic back, voxel by voxel."""
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(webp))).convert("RGB")).astype(int)
    out = np.empty(shape, int)
    for i, j, k in np.ndindex(*shape):
        red, green, _ = pixels[(k // columns) * shape[1] + j, (k % columns) * shape[0] + i]
        out[i, j, k] = 256 * red + green
    return out


def test_exact_volumes_come_back_to_the_last_bit() -> None:
    values = np.random.default_rng(3).uniform(0, 40, (7, 5, 11))
    grid = Grid((7, 5, 11), (1.0, 2.0, 1.5), (0.0, 0.0, 0.0))
    packed = pack_exact(grid, values, 0.02)
    counts = unpacked(packed.webp, (7, 5, 11), packed.columns)
    assert np.abs(counts * 0.02 - values).max() <= 0.01 + 1e-12
    low_first = b"".join(int(c).to_bytes(2, "little") for c in counts.transpose(2, 1, 0).ravel())
    assert packed.checksum == zlib.adler32(low_first)


def test_changes_are_exact_and_small() -> None:
    base = np.random.default_rng(4).uniform(0, 20, (12, 10, 8))
    values = base + np.where(base > 19, 0.1, 0.0) - np.where(base < 0.5, base, 0.0)
    grid = Grid(base.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    packed, plain = pack_change(grid, values, base, 0.05), pack_exact(grid, values, 0.05)
    change = unpacked(packed.webp, base.shape, packed.columns) - ZERO_CHANGE
    assert np.array_equal(np.rint(base / 0.05) + change, np.rint(values / 0.05))
    assert len(packed.webp) < 0.6 * len(plain.webp)


def test_pictures_lose_little() -> None:
    grid = Grid((40, 30, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    values = np.clip(100 + 60 * np.sin(np.indices(grid.shape).sum(axis=0) / 9), 0, 255).astype(np.uint8)
    packed = pack_picture(grid, values, 60)
    assert np.abs(unpacked(packed.webp, grid.shape, packed.columns) // 256 - values).mean() < 4


def test_cropping_keeps_every_voxel_in_place() -> None:
    grid = Grid((9, 8, 7), (1.0, 1.0, 2.0), (5.0, -3.0, 1.0))
    values = np.zeros(grid.shape)
    values[3:5, 0:2, 6] = 1.0
    part, inner = cropped(grid, values)
    assert inner.shape == part.shape == (4, 3, 2)
    assert inner.sum() == values.sum()
    assert part.origin_mm == (7.0, -3.0, 11.0)
    empty, _ = cropped(grid, np.zeros(grid.shape))
    assert empty.shape == (1, 1, 1)


def test_isodoses_run_from_the_highest_and_do_not_double() -> None:
    assert [i["gy"] for i in isodoses(18.0)] == [18.0, 14.4, 12.0, 9.0, 3.6]
    assert [i["gy"] for i in isodoses(15.0)] == [15.0, 12.0, 7.5, 3.0]  # 80 % is 12 Gy already
    assert [i["gy"] for i in isodoses(10.0)] == [10.0, 8.0, 5.0, 2.0]
    assert isodoses(18.0)[0]["label"] == "18 Gy (100 %)"


def test_figures_keep_three_digits_and_a_true_minus() -> None:
    assert [figure(v, "Gy") for v in (17.456, 0.12345, 123.45, 1234.5, -2.0)] == [
        "17.46 Gy", "0.123 Gy", "123.5 Gy", "1234 Gy", "−2.00 Gy",
    ]  # fmt: skip
    assert figure(99.96, "%") == "100.0 %"
    assert figure(2.5, "cc", sign=True) == "+2.50 cc"
    assert figure(-0.0001, "", sign=True) == "0.000"
    assert figure(0.0, "cc") == "0 cc"
    assert figure(float("nan"), "Gy") == "–"


def test_scales_hold_their_values_and_paths_stay_on_the_curve() -> None:
    scale = around([3.0, float("nan"), 5.0], 100.0, 0.0)
    assert 0 < scale(5.0) < scale(3.0) < 100
    assert all(3 - 0.2 <= float(text) <= 5.2 for _, text in scale.ticks())
    x, y = Scale(0.0, 10.0, 0.0, 300.0), Scale(0.0, 100.0, 200.0, 0.0)
    at = np.linspace(0, 10, 400)
    volumes = 100 / (1 + np.exp(2 * (at - 6)))
    drawn = np.array([p.split(" ") for p in re.split("[ML]", path(x, y, zip(at, volumes, strict=True)))[1:]], float)
    assert len(drawn) < 200
    back = np.interp(at * 30, drawn[:, 0], drawn[:, 1])
    assert np.abs(back - (200 - 2 * volumes)).max() < 0.2
    assert path(x, y, [(0, 1.0), (1, float("nan")), (2, 1.0)]).count("M") == 2


def test_page_asks_nothing_of_any_network(html: str) -> None:
    assert "default-src 'none'" in html
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html)
    assert "url(" not in html
    assert not re.search(r"\son\w+\s*=", re.sub(r"<script.*?</script>", "", html, flags=re.S))


def test_page_tells_what_matters(html: str) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "never for clinical use" in text
    assert "6 synthetic patients were treated in simulation 3 times" in text
    assert "The magnetic field was ignored on the user’s word (MR-Linac, one session)" in text
    assert "1 of 3 constants is assumed" in text
    assert "1 case failed" in text
    assert "PlanningError: no beam reaches" in text
    assert "Seravalli 2023" in text
    assert "recalled from the literature with medium confidence" in text
    assert "chosen for the example" in text


def test_limits_of_validity_are_those_of_the_study(findings: Findings) -> None:
    def text(findings: Findings) -> str:
        found = re.search(r'<section id="limits">(.*?)</section>', render(findings), flags=re.S)
        assert found is not None
        return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())

    plain = text(findings)
    assert "computed by pencil 0.1.0." in plain and "The cavity changes" in plain and "the generator varies" in plain
    assert "added in place" not in plain
    spec = {**findings.study["spec"], "cohort": {"kind": "imported", "lesions": [{}]}}
    cases = tuple(
        replace(case, steps=case.steps[1:], facts={**case.facts, "plan": {**case.facts["plan"], "deliveries": 3}})
        for case in findings.cases
    )
    other = text(replace(findings, study={**findings.study, "spec": spec}, cases=cases))
    assert "The cavity changes" not in other and "one head" in other and "added in place" in other
    alone = {**spec, "cohort": {"kind": "imported", "lesions": []}}
    assert "The patient is one real head" in text(replace(findings, study={**findings.study, "spec": alone}))
    for images, told in ((["t1gd"], True), (["t1gd", "t2"], False)):
        blind = {"cohort": {"kind": "synthetic", "images": images}, "settings": {"observer": "automatic"}}
        seen = text(replace(findings, study={**findings.study, "spec": {**findings.study["spec"], **blind}}))
        assert ("There is no T2 image" in seen) is told


def test_medians_and_differences_are_those_of_the_records(html: str, findings: Findings) -> None:
    structure, metric = ENDPOINTS[0].split(".")
    table = findings.values(structure, metric)
    median = table["delayed"].median()
    assert f"<b>{median:.1f} %</b>" in html
    gaps = (table["delayed"] - table["mr_linac"]).to_numpy()
    walsh = np.median([(a + b) / 2 for n, a in enumerate(gaps) for b in gaps[n:]])
    assert f"{abs(walsh):.1f} % lower than MR-Linac, one session" in html
    assert re.search(r'class="clear"><th scope="row">.*?Delayed, ncVMAT minus MR-Linac, one session', html)
    assert re.search(
        r'<tr><th scope="row">.*?Delayed, ncVMAT minus Direct post-op, ncVMAT', html
    )  # interval holds zero
    planned = findings.values(structure, metric, "planned")["delayed"].median()
    assert f"planned {planned:.1f} %" in html


def test_same_store_gives_the_same_page(store: Path, html: str) -> None:
    assert page.render(collect(store)) == html


def test_limits_of_size_are_kept(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gallery(findings)
    assert whole.patients == list(findings.patients)
    assert whole.rung == slices.LADDER[0]
    monkeypatch.setattr(slices, "STUDY_BYTES", whole.size // 3)
    small = gallery(findings)
    assert small.rung == slices.LADDER[-1]
    assert 1 <= len(small.patients) < 6
    assert small.size <= whole.size // 3
    html = page.render(findings)
    assert f"slices of the first {len(small.patients)} of 6 patients" in html


def test_arms_share_what_is_the_same(findings: Findings) -> None:
    shown = gallery(findings)
    brains = {
        case["patient"]: {s["volume"]["blob"] for s in case["structures"] if s["name"] == "brain"}
        for case in shown.cases
    }
    assert all(len(blobs) == 1 for blobs in brains.values())


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    folder = write_store(tmp_path / "s", patients=2, strategies=2, spacing_mm=12.0, title=HOSTILE)
    study = json.loads((folder / "study.json").read_text())
    study["strategies"][0]["title"] = study["constants"][0]["source"] = HOSTILE
    (folder / "study.json").write_text(json.dumps(study))
    html = page.render(collect(folder))
    assert "alert(1)</script>" not in html
    assert html.count("<script") == html.count("</script>") == len(re.findall(r'id="blob-', html)) + 2
    data = re.search(r'id="lacuna-data">(.*?)</script>', html, re.S)
    assert data is not None
    assert json.loads(data[1])["arms"][0]["title"] == HOSTILE


def test_one_patient_has_no_statistics(tmp_path: Path) -> None:
    html = page.render(collect(write_store(tmp_path / "s", patients=1, spacing_mm=12.0)))
    assert 'id="paired"' not in html
    assert "One patient allows no statistics" in html
    assert "Values of one patient" in html


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study\.json"):
        write_report(tmp_path)
    folder = write_store(tmp_path / "s", patients=1, strategies=1, spacing_mm=12.0)
    (next((folder / "cases").iterdir()) / "records.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="was changed"):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_an_older_report_stays_when_writing_fails(store: Path, html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(page.os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        write_report(store)
    assert (store / "report.html").read_text(encoding="utf-8") == html
    assert not list(store.glob(".report-*"))
