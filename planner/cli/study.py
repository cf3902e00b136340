"""``lacuna study check | run | report``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from planner.study.batch import Batch
    from planner.study.case import Case
    from planner.study.execute import Outcome
    from planner.study.spec import Study

app = typer.Typer(no_args_is_help=True, help="Check, run and report studies: patients x strategies.")

File = Annotated[Path, typer.Argument(help="Study file (TOML).", show_default=False)]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the imported patient, for cohorts of that kind.")]
SOME_CASES_FAILED = 3


@app.command()
def check(
    file: File,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cases as JSON on standard output.")] = False,
) -> None:
    """Check a study file: every key, every name, every strategy. No dose is computed, nothing is written."""
    from planner.study.spec import load_study

    study = load_study(file, data)
    cases = study.cases()
    if as_json:
        rows = [{"case": case.id, "patient": case.patient, "strategy": case.arm.name} for case in cases]
        typer.echo(json.dumps({"name": study.spec.study.name, "cases": rows}, indent=1))
        return
    patients = len({case.patient for case in cases})
    typer.echo(
        f"{file}: study '{study.spec.study.name}' is sound: {patients} patients x {len(study.arms)} strategies = "
        f"{len(cases)} cases ({', '.join(arm.name for arm in study.arms)})"
    )


@app.command()
def run(
    file: File,
    out: Annotated[Path, typer.Option("--out", help="Folder of all results; the study gets its own in it.")] = Path(
        "results"
    ),
    data: Data = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Child processes; 0: one a processor.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Patient, strategy or case id; may be repeated.")
    ] = None,
) -> None:
    """Run the cases that are not finished yet, compare the strategies and write the report."""
    from planner.study.batch import chosen, run_study
    from planner.study.execute import compile_kernels, cores, kernels_are_compiled
    from planner.study.spec import load_study
    from planner.study.store import is_done

    study = load_study(file, data, out)
    folder = out / study.spec.study.name
    cases = chosen(study.cases(), only or [], file)
    left = sum(not is_done(folder, case.id) for case in cases)
    typer.echo(f"{len(cases) - left} of {len(cases)} cases done already", err=True)
    if left and not kernels_are_compiled():
        typer.echo("compiling kernels: once per version and machine, about a minute", err=True)
        compile_kernels(cases[0])
    try:
        with _Watch(left) as watch:
            batch = run_study(study, folder, workers or cores(), watch.finished, only or [])
    except KeyboardInterrupt:
        typer.echo(f"interrupted: finished cases stay in {folder}; the same command goes on from there", err=True)
        raise
    _conclude(study, batch)
    if batch.failed:
        raise typer.Exit(SOME_CASES_FAILED)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a study: results/NAME.")]) -> None:
    """Write the report of a study again, from what lies in its store."""
    from planner.report.page import write_report

    typer.echo(f"report: {write_report(folder)}")


class _Watch:
    """Progress on standard error: a bar on a terminal, else one plain line a finished case."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = Console(stderr=True)
        self.total = total
        self.done = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=self.console, disable=not (self.console.is_terminal and total))
        self.task = self.bar.add_task("cases", total=total)

    def __enter__(self) -> "_Watch":
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def finished(self, outcome: "Outcome[Case]") -> None:
        """Tell that a case ended."""
        self.done += 1
        self.bar.advance(self.task)
        name = f"{outcome.case.patient} {outcome.case.arm.name}"
        told = f"failed: {outcome.error}" if outcome.error else f"{outcome.wall_s:.1f} s"
        if self.bar.disable:
            typer.echo(f"[{self.done}/{self.total}] {name}: {told}", err=True)
        elif outcome.error:
            self.console.print(f"[red]{name}[/red]: {told}", highlight=False)


def _conclude(study: "Study", batch: "Batch") -> None:
    """Print the arms and write the report; without a finished case there is nothing to conclude."""
    from rich.console import Console

    from planner.report.page import write_report
    from planner.study.batch import compare_study

    for outcome in batch.failed:
        typer.echo(
            f"case {outcome.case.id} ({outcome.case.patient} {outcome.case.arm.name}): {outcome.error}", err=True
        )
    if batch.records.empty:
        typer.echo("no case is finished: there is no report", err=True)
        return
    comparison = compare_study(batch.folder)
    Console(width=None if Console().is_terminal else 160).print(_arm_table(study, comparison))
    typer.echo(f"report: {write_report(batch.folder)}")


def _arm_table(study: "Study", comparison: Any) -> Any:
    from rich.table import Table

    table = Table(title=f"{study.spec.study.title or study.spec.study.name}: delivered, median (quartiles)")
    table.add_column("endpoint")
    names = [arm.name for arm in study.arms]
    for name in names:
        table.add_column(name, justify="right")
    arms = comparison.arms[comparison.arms["phase"] == "delivered"].set_index(["structure", "metric", "strategy"])
    for endpoint in study.spec.compare.endpoints:
        structure, _, metric = endpoint.partition(".")
        cells, unit = [], ""
        for name in names:
            row = arms.loc[(structure, metric, name)] if (structure, metric, name) in arms.index else None
            unit = unit if row is None else row["unit"]
            cells.append("-" if row is None else f"{row['median']:.2f} ({row['q1']:.2f} to {row['q3']:.2f})")
        table.add_row(f"{structure} {metric} {f'[{unit}]' if unit else ''}".rstrip(), *cells)
    return table
