"""What a person looks at first, how labels come back, and what they say of the model in use."""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from fracture.data.audit import confound
from fracture.data.audit.traits import NAMES
from fracture.data.manifest import read_csv
from fracture.data.prepare import reviewed
from fracture.errors import ConfigError, DataError
from fracture.evidence.verdict import Rule, decide
from fracture.monitoring import reference as references
from fracture.monitoring import use
from fracture.monitoring.feedback import RANDOM, choose, unlike, write
from fracture.monitoring.folder import FolderLog
from fracture.monitoring.record import Record
from fracture.monitoring.reference import Reference, build
from fracture.monitoring.use import InUse, measure
from fracture.runs import drift
from fracture.runs.drift import open_window
from fracture.runs.in_use import tags_of
from fracture.tracking import query
from registry.verify import verify
from registry.versions import Registry
from tests.monitoring.rows import record
from tests.registry.screens import quiet
from tests.small_model import CLASSES, png

RULE = Rule(CLASSES, "no_fracture", 0.5, 0.5)


@pytest.fixture(scope="module")
def base() -> Reference:
    rng = np.random.default_rng(0)
    return build(
        RULE, "w" * 64, "made up", rng.dirichlet(np.ones(3), 60), range(60), rng.normal(size=(60, len(NAMES))).tolist()
    )


def answered(shares: list[float], number: int, **values: Any) -> Record:
    said = decide(RULE, shares)
    return record(
        number, label=said.label, fracture=said.fracture, fracture_probability=said.fracture_probability,
        refer=bool(said.reason), confidence=max(shares),
        probabilities=dict(zip(CLASSES, shares, strict=True)), **values,
    )  # fmt: skip


def stream(n: int) -> list[Record]:
    rng = np.random.default_rng(1)
    return [
        answered(row, i, traits=tuple(rng.normal(size=len(NAMES))))
        for i, row in enumerate(rng.dirichlet(np.ones(3), n).tolist())
    ]


def test_half_is_drawn_at_random_and_the_rest_tells_most(base: Reference) -> None:
    rows = stream(200)
    rows[7] = answered([0.25, 0.501, 0.249], 7, traits=rows[7].traits)  # nearest to the threshold
    rows[9] = answered([0.9, 0.05, 0.05], 9, traits=tuple(np.full(len(NAMES), 30.0)))
    rows += [rows[3], record(300, error="no image", refer=True)]
    choices = choose(rows, base, 41)
    assert len({choice.row.image for choice in choices}) == 41
    drawn = [choice for choice in choices if RANDOM in choice.reasons]
    assert len(drawn) == 21
    told = {reason for choice in choices for reason in choice.reasons}
    assert told == {RANDOM, "referred", "near the threshold", "unlike the reference"}
    by = {choice.row.image: choice.reasons for choice in choices}
    assert "near the threshold" in by[rows[7].image]
    assert "unlike the reference" in by[rows[9].image]
    assert all(choice.row.refer for choice in choices if "referred" in choice.reasons)
    assert not any(choice.row.error for choice in choices)
    again = choose([*reversed(rows)], base, 41)
    assert {c.row.image for c in again if RANDOM in c.reasons} == {c.row.image for c in drawn}
    assert {c.row.image for c in choose(rows, base, 41, seed=1) if RANDOM in c.reasons} != {c.row.image for c in drawn}
    assert len(choose(rows[:5], None, 100)) == 5


def test_every_image_is_equally_likely_whatever_was_said(base: Reference) -> None:
    """Over 300 seeds each of 20 images is drawn 75 times, give or take five standard deviations."""
    rows, counts = stream(20), dict.fromkeys((f"{i:064x}" for i in range(20)), 0)
    for seed in range(300):
        for choice in choose(rows, None, 10, seed):
            counts[choice.row.image] += RANDOM in choice.reasons
    spread = 5 * np.sqrt(300 * 0.25 * 0.75)
    assert all(abs(count - 75) < spread for count in counts.values())


def test_unlike_is_known_only_with_traits_or_distances(base: Reference) -> None:
    assert unlike(record(0), base) == 0
    assert unlike(stream(1)[0], None) == 0
    far = record(0, traits=tuple(np.full(len(NAMES), 5.0)))
    assert unlike(far, base) > 2 > unlike(stream(1)[0], base) > 0


def as_csv(root: Path, rows: list[dict[str, str]]) -> Path:
    return _csv(root / "a.csv", [{**row, "choice": row["label"], "label": "x", "id": "1"} for row in rows])


def as_json_min(root: Path, rows: list[dict[str, str]]) -> Path:
    return _json(root / "a.json", [{**row, "choice": row["label"], "label": "x"} for row in rows])


def as_json(root: Path, rows: list[dict[str, str]]) -> Path:
    def task(row: dict[str, str]) -> dict[str, Any]:
        said = [{"type": "choices", "value": {"choices": [row["label"]]}}] if row["label"] else []
        cancelled = {"was_cancelled": True, "result": []}
        return {"data": {**row, "label": "x"}, "annotations": [cancelled, {"result": said}]}

    return _json(root / "a.json", [task(row) for row in rows])


def _csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _json(path: Path, values: Any) -> Path:
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("export", [as_csv, as_json_min, as_json])
def test_exports_of_label_studio_are_read(export: Callable[[Path, list[dict[str, str]]], Path], tmp_path: Path) -> None:
    rows = [{"path": "a.png", "sha256": "s1", "reason": RANDOM, "label": "no_fracture"},
            {"path": "b.png", "sha256": "s2", "reason": "referred", "label": ""}]  # fmt: skip
    found = reviewed.read(export(tmp_path, rows))
    assert [(one.path, one.label, one.sha256, one.reason) for one in found] == [
        ("a.png", "no_fracture", "s1", RANDOM), ("b.png", "", "s2", "referred"),
    ]  # fmt: skip


SAVED = {
    "semicolons": "\ufeffpath;label;confidence;reason;sha256\r\nx.png;cat;0,87;drawn at random;AB\r\n".encode(),
    "told": b'sep=;\r\nnote;Label;reason;Path;SHA256\r\n"a\nb; c";cat;drawn at random;x.png;ab\r\n;;;;\r\n',
    "western": "path;label;reason;sha256;station\r\nx.png;cat;drawn at random;ab;Röntgen 1\r\n".encode("cp1252"),
    "unicode text": "path\tlabel\treason\tsha256\r\nx.png\tcat\tdrawn at random\tab\r\n".encode("utf-16"),
    "quoted": b'"sha256","reason","label","image","more"\n"ab","drawn at random"," cat ","x.png",""\n',
}


@pytest.mark.parametrize("data", SAVED.values(), ids=list(SAVED))
def test_a_csv_is_read_as_spreadsheets_save_it(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    (found,) = reviewed.read(tmp_path / "a.csv")
    assert (found.path, found.label, found.sha256, found.reason) == ("x.png", "cat", "ab", RANDOM)


def test_a_digest_names_an_image_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sha256,label\nab,cat\n")
    assert [(one.sha256, one.label) for one in reviewed.read(tmp_path / "a.csv")] == [("ab", "cat")]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([("choice", ["cat", "dog"])], ["cat | dog"]),  # no class, and refused as such
        ([("quality", ["good"]), ("choice", ["cat"])], ["cat"]),
        ([("kind", ["cat"])], ["cat"]),
        ([("choice", [])], [""]),
        (None, [""]),
    ],
)
def test_answers_of_label_studio_are_taken_whole(results: Any, said: list[str], tmp_path: Path) -> None:
    given = results and [{"type": "choices", "from_name": name, "value": {"choices": own}} for name, own in results]
    tasks = [{"data": {"path": "x.png"}, "annotations": [{"result": given}]}]
    (tmp_path / "a.json").write_text(json.dumps(tasks), encoding="utf-8-sig")
    assert [one.label for one in reviewed.read(tmp_path / "a.json")] == said


def test_labels_are_of_the_model_that_was_reviewed_whoever_answers_now(tmp_path: Path) -> None:
    log = FolderLog(tmp_path, make=True)
    log.write([record(i, model="old.pth", version="", weights="o") for i in range(4)])
    log.write([record(i, model="new.pth", version="", weights="n", time="2026-02-01") for i in range(3, 9)])
    assert open_window(str(tmp_path), "auto", "").rows[-1].model == "new.pth"
    reviewed_then = {record(i).image for i in range(4)}
    found = open_window(str(tmp_path), "auto", "", reviewed_then)
    assert ({row.model for row in found.rows}, found.others) == ({"old.pth"}, 6)


def test_a_model_of_that_name_in_another_registry_is_not_taken_for_the_one_that_answered(
    tmp_path: Path, base: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "find_reference", lambda _name: base)
    monkeypatch.setattr(query, "tags_of_version", lambda *_version: {"fracture.weights_sha256": base.weights_sha256})
    log = FolderLog(tmp_path, make=True)
    log.write([record(0, model="watched", version="1", weights=base.weights_sha256)])
    own = open_window(str(tmp_path), "auto", "").rows[-1]
    assert tags_of(own)
    log.write([record(1, model="watched", version="1", weights="x" * 64, time="2026-02-01")])
    with pytest.raises(ConfigError, match="the answers are of xxxxxxxxxxxx: set MLFLOW_TRACKING_URI"):
        open_window(str(tmp_path), "auto", "")
    assert tags_of(replace(own, weights="x" * 64)) is None


@pytest.mark.parametrize("text", ["{}x", "5", '[{"annotations": [{"result": [{"type": "choices"}]}]}]', "[3]"])
def test_other_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="no export of Label Studio"):
        reviewed.read(tmp_path / "a.json")


def test_figures_in_use_are_those_of_the_random_part_alone(base: Reference) -> None:
    """Of 40 images 30 are right; what was looked at for other reasons is all wrong and does not count."""
    right, missed, healthy = [0.1, 0.1, 0.8], [0.05, 0.9, 0.05], [0.1, 0.8, 0.1]
    rows = [answered(one, i) for i, one in enumerate([right] * 20 + [missed] * 10 + [healthy] * 10 + [missed] * 50)]
    truth = ["simple_fracture"] * 30 + ["no_fracture"] * 10 + ["simple_fracture"] * 50
    labels = {row.image: label for row, label in zip(rows, truth, strict=True)}
    found = measure(rows, labels, [row.image for row in rows[:40]], base)
    assert (found.drawn, found.reviewed) == (40, 40)
    assert found.metrics["accuracy"].value == pytest.approx(0.75)
    assert found.metrics["any_fracture_sensitivity"].value == pytest.approx(2 / 3)
    assert found.metrics["any_fracture_specificity"].value == 1
    tilted = answered([0.3, 0.4, 0.3], 99)  # a fracture is reported, of whatever kind is likelier
    assert tilted.label == "comminuted_fracture"
    said = measure([tilted], {tilted.image: tilted.label}, [tilted.image], base)
    assert (said.metrics["accuracy"].value, said.metrics["recall_comminuted_fracture"].value) == (1, 0)
    assert InUse.model_validate_json(found.model_dump_json()) == found
    (low,) = found.below({"any_fracture_sensitivity": 0.8, "balanced_accuracy": 0.5})
    assert low.startswith("any fracture sensitivity in use is 0.667, its interval begins at 0.4")
    assert found.below({"any_fracture_sensitivity": 0.0}) == []
    few = measure(rows[:5], labels, [row.image for row in rows[:5]], base)
    assert few.below({"any_fracture_sensitivity": 0.99}) == []  # five images say nothing
    with pytest.raises(DataError, match="no image that was drawn at random"):
        measure(rows, labels, [], base)
    with pytest.raises(DataError, match="label cat: no class of the model"):
        measure(rows, dict.fromkeys(labels, "cat"), list(labels), base)


def test_from_the_log_to_labels_and_back(
    cli: Callable[..., int], store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Reference,
    capsys: pytest.CaptureFixture[str], make_images: Callable[..., Path],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(confound, "TREES", 15)
    references.write(base, tmp_path)
    client = mlflow.MlflowClient()
    with mlflow.start_run() as made:
        mlflow.log_dict({}, "model/empty.json")
    client.create_registered_model("watched")
    floors = {use.FLOORS: '{"any_fracture_sensitivity": 0.8}'}
    client.create_model_version("watched", f"runs:/{made.info.run_id}/model", made.info.run_id, floors)
    Registry("watched").move("champion", "1", "", "test")

    log, kept = FolderLog(tmp_path / "log", make=True), tmp_path / "kept"
    kept.mkdir()
    for i in range(24):
        (kept / f"{i}.png").write_bytes(png(i))
        digest = hashlib.sha256(png(i)).hexdigest()
        log.write(
            [
                answered(
                    [0.1, 0.85, 0.05], i, model="watched", version="1", image=digest, kept=f"{i}.png", station="=1+1"
                )
            ]
        )
    common = ["feedback", "log", "--against", "reference.json"]
    assert cli(*common, "--since", "all", "--count", "30", "--images", "kept") == 0
    assert "fracture feedback log --corrected review.csv" in capsys.readouterr().out
    assert cli(*common, "--since", "all") == 2
    assert "may have labels" in capsys.readouterr().err
    rows = list(csv.DictReader(Path("review.csv").read_text().splitlines()))
    assert len(rows) == 24
    assert not any(cell.startswith(("=", "@")) for row in rows for cell in row.values())
    assert cli(*common, "--corrected", "review.csv") == 3  # nobody has filled it in
    for row in rows:
        row["label"] = "simple_fracture" if RANDOM in row["reason"] else ""
    first, second = rows[0], rows[1]
    odd = [{**second, "sha256": "1.2E+09"}, {**second, "label": "No fracture"}, {**first, "label": "no_fracture"}]
    _csv(Path("edited.csv"), [first, *odd])
    assert cli(*common, "--corrected", "edited.csv") == 3
    said = capsys.readouterr().err
    for what in (":3: sha256 is 1.2e+09", ":4: label No fracture is no class", ":5: is simple_fracture"):
        assert what in said
    assert "Classes: comminuted_fracture, no_fracture, simple_fracture." in said
    _csv(Path("shorter.csv"), rows[:5])  # rows were taken out
    assert cli(*common, "--corrected", "shorter.csv") == 0
    said = capsys.readouterr().out
    assert "5 of 15 images drawn at random" in said
    assert "WARNING: Not all images" in said
    _csv(Path("labelled.csv"), rows)
    assert cli(*common, "--corrected", "labelled.csv") == 0
    assert "In use" in capsys.readouterr().out
    kept_with_it = InUse.model_validate_json(query.tags_of_version("watched", "1")[use.TAG])
    assert kept_with_it.metrics["any_fracture_sensitivity"].value == 0
    run = mlflow.search_runs(filter_string="tags.`fracture.kind` = 'feedback'", output_format="list")[0]
    assert run.data.metrics["in_use_accuracy"] == 0
    said = [finding.what for finding in verify(Registry("watched"), quiet())]
    assert any("sensitivity in use is 0.000, its interval begins at 0.000, below 0.8" in one for one in said)
    assert cli("drift", "log", "--against", "reference.json", "--since", "all") == 5
    assert "any fracture sensitivity in use" in capsys.readouterr().err

    labelled = sum(bool(row["label"]) for row in rows)
    make_images(tmp_path / "old")
    assert cli("prepare", "old", "--out", "old.csv") == 0
    assert cli("prepare", "old.csv", "labelled.csv", "--test-fraction", "0", "--out", "next.csv") == 0
    next_rows = read_csv(Path("next.csv")).rows
    assert len(next_rows) == 30 + labelled
    (tmp_path / "new" / "no_fracture").mkdir(parents=True)
    for i in range(24):
        (tmp_path / "new" / "no_fracture" / f"scan{i}.png").write_bytes(png(i))
    words = ["--corrections", "labelled.csv", "--test-fraction", "0", "--out", "other.csv"]
    assert cli("prepare", "old.csv", "new", *words) == 0
    corrected = [row for row in read_csv(Path("other.csv")).rows if row.extra.get("label_before") == "no_fracture"]
    assert len(corrected) == labelled
    assert {row.label for row in corrected} == {"simple_fracture"}


def test_an_unlabelled_row_has_an_empty_cell(tmp_path: Path, base: Reference) -> None:
    write(choose(stream(4), base, 4), tmp_path / "review.csv", None)
    found = reviewed.read(tmp_path / "review.csv")
    assert [(one.label, one.path) for one in found] == [("", "")] * 4
    assert all(len(one.sha256) == 64 and one.reason for one in found)
