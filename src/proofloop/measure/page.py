"""HTML pages from templates: inline SVG and CSS, no script, no network, all text escaped."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from proofloop.measure.summary import percent, points
from proofloop.measure.text import printable


def render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("proofloop.measure", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "percent": percent,
        "points": points,
        "printable": printable,
        "inline": inline,
    }
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)


def inline(svg: str, name: str, title: str) -> Markup:
    """Trusted (drawn here from numbers); ids made unique on the page, and a name for readers."""
    for mark in ('id="', 'href="#', "url(#"):
        svg = svg.replace(mark, f"{mark}{name}-")
    return Markup(svg.replace('role="img"', f'role="img" aria-label="{Markup.escape(title)}"', 1))
