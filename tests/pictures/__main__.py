"""Make the pictures of README and docs anew: real commands on the demo set, looked at in a headless Chromium.

    python -m tests.pictures                       # all of them
    python -m tests.pictures report page           # these

Needs chromium with its driver and the extras [test,weights]. docs/images/leakage.png is not among them: its figures are
those of real radiographs (`python -m tests.benchmarks.leakage --figure`, see docs/leakage.md).
"""

import argparse
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from PIL import Image

from tests import chromium
from tests.pictures.scenes import PICTURES
from tests.pictures.studio import ROOT, Studio

WIDEST = 1600  # pixels


def main() -> None:
    """Take those that are named and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(PICTURES)}")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="default: docs/images")
    parser.add_argument(
        "--folder", type=Path, help="where the runs lie, to take a picture again without training again"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(PICTURES):
        parser.error(f"no picture is called {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
    if missing := chromium.missing():
        sys.exit(f"pictures: {missing}")
    with tempfile.TemporaryDirectory() as temporary, closing(Studio(options.folder or Path(temporary))) as studio:
        for name in options.names or PICTURES:
            print(name, flush=True)
            save(PICTURES[name](studio), options.out / f"{name}.png")


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG of at most 256 colours, which screens and charts do not miss."""
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    if picture.mode != "L":
        picture = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)
    print(f"  {path}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
