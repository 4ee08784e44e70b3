"""A terminal that nobody sees."""

import io

from rich.console import Console

from fracture.progress import Terminal


def quiet() -> Terminal:
    """It can be read with ``.console.file.getvalue()``."""
    return Terminal(Console(file=io.StringIO(), width=200))
