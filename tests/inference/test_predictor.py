"""The predictor: every kind of input, bad ones beside good ones, and the answers of training itself."""

import base64
import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fracture.data.images import decode, letterbox
from fracture.errors import ConfigError
from fracture.inference.predictor import Answer, Predictor
from fracture.models import backbones, checkpoint
from tests.small_model import CLASSES, encoded, small


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return small(batch_size=3, temperature=1.5)


def picture(seed: int = 0, size: tuple[int, int] = (90, 120)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, size, np.uint8)


def test_every_kind_of_input_is_answered_alike(predictor: Predictor, tmp_path: Path) -> None:
    data = encoded(picture())
    (tmp_path / "a.png").write_bytes(data)
    text = base64.b64encode(data).decode()
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), data, Image.fromarray(picture()), picture(), text]
    answers = predictor.predict(kinds)
    assert len({str(answer) for answer in answers}) == 1
    (alone,) = predictor.predict(data)
    assert predictor.predict_base64([text]) == predictor.predict_base64(["data:image/png;base64," + text]) == [alone]
    assert alone.probabilities == pytest.approx(answers[0].probabilities, rel=1e-4)


def test_numbers_of_any_kind_are_stretched_as_files_of_sixteen_bits_are(predictor: Predictor) -> None:
    deep = picture().astype(np.uint16) * 200
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "PNG")
    answers = predictor.predict([deep, deep.astype(np.float32) / 65535, Image.fromarray(deep), buffer.getvalue()])
    assert len({str(answer.label) for answer in answers}) == 1
    for answer in answers[1:]:
        assert answer.probabilities == pytest.approx(answers[0].probabilities, rel=1e-3)
    wrong = [np.zeros((4, 5, 6, 7)), np.full((80, 80), np.nan), np.zeros((0, 3)), np.array([["a"]]), "nowhere.png"]
    for answer in predictor.predict(wrong):
        assert answer.error
        assert answer.refer


def test_a_film_is_taken_as_dicom(predictor: Predictor) -> None:
    pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    from tests.data.test_dicom import make

    (answer,) = predictor.predict(make())
    assert answer.error == ""
    assert answer.label


def test_answers_are_calibrated_probabilities_of_the_models_own_preprocessing(predictor: Predictor) -> None:
    (answer,) = predictor.predict(picture(1))
    logits = predictor.logits(letterbox(decode(encoded(picture(1))), 64)[None])[0] / 1.5
    shares = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose([answer.probabilities[name] for name in CLASSES], shares, rtol=1e-5)
    assert answer.fracture is bool(1 - shares[1] >= 0.5)
    assert answer.label == ("no_fracture" if not answer.fracture else CLASSES[0 if shares[0] > shares[2] else 2])


@pytest.mark.parametrize(
    ("classes", "fields", "reported"),
    [
        (("fractured", "normal"), {"healthy": "normal"}, True),
        (("fractured", "normal"), {"healthy": "fractured"}, False),
        (("fractured", "normal"), {"healthy": None}, None),
        (("fractured", "normal"), {}, None),
        (("fractured", "no_fracture"), {}, True),
    ],
    ids=["normal is healthy", "the other is", "none is", "old and unknown", "old and known"],
)
def test_a_fracture_is_whatever_is_not_healthy(
    classes: tuple[str, ...], fields: dict[str, str | None], reported: bool | None
) -> None:
    backbone = backbones.find("test_resnet")
    model = backbones.build(backbone, 2)
    with torch.no_grad():
        model.fc.bias.copy_(torch.tensor([50.0, -50.0]))  # the first class, whatever is seen
    sidecar = checkpoint.Sidecar(
        model=backbone.name, classes=classes, image_size=64, mean=backbone.mean, std=backbone.std, parameters=1,
        weights_sha256=checkpoint.weights_sha256(model.state_dict()), epoch=1, synthetic=True, license="none",
        fracture_threshold=0.5, refer_below=0.3, **fields,  # type: ignore[arg-type]
    )  # fmt: skip
    (answer,) = Predictor(model, sidecar).predict(picture())
    assert answer.label == "fractured"
    assert answer.fracture is reported


@pytest.mark.parametrize("place", range(5))
def test_a_bad_input_harms_no_other(predictor: Predictor, place: int) -> None:
    good = [picture(i) for i in range(4)]
    alone = predictor.predict(good)
    for bad in (b"", b"no image", encoded(picture())[:80], Path("/nowhere.png")):
        mixed: list = [*good[:place], bad, *good[place:]]  # type: ignore[type-arg]
        answers = predictor.predict(mixed)
        assert answers[place].error
        assert answers[place].refer
        assert answers[place].label == ""
        for one, other in zip([*answers[:place], *answers[place + 1 :]], alone, strict=True):
            assert one.label == other.label
            assert one.probabilities == pytest.approx(other.probabilities, rel=1e-4)


@pytest.mark.parametrize("text", ["", "%%%", "/etc/passwd", "aGVsbG8", 17, None, "data:image/png;base64,!!"])
def test_over_a_network_a_text_is_never_a_path(predictor: Predictor, text: object) -> None:
    (answer,) = predictor.predict_base64([text])
    assert answer.error
    assert "passwd" not in answer.error


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((100, 100), 80, np.uint8), "blank"),
        (picture(0, (40, 100)), "too small"),
        (np.dstack([picture(0), np.zeros((90, 120), np.uint8), np.zeros((90, 120), np.uint8)]), "in colour"),
    ],
)
def test_what_is_unlike_a_radiograph_is_referred(predictor: Predictor, pixels: np.ndarray, reason: str) -> None:
    (answer,) = predictor.predict(pixels)
    assert answer.refer
    assert reason in answer.reason
    assert answer.label, "it is answered nevertheless"


def test_the_unsure_are_referred(predictor: Predictor) -> None:
    always = Predictor(predictor.module, predictor.sidecar.model_copy(update={"refer_below": None}))
    never = Predictor(predictor.module, predictor.sidecar.model_copy(update={"refer_below": 0.0}))
    strict = Predictor(predictor.module, predictor.sidecar.model_copy(update={"refer_below": 0.999}))
    assert "every image is referred" in always.predict(picture())[0].reason
    assert not never.predict(picture())[0].refer
    assert "confidence too low" in strict.predict(picture())[0].reason


def test_a_saved_model_comes_back_and_a_changed_one_does_not(predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path)
    again = Predictor.load(tmp_path)
    np.testing.assert_array_equal(
        again.logits(picture(0, (64, 64))[None]), predictor.logits(picture(0, (64, 64))[None])
    )
    data = bytearray((tmp_path / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(bytes(data))
    with pytest.raises(ConfigError, match="are not those"):
        Predictor.load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(bytes(data[:4]))
    with pytest.raises(ConfigError, match=r"^models:/m/1: its packaged model is damaged"):
        Predictor.load(tmp_path, "models:/m/1")
    with pytest.raises(ConfigError, match=r"^models:/m/1: has no packaged model"):
        Predictor.load(tmp_path / "nothing", "models:/m/1")


def test_real_radiographs_are_not_unlike_themselves(predictor: Predictor, real_data: Path) -> None:
    images = sorted((real_data / "xray3").rglob("*.jpg"))[::25]
    reasons = {answer.reason for answer in predictor.predict(images)}
    assert not [reason for reason in reasons if reason and "not sure" not in reason]


def test_what_models_packaged_earlier_read_of_an_answer_is_there() -> None:
    """Their served_model.py is a file of theirs, and takes these names from `asdict`."""
    answer = Answer(possible_in_words="possible at 90% coverage: a or b")
    read = ("decision", "label", "fracture", "fracture_probability", "probabilities", "possible", "sure", "refer",
            "reason", "error")  # fmt: skip
    assert set(read) <= asdict(answer).keys()
    assert asdict(answer)["sure"] == answer.possible_in_words
    assert "sure" not in answer.said()
