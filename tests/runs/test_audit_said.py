"""What is said of an audit before training: a line where nothing speaks against it, else its table."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fracture.data.dataset import Source, read, split
from fracture.progress import Terminal
from fracture.runs.audit import audit_before_training


def said(source: Source, tmp_path: Path, *, verbose: bool = False, strictness: str = "warn") -> str:
    screen = io.StringIO()
    terminal = Terminal(Console(file=screen, width=200), verbose=verbose)
    manifest = split(read(source, tmp_path / "cache", []), source, [])
    audit_before_training(manifest, source.data, strictness, tmp_path / "cache", tmp_path / "refused", terminal)
    return screen.getvalue()


@pytest.mark.parametrize("verbose", [False, True])
def test_a_clean_audit_is_one_line_unless_more_is_wanted(tmp_path: Path, *, verbose: bool) -> None:
    text = said(Source(demo_images=48), tmp_path, verbose=verbose)
    assert "48 images, clean" in text
    assert ("Exact duplicates" in text) == verbose
    assert (len(text.splitlines()) == 1) != verbose


def test_what_speaks_against_training_has_its_table(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    data = make_images(tmp_path / "data", 12)
    label = next(data.iterdir())
    (label / "copy.png").write_bytes(next(label.glob("*.png")).read_bytes())
    for image in sorted(label.glob("*.png"))[:6]:
        (data / "simple_fracture" / f"other_{image.name}").write_bytes(image.read_bytes())
    text = said(Source(data=str(data)), tmp_path)
    assert "Exact duplicates" in text
    assert "The same image under two labels" in text
