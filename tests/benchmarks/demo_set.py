"""How fast the demo set is rendered, and a sheet of it.

python -m tests.benchmarks.demo_set --images 500 --sheet docs/images/demo.png
"""

import argparse
import tempfile
import time
from pathlib import Path

from PIL import Image

from fracture.data import demo
from tests.benchmarks.machine import machine

COLUMNS, ROWS, SIDE = 6, 3, 150


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        demo.write_demo(Path(folder) / "demo", options.images, seed=0)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{machine()}\n{options.images} images in {wall:.1f} s: {60 * options.images / wall:.0f} a minute")
    print(f"{1000 * cpu / options.images:.0f} ms of processor time an image")
    if options.sheet:
        sheet().save(options.sheet, optimize=True)


def sheet() -> Image.Image:
    """The first view of the first patients, a class a column in turn."""
    page = Image.new("L", (COLUMNS * SIDE, ROWS * SIDE), 40)
    for number in range(COLUMNS * ROWS):
        picture = Image.fromarray(demo.render_patient(1, number)[0].pixels)
        picture.thumbnail((SIDE - 6, SIDE - 6))
        page.paste(picture, ((number % COLUMNS) * SIDE + 3, (number // COLUMNS) * SIDE + 3))
    return page


if __name__ == "__main__":
    main()
