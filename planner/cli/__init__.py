"""The command ``lacuna``."""


def main() -> None:
    """Run the command line."""
    from planner.cli.app import run

    run()
