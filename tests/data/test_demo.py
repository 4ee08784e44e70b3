"""The demo set: same pixels for a seed, no way to the label but the break, and a folder that is whole or absent."""

import csv
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fracture.data import demo
from fracture.data.phantom.patient import draw_patient
from fracture.data.phantom.skeleton import REGIONS
from fracture.data.phantom.view import draw_view
from fracture.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]
LEAST = demo.MIN_IMAGES


def fast_view(person: object, turn: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    return rng.integers(0, 255, (9, 7), dtype=np.uint8)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of files need no anatomy."""
    monkeypatch.setattr(demo, "draw_view", fast_view)


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- the images


def test_same_seed_same_pixels_in_any_order() -> None:
    forwards = [demo.render_patient(5, patient) for patient in (0, 1, 2)]
    backwards = [demo.render_patient(5, patient) for patient in (2, 1, 0)][::-1]
    for first, second in zip(forwards, backwards, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.pixels, b.pixels)
            assert replace(a, pixels=b.pixels) == b


def test_other_seeds_patients_and_views_differ() -> None:
    images = [*demo.render_patient(5, 0), *demo.render_patient(5, 3), *demo.render_patient(6, 0)]
    assert len({image.pixels.tobytes() for image in images}) == len(images)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**63), patient=st.integers(0, 10**6))
def test_any_patient_is_a_set_of_views(seed: int, patient: int) -> None:
    views = demo.render_patient(seed, patient)
    assert len(views) in (2, 3)
    assert [image.view for image in views] == list(range(len(views)))
    assert {(image.label, image.patient) for image in views} == {(demo.CLASSES[patient % 3], f"demo-{patient:05d}")}
    for image in views:
        assert image.pixels.dtype == np.uint8
        assert image.pixels.shape == views[0].pixels.shape
        assert 256 <= min(image.pixels.shape) <= max(image.pixels.shape) <= 384
        assert image.pixels.std() > 8
        assert ("no fracture" in image.description) == (image.label == "no_fracture")


def test_description_names_bone_and_break() -> None:
    words = [demo.render_patient(1, patient)[0].description for patient in range(6)]
    assert all(text.split(",")[0] in {region.name for region in REGIONS} for text in words)
    assert all("fragments" in text for text in words[0::3])
    assert all("displaced" in text for text in words[2::3])


@pytest.mark.parametrize(("seed", "patient"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(seed: int, patient: int) -> None:
    with pytest.raises(ConfigError, match="0 or more"):
        demo.render_patient(seed, patient)


# ---- the label shows in the break alone


def test_body_and_exposure_do_not_depend_on_the_label() -> None:
    people = [draw_patient(label, np.random.default_rng(3), np.random.default_rng(4)) for label in demo.CLASSES]
    assert people[0][1].injury is not None
    assert people[1][1].injury is None
    assert len({replace(person, injury=None) for _, person in people}) == 1
    assert len({region.name for region, _ in people}) == 1


def test_patients_in_a_row_have_equally_many_views() -> None:
    views = [demo._views(9, patient) for patient in range(300)]
    assert all(len(set(views[k : k + 3])) == 1 for k in range(0, 300, 3))
    assert set(views) == {2, 3}


@pytest.mark.parametrize("label", ["comminuted_fracture", "simple_fracture"])
def test_break_changes_a_small_part_of_the_picture(label: str) -> None:
    shares = []
    for number in range(8):
        region, person = draw_patient(label, np.random.default_rng(number), np.random.default_rng(number + 50))
        whole = replace(person, injury=None)
        broken_view, whole_view = (draw_view(p, region.turns[0], np.random.default_rng(7)) for p in (person, whole))
        shares.append(float((np.abs(broken_view.astype(int) - whole_view) > 10).mean()))
    assert min(shares) > 0.0
    assert 0.0005 < np.median(shares) < 0.2


def not_anatomy(pixels: npt.NDArray[np.uint8]) -> list[float]:
    """What a shortcut could use: size, aspect, grey statistics, the borders' histogram."""
    height, width = pixels.shape
    border = np.concatenate([pixels[:6].ravel(), pixels[-6:].ravel(), pixels[:, :6].ravel(), pixels[:, -6:].ravel()])
    levels = np.percentile(pixels, [1, 10, 25, 50, 75, 90, 99])
    histogram = np.histogram(border, 12, (0, 256))[0] / border.size
    return [height, width, width / height, pixels.mean(), pixels.std(), *levels, *histogram]


def test_size_intensity_and_border_say_nothing_about_the_class() -> None:
    images = [demo._render(11, patient, 1)[0] for patient in range(180)]
    features = np.array([not_anatomy(image.pixels) for image in images])
    labels, groups = [image.label for image in images], [image.patient for image in images]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for probe in (
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
        RandomForestClassifier(60, min_samples_leaf=3, random_state=0),
    ):
        guessed = cross_val_predict(probe, features, labels, groups=groups, cv=folds)
        # chance is 0.333 with a standard deviation of 0.035 at n = 180
        assert balanced_accuracy_score(labels, guessed) < 0.45


# ---- the folder


def test_writes_exactly_the_images_asked_for(tmp_path: Path) -> None:
    seen: list[int] = []
    manifest = demo.write_demo(tmp_path / "set", LEAST + 1, 3, seen.append)
    rows = rows_of(manifest)
    assert manifest == tmp_path / "set" / "manifest.csv"
    assert list(rows[0]) == ["path", "label", "group", "source", "description"]
    assert len(rows) == LEAST + 1 == len(list((tmp_path / "set").rglob("*.png"))) == seen[-1]
    assert seen == sorted(seen)
    rendered = [image for patient in range(15) for image in demo.render_patient(3, patient)][: LEAST + 1]
    for row, image in zip(rows, rendered, strict=True):
        assert row["path"] == f"{image.label}/{image.patient}_view{image.view}.png"
        assert (row["label"], row["group"], row["source"]) == (image.label, image.patient, "synthetic")
        with Image.open(manifest.parent / row["path"]) as picture:
            assert picture.mode == "L"
            assert "synthetic radiograph, not a patient" in picture.info.values()
            np.testing.assert_array_equal(np.asarray(picture), image.pixels)


@pytest.mark.usefixtures("fast")
def test_larger_set_begins_with_the_smaller_and_classes_balance(tmp_path: Path) -> None:
    few, many = (rows_of(demo.write_demo(tmp_path / str(n), n, 1)) for n in (LEAST, 200))
    assert few == many[:LEAST]
    counts = Counter(row["label"] for row in many)
    assert set(counts) == set(demo.CLASSES)
    assert max(counts.values()) - min(counts.values()) <= 3
    for row in few:
        small, large = (tmp_path / str(n) / row["path"] for n in (LEAST, 200))
        assert small.read_bytes() == large.read_bytes()


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("seed", range(5))
def test_smallest_set_has_three_patients_of_each_class(tmp_path: Path, seed: int) -> None:
    rows = rows_of(demo.write_demo(tmp_path / "set", LEAST, seed))
    patients = Counter(label for label, _ in {(row["label"], row["group"]) for row in rows})
    assert all(patients[label] >= 3 for label in demo.CLASSES)


@pytest.mark.usefixtures("fast")
def test_complete_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = demo.write_demo(tmp_path / "set", LEAST, 3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    monkeypatch.setattr(demo, "draw_view", None)
    assert demo.write_demo(tmp_path / "set", LEAST, 3) == manifest
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("harm", ["image gone", "image empty", "manifest gone", "manifest short", "only empty folder"])
def test_damaged_or_empty_folder_is_built_again(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "set"
    manifest = demo.write_demo(folder, LEAST, 3)
    whole, picture = manifest.read_bytes(), next(folder.rglob("*.png"))
    if harm == "image gone":
        picture.unlink()
    elif harm == "image empty":
        picture.write_bytes(b"")
    elif harm == "manifest gone":
        manifest.unlink()
    elif harm == "manifest short":
        manifest.write_bytes(whole[: len(whole) // 2])
    else:
        folder.rename(tmp_path / "elsewhere")
        folder.mkdir()
    demo.write_demo(folder, LEAST, 3)
    assert manifest.read_bytes() == whole
    assert picture.stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} - {"elsewhere"} <= {"set", ".set.lock"}


@pytest.mark.usefixtures("fast")
def test_other_set_or_other_files_are_never_touched(tmp_path: Path) -> None:
    demo.write_demo(tmp_path / "set", LEAST, 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("keep")
    for folder, seed in ((tmp_path / "set", 4), (tmp_path / "mine", 3)):
        before = sorted(folder.rglob("*"))
        with pytest.raises(DataError, match="something else"):
            demo.write_demo(folder, LEAST, seed)
        assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("images", "seed", "message"),
    [(LEAST - 1, 1, f"demo_images={LEAST - 1}: at least {LEAST}"), (0, 1, "demo_images=0"), (LEAST, -1, "seed=-1")],
)
def test_bad_numbers_are_refused(tmp_path: Path, images: int, seed: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        demo.write_demo(tmp_path / "set", images, seed)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("fast")
def test_stopped_half_way_leaves_no_folder_and_the_next_call_works(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.write_demo(tmp_path / "set", LEAST, 3, stop)
    assert {path.name for path in tmp_path.iterdir()} <= {".set.lock"}
    assert len(rows_of(demo.write_demo(tmp_path / "set", LEAST, 3))) == LEAST


@pytest.mark.usefixtures("fast")
def test_leftover_of_a_killed_process_goes(tmp_path: Path) -> None:
    (tmp_path / ".set.part" / "no_fracture").mkdir(parents=True)
    (tmp_path / ".set.part" / "no_fracture" / "half.png").write_bytes(b"half")
    demo.write_demo(tmp_path / "set", LEAST, 3)
    assert not (tmp_path / ".set.part").exists()
    assert not (tmp_path / "set" / "no_fracture" / "half.png").exists()


WRITE = """
import sys
from pathlib import Path
from fracture.data.demo import write_demo
assert "torch" not in sys.modules
print(write_demo(Path(sys.argv[1]), int(sys.argv[2]), 3))
"""


def test_two_processes_at_once_and_no_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE, str(tmp_path / "set"), str(LEAST)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)]
    printed = [process.communicate()[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed == [str(tmp_path / "set" / "manifest.csv")] * 2
    assert len(rows_of(Path(printed[0]))) == LEAST
    assert all((tmp_path / "set" / row["path"]).stat().st_size for row in rows_of(Path(printed[0])))
