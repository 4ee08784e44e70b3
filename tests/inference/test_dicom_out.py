"""Reports and heat maps of DICOM files: whose they are, what they say, and what other programs make of them."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fracture.inference.log import Served
from fracture.inference.predictor import Answer, Predictor
from fracture.models import checkpoint
from tests.data.dicoms import make
from tests.small_model import small

pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")
pytest.importorskip("highdicom", reason="needs the extra [dicom-out]")
from fracture.inference import dicom_objects, dicom_out  # noqa: E402 - as above

SERVED = Served("bones", "3", "w" * 64)
PIXELS = np.random.default_rng(0).integers(0, 4095, (120, 90)).astype(np.uint16)
TAGS: dict[str, Any] = {
    "SeriesInstanceUID": "1.2.3.4.5", "SOPInstanceUID": "1.2.3.4.5.6", "PatientName": "山田^太郎",
    "SpecificCharacterSet": "ISO_IR 192", "PatientBirthDate": "19640229", "PatientSex": "F", "StudyDate": "20260131",
    "StudyTime": "1200", "AccessionNumber": "A1", "StudyID": "S1", "PatientOrientation": ["L", "F"],
    "ReferringPhysicianName": "Müller^Eva", "ImageLaterality": "R",
}  # fmt: skip


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return small()


def written(predictor: Predictor, folder: Path, *files: bytes) -> tuple[dicom_out.Sent, dict[str, Any]]:
    paths = []
    for number, data in enumerate(files):
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(data)
    out = folder / "out"
    dicom_out.ready(out)
    sent = dicom_out.write(predictor, SERVED, paths, out, lambda *_: None)
    return sent, {path.name[:2]: pydicom.dcmread(path) for path in sorted(out.iterdir())}


def texts(item: Any) -> list[str]:
    """All that a report says, name and value."""
    found = []
    name = item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
    if "ConceptCodeSequence" in item:
        found.append(f"{name} = {item.ConceptCodeSequence[0].CodeMeaning}")
    elif "MeasuredValueSequence" in item:
        found.append(f"{name} = {item.MeasuredValueSequence[0].NumericValue}")
    elif "TextValue" in item:
        found.append(f"{name} = {item.TextValue}")
    return found + [one for child in item.get("ContentSequence", []) for one in texts(child)]


def test_an_answer_becomes_objects_of_its_study(predictor: Predictor, tmp_path: Path) -> None:
    sent, found = written(predictor, tmp_path, make(PIXELS, **TAGS))
    assert (sent.written, sent.kept, sent.skipped) == (1, 0, ())
    (answer,) = predictor.predict(tmp_path / "0.dcm")
    report, capture = found["SR"], found["SC"]
    for made in (report, capture):
        assert made.StudyInstanceUID == "1.2.3.4"
        assert (made.PatientID, made.PatientName) == ("SMITH-1964", "山田^太郎")
        assert made.ReferringPhysicianName == "Müller^Eva"
        assert (made.PatientBirthDate, made.PatientSex, made.AccessionNumber) == ("19640229", "F", "A1")
        assert (made.StudyDate, made.StudyTime, made.StudyID) == ("20260131", "1200", "S1")
        assert made.SeriesInstanceUID != "1.2.3.4.5"
    assert report.SeriesInstanceUID != capture.SeriesInstanceUID
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert study.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.4.5"
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.5.6"
    assert (capture.ImageLaterality, capture.PatientOrientation) == ("R", ["L", "F"])
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.5.6"
    assert (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag) == (
        "COMPLETE", "PRELIMINARY", "UNVERIFIED",
    )  # fmt: skip
    said = texts(report)
    assert f"Comment = {dicom_objects.NOTICE}" in said
    assert f"Decision = {answer.decision}" in said
    assert f"Class = {answer.label}" in said
    assert f"A person must look = {'Yes' if answer.refer else 'No'}" in said
    shares = {line.split(" = ")[0]: float(line.split(" = ")[1]) for line in said if line.startswith("Probability")}
    assert shares.pop("Probability of any fracture") == pytest.approx(answer.fracture_probability, abs=1e-6)
    assert shares == pytest.approx({f"Probability of {k}": v for k, v in answer.probabilities.items()}, abs=1e-6)
    assert any("bones version 3" in line for line in said)
    assert any("w" * 64 in line for line in said)


def test_the_picture_is_whole_below_a_notice_that_is_burnt_in(predictor: Predictor, tmp_path: Path) -> None:
    _, found = written(predictor, tmp_path, make(PIXELS, **TAGS))
    pixels = found["SC"].pixel_array
    (answer,) = predictor.predict(tmp_path / "0.dcm")
    heat = np.asarray(Image.open(io.BytesIO(predictor.heat_map(tmp_path / "0.dcm", answer.label))))
    left = (pixels.shape[1] - heat.shape[1]) // 2
    below = pixels[-heat.shape[0] :, left : left + heat.shape[1]]
    assert (below == heat).all()
    strip = pixels[: -heat.shape[0]]
    red, _, blue = np.moveaxis(strip.astype(int), 2, 0)
    assert ((red - blue) > 100).sum() > 200, "the notice, in yellow"
    assert (blue > 150).sum() > 100, "the answer, in white"


def test_what_was_written_is_kept_and_two_models_never_mix(predictor: Predictor, tmp_path: Path) -> None:
    data = make(PIXELS, **TAGS)
    written(predictor, tmp_path, data)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    sent, _ = written(predictor, tmp_path, data)
    assert (sent.written, sent.kept) == (0, 1)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    other = Predictor(predictor.module, predictor.sidecar.model_copy(update={"fracture_threshold": 0.01}))
    assert written(other, tmp_path, data)[0].written == 1, "other decisions are another report"
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.parametrize(
    "tags",
    [
        {"PatientSex": "W", "PatientBirthDate": "1964", "StudyDate": "yesterday"},
        {"PatientID": None, "PatientName": None, "PatientOrientation": None},
        {"StudyInstanceUID": "1.02.3", "PatientName": "no caret at all"},
        {"PatientName": "x" * 200, "PatientOrientation": ["LF", "FR"], "AccessionNumber": "a" * 40},
        {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg"},
        {"SOPInstanceUID": "1." + "2" * 80, "NumberOfFrames": 1},
    ],
    ids=["values", "nobody", "uid", "long", "latin", "long uid"],
)
@pytest.mark.filterwarnings("ignore:Invalid value:UserWarning", "ignore:The value length:UserWarning")
def test_files_that_bend_the_standard_are_reported_as_they_are(
    predictor: Predictor, tmp_path: Path, tags: dict[str, Any]
) -> None:
    sent, found = written(predictor, tmp_path, make(PIXELS, **(TAGS | tags)))
    assert (sent.written, sent.skipped) == (1, ())
    source = pydicom.dcmread(tmp_path / "0.dcm")
    for made in found.values():
        for name in ("StudyInstanceUID", "PatientID", "PatientName", "PatientSex", "StudyDate", "AccessionNumber"):
            assert str(made.get(name) or "") == str(source.get(name) or ""), name


def test_what_gets_no_report_is_named(predictor: Predictor, tmp_path: Path) -> None:
    sent, found = written(
        predictor, tmp_path, b"\x89PNG no", make(PIXELS, **(TAGS | {"StudyInstanceUID": None})),
        make(PIXELS, **TAGS)[:-4000], make(PIXELS, **TAGS),
    )  # fmt: skip
    assert sent.written == 1
    assert [why.partition(":")[0].partition(",")[0] for _, why in sent.skipped] == [
        "is no DICOM file", "has no StudyInstanceUID", "has no answer",
    ]  # fmt: skip
    assert len(found) == 2
    assert len(sent.warnings(2)) == 3


@pytest.fixture
def model(predictor: Predictor, tmp_path: Path) -> str:
    checkpoint.save(tmp_path / "best.pth", predictor.module.state_dict(), predictor.sidecar)
    return str(tmp_path / "best.pth")


def test_the_command_writes_them(store_root: Path, cli: Callable[..., int], model: str, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(make(PIXELS, **TAGS))
    (tmp_path / "b.png").write_bytes(b"no")
    asked = ("predict", model, str(tmp_path / "a.dcm"), str(tmp_path / "b.png"), "--dicom-sr", str(tmp_path / "pacs"))
    assert cli(*asked) == 0
    assert sorted(path.name[:2] for path in (tmp_path / "pacs").iterdir()) == ["SC", "SR"]
    (tmp_path / "pacs" / next(path.name for path in (tmp_path / "pacs").glob("SR*"))).unlink()
    assert cli(*asked) == 0
    assert len(list((tmp_path / "pacs").iterdir())) == 2, "a row that was kept gets its report too"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "folder"), "cannot be combined with --by folder"),
        ((), "give a folder"),
    ],
)
def test_refused_before_the_model_is_loaded(
    cli: Callable[..., int], tmp_path: Path, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert cli("predict", "nothing.pth", "a.dcm", "--dicom-sr", str(tmp_path / "file"), *options) == 2
    assert said in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(
    cli: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert cli("predict", "nothing.pth", "a.dcm", "--dicom-sr", "out") == 2
    assert "pip install -e '.[dicom-out]'" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["dsrdump", "dciodvfy", "dcm2json"])
def test_other_programs_read_them(predictor: Predictor, tmp_path: Path, program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"needs {program} (Debian: dcmtk, dicom3tools)")
    written(predictor, tmp_path, make(PIXELS, **TAGS))
    for path in (tmp_path / "out").iterdir():
        if program == "dsrdump" and path.name.startswith("SC"):
            continue
        words = [program, *(["+Pl"] if program == "dsrdump" else []), str(path)]
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert "Error" not in ran.stdout + ran.stderr, ran.stdout + ran.stderr
        if program == "dsrdump":
            assert dicom_objects.NOTICE in ran.stdout
        if program == "dcm2json":
            assert json.loads(ran.stdout)["0020000D"]["Value"] == ["1.2.3.4"]


def test_images_of_one_study_agree_on_it(predictor: Predictor, tmp_path: Path) -> None:
    """Both hands, two series, and a model whose name is longer than a code and holds what DICOM cuts texts at."""
    if not shutil.which("dcentvfy") or not shutil.which("dciodvfy"):
        pytest.skip("needs dcentvfy and dciodvfy (Debian: dicom3tools)")
    served = Served("Röntgen \\ Ä " + "x" * 80, "12", "w" * 64)
    for number, more in enumerate(({"ImageLaterality": "L"}, {"Laterality": "R", "SeriesInstanceUID": "1.2.9"}, {})):
        changed = (
            TAGS | {"ImageLaterality": None, "SOPInstanceUID": f"1.2.8.{number}", "InstanceNumber": number + 1} | more
        )
        (tmp_path / f"{number}.dcm").write_bytes(make(PIXELS, **changed))
    out = tmp_path / "out"
    dicom_out.ready(out)
    sent = dicom_out.write(predictor, served, sorted(tmp_path.glob("*.dcm")), out, lambda *_: None)
    assert (sent.written, sent.skipped) == (3, ())
    files = [str(path) for path in out.iterdir()]
    for words in (["dcentvfy", *files], *(["dciodvfy", path] for path in files)):
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "Error" not in ran.stdout + ran.stderr, ran.stdout + ran.stderr
    found = [pydicom.dcmread(path) for path in files]
    assert {(one.StudyInstanceUID, one.ManufacturerModelName[-10:]) for one in found} == {("1.2.3.4", "version 12")}
    assert sorted(str(one.get("ImageLaterality", "")) for one in found if one.Modality != "SR") == ["", "L", "R"]
    assert sorted(int(one.InstanceNumber) for one in found) == [1, 1, 2, 2, 3, 3]


def test_a_model_without_maps_leaves_a_report(predictor: Predictor, tmp_path: Path) -> None:
    class Flat(Predictor):
        def heat(self, *_: object) -> bytes:
            raise ValueError("its last features are not spatial")

    sent, found = written(Flat(predictor.module, predictor.sidecar), tmp_path, make(PIXELS, **TAGS))
    assert (sent.written, list(found)) == (1, ["SR"])
    assert "no heat map: its last features are not spatial" in sent.skipped[0][1]


def test_one_uid_for_one_thing() -> None:
    one = dicom_objects.Author("bones", "3", "w", "d")
    assert one.uid("a", "b") == one.uid("a", "b") != one.uid("b", "a")
    assert pydicom.uid.UID(one.uid("a")).is_valid
    assert Answer(label="x").decision
