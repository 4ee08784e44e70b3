"""The manifest: CSV in and out, what is refused, and digests of contents rather than of names."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.data.manifest import COLUMNS, Manifest, Row, read_csv, write_csv
from fracture.data.tables import UNSEEN
from fracture.errors import DataError
from fracture.files import is_text

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), max_size=8).filter(
    lambda text: is_text(text) and text == text.strip(UNSEEN)
)
NAMED = WORD.filter(bool)


def manifest(root: Path, *rows: Row) -> Manifest:
    return Manifest("m", root, rows)


def sample(root: Path) -> Manifest:
    names = [("a", "train"), ("b", "train"), ("a", "val"), ("b", "val"), ("a", "test"), ("b", "test"), ("a", "train")]
    return manifest(root, *(Row(root / f"{i}.png", label, s, sha256=f"{i}") for i, (label, s) in enumerate(names)))


BAD = {
    "no label column": ("path,split\na.png,train\n", "column label missing"),
    "neither column": ("file,class\na.png,x\n", "column label and path missing"),
    "bars and spaces": ("path label\na.png x\n", "column label and path missing, found path label"),
    "two columns of one name": ("path,label,label\na.png,x,y\n", "two columns are called label"),
    "two labels for one path": ("path,label\na.png,x\na.png,y\n", "has 2 labels in its rows: x, y"),
    "empty": ("", "found none"),
    "no row": ("path,label\n", "has no row"),
    "empty path": ("path,label\n,x\n", "m.csv:2: path or label is empty"),
    "empty label": ("path,label\na.png, \n", "m.csv:2: path or label is empty"),
    "short row": ("path,label\na.png\n", "m.csv:2: path or label is empty"),
    "unknown split": ("path,label,split\na.png,x,external\n", "m.csv:2: split 'external' is none of train, val, test"),
    "line after empty lines": ("path,label\n\n\na.png,\n", "m.csv:4: path or label is empty"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_bad_manifests_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_csv(tmp_path / "m.csv")
    assert message in str(caught.value)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_and_a_mark_of_utf16_are_read(separator: str, tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "m.csv").write_text(f" path{separator}label\na.png{separator}x\n", encoding=encoding)
        assert read_csv(tmp_path / "m.csv").rows == (Row(tmp_path / "a.png", "x"),)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"path,label\n\xff\xfe\xfa,x\n")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_csv(tmp_path / "m.csv")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_csv(tmp_path / "missing.csv")


def test_all_problems_are_listed_up_to_twenty(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label,split\n" + ",x,\n" * 30 + "a.png,x,nope\n")
    with pytest.raises(DataError) as caught:
        read_csv(tmp_path / "m.csv")
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "... and 11 more"


def test_columns_and_more_are_kept(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "\ufeffpath,label,split,group,source,width,height,sha256,phash,bone\n"
        "sub/a.png, broken ,Validation,p1,here,640,x,ab,cd,wrist\n",
        encoding="utf-8",
    )
    found = read_csv(tmp_path / "m.csv")
    assert found.rows == (
        Row(tmp_path / "sub/a.png", "broken", "val", "p1", "here", 640, 0, "ab", "cd", {"bone": "wrist"}),
    )
    assert (found.name, found.root, found.synthetic) == ("m", tmp_path, False)


@pytest.mark.parametrize("text", ["²", "-3", "4.5", "", "abc", "1e3"])
def test_sizes_that_are_no_numbers_are_unknown(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path,label,width\na.png,x,{text}\n", encoding="utf-8")
    assert read_csv(tmp_path / "m.csv").rows[0].width == 0


@pytest.mark.parametrize(("sources", "synthetic"), [(("synthetic",) * 2, True), (("synthetic", "hospital"), False)])
def test_synthetic_only_where_all_is(sources: tuple[str, ...], synthetic: bool, tmp_path: Path) -> None:
    lines = [f"{i}.png,x,{source}" for i, source in enumerate(sources)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,source", *lines]))
    assert read_csv(tmp_path / "m.csv").synthetic is synthetic


def test_paths_elsewhere_stay_absolute(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    rows = manifest(folder, Row(tmp_path / "else" / "a.png", "x"), Row(folder / "b" / "c.png", "y"))
    write_csv(rows, folder / "m.csv")
    back = read_csv(folder / "m.csv")
    assert [row.path for row in back.rows] == [row.path for row in rows.rows]
    assert back.relative(back.rows[0]) == (tmp_path / "else" / "a.png").as_posix()
    assert back.relative(back.rows[1]) == "b/c.png"
    text = (folder / "m.csv").read_text()
    assert "\nb/c.png," in text


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.builds(
            Row,
            path=NAMED.filter(lambda text: text not in (".", "..") and "/" not in text and "\\" not in text).map(Path),
            label=NAMED,
            split=st.sampled_from(["", "train", "val", "test"]),
            group=WORD,
            source=WORD,
            width=st.integers(0, 9999),
            height=st.integers(0, 9999),
            extra=st.fixed_dictionaries({"bone": WORD}),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda row: row.path,
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    root = tmp_path_factory.getbasetemp().resolve()
    held = manifest(root, *(replace(row, path=root / row.path) for row in rows))
    write_csv(held, root / "round-trip.csv")
    assert read_csv(root / "round-trip.csv").rows == held.rows


def test_header_names_the_columns_in_order(tmp_path: Path) -> None:
    write_csv(sample(tmp_path), tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def test_counts_and_indices(tmp_path: Path) -> None:
    held = sample(tmp_path)
    assert held.classes == ("a", "b")
    assert held.counts() == {"train": {"a": 2, "b": 1}, "val": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}
    assert held.indices("train") == [0, 1, 6]


def test_the_digest_is_of_contents_labels_and_splits(tmp_path: Path) -> None:
    held = sample(tmp_path)
    shuffled = random.Random(0).sample(held.rows, len(held.rows))
    elsewhere = [replace(row, path=Path("/elsewhere") / f"new{i}", group="g") for i, row in enumerate(shuffled)]
    assert held.with_rows(elsewhere).digest() == held.digest()
    assert held.with_rows(elsewhere).digest("test") == held.digest("test")


@pytest.mark.parametrize("change", [{"sha256": "other"}, {"label": "b"}, {"split": "val"}])
def test_the_digest_changes_with_any_of_them(change: dict[str, str], tmp_path: Path) -> None:
    held = sample(tmp_path)
    changed = held.with_rows([replace(held.rows[0], **change), *held.rows[1:]])  # type: ignore[arg-type]
    assert changed.digest() != held.digest()
    assert changed.digest("test") == held.digest("test")


def test_a_path_in_the_home_folder_is_found_again_and_odd_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    (tmp_path / "m.csv").write_text("path,label\n~/x/a.png,a\n~,a\n~0,b\n")
    assert [row.path for row in read_csv(tmp_path / "m.csv").rows] == [
        Path("/home/al/x/a.png"), tmp_path / "~", tmp_path / "~0",
    ]  # fmt: skip
