"""The root of the command line: every command, and what an error looks like.

Nothing heavy is imported here: ``lacuna --help`` must answer at once. Data go to standard output, everything else to
standard error.
"""

import sys
import traceback
from typing import Annotated

import typer

from planner.cli import cavity, contouring, dosing, files, machines, planning, study, validating
from planner.treatment.errors import LacunaError

FAILED, INTERRUPTED = 1, 130

app = typer.Typer(
    name="lacuna",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # typer's rich help imports markdown and pygments: 0.25 s of every --help
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Simulator of radiosurgery of brain-metastasis resection cavities. Research software, never for clinical use.",
    epilog="Exit status: 0 ok, 1 failure, 2 usage, 3 some cases failed, 4 input rejected, 130 interrupted.",
)
app.add_typer(study.app, name="study")
app.add_typer(machines.app, name="machine")
files.add_to(app)
dosing.add_to(app)
planning.add_to(app)
validating.add_to(app)
cavity.add_to(app)
contouring.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from planner import __version__

        typer.echo(f"lacuna {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks of unexpected errors.")] = False,
) -> None:
    pass


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    sys.exit(_status([word for word in given if word != "--debug"], debug))


def _status(arguments: list[str], debug: bool) -> int:
    """Return the exit status of a command line; every error becomes one message on standard error."""
    try:
        return int(app(args=arguments, prog_name="lacuna", standalone_mode=False) or 0)
    except LacunaError as error:
        _tell(str(error), debug)
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        return INTERRUPTED
    except OSError as error:
        # A full disk, a missing right: what the system says of which file.
        _tell(f"{error.filename or 'reading or writing failed'}: {error.strerror or error}", debug)
        return FAILED
    except Exception as error:
        show, status = getattr(error, "show", None), getattr(error, "exit_code", None)
        if show is not None and status is not None:  # a usage error of the parser, which knows how to tell it
            show()
            return int(status)
        hint = "" if debug else " (run with --debug for a traceback)"
        _tell(f"unexpected {type(error).__name__}: {error}{hint}", debug)
        return FAILED


def _tell(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    typer.echo(f"lacuna: {' '.join(message.split())}", err=True)
