"""Drift: planted shifts are seen, none is not, few answers are said to be few, and every figure is right."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape

from fracture.data.audit import confound
from fracture.data.audit.traits import NAMES, rounded
from fracture.errors import ConfigError
from fracture.evaluation.intervals import share
from fracture.evidence import Estimate, wilson
from fracture.evidence.verdict import Rule, decide
from fracture.monitoring import limits, power
from fracture.monitoring.change import change, mean, moved
from fracture.monitoring.checks import of_change, of_probe
from fracture.monitoring.drift import Drift, judge
from fracture.monitoring.folder import FolderLog
from fracture.monitoring.page import render
from fracture.monitoring.record import Record
from fracture.monitoring.reference import Reference, build, write
from tests.monitoring.rows import record
from tests.small_model import CLASSES

RULE = Rule(CLASSES, "no_fracture", 0.5, 0.5)
LIMITS = limits.read()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trees than in use, for what the tests plant is plain."""
    for name, count in (("TREES", 10), ("TREES_ALONE", 1), ("RESAMPLES", 200)):
        monkeypatch.setattr(confound, name, count)


def answers(n: int, seed: int, tilt: float = 0.0) -> np.ndarray:
    """Probabilities [n, 3]; ``tilt`` makes the first class likelier."""
    scores = np.random.default_rng(seed).normal(size=(n, 3)) * 2 + np.array([tilt, 0, 0])
    return np.asarray(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))


def seen(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, len(NAMES)))


def reference(n: int = 200) -> Reference:
    return build(RULE, "w" * 64, "made up", answers(n, 1), range(n), seen(n, 1).tolist(), np.linspace(0.8, 1.2, 50))


def rows(n: int, seed: int = 2, move: float = 0.0, tilt: float = 0.0, **values: Any) -> list[Record]:
    shares, measured = answers(n, seed, tilt), seen(n, seed)
    measured[:, 0] += move
    found = []
    for i in range(n):
        said = decide(RULE, shares[i].tolist())
        found.append(record(
            i, label=said.label, refer=bool(said.reason), confidence=float(shares[i].max()),
            probabilities=dict(zip(CLASSES, shares[i].tolist(), strict=True)), traits=tuple(measured[i].tolist()),
            **values,
        ))  # fmt: skip
    return found


def by(found: Drift) -> set[str]:
    return {check.name for check in found.drifted}


@pytest.fixture(scope="module")
def base() -> Reference:
    return reference()


def test_nothing_is_seen_where_nothing_changed(base: Reference) -> None:
    found = judge(base, rows(150, distance=1.0), LIMITS)
    assert (found.verdict, by(found)) == ("no drift seen", set())
    assert found.probe is not None
    assert found.probe.low < LIMITS.probe.auc
    assert found.probe.auc < 0.6
    assert (found.answers, found.images, found.probe.n_first + found.probe.n_second) == (150, 150, 350)
    json.dumps(found.to_dict(), allow_nan=False)


CHANGED: dict[str, tuple[Callable[[], Sequence[Record]], set[str]]] = {
    "traits": (lambda: rows(150, move=3), {"probe"}),
    "classes": (lambda: rows(150, tilt=6), {f"share of {name}" for name in CLASSES} | {"confidence"}),
    "features": (lambda: rows(150, distance=1.5), {"features"}),
    "files": (lambda: [*rows(100), *(record(i, image=f"{i}", error="x", refer=True) for i in range(50))], {"errors"}),
    "copies": (lambda: rows(80) * 3, {"repeated"}),
    "one station": (
        lambda: [*rows(150, station="A"), *rows(55, seed=3, move=4, station="B", device="X")], {"sources"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_what_changed_is_named(name: str, base: Reference) -> None:
    stream, expected = CHANGED[name]
    found = judge(base, stream(), LIMITS)
    assert by(found) - {"probe", "referred"} == expected - {"probe"}
    assert "probe" in by(found) or name != "traits"
    if name == "traits":
        assert found.moved[0].trait == NAMES[0]
        assert found.moved[0].now - found.moved[0].before == pytest.approx(3, abs=0.4)
    page = render(found)
    assert "Drift</b>" in page
    assert all(str(escape(check.title)) in page for check in found.checks)


@pytest.mark.parametrize("n", [1, 5, 12])
def test_few_answers_are_said_to_be_few(n: int, base: Reference) -> None:
    found = judge(base, rows(n), LIMITS)
    assert found.verdict == "too few answers"
    needed = found.power["needed"]
    assert isinstance(needed, int)
    assert f"{needed:,} are needed" in found.checks[0].sentence
    assert f"{needed:,} are needed" in render(found)
    assert "`" not in render(found), "commands are set as such"
    assert replace(found, version="").named == found.model, "one that is not registered has no version"


def test_a_reference_that_is_too_small_is_said_to_be() -> None:
    able = {"reference": 5, "needed": None, "power": 0.1}
    said = of_probe(None, 12, 70, able, LIMITS).sentence
    assert said.startswith("70 independent images, 5 in the reference: the comparison takes 10 of each; to show an AUC")
    assert said.endswith("with a probability of 80% no number is enough, because the reference is too small")


def test_a_change_that_so_few_answers_cannot_tell_is_not_called_ok() -> None:
    before, now = Estimate(value=0.3, low=0.2, high=0.4, n=80, groups=80), wilson_of(4, 14)
    found = of_change("referred", "Referred", change(before, now), 0.1)
    assert found.status == "too few"
    assert "an interval of at most ± 20 points is needed" in found.sentence
    assert of_change("referred", "Referred", change(before, wilson_of(70, 240)), 0.1).status == "ok"
    assert of_change("referred", "Referred", change(before, wilson_of(22, 24)), 0.1).status == "drift"


def wilson_of(count: int, n: int) -> Estimate:
    low, high = wilson(count / n, n)
    return Estimate(value=count / n, low=low, high=high, n=n, groups=n)


def test_a_reference_without_traits_and_features_compares_no_images(base: Reference) -> None:
    bare = base.model_copy(update={"trait_names": (), "distance_quantiles": ()})
    found = judge(bare, rows(300), LIMITS)
    assert found.verdict == "images not compared"
    assert "--against RUN makes one" in found.not_compared
    assert "Images not compared" in render(found)


def test_copies_of_one_image_are_no_evidence(base: Reference) -> None:
    found = judge(base, rows(5) * 100, LIMITS)
    assert found.probe is None
    assert (found.answers, found.images) == (500, 5)
    assert by(found) == {"repeated"}
    one_patient = judge(base, rows(100, patient="p"), LIMITS)
    assert one_patient.probe is None
    assert not by(one_patient)


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=9))
def test_a_log_and_a_reference_round_traits_alike(values: list[float]) -> None:
    """A reference has them from an inspection, which holds six decimals: trees would tell any other digits apart."""
    inspected = [round(value, 6) for value in values]
    assert rounded(values) == rounded(inspected) == rounded(rounded(values))


def test_the_references_own_images_are_like_it(base: Reference) -> None:
    """Trees that know an image from the other side would call its copy the opposite: an AUC near 0."""
    own = [record(i, traits=line) for i, line in enumerate(base.sample.traits)]
    found = judge(base, own, LIMITS)
    assert found.probe is not None
    assert 0.4 < found.probe.auc < 0.6
    assert "probe" not in by(found)


def test_rows_without_traits_and_references_without_any(base: Reference) -> None:
    without = build(RULE, "w", "made up", answers(50, 1), range(50), [()] * 50)
    found = judge(without, rows(50), LIMITS)
    assert found.checks[0].status == "unknown"
    assert "the reference has no traits" in found.checks[0].sentence
    failed = judge(
        base, [record(i, error="no image", traits=(), probabilities={}, confidence=None) for i in range(20)], LIMITS
    )
    assert by(failed) == {"errors"}
    render(failed)


def test_traits_of_another_version_are_no_drift(base: Reference) -> None:
    """Rows of a log from before a trait was added can be held against nothing; as zeros they were told apart."""
    old = [replace(row, traits=row.traits[:43]) for row in rows(60)]
    found = judge(base, old, LIMITS)
    assert (found.probe, found.moved, found.power["images"]) == (None, (), 0)
    assert "probe" not in {check.name for check in found.drifted}


def test_the_order_of_a_log_changes_nothing(base: Reference) -> None:
    alike = [replace(row, time="2026-01-31T12:00:00.000Z") for row in rows(60)]
    assert judge(base, alike, LIMITS) == judge(base, alike[::-1], LIMITS)


@given(st.integers(1, 80), st.integers(1, 80), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_the_interval_of_a_change_holds_it(n: int, m: int, p: float, q: float) -> None:
    def estimate(count: int, value: float) -> Estimate:
        hits = np.arange(count) < round(count * value)
        return share(hits, np.ones(count, np.bool_), range(count))

    before, now = estimate(n, p), estimate(m, q)
    found, back = change(before, now), change(now, before)
    assert found is not None
    assert back is not None
    difference = now.value - before.value  # type: ignore[operator]
    assert found.low - 1e-9 <= difference <= found.high + 1e-9
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert found.nearer == 0 or np.sign(found.nearer) == np.sign(difference)


def test_the_interval_of_a_difference_of_shares_is_newcombes() -> None:
    """56/70 against 48/80, from Newcombe 1998, method 10: 0.0524 to 0.3339."""
    from fracture.evidence import wilson

    one, other = (
        Estimate(value=k / n, low=wilson(k / n, n)[0], high=wilson(k / n, n)[1], n=n, groups=n)
        for k, n in ((48, 80), (56, 70))
    )
    found = change(one, other)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_means_and_traits() -> None:
    found = mean(np.array([0.0, 2.0, 4.0, 4.0, 4.0, 4.0]), ["a", "a", "b", "b", "b", "b"])
    assert (found.value, found.n, found.groups) == (2.5, 6, 2)
    assert mean(np.array([1.0]), ["a"]).value is None
    before, now = seen(400, 1).astype(np.float32), seen(400, 2).astype(np.float32)
    assert moved(before, now, NAMES) == ()
    now[:, 3] += 1
    (only,) = moved(before, now, NAMES)
    assert only.trait == NAMES[3]
    assert 0.3 < only.distance < 0.5


def test_power_is_what_draws_show() -> None:
    """Two normal distributions 0.954 apart have an AUC of 0.75: how often its interval lies above 0.6."""
    rng, n, m = np.random.default_rng(0), 40, 200
    low = []
    for _ in range(200):
        one, other = rng.normal(0.954, 1, n), rng.normal(0, 1, m)
        auc = float((one[:, None] > other[None]).mean())
        low.append(auc - 1.96 * power.spread_of_auc(auc, n, m))
    assert power.power(n, m, 0.75, 0.6) == pytest.approx(np.mean(np.array(low) > 0.6), abs=0.1)
    needed = power.needed(m, 0.75, 0.6, 0.8)
    assert needed is not None
    assert power.power(needed, m, 0.75, 0.6) >= 0.8 > power.power(needed - 1, m, 0.75, 0.6)
    assert power.needed(5, 0.75, 0.6, 0.8) is None
    assert power.needed(m, 0.55, 0.6, 0.8) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [("[probe]\nauc = 2", "probe.auc: "), ("nonsense", "cannot be read"), ("[probe]\nauk = 1", "probe.auk: ")],
)
def test_thresholds_are_read_and_checked(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        limits.read(tmp_path / "mine.toml")
    with pytest.raises(ConfigError, match=r"cannot be read: No such file or directory\. Allowed: default, or a TOML"):
        limits.read(tmp_path / "none.toml")
    (tmp_path / "notepad.toml").write_text(limits.DEFAULT.read_text(), encoding="utf-8-sig")
    assert limits.read(tmp_path / "notepad.toml") == LIMITS
    assert len({LIMITS.digest, LIMITS.model_copy(update={"power": limits.Power(auc=0.8, wanted=0.8)}).digest}) == 2


def test_the_command_reports_keeps_a_run_and_ends_with_five(
    cli: Callable[..., int], store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], base: Reference,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write(base, tmp_path)
    log = FolderLog(tmp_path / "log", make=True)
    log.write(rows(12, seed=5))
    common = ["drift", "log", "--against", "reference.json", "--since", "2026-01-01"]
    assert cli(*common, "--out", "one") == 0
    assert "Too few answers" in capsys.readouterr().out
    log.write([*rows(120, move=3), record(0, weights="other"), record(0, version="2")])
    assert cli(*common) == 5
    said = capsys.readouterr()
    assert "Do the images differ" in said.err
    assert "2 answers of other models are left out" in said.out
    found = json.loads(Path("drift/drift.json").read_text())
    assert (found["verdict"], found["answers"]) == ("drift", 132)
    run = mlflow.search_runs(filter_string="tags.`fracture.kind` = 'drift'", output_format="list")[0]
    assert run.data.tags["fracture.drift"] == "drift"
    assert run.data.metrics["drift_auc"] == pytest.approx(found["probe"]["auc"])
    assert run.info.status == "FINISHED"
    assert {one.path for one in mlflow.MlflowClient().list_artifacts(run.info.run_id)} == {"drift.json", "drift.html"}
    assert cli(*common[:-1], "1h") == 3
    assert cli("drift", "log", "--since", "all") == 2  # version 3 of a model that is not registered
    assert "--against names another one" in capsys.readouterr().err
    assert cli("drift", "log", "--since", "all", "--against", "none.json") == 2
    for wrong, said in (("nope", "--against nope: Allowed: the id of a run, models:/"), ("0abc", "run 0abc: ")):
        assert cli("drift", "log", "--since", "all", "--against", wrong) == 2
        assert said in capsys.readouterr().err
    assert cli("drift", "log", "--since", "soon") == 2
    FolderLog(tmp_path / "bad", make=True).write([replace(row, error="x", probabilities={}) for row in rows(20)])
    assert cli("drift", "bad", *common[2:]) == 5, "files that cannot be read have no class at all"
    Path("other.json").write_text(base.model_copy(update={"classes": ("broken", "whole")}).model_dump_json())
    capsys.readouterr()
    assert cli("drift", "log", "--since", "all", "--against", "other.json") == 2
    assert "differ in the classes broken, comminuted_fracture" in capsys.readouterr().err
