"""Drift as one HTML page that needs nothing else."""

from pathlib import Path

from fracture.data.audit import traits
from fracture.files import page_template
from fracture.monitoring.drift import Drift

_TEMPLATE = Path(__file__).with_name("page.html")


def render(found: Drift) -> str:
    """The page, as HTML."""
    return page_template(_TEMPLATE).render(d=found, trait=traits.words, figure=traits.figure)
