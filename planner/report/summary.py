"""The table of arms and the summary in plain words, from the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from planner.report.collect import Arm, Findings
from planner.report.naming import Naming, figure
from planner.report.paired import differences
from planner.report.published import PublishedStudy


@dataclass(frozen=True)
class Cell:
    """One metric in one arm, as text: the delivered dose, and the planned one where it was told.

    Attributes
    ----------
    median, spread, planned : str
    n : int
    published : tuple of (str, str)
        Value and paper, where a paper has one.
    """

    median: str
    spread: str
    planned: str
    n: int
    published: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """One metric in all arms."""

    key: str
    structure: str
    title: str
    unit: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Card:
    """One endpoint of the summary: its row, and what differs between the arms in words."""

    row: Row
    sentences: tuple[str, ...]


def rows(findings: Findings, naming: Naming, keys: Sequence[str], papers: Sequence[PublishedStudy]) -> list[Row]:
    """Return the rows of the arm table for ``structure.metric`` keys."""
    arms = findings.comparison.arms
    by_key = dict(iter(arms.groupby(arms["structure"] + "." + arms["metric"], sort=False)))
    medians = {(m.key, m.strategy): (m, paper) for paper in papers for m in paper.medians}
    out = []
    for key in keys:
        if key not in by_key:
            continue
        cells = []
        for arm in findings.shown_arms:
            known = medians.get((key, arm.name))
            beside = ((figure(known[0].median.value, known[0].unit), known[1].short),) if known else ()
            cells.append(_cell(by_key[key], arm, naming.unit(key), beside))
        out.append(Row(key, key.split(".", 1)[0], naming.title(key), naming.unit(key), tuple(cells)))
    return out


def _cell(table: pd.DataFrame, arm: Arm, unit: str, published: tuple[tuple[str, str], ...]) -> Cell:
    told = {row["phase"]: row for row in table[table["strategy"] == arm.name].to_dict("records") if row["n"] > 0}
    if not told:
        return Cell("–", "", "", 0, published)
    main = told.get("delivered") or told["planned"]
    many = main["n"] > 1
    spread = f"[{figure(main['q1'], unit).split()[0]}, {figure(main['q3'], unit).split()[0]}]" if many else ""
    planned = figure(told["planned"]["median"], unit) if "planned" in told and "delivered" in told else ""
    return Cell(figure(main["median"], unit), spread, planned, int(main["n"]), published)


def cards(findings: Findings, naming: Naming, papers: Sequence[PublishedStudy]) -> list[Card]:
    """Return the endpoints of the study with what differs, in words."""
    out = []
    for row in rows(findings, naming, findings.endpoints, papers):
        pairs = differences(findings, row.key, row.unit)
        out.append(Card(row, tuple(_sentence(pair) for pair in pairs if pair["beyond_zero"]) or _no_difference(pairs)))
    return out


def _sentence(pair: dict) -> str:
    gap = str(pair["difference"])
    word = "lower" if gap.startswith("−") else "higher"
    adjusted = f", Holm p {pair['p_holm']}" if pair["p_holm"] else ""
    return (
        f"{pair['second'].title}: {gap.lstrip('+−')} {word} than {pair['first'].title} "
        f"({pair['level']} interval {pair['low']} to {pair['high']}{adjusted})."
    )


def _no_difference(pairs: list[dict]) -> tuple[str, ...]:
    if not pairs:
        return ()
    if not any(pair["sure"] for pair in pairs):
        return (f"Too few patients to call a difference clear: intervals attain {pairs[0]['level']} at most.",)
    return ("No interval of a paired difference excludes zero.",)


def lead(findings: Findings) -> list[str]:
    """Return what was done, and how sure the comparisons can be, in plain words."""
    arms, patients = findings.shown_arms, findings.patients
    kind = findings.study["spec"]["cohort"]["kind"]
    who = f"One {kind} patient was" if len(patients) == 1 else f"{len(patients)} {kind} patients were"
    how = "once" if len(arms) == 1 else f"{len(arms)} times, once under each strategy"
    said = [
        f"{who} treated in simulation {how}. Each plan was made on what its images showed, and its dose was then "
        "computed again on the anatomy of the day of treatment; figures are of that delivered dose where nothing else "
        "is said."
    ]
    comparison = findings.comparison
    if len(patients) > 1 and len(arms) > 1:
        tests = int((comparison.pairs["in_family"] & comparison.pairs["p"].notna()).sum())
        floor = min(1.0, comparison.smallest_p * max(tests, 1))
        said.append(
            f"Arms are paired by patient. With {len(patients)} patients the signed-rank test cannot give p below "
            f"{comparison.smallest_p:.2g}" + (f", nor below {floor:.2g} after Holm's correction" if tests else "")
            + ": read the intervals first."
        )  # fmt: skip
    elif len(arms) > 1:
        said.append("One patient allows no statistics: values stand side by side.")
    return said
