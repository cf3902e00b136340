"""What the command ``validate`` computes, prints and writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from planner.engines.base import Capability
from planner.engines.registry import ENGINES, constants_of, engine_named, with_histories
from planner.report.commissioning import validation_page, write_commissioning
from planner.treatment.errors import InputError, unknown_name
from planner.validation.case import reference_cases
from planner.validation.cavity import cavity_checks
from planner.validation.cobalt import cobalt_rows
from planner.validation.compare import Comparison, Row, compare, output_rows
from planner.validation.contours import contour_rows
from planner.validation.in_field import in_field_checks
from planner.validation.machines import machine_checks
from planner.validation.second import second_calculation

HISTORIES = 1_000_000
"""Of Monte Carlo in each case; about the noise of the reference, and counted with it."""
_TITLES = ("case", "engine", "quantity", "ours", "reference", "1 sigma", "tolerance", "verdict", "status")
# In fewer columns than this, all of them together are too narrow to be read; these are then shown.
_WIDE, _NARROW = 120, ("case", "quantity", "ours", "reference", "verdict")


def commission(engine: str | None, names: Sequence[str], out: Path, markdown: Path | None) -> list[Row]:
    """Compute the reference cases, write the page, and return the verdicts.

    Raises
    ------
    InputError
        If an engine or a case is unknown.
    """
    engines = [engine_named(engine, "--engine")] if engine else list(ENGINES.values())
    cases = reference_cases()
    for name in names:
        if name not in cases:
            raise InputError("--case", "", unknown_name("case", name, cases))
    done: list[Comparison] = []
    for name in names or cases:
        stated = {gate.engine for gate in cases[name].gates}
        for each in engines:
            if each.name in stated:
                typer.echo(f"{name}: {each.name}", err=True)
                done.append(compare(name, cases[name], with_histories(each, HISTORIES)))
    rows = [row for comparison in done for row in comparison.rows] + output_rows(done)
    if not names:
        for each in engines:
            typer.echo(f"machines: {each.name}", err=True)
            if Capability.REFERENCE in each.can:
                rows += cobalt_rows()
                rows += second_calculation()
                rows += [check.as_row() for check in in_field_checks()]
            else:
                rows += [check.as_row() for check in machine_checks(each.name)]
        if engine is None:
            rows += [check.as_row() for check in cavity_checks()]
            typer.echo("contours: 20 synthetic patients", err=True)
            rows += contour_rows()
    constants = constants_of(each.name for each in engines)
    write_commissioning(done, rows, constants, out)
    if markdown is not None:
        markdown.write_text(as_markdown(rows, constants), encoding="utf-8")
    return rows


def show(rows: Sequence[Row], out: Path, as_json: bool) -> None:
    """Print the verdicts: a table for people, JSON for programs."""
    if as_json:
        typer.echo(json.dumps({"rows": [asdict(row) for row in rows], "file": str(out)}, indent=1))
        return
    show_rows(rows)
    typer.echo(str(out))


def show_rows(rows: Sequence[Row]) -> None:
    """Print verdicts as a table, how many are met, and why some cannot be; on a narrow terminal without tolerances."""
    console = Console()
    shown = [n for n, title in enumerate(_TITLES) if console.width >= _WIDE or title in _NARROW]
    table = Table(*(_TITLES[n] for n in shown))
    for row in rows:
        cells = _cells(row)
        table.add_row(*(cells[n] for n in shown))
    console.print(table)
    for row in rows:
        if row.conflict:
            typer.echo(f"{row.case}, {row.quantity}: {row.conflict}")
    judged = [row.passed for row in rows if row.passed is not None]
    typer.echo(f"{sum(judged)} of {len(judged)} met" + (f", {told} told" if (told := len(rows) - len(judged)) else ""))


def as_markdown(rows: Sequence[Row], constants: Sequence[Mapping[str, str]]) -> str:
    """Return ``docs/validation.md``: verdicts and constants as tables, what they mean, and what is not validated."""
    head = "| case | engine | quantity | ours | reference | 1 sigma | tolerance | verdict | status of the reference |\n"
    head += "|---|---|---|---:|---:|---:|---|---|---|\n"
    verdicts = head + "".join(f"| {' | '.join(_cells(row))} |\n" for row in rows)
    listed = "| constant | value | status | source |\n|---|---:|---|---|\n"
    listed += "".join(f"| `{c['name']}` | {c['value']} | {c['status']} | {c['source']} |\n" for c in constants)
    return validation_page(verdicts, listed)


def _cells(row: Row) -> list[str]:
    return [
        row.case,
        row.engine,
        row.quantity,
        f"{row.ours:.4g}",
        f"{row.reference:.4g}",
        f"{row.uncertainty:.2g}",
        row.tolerance,
        row.verdict,
        row.status,
    ]
