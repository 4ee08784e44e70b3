"""DICOM files: shown as a viewer shows them, and the patient never in clear."""

from pathlib import Path

import numpy as np
import pytest

from fracture.data.audit.audit import audit_manifest
from fracture.data.audit.config import AuditConfig
from fracture.data.folders import read_folder
from fracture.data.images import ImageError, decode, is_dicom
from fracture.data.inspection.inspect import inspect
from fracture.data.manifest import read_csv
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.prepare import prepare, write
from tests.data.dicoms import RAMP, make

pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")


def test_grey_values_are_spread_and_monochrome1_is_inverted() -> None:
    shown = decode(make())
    assert shown.shape == (64, 48)
    assert (shown[0, 0], shown[-1, -1]) == (0, 255)
    np.testing.assert_array_equal(decode(make(PhotometricInterpretation="MONOCHROME1")), 255 - shown)


def test_the_window_of_the_file_is_applied() -> None:
    shown = decode(make(WindowCenter=1000, WindowWidth=200))
    assert (shown[RAMP < 890] == 0).all()
    assert (shown[RAMP > 1110] == 255).all()


def test_a_voi_table_is_applied() -> None:
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = np.where(np.arange(4096) > 2000, 200, 100).astype(np.uint16).tobytes()
    shown = decode(make(VOILUTSequence=[table]))
    np.testing.assert_array_equal(np.unique(shown), [0, 255])


def test_of_several_frames_the_first_is_taken() -> None:
    frames = np.stack([RAMP, RAMP[::-1]])
    data = make(pixels=RAMP, NumberOfFrames=2, PixelData=frames.astype(np.uint16).tobytes())
    np.testing.assert_array_equal(decode(data), decode(make()))


def test_colour_captures_become_grey() -> None:
    pixels = np.repeat((RAMP % 256).astype(np.uint8)[..., None], 3, axis=2)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "BitsAllocated": 8}
    data = make(**tags, BitsStored=8, HighBit=7, PixelData=pixels.tobytes())
    np.testing.assert_array_equal(decode(data), RAMP % 256)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (make()[:900], "DICOM"),
        (make(PixelData=b"12"), "DICOM"),
        (make(Rows=60_000, Columns=60_000), "more than 100,000,000 pixels"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"\0" * 128 + b"DICM" + bytes(range(256)), "DICOM"),
    ],
)
def test_broken_files_are_told_in_words(data: bytes, reason: str) -> None:
    assert is_dicom(data)
    with pytest.raises(ImageError, match=reason):
        decode(data)


def test_the_patient_is_a_keyed_digest(tmp_path: Path) -> None:
    files = {"a.dcm": make(), "b": make(RAMP[::-1]), "c.dcm": make(patient="JONES"), "d.dcm": make(patient="")}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in files]
    one, two, other, nobody = (found.identity for found in inspect(paths, tmp_path / "cache", 1))
    assert one.patient == two.patient != other.patient
    assert (nobody.patient, nobody.study) == ("", one.study), "where no patient is named, the study counts"
    elsewhere = inspect(paths, tmp_path / "another machine", 1)[0].identity
    assert elsewhere.patient != one.patient
    kept = (tmp_path / "cache" / "inspections.sqlite").read_bytes()
    assert b"SMITH" not in kept


@pytest.mark.parametrize("length", [1, 2, 3])
def test_an_element_of_a_wrong_length_is_a_reason_and_no_crash(length: int) -> None:
    data = b"\0" * 128 + b"DICM" + b"\2\0\0\0UL" + bytes([length, 0]) + b"\0" * length
    with pytest.raises(ImageError, match="not a readable DICOM"):
        decode(data)


def test_the_audit_knows_patients_that_no_row_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(6):
        for split in ("train", "val", "test"):
            folder = tmp_path / "data" / split / "ab"[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 4000, (64, 48)).astype(np.uint16)
            (folder / f"{split}{i}.dcm").write_bytes(make(pixels, f"patient {i}"))
    manifest = read_folder(tmp_path / "data", [])
    report = audit_manifest(manifest, tmp_path / "cache", config=AuditConfig(near_duplicates=False))
    assert report.verdict == "leaking"


def test_prepare_writes_the_study_of_each_image_as_a_digest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(36):
        path = tmp_path / "data" / "ab"[i // 4 % 2] / f"{i}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 4000, (64, 48)).astype(np.uint16)
        path.write_bytes(make(pixels, f"MRN-{i // 4}", StudyInstanceUID=f"1.2.{i // 2 + 1}"))
    rows = prepare([tmp_path / "data"], PrepareConfig(near_duplicates=False), tmp_path / "m.csv").manifest.rows
    studies = {row.path.stem: row.study for row in rows}
    assert all(studies[str(i)] == studies[str(i + 1)] for i in range(0, 36, 2))
    assert len(set(studies.values())) == 18
    assert len({row.group for row in rows}) == 9
    assert not any("1.2." in study for study in studies.values())


def test_patients_that_prepare_was_told_to_ignore_are_none_to_the_audit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(18):
        path = tmp_path / "data" / ("train", "val", "test")[i % 3] / "ab"[i // 3 % 2] / f"{i}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(rng.integers(0, 4000, (64, 48)).astype(np.uint16), f"MRN-{i // 6}"))
    config = AuditConfig(near_duplicates=False, probe=False)
    for rule, verdict in (("auto", "leaking"), ("ignore", "clean")):
        told = PrepareConfig(near_duplicates=False, patients=rule)
        out = tmp_path / f"{rule}.csv"
        write(prepare([tmp_path / "data"], told, out), out, told)
        report = audit_manifest(read_csv(out), tmp_path / "cache", config=config)
        assert report.verdict == verdict
        said = next(check.sentence for check in report.checks if check.number == 3)
        assert ("patients of DICOM files are not used" in said) == (verdict == "clean")
    folder = read_folder(tmp_path / "data", [])
    for rule, verdict in (("auto", "leaking"), ("ignore", "clean")):
        asked = config.model_copy(update={"patients": rule})
        assert audit_manifest(folder, tmp_path / "cache", config=asked).verdict == verdict
