"""The judge: plain values in, findings out, and the report and its page."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fracture.data.audit import audit as auditing
from fracture.data.audit.audit import audit_manifest, open_data, write_report
from fracture.data.audit.config import AuditConfig
from fracture.data.audit.confound import PairProbe, Probe
from fracture.data.audit.image import Image
from fracture.data.audit.judge import judge
from fracture.data.audit.report import AuditReport, Check
from fracture.data.manifest import Manifest, Row, read_csv
from fracture.data.near_duplicates.pairs import NearPair, NearPairs
from fracture.errors import DataError

SPLITS = ("train", "train", "val", "test")


def _images(count: int = 8, **changes: Sequence[str]) -> list[Image]:
    """Alternating labels, splits in fours, nothing shared; ``changes`` replace a field of the first images."""
    images = []
    for i in range(count):
        values = {
            "path": f"{i}.png", "label": "ab"[i // 4 % 2], "split": SPLITS[i % 4], "group": f"g{i}", "source": "s",
            "sha256": f"{i:064d}",
        }  # fmt: skip
        values |= {name: given[i] for name, given in changes.items() if i < len(given)}
        images.append(Image(width=100, height=120, spread=40.0, **values))
    return images


def _judge(
    images: Sequence[Image], near: Sequence[tuple[int, int]] | None = (), review: Sequence[tuple[int, int]] = (),
    probe: Probe | None = None,
) -> AuditReport:  # fmt: skip
    pairs, unsure = (
        None if found is None else [NearPair(a, b, 0.9, "flipped") for a, b in found] for found in (near, review)
    )
    return judge("set", "digest", images, pairs, unsure or [], probe or Probe(), {"near_duplicate": 0.85})


def _check(report: AuditReport, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def test_clean_data_is_clean() -> None:
    report = _judge(_images())
    assert report.verdict == "clean"
    assert not report.leaks
    assert {c.status for c in report.checks} <= {"ok", "skipped"}


@pytest.mark.parametrize(
    ("changes", "near", "leaks"),
    [
        pytest.param({}, [(0, 2)], ["duplicates_across_splits"], id="a near-duplicate in train and val"),
        pytest.param({}, [(2, 3)], ["duplicates_across_splits"], id="a near-duplicate in val and test"),
        pytest.param({"sha256": ["x", "y", "z", "x"]}, [], ["duplicates_across_splits"], id="the same bytes in two"),
        pytest.param({"group": ["p", "q", "p"]}, [], ["groups_across_splits"], id="a patient in two splits"),
        pytest.param({}, [(0, 4)], ["contradictory_labels"], id="a near-duplicate under two labels"),
        pytest.param({"sha256": ["x", "1", "2", "3", "x"]}, [], ["contradictory_labels"], id="one file, two labels"),
        pytest.param({}, [(0, 1)], [], id="a near-duplicate inside one split is none"),
        pytest.param({"sha256": ["x", "x"]}, [], [], id="a copy inside one split is none"),
        pytest.param({"group": ["p", "p"]}, [], [], id="a patient inside one split is none"),
        pytest.param({"group": [""] * 8}, [], [], id="no groups"),
        pytest.param({"split": [""] * 8}, [(0, 2)], [], id="no splits"),
        pytest.param({"split": [""] * 8}, [(0, 4)], ["contradictory_labels"], id="two labels, no splits"),
        pytest.param({"sha256": [""] * 8}, [], [], id="unreadable files are no copies of each other"),
    ],
)
def test_what_leaks(changes: dict[str, Sequence[str]], near: list[tuple[int, int]], leaks: list[str]) -> None:
    report = _judge(_images(**changes), near)
    assert [check.name for check in report.leaks] == leaks
    assert report.verdict == ("leaking" if leaks else "clean")
    assert len(report.problems()) == len(leaks)
    assert all(check.evidence for check in report.leaks)


def test_pairs_to_review_never_refuse() -> None:
    report = _judge(_images(), review=[(0, 2), (0, 4)])
    assert not report.leaks
    assert "2 uncertain pairs to review, 1 across splits" in _check(report, "duplicates_across_splits").sentence


def test_what_was_not_looked_for_is_said() -> None:
    check = _check(_judge(_images(), near=None), "duplicates_across_splits")
    assert check.status == "note"
    assert "not looked for" in check.sentence


def test_inflation_follows_links_through_others() -> None:
    # 3 (test) is a copy of 2 (val), which is a copy of 0 (train); 7 (test) shares a group with 5 (train)
    images = _images(group=["a", "b", "c", "d", "e", "p", "f", "p"])
    val, test = _judge(images, [(0, 2), (2, 3)]).inflation
    assert (val.split, val.related, val.total) == ("val", 1, 2)
    assert (test.split, test.related, test.total, test.share) == ("test", 2, 2, 1.0)
    assert test.low < 1.0 == test.high


def _pair(low: float) -> PairProbe:
    return PairProbe("a", "b", 0.9, low, 0.95, 10, 10, {"size": 0.9}, low > 0.8)


@pytest.mark.parametrize(("low", "status", "verdict"), [(0.81, "warning", "confounded"), (0.79, "note", "clean")])
def test_the_probe_warns_and_never_refuses(low: float, status: str, verdict: str) -> None:
    report = _judge(_images(), probe=Probe((_pair(low),)))
    assert _check(report, "source_probe").status == status
    assert report.verdict == verdict
    assert report.confounded == (verdict == "confounded")
    assert not report.leaks


def test_distributions_warn() -> None:
    images = _images(40, source=["one" if i // 4 % 2 else "two" for i in range(40)])
    images[0] = Image("blank.png", "a", "train", "x", "two", "b", 100, 120, spread=0.5)
    images[1] = Image("tiny.png", "a", "train", "y", "two", "c", 20, 120, spread=40.0)
    images[2] = Image("huge.png", "a", "val", "z", "two", "d", 9000, 9000, spread=40.0)
    found = _judge(images).distributions
    assert (found.blank, found.tiny, found.outliers) == (("blank.png",), ("tiny.png",), ("huge.png",))
    assert any("every a is from two, which has no other class" in w for w in found.warnings)


@pytest.mark.parametrize(
    ("splits", "absent"), [(["train"] * 8, ["val", "test"]), ([""] * 8, []), (["test"] * 8, ["train", "val"])]
)
def test_a_split_without_images_is_told(splits: list[str], absent: list[str]) -> None:
    said = _judge(_images(8, split=splits)).distributions.warnings
    assert [one.split()[4].rstrip(":") for one in said if one.startswith("no image is in")] == absent


@pytest.fixture
def leaky(tmp_path: Path) -> Manifest:
    """Sixty images of two classes, of which every test image has its mirror image in train under another name."""
    rng = np.random.default_rng(0)
    for i in range(60):
        pixels = rng.integers(0, 255, (80, 64), np.uint8)
        split = "test" if i < 12 else "val" if i < 20 else "train"
        places = [tmp_path / "set" / split / "ab"[i % 2] / f"scan{i:06d}.png"]
        if split == "test":
            places.append(tmp_path / "set" / "train" / "ab"[i % 2] / f"scan{i + 900:06d}.png")
        for k, place in enumerate(places):
            place.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(pixels[:, ::-1] if k else pixels).save(place)
    return open_data(tmp_path / "set", tmp_path / "cache")


def _mirrored(manifest: Manifest) -> Callable[..., NearPairs]:
    """What the search for near-duplicates would find."""
    numbers = {int(row.path.stem[4:]): i for i, row in enumerate(manifest.rows)}
    pairs = tuple(NearPair(numbers[i], numbers[i + 900], 0.99, "mirrored") for i in range(12))
    return lambda *_: NearPairs(pairs, (), 0.85, 0.8)


def test_a_data_set_is_audited_and_the_page_holds_its_images(
    tmp_path: Path, leaky: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "near_duplicates", _mirrored(leaky))
    report = audit_manifest(leaky, tmp_path / "cache")
    assert [check.name for check in report.leaks] == ["duplicates_across_splits"]
    assert [(one.split, one.related) for one in report.inflation] == [("val", 0), ("test", 12)]
    assert report.probe.pairs, "thirty groups a class are enough to probe"
    paths = write_report(report, tmp_path / "out" / "audit.json")
    written = json.loads(paths[0].read_text())
    assert written["verdict"] == "leaking"
    assert written["leaks"] == ["duplicates_across_splits"]
    assert len(written["checks"][1]["evidence"]) == 12
    page = paths[1].read_text()
    assert page.count("data:image/jpeg;base64,") == 24
    assert "http" not in page.replace("http-equiv", ""), "the page needs nothing from elsewhere"


def test_rendered_patients_are_known_apart(tmp_path: Path, leaky: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two patients of the demo set may look alike by chance; of radiographs nobody knows that."""
    monkeypatch.setattr(auditing, "near_duplicates", _mirrored(leaky))
    rows = [replace(row, group=f"patient {i}", source="synthetic") for i, row in enumerate(leaky.rows)]
    found = auditing.audit_manifest(leaky.with_rows(rows), tmp_path / "cache", config=AuditConfig(probe=False))
    assert not [check for check in found.leaks if check.name in ("duplicates_across_splits", "contradictory_labels")]
    assert "to review" in _check(found, "duplicates_across_splits").sentence
    real = [replace(row, source="hospital") for row in rows]
    found = auditing.audit_manifest(leaky.with_rows(real), tmp_path / "cache", config=AuditConfig(probe=False))
    assert "duplicates_across_splits" in {check.name for check in found.leaks}


def test_names_of_files_are_no_html(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "set", splits=("train", "val", "test"))
    bad = "<img src=x onerror=alert(1)>.png"
    image = root / "train" / "no_fracture" / bad
    image.write_bytes((root / "test" / "no_fracture" / "test000.png").read_bytes())
    report = audit_manifest(open_data(root, tmp_path), tmp_path, config=AuditConfig(near_duplicates=False, probe=False))
    page = write_report(report, tmp_path / "a.json")[1].read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_unreadable_files_are_counted_and_the_rest_is_judged(tmp_path: Path, images: Path) -> None:
    (images / "no_fracture" / "empty.png").touch()
    report = audit_manifest(open_data(images, tmp_path), tmp_path, config=AuditConfig(near_duplicates=False))
    assert _check(report, "unreadable").count == 1
    assert report.to_dict()["unreadable"] == {str(images / "no_fracture" / "empty.png"): "the file is empty"}


def test_images_without_a_class_are_said_to_be_left_out(tmp_path: Path, images: Path) -> None:
    (images / "beside.png").write_bytes(next(images.rglob("*.png")).read_bytes())
    told = "left out, so not audited: 1 x lies beside the class folders, so it has no class"
    assert any(told in note for note in open_data(images, tmp_path).notes)


def test_an_audit_without_a_readable_image_is_none(tmp_path: Path) -> None:
    rows = tuple(Row(tmp_path / f"{i}.png", "ab"[i % 2], "train") for i in range(4))
    with pytest.raises(DataError, match=r"none of the 4 images can be read, the first: .*0.png: No such file"):
        audit_manifest(Manifest("m", tmp_path, rows), tmp_path / "cache")


def test_what_cannot_be_audited_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "empty").mkdir()
    for path, said in (("a.txt", "neither"), ("gone", "does not exist"), ("empty", "no image files")):
        with pytest.raises(DataError, match=said):
            open_data(tmp_path / path, tmp_path / "cache")


def test_a_manifest_of_another_place_is_read_as_it_is(tmp_path: Path, images: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path,label\n{images}/no_fracture/000.png,x\n")
    assert open_data(tmp_path / "m.csv", tmp_path).rows == read_csv(tmp_path / "m.csv").rows
