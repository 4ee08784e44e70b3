"""Drift as one HTML page that needs nothing else."""

from pathlib import Path

import jinja2

from fracture.monitoring.drift import Drift

_TEMPLATE = Path(__file__).with_name("page.html")


def render(found: Drift) -> str:
    """The page, as HTML."""
    environment = jinja2.Environment(
        autoescape=True,  # names of stations are never trusted as HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(d=found)
