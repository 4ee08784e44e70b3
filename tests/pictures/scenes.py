"""What each picture of the documents shows, and how it is taken. Every radiograph in them is rendered."""

import csv
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from fracture.data import demo
from fracture.data.manifest import read_csv
from tests.benchmarks.demo_set import sheet
from tests.pictures.studio import Studio, until

LITE = ("fracture", "train", "--model", "tf_efficientnet_lite0")
PROBE = (*LITE, "--demo-images", "600", "--head", "probe", "--trained", "head", "--batch-norm", "pretrained",
         "--epochs", "1", "--refer-error", "0.2")  # fmt: skip
EPOCHS = (*LITE, "--demo-images", "240", "--image-size", "128", "--epochs", "6")
COMPARED = (
    (*EPOCHS, "--lr", "0.0005"),
    (*EPOCHS, "--lr", "0.002"),
    (*EPOCHS, "--lr", "0.002", "--weights", "none"),
)
STUDY = ("tuning", "--model", "tf_efficientnet_lite0", "--demo-images", "240", "--image-size", "64", "--epochs", "4",
         "--trials", "20", "--threads", "1", "--pruner", "none")  # fmt: skip
MEMORY = ("fracture", "train", "--model", "convnextv2", "--weights", "none", "--demo-images", "30", "--epochs", "1",
          "--precision", "bf16", "--memory-format", "contiguous", "--memory-limit-gib", "4")  # fmt: skip
CURSOR = re.compile(r"\x1b\[\?25[lh]\n?")  # hidden, and shown again
DARK = TerminalTheme((24, 27, 32), (222, 226, 231), [
    (60, 64, 72), (224, 108, 117), (126, 198, 134), (229, 192, 100),
    (97, 175, 239), (198, 140, 221), (86, 192, 200), (222, 226, 231),
])  # fmt: skip


def report(studio: Studio) -> Image.Image:
    """A report like that of README's second command: what it says first, and its activation maps, side by side."""
    studio.visit(studio.artifact(studio.run(*PROBE), "report.html").as_uri(), 760, 960)
    first = studio.shot()
    figures = "[...document.querySelectorAll('figure, p')].find(one => one.textContent.startsWith({!r}))"
    below = studio.browser.execute_script(
        f"return {figures.format('Where right answers come from')}.getBoundingClientRect().bottom + scrollY"
    )
    second = studio.shot(int(below) - first.height + 8)
    both = Image.new("RGB", (first.width + second.width + 4, first.height), "white")
    both.paste(first, (0, 0))
    both.paste(second, (first.width + 4, 0))
    return both


def page(studio: Studio) -> Image.Image:
    """The page that `fracture serve` shows, with the answer to the fracture of the test split that it is surest of."""
    run = studio.run(*PROBE)
    with studio.artifact(run, "predictions_test.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["decision"] == "fracture reported"]
    right = [row for row in rows if row["label"] == row["predicted"]]
    surest = max(right, key=lambda row: float(row[f"probability_{row['label']}"]))
    known = read_csv(studio.artifact(run, "manifest.csv")).rows
    image = next(row.path for row in known if row.sha256 == surest["sha256"])
    with studio.serving(run) as address:
        studio.visit(address, 1280, 900)
        studio.browser.find_element("id", "file").send_keys(str(image))
        studio.wait_for("document.getElementById('shares').textContent.includes('%')")
        studio.wait_for("document.getElementById('heat').naturalWidth")
        return studio.shot()


def mlflow_run(studio: Studio) -> Image.Image:
    """A run's metrics, epoch by epoch, in the MLflow UI."""
    run = studio.run(*COMPARED[0])
    with studio.mlflow() as address:
        studio.visit(f"{address}/#/experiments/{studio.experiment(run)}/runs/{run}/model-metrics", 1280, 1040)
        studio.wait_for("document.querySelectorAll('.main-svg').length > 3")
        box = studio.browser.find_element("css selector", "input[placeholder='Search metric charts']")
        box.send_keys(r"^(train|val)/")
        time.sleep(3)  # remembered
        studio.browser.refresh()  # charts that move to other places may wait for ever
        until(lambda: _charts_are_drawn(studio), "the charts")
        _hide(studio, ".modebar")  # which a mouse shows
        return studio.shot()


def _hide(studio: Studio, what: str) -> None:
    studio.browser.execute_script(
        "document.head.append(Object.assign(document.createElement('style'), {textContent: arguments[0]}))",
        f"{what} {{ display: none }}",
    )


def _charts_are_drawn(studio: Studio) -> bool:
    """Whether none that is seen still waits. A headless browser draws as it is looked at."""
    studio.shot()
    return bool(
        studio.browser.execute_script(
            "return document.querySelectorAll('.js-line').length > 2"
            " && ![...document.querySelectorAll('.du-bois-light-spin')]"
            ".some(one => one.getBoundingClientRect().top < innerHeight)"
        )
    )


def mlflow_compare(studio: Studio) -> Image.Image:
    """Three runs on the compare page of the MLflow UI."""
    from selenium.webdriver.common.keys import Keys

    runs = [studio.run(*words) for words in COMPARED]
    with studio.mlflow() as address:
        chosen = f"runs={json.dumps(runs)}&experiments={json.dumps([studio.experiment(runs[0])])}"
        studio.visit(f"{address}/#/compare-runs?{chosen}", 1280, 860)
        studio.wait_for("document.querySelectorAll('.main-svg').length")
        metrics = studio.browser.find_elements("css selector", "input[role=combobox]")[1]
        metrics.send_keys(Keys.BACKSPACE, "best/val_macro_f1", Keys.ENTER, Keys.ESCAPE)  # not the first of all
        studio.wait_for(
            "[...document.querySelectorAll('.axis-title')].some(one => one.textContent.startsWith('best/'))"
        )
        return studio.shot()


def mlflow_views(studio: Studio) -> Image.Image:
    """The same runs in the view of models that the first run saved, with its charts."""
    runs = [studio.run(*words) for words in COMPARED]
    with studio.mlflow() as address:
        place = f"{address}/#/experiments/{studio.experiment(runs[0])}/runs"
        studio.visit(f"{place}?viewStateShareKey=fracture-models&compareRunsMode=CHART", 1600, 960)
        until(lambda: _charts_are_drawn(studio), "the charts")
        _hide(studio, ".modebar")  # which a mouse shows
        return studio.shot()


def memory(studio: Studio) -> Image.Image:
    """What a run under a limit of 4 GiB was predicted to take, and took."""
    return Image.open(studio.artifact(studio.run(*MEMORY), "memory.png"))


def tuning(studio: Studio) -> Image.Image:
    """The four pictures of a study, two in a row."""
    run = studio.run(*STUDY)
    names = ("history", "slice", "importances", "parallel")
    return _tiled([Image.open(studio.artifact(run, f"{name}.png")) for name in names])


def terminal(studio: Studio) -> Image.Image:
    """What the audit says of data that was augmented before it was split."""
    leaky = _augmented_before_the_split(studio.folder / "dataset")
    words = ("fracture", "audit", leaky.name)
    said = studio.command(
        *words, expected=3, FORCE_COLOR="1", TTY_INTERACTIVE="0", COLUMNS="100", TERM="xterm-256color"
    )
    return _terminal(studio, f"$ {' '.join(words)}\n{said}")


PICTURES: dict[str, Callable[[Studio], Image.Image]] = {
    "demo": lambda _: sheet(),
    "terminal": terminal,
    "report": report,
    "page": page,
    "mlflow-run": mlflow_run,
    "mlflow-views": mlflow_views,
    "mlflow-compare": mlflow_compare,
    "tuning": tuning,
    "memory": memory,
}


def _augmented_before_the_split(folder: Path) -> Path:
    """Demo images and their mirror images, dealt out to train, val and test in turn: what scripts often do."""
    for number in range(45):
        image = demo.render_patient(1, number)[0]
        for copy, pixels in enumerate((Image.fromarray(image.pixels), ImageOps.mirror(Image.fromarray(image.pixels)))):
            split = ("train", "train", "train", "val", "test")[(3 * number + 4 * copy) % 5]
            path = folder / split / image.label / f"{number:03d}{'_flip' * copy}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels.save(path)
    return folder


def _terminal(studio: Studio, text: str) -> Image.Image:
    """Text as a terminal shows it, by rich's export and the browser."""
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(CURSOR.sub("", text)))
    path = studio.folder / "terminal.svg"
    path.write_text(console.export_svg(title="fracture", theme=DARK), encoding="utf-8")
    studio.visit(path.as_uri(), 1220, 900)
    _, _, width, height = studio.browser.execute_script(
        "return document.documentElement.getAttribute('viewBox')"
    ).split()
    studio.visit(path.as_uri(), 1220, round(1220 * float(height) / float(width)))  # it fills the window
    return studio.shot()


def _tiled(pictures: list[Image.Image]) -> Image.Image:
    """Four pictures in two rows, on white."""
    rows = [pictures[:2], pictures[2:]]
    width = max(sum(picture.width for picture in row) for row in rows)
    heights = [max(picture.height for picture in row) for row in rows]
    whole = Image.new("RGB", (width, sum(heights)), "white")
    for row, top in zip(rows, (0, heights[0]), strict=True):
        left = 0
        for picture in row:
            whole.paste(picture.convert("RGB"), (left, top))
            left += picture.width
    return whole
