"""Which class is healthy: by its name, by what was asked for, and in what was written before anybody noted it."""

import pytest
from pydantic import ValidationError

from fracture.errors import ConfigError
from fracture.evidence import FoldResults
from fracture.evidence.healthy import find_healthy, healthy_before, recorded_healthy, suspicion

ALONE = [  # beside any other classes
    "no_fracture", "no fracture", "No-Fracture", "NoFracture", "NO_FRACTURE", "no fractures", "no_fractured",
    "non_fracture", "Non-Fractured", "nonfractured", "not fractured", "Not_Fractured", "unfractured", "fracture-free",
    "normal", "Normal", " NORMAL ", "healthy", "negative", "no finding", "no_findings", "No Findings", "intact",
    "gesund", "keine Fraktur", "Sans fracture", "sano", "Senza_frattura",
    "healthy_control", "no fx", "Non-Fx", "fracture: none", "Fracture - no", "fx negative", "NAD", "neg", "not_broken",
    "no acute fracture", "no acute osseous abnormality", "no fracture seen.",
]  # fmt: skip
PAIRS = [
    ("0", "1"), ("False", "True"), ("no", "yes"), ("absent", "present"), ("control", "fracture"), ("controls", "cases"),
    ("F", "T"), ("n", "y"), ("N", "P"), ("fx-", "Fx+"), ("fracture-", "fracture+"), ("control", "fx"),
]  # fmt: skip
UNKNOWN = [
    ("comminuted_fracture", "simple_fracture"),
    ("benign", "malignant"),
    ("background", "fracture"),
    ("abnormal", "not_normal"),
    ("normal_variant", "fracture"),
    ("heil", "krank"),
    ("0", "1", "2"),
    ("0", "fracture"),
    ("no", "yes", "maybe"),
    ("control", "fracture", "implant"),
    ("control", "follow-up"),
    ("none", "simple_fracture"),
    ("fx-", "zebra"),
    ("C-", "C+"),
    ("fracture-", "no-"),
]


@pytest.mark.parametrize("name", ALONE)
def test_names_that_mean_healthy(name: str) -> None:
    for classes in ((name, "zebra"), ("fracture", name), ("comminuted_fracture", name, "simple_fracture")):
        found = find_healthy("auto", classes)
        assert (found.name, found.doubted) == (name, False)
        assert found.sentence.startswith(f"Healthy class: {name} (by its name; healthy=... changes it)")


def test_other_classes_that_do_not_sound_like_fractures_are_named() -> None:
    found = find_healthy("auto", ("fx", "hardware", "normal", "poor quality", "spiral_fracture"))
    assert found.sentence.endswith("Every other class counts as a fracture, also hardware and poor quality.")
    assert find_healthy("auto", ("abnormal", "normal")).sentence.endswith("Every other class counts as a fracture.")


@pytest.mark.parametrize("pair", PAIRS)
def test_what_is_healthy_only_beside_its_counterpart_is_a_guess_that_is_shown(pair: tuple[str, str]) -> None:
    healthy, other = pair
    for classes in (pair, pair[::-1]):
        found = find_healthy("auto", classes)
        assert (found.name, found.doubted) == (healthy, True)
        assert f"healthy={other}" in found.sentence, "the way to turn it round"


@pytest.mark.parametrize("classes", UNKNOWN)
def test_names_that_may_mean_something_else(classes: tuple[str, ...]) -> None:
    found = find_healthy("auto", classes)
    assert (found.name, found.doubted) == (None, True)
    for words in (*classes, "no threshold for reporting a fracture and no sensitivity", "healthy=CLASS"):
        assert words in found.sentence


@pytest.mark.parametrize(
    "classes", [("no_fracture", "normal"), ("Normal", "fracture", "normal"), ("a", "negative", "no finding")]
)
def test_of_several_names_none_is_chosen(classes: tuple[str, ...]) -> None:
    found = find_healthy("auto", classes)
    assert (found.name, found.doubted) == (None, True)
    assert "are names for it" in found.sentence
    assert "Choose with healthy=" in found.sentence
    assert "--label-map" in found.sentence


def test_a_name_with_a_space_is_quoted_for_the_shell() -> None:
    assert "healthy='no finding'" in find_healthy("auto", ("no finding", "normal")).sentence


@pytest.mark.parametrize("classes", [("a", "b"), ("fracture", "normal"), ("0", "1")])
def test_what_is_asked_for_counts_whatever_the_names(classes: tuple[str, ...]) -> None:
    for name in classes:
        found = find_healthy(name, classes)
        assert (found.name, found.doubted) == (name, False)
    found = find_healthy("none", classes)
    assert (found.name, found.doubted) == (None, False)
    assert "no sensitivity" in found.sentence


@pytest.mark.parametrize("wanted", ["norml", "Normal", "", "no_fracture"])
def test_a_class_that_is_not_there_is_refused_with_those_that_are(wanted: str) -> None:
    with pytest.raises(ConfigError, match=rf"^healthy={wanted}: .*Classes: fractured, normal\.") as refused:
        find_healthy(wanted, ("fractured", "normal"))
    assert ("Nearest: normal" in str(refused.value)) == (wanted.lower().startswith("norm"))


def test_none_is_ambiguous_where_a_class_is_called_so() -> None:
    with pytest.raises(ConfigError, match="a class is called none"):
        find_healthy("none", ("fracture", "none"))


def test_what_was_written_before_it_was_recorded_answers_as_it_did() -> None:
    assert healthy_before(("comminuted_fracture", "no_fracture")) == "no_fracture"
    assert healthy_before(("no_fracture", "normal")) == "no_fracture"
    assert healthy_before(("fractured", "normal")) is None
    assert recorded_healthy("", ("fractured", "no_fracture")) == "no_fracture"
    assert recorded_healthy("", ("fractured", "normal")) is None
    assert recorded_healthy("none", ("fractured", "no_fracture")) is None
    assert recorded_healthy("normal", ("fractured", "normal")) == "normal"


def test_files_with_and_without_the_field() -> None:
    fields = {"model": "m", "classes": ["fractured", "no_fracture"], "data": "d", "synthetic": False, "runs": [],
              "metrics": {}, "seconds": 1.0}  # fmt: skip
    assert FoldResults.model_validate(fields).healthy == "no_fracture"
    assert FoldResults.model_validate(fields | {"healthy": None}).healthy is None, "null was written by a run that knew"
    assert FoldResults.model_validate(fields | {"healthy": "fractured"}).healthy == "fractured"
    with pytest.raises(ValidationError, match="healthy=normal is none of the classes fractured, no_fracture"):
        FoldResults.model_validate(fields | {"healthy": "normal"})
    with pytest.raises(ValidationError, match="classes"):
        FoldResults.model_validate({name: value for name, value in fields.items() if name != "classes"})


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("fractured", "normal"), "normal is a name for the healthy class"),
        (("no_fracture", "normal", "spiral"), "no_fracture and normal are names for the healthy class"),
        (("0", "1"), "0 is a name for the healthy class"),
        (("bruch", "heil"), "of two classes, here bruch and heil, one is usually healthy"),
        (("fracture", "other"), "of two classes"),
        (("comminuted_fracture", "simple_fracture"), ""),
        (("A1", "A2", "B3"), ""),
    ],
)
def test_a_model_without_a_healthy_class_is_believed_where_nothing_speaks_against_it(
    classes: tuple[str, ...], words: str
) -> None:
    assert words in suspicion(classes)
    assert bool(words) == bool(suspicion(classes))
