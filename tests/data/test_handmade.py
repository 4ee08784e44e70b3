"""Manifests that people write or edit: what only `prepare` understands is refused by training and audit."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fracture.data.handmade import read_manifest
from fracture.errors import DataError

N = 12
REFUSED: dict[str, tuple[str, Sequence[str], str]] = {
    "patients": ("path,label,patient_id", ["a,P1", "b,P2"], "column patient_id names patients"),
    "a group in capitals": ("path,label,Group", ["a,P1", "b,P2"], "column Group names patients"),
    "splits": ("path,label,Split", ["a,train", "b,test"], "column Split names splits"),
    "splits by values": ("path,label,used for", ["a,train", "b,test"], "column used for names splits"),
    "two splits of one image": (
        "path,label,split",
        ["a,train", *["b,test"] * 10, "a,val"],
        "named by 2 rows; .fracture prepare.",
    ),
    "cells beyond the header": ("path,label", ["a", "b", "a,old"], "rows have more cells .*: old"),
    "capitals": ("path,label", ["a", "A", "b"], "spelling only: A, a"),
    "decimals": ("path,label", ["2.0", "2", "3"], "spelling only: 2, 2.0"),
    "answers": ("path,label", ["yes", "1", "no"], "mean the same: 1, yes"),
    "nobody knows": ("path,label", ["a", "unknown", "b"], "no class, or several: unknown"),
    "two findings": ("path,label", ["a", "b", "a|b"], "no class, or several: a.b"),
    "body parts": ("path,label", ["wrist", "elbow"], "these look like body parts"),
    "rounded groups": ("path,label,group,sha256,phash", ["a,1.2E+10,,", "b,1.3E+10,,"], "rounded the groups 1.2E.10"),
    "another column of classes": ("path,label,label_new", ["a,a", "b,b", "a,b"], "name different classes"),
}


@pytest.mark.parametrize(("header", "cells", "message"), REFUSED.values(), ids=REFUSED)
def test_what_only_prepare_understands_is_refused(
    header: str, cells: Sequence[str], message: str, tmp_path: Path
) -> None:
    images = N - 1 if "named by 2 rows" in message else N
    lines = [f"{i % images}.png,{cells[i % len(cells)]}" for i in range(N)]
    (tmp_path / "m.csv").write_text("\n".join([header, *lines]))
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / "m.csv")


KEPT = {
    "ages and grades": ("path,label,group,age,grade", ["a,g,61,AO 2R3 A2", "b,h,8,AO 2R3 C1"]),
    "a study, which is a group": ("path,label,study_id", ["a,1", "b,2"]),
    "grades": ("path,label", ["1", "2", "3"]),
    "one of prepare, with any columns": (
        "path,label,split,group,sha256,phash,Patient",
        ["a,train,,,,x", "wrist,,,,,y"],
    ),
}


@pytest.mark.parametrize(("header", "cells"), KEPT.values(), ids=KEPT)
def test_what_a_manifest_says_itself_is_kept(header: str, cells: Sequence[str], tmp_path: Path) -> None:
    lines = [f"{i}.png,{cells[i % len(cells)]}" for i in range(N)]
    (tmp_path / "m.csv").write_text("\n".join([header, *lines]))
    assert read_manifest(tmp_path / "m.csv").notes == ()
    assert len(read_manifest(tmp_path / "m.csv").rows) == N


def test_what_may_be_patients_or_splits_is_said(tmp_path: Path) -> None:
    lines = [f"{i}.png,{'ab'[i % 2]},{i // 3},{i % 3 == 0}" for i in range(N)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,hn,test", *lines]))
    first, second = read_manifest(tmp_path / "m.csv").notes
    assert first.startswith("patients could be in the column hn (0, 1, 2 and 1 more)")
    assert second.startswith("the column test may say the split")


@pytest.mark.parametrize("more", ["", ",sha256,phash"])
def test_what_may_identify_a_person_does_not_come_into_a_run(more: str, tmp_path: Path) -> None:
    report = "No displaced fracture of the distal radius is seen in Mr Smith"
    lines = [f"{i}.png,{'ab'[i % 2]},p{i // 2},{60 + i % 2},{report},1964-03-{i + 10}" for i in range(N)]
    (tmp_path / "m.csv").write_text("\n".join([f"path,label,group,age,text,birth_date{more}", *lines]))
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest.notes[0] == "not kept, since they may identify a person or are free text: text, birth_date"
    assert [dict(row.extra) for row in manifest.rows] == [{"age": str(60 + i % 2)} for i in range(N)]
