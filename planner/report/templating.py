"""Templates and assets of all pages: one environment, in which what a template misses is an error."""

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup


def template(name: str, *, html: bool = True) -> Template:
    """Return a template of ``planner/report/templates``; values are escaped in HTML."""
    environment = Environment(
        loader=PackageLoader("planner.report"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=html,
        lstrip_blocks=html,
    )
    return environment.get_template(name)


def asset(name: str) -> str:
    """Return the text of a file of ``planner/report/assets``."""
    return files("planner.report").joinpath("assets", name).read_text(encoding="utf-8").strip()


def style() -> Markup:
    """Return the style sheet that all pages share."""
    return Markup(asset("style.css"))
