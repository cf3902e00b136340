"""``lacuna machine list | show``."""

import json
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Treatment machines in the library.")
_KIND = "machines"


@app.command("list")
def list_machines(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """List the machines in the library."""
    from planner import library
    from planner.treatment.machine import Machine

    machines = [library.load(_KIND, name, Machine) for name in library.names(_KIND)]
    if as_json:
        typer.echo(json.dumps([{"name": m.name, "title": m.title, "kind": m.kind} for m in machines], indent=1))
        return
    width = max(len(m.name) for m in machines)
    for machine in machines:
        typer.echo(f"{machine.name:{width}}  {machine.title}")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(help="Name of the machine (see `lacuna machine list`), or a .toml file.", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Show every constant of a machine with its source and its status."""
    from planner import library
    from planner.treatment.machine import Machine

    machine = library.choose(_KIND, name, Machine, source="machine show", where="NAME")
    if as_json:
        typer.echo(machine.model_dump_json(indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{machine.title} ({machine.kind})", title_justify="left")
    for heading in ("constant", "value", "status", "source"):
        table.add_column(heading, overflow="fold")
    for row in library.constants(machine):
        table.add_row(row["name"], row["value"], row["status"], row["source"])
    Console(width=None if Console().is_terminal else 160).print(table)
