"""Trials of these tests are forked from a process that has loaded all libraries."""

import pytest


@pytest.fixture(autouse=True)
def _forked(forked: object) -> None:
    """Start it before tuning would start its own."""
