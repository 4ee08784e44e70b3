"""From what sources say to one label: mapped, of several findings, of several readers."""

from pathlib import Path

import pytest

from fracture.data.prepare.labels import label_of, one_label_each
from fracture.data.prepare.pairs import canonical, parse_columns, parse_pairs
from fracture.data.prepare.records import Record

HERE = Path("a.png")
LABELS = {  # record, mapping, background: label, reason
    "plain": (Record(HERE, "x"), {}, "", "x", ""),
    "renamed": (Record(HERE, "x"), {"x": "y"}, "", "y", ""),
    "left out": (Record(HERE, "x"), {"x": ""}, "", "", "left out by label_map"),
    "empty": (Record(HERE, ""), {}, "", "", "its label is empty"),
    "empty, named": (Record(HERE, ""), {"": "no_fracture"}, "", "no_fracture", ""),
    "one finding": (Record(HERE, "", findings=("a",)), {}, "", "a", ""),
    "several": (Record(HERE, "", findings=("a", "b")), {}, "", "", "several classes: a, b"),
    "several of one name": (Record(HERE, "", findings=("a", "b")), {"b": "a"}, "", "a", ""),
    "one left out": (Record(HERE, "", findings=("a", "text")), {"text": ""}, "", "a", ""),
    "none": (Record(HERE, "", findings=()), {}, "", "", "--background NAME"),
    "none, with a background": (Record(HERE, "", findings=()), {}, "healthy", "healthy", ""),
    "all left out": (Record(HERE, "", findings=("text",)), {"text": ""}, "healthy", "healthy", ""),
}


@pytest.mark.parametrize(("record", "mapping", "background", "label", "reason"), LABELS.values(), ids=LABELS)
def test_label_of(record: Record, mapping: dict[str, str], background: str, label: str, reason: str) -> None:
    found, why = label_of(record, mapping, background)
    assert found == label
    assert reason in why
    assert bool(found) != bool(why)


def _rows(*labels: str, reader: bool = True) -> list[Record]:
    return [Record(HERE, label, reader=str(i) if reader else "") for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "readers", "label"),
    [
        (("x", "x", "x"), "agree", "x"),
        (("x", "y", "x"), "agree", None),
        (("x", "y", "x"), "majority", "x"),
        (("x", "y"), "majority", None),
        (("x", "y", "z"), "majority", None),
        (("x", "x", "y", "y"), "majority", None),
    ],
)
def test_rows_of_one_image(labels: tuple[str, ...], readers: str, label: str | None) -> None:
    for order in (labels, labels[::-1]):
        kept, excluded, agreement = one_label_each(_rows(*order), readers)  # type: ignore[arg-type]
        assert [record.label for record in kept] == ([label] if label else [])
        assert [one.path for one in excluded] == ([] if label else ["a.png"])
        assert agreement.several == 1


def test_a_reader_who_says_it_twice_has_one_vote() -> None:
    rows = [Record(HERE, "x", reader="1"), Record(HERE, "x", reader="1"), Record(HERE, "y", reader="2")]
    assert not one_label_each(rows, "majority")[0]


@pytest.mark.parametrize("readers", ["agree", "majority"])
def test_rows_without_a_label_count_too(readers: str) -> None:
    rows = [Record(HERE, "x", reader="1"), *(Record(HERE, "", reason="other", reader=f"{i}") for i in (2, 3))]
    kept, [left_out], agreement = one_label_each(rows, readers)  # type: ignore[arg-type]
    assert not kept
    assert left_out.reason == {
        "agree": "its rows give it 2 labels: none that is kept (2 rows), x (1 row)", "majority": "other",
    }[readers]  # fmt: skip
    assert (agreement.agreed, agreement.left_out) == (0, 1)


def test_the_links_and_the_test_split_of_all_rows_stay() -> None:
    rows = [Record(HERE, "x", "train", "p1"), Record(HERE, "x", "test", "p2")]
    [kept], _, agreement = one_label_each(rows, "agree")
    assert (kept.split, kept.patient, kept.patients) == ("test", "p1", ("p2",))
    assert str(agreement) == "1 of 1 images that several rows name have one label (100%)"


def test_the_little_languages() -> None:
    assert parse_pairs("''=none,b=") == {"": "none", "b": ""}
    assert parse_pairs("=none") == {"": "none"}
    assert parse_pairs('"a, b=c"') == {"a, b": "c"}
    assert parse_columns("path=file,labels=a,b c,split=set") == {
        "path": ["file"],
        "labels": ["a", "b c"],
        "split": ["set"],
    }
    assert [canonical(text) for text in ("1.0", "-1.0", "0", "1.5", "v1.0", "1.0.0")] == [
        "1",
        "-1",
        "0",
        "1.5",
        "v1.0",
        "1.0.0",
    ]
    for text in ("a", "=", "path"):
        with pytest.raises(ValueError, match="form"):
            parse_columns(text)
