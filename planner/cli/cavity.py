"""``lacuna cavity``: the cavity's volume beside the published series, and the fit of its process to them."""

import json
from dataclasses import asdict
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command("cavity")(cavity)


def cavity(
    fit: Annotated[
        bool, typer.Option("--fit", help="Fit the process to the series again and print it; minutes.")
    ] = False,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="Fit without this series (repeatable).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Show how the cavity's volume changes in cohorts like those published, beside what was published.

    Exit status 1 on a miss that no other series explains.
    """
    from phantoms.dynamics import PROCESS
    from planner.cli.commissioning import show_rows
    from planner.treatment.errors import InputError, unknown_name
    from planner.validation.cavity import all_series, cavity_checks
    from planner.validation.cavity_fit import fitted

    for name in without or []:
        if name not in all_series():
            raise InputError("--without", "", unknown_name("series", name, all_series()))
    process = fitted(without or ())[0] if fit or without else PROCESS
    rows = [check.as_row() for check in cavity_checks(process)]
    if as_json:
        typer.echo(json.dumps({"process": process._asdict(), "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        show_rows(rows)
        for name, value in process._asdict().items() if process is not PROCESS else ():
            typer.echo(f"{name} = {value:.3g}")
    if any(row.verdict == "MISSED" for row in rows) and process is PROCESS:
        raise typer.Exit(1)
