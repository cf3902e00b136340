"""The report: one HTML file that asks nothing of any network, and the same for the same store."""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup

from planner.report import cohort, courses, curves, delay, paired
from planner.report.collect import COLOURS, Findings, collect
from planner.report.deliveries import deliveries
from planner.report.naming import INTEREST, key_metrics, naming_of
from planner.report.published import published_studies
from planner.report.slices import LARGE_MM, LEAST_DOSE, SHARP_MM, Gallery, gallery
from planner.report.summary import cards, lead, rows
from planner.report.templating import asset, style, template

SCRIPTS = ("fields.js", "viewer.js", "page.js")
MOST_PANELS = 24  # patients whose courses are drawn


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a study, from its store alone, and replace an older one at once.

    Parameters
    ----------
    folder : Path
        ``results/<study>``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the folder holds no finished case, or a file of the store is missing or was changed.
    """
    page = render(collect(Path(folder)))
    target = Path(folder) / "report.html"
    handle, beside = tempfile.mkstemp(prefix=".report-", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(page)
            stream.flush()
            os.fsync(stream.fileno())
        Path(beside).chmod(0o644)
        Path(beside).replace(target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return target


def render(findings: Findings) -> str:
    """Return the page."""
    naming = naming_of(findings)
    papers = published_studies()
    first, rest = key_metrics(findings)
    shown = gallery(findings)
    script = "\n".join(asset(name) for name in SCRIPTS)
    main = rows(findings, naming, first, papers)
    used = {
        paper.short for paper in papers if any(paper.short == s for r in main for c in r.cells for _, s in c.published)
    }
    return template("report.html.j2").render(
        findings=findings,
        naming=naming,
        lead=lead(findings),
        cards=cards(findings, naming, papers),
        rows=main,
        interest=rows(findings, naming, INTEREST, papers),
        more_rows=rows(findings, naming, rest, papers),
        papers=[paper for paper in papers if paper.short in used],
        slopes=paired.slopes(findings, naming, first),
        curves=curves.panels(findings),
        deliveries=deliveries(findings),
        courses=courses.courses(findings)[:MOST_PANELS],
        cohort=cohort.cohort(cohort.patients_of(findings)),
        delay=delay.delay(findings, naming),
        sizes={"slopes": paired, "curves": curves, "courses": courses, "cohort": cohort, "delay": delay},
        told={"sharp_mm": SHARP_MM[0], "large_mm": LARGE_MM, "least_dose": LEAST_DOSE},
        gallery=shown,
        data=for_script(_data(findings, shown)),
        spec=json.dumps(findings.study["spec"], indent=2, ensure_ascii=False, sort_keys=True),
        style=style() + Markup(_arm_colours()),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
    )  # fmt: skip


def for_script(data: Mapping[str, Any]) -> Markup:
    """Return JSON that can stand inside a script element: no text in it can close the element or open another."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _arm_colours() -> str:
    """Return the style rules of the arms' colours, for light and for dark pages."""
    light = "".join(f".arm-{n}{{--arm:{pair[0]}}}" for n, pair in enumerate(COLOURS))
    dark = "".join(f"[data-theme=dark] .arm-{n}{{--arm:{pair[1]}}}" for n, pair in enumerate(COLOURS))
    auto = "".join(f":root:not([data-theme=light]) .arm-{n}{{--arm:{pair[1]}}}" for n, pair in enumerate(COLOURS))
    return f"\n{light}\n{dark}\n@media screen and (prefers-color-scheme:dark){{{auto}}}\n"


def _data(findings: Findings, shown: Gallery) -> dict[str, Any]:
    """Return what the viewer's script reads."""
    return {
        "arms": [{"name": arm.name, "title": arm.title} for arm in findings.shown_arms],
        "cases": shown.cases,
        "wash_map": _colours("plasma", 64, 0.03, 0.88),
        "wash_top": 1.3,
        "wash_from": 0.08,
        "difference_map": _colours("RdBu_r", 33, 0.0, 1.0),
        "difference_top": 0.25,
    }


def _colours(name: str, n: int, start: float, end: float) -> list[list[int]]:
    """Return `n` colours of a part of a map of matplotlib, 0 to 255."""
    table = matplotlib.colormaps[name](np.linspace(start, end, n))[:, :3]
    return [[int(c) for c in row] for row in np.rint(255 * table)]
