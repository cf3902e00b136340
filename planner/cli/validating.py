"""The command ``validate``: the commissioning report of the engines, on any machine."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("validate")(validate)


def validate(
    engine: Annotated[str | None, typer.Option("--engine", help="Only this engine.")] = None,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only these cases (repeatable).")] = None,
    out: Annotated[Path, typer.Option("--out", help="HTML with the curves.")] = Path("results/validation.html"),
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Also write the verdicts as Markdown.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Compute every reference case and compare: ours, reference, tolerance, verdict. Exit status 1 on a miss."""
    from planner.cli.commissioning import commission, show

    rows = commission(engine, case or [], out, markdown)
    show(rows, out, as_json)
    if any(row.verdict == "MISSED" for row in rows):
        raise typer.Exit(1)
