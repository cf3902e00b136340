"""The commissioning report of the engines: verdicts and curves on one page, from comparisons only."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from planner import __version__
from planner.report.templating import style, template
from planner.validation.compare import Comparison, Row

OURS, THEIRS = "#0072b2", "#333333"  # colour-blind safe (Okabe and Ito)


def write_commissioning(
    comparisons: Sequence[Comparison], rows: Sequence[Row], constants: Sequence[Mapping[str, str]], out: Path
) -> Path:
    """Write the page and return its path.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Cases with curves.
    rows : sequence of Row
        All verdicts, those of the comparisons included.
    constants : sequence of mapping
        ``name, value, source, status`` of what the engines rest on beside tables.
    out : Path
    """
    page = template("commissioning.html.j2").render(
        rows=rows,
        constants=constants,
        cases=[
            (c.case.title, c.engine, [Markup(_curve(c, n)) for n in range(len(c.case.curves))]) for c in comparisons
        ],
        style=style(),
        version=__version__,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def validation_page(table: str, constants: str) -> str:
    """Return the text of ``docs/validation.md`` around the tables of verdicts and of constants, all Markdown."""
    page = template("validation.md.j2", html=False)
    return page.render(table=table, constants=constants, version=__version__) + "\n"


def _curve(comparison: Comparison, number: int) -> str:
    """Return one profile as SVG: reference with two sigma, ours as a line, and their difference below."""
    axis, at = comparison.case.curves[number]
    along = "xyz".index(axis)
    others = [n for n in range(3) if n != along]
    place = [0, 0, 0]
    for n, value in zip(others, at, strict=True):
        place[n] = int(np.argmin(np.abs(comparison.reference.centres_mm[n] - value)))
    take = tuple(slice(None) if n == along else place[n] for n in range(3))
    position = comparison.reference.centres_mm[along]
    theirs, sigma, ours = comparison.reference.dose[take], comparison.reference.sigma[take], comparison.ours.dose[take]
    scale = 100.0 / max(float(theirs.max()), 1e-300)
    with mpl.rc_context({"svg.hashsalt": f"{comparison.case.title}{comparison.engine}{number}", "font.size": 8}):
        figure = Figure(figsize=(4.6, 3.1), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.errorbar(
            position, scale * theirs, 2 * scale * sigma, fmt=".", ms=3, lw=0.7, color=THEIRS, label="EGSnrc, 2 sigma"
        )
        upper.plot(position, scale * ours, color=OURS, lw=1.2, label=comparison.engine)
        upper.set_ylabel("dose, % of reference maximum")
        upper.legend(frameon=False)
        lower.axhline(0.0, color=THEIRS, lw=0.5)
        lower.errorbar(position, scale * (ours - theirs), 2 * scale * sigma, fmt=".", ms=3, lw=0.7, color=OURS)
        lower.set_ylim(-5, 5)
        lower.set_ylabel("difference, %")
        where = ", ".join(f"{'xyz'[n]} = {comparison.reference.centres_mm[n][place[n]]:.1f} mm" for n in others)
        lower.set_xlabel(f"{axis}, mm ({where})")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().split("<!DOCTYPE", 1)[-1].split(">", 1)[1]
