"""The predictor: a model with everything that was decided about it, called for one image or many."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from fracture.data.audit import traits
from fracture.data.batches import Normalize, to_float
from fracture.data.images import Grey, ImageError, decode, letterbox
from fracture.errors import ConfigError
from fracture.evidence.verdict import LOOK, NO_NUMBERS, Said, decide
from fracture.inference import features
from fracture.inference.features import Features
from fracture.inference.inputs import Input, bytes_of, from_base64
from fracture.inference.out_of_distribution import why_out_of_distribution
from fracture.inference.pictures import framed, heat_png, png
from fracture.models import checkpoint
from fracture.models.checkpoint import Sidecar
from fracture.models.pooled import pooled

WEIGHTS, SIDECAR = "weights.safetensors", "model.json"


@dataclass(frozen=True)
class Seen:
    """What a log keeps of an image beside the answer.

    Attributes:
        traits: as `fracture.data.audit.traits.measure` gives them; empty where they could not be measured.
        distance: of its features from those of a reference, None where there is none.
    """

    traits: tuple[float, ...] = ()
    distance: float | None = None


@dataclass(frozen=True)
class Answer:
    """What is said of one image.

    Attributes:
        decision: ``fracture reported``, ``no fracture reported`` or ``a person must look``; ``class reported`` where no
            class is known to be healthy. See `fracture.evidence.verdict`.
        label: the kind, which never contradicts ``fracture``; empty where there is no answer.
        fracture: whether any fracture is reported at the operating point; None without one.
        fracture_probability: of any fracture; None where no class is known to be healthy.
        probabilities: calibrated, by class.
        refer: whether a person must look.
        reason: why, empty where nobody has to.
        possible, possible_in_words: the classes that remain possible, and what they say; empty where nothing was
            settled, or the image is unlike a radiograph. See `fracture.evidence.verdict`.
        error: why there is no answer; a person must look then, and everything else is empty.
        seen: for a log, None where nobody watches; no part of what is said.
        sure: ``possible_in_words`` under the name by which models packaged before December 2026 read it; not said.
    """

    decision: Said = LOOK
    label: str = ""
    fracture: bool | None = None
    fracture_probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    refer: bool = True
    reason: str = ""
    error: str = ""
    possible: tuple[str, ...] = ()
    possible_in_words: str = ""
    seen: Seen | None = field(default=None, repr=False, compare=False)
    sure: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Give the old name its value."""
        object.__setattr__(self, "sure", self.possible_in_words)

    def said(self) -> dict[str, Any]:
        """As plain values, for whoever called."""
        values = asdict(self)
        del values["seen"], values["sure"]
        return values


@dataclass(frozen=True)
class Prepared:
    """One image, decoded.

    Attributes:
        square: what the model sees, uint8 [size, size].
        doubt: why it is unlike a radiograph, empty where nothing speaks against it.
        pixels: of the image as it came.
        frame: the whole radiograph for people, uint8 [height, width], at most 1,024 pixels on the longer side; None
            where no pictures were wanted.
        seen: what a log keeps of it; None where nothing is logged.
    """

    square: Grey
    doubt: str
    pixels: int
    frame: Grey | None = None
    seen: Seen | None = None


class Predictor:
    """Answers as the run that made the model would: same decoding, same square, same normalisation.

    Attributes:
        module: the torch module, in evaluation mode.
        sidecar: what the model is and what validation decided about it.
        watched: whether answers carry what a log keeps of their images.
        features: what distances are measured from, None for none.
    """

    def __init__(self, module: nn.Module, sidecar: Sidecar, batch_size: int = 16) -> None:
        """Answer with ``module``, ``batch_size`` images at a time."""
        self.module, self.sidecar, self.batch_size = module.eval(), sidecar, batch_size
        self.watched = False
        self.features: Features | None = None
        self._normalize = Normalize(sidecar.mean, sidecar.std)

    @classmethod
    def load(cls, folder: Path, name: str = "") -> "Predictor":
        """Read what `save` has written.

        Args:
            folder: that it was written to, or a folder somewhere above it.
            name: as the user named the model, where ``folder`` is only where it was brought to.

        Raises:
            ConfigError: a file is missing or damaged, or was made for other preprocessing.
        """
        folder = next(folder.rglob(SIDECAR), folder / SIDECAR).parent
        called = name or str(folder)
        try:
            sidecar = Sidecar.model_validate_json((folder / SIDECAR).read_bytes())
            state = load_file(folder / WEIGHTS)
        except FileNotFoundError as error:
            raise ConfigError(
                f"{called}: has no packaged model, for it has no {SIDECAR} with {WEIGHTS} beside it; "
                "`python -m registry promote RUN` packages the model of a run"
            ) from error
        except (OSError, SafetensorError, ValueError) as error:
            raise ConfigError(f"{called}: its packaged model is damaged: {str(error).splitlines()[0]}") from error
        checkpoint.same_preprocessing(called, sidecar)
        if checkpoint.weights_sha256(state) != sidecar.weights_sha256:
            raise ConfigError(f"{called}: the weights are not those that {SIDECAR} names")
        predictor = cls(checkpoint.rebuild(called, sidecar, state), sidecar)
        predictor.features = features.load(folder)
        return predictor

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors, and beside them what is needed to answer with them."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}, folder / WEIGHTS)
        (folder / SIDECAR).write_text(self.sidecar.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def predict(self, inputs: Input | Iterable[Input]) -> list[Answer]:
        """Answer to one input or many, in order; one that cannot be read has an error and harms no other.

        Args:
            inputs: paths, bytes of files, base64, PIL images or arrays, as `inputs.bytes_of` takes them.
        """
        single = isinstance(inputs, str | Path | bytes | Image.Image | np.ndarray)
        return list(self.answers([inputs] if single else inputs))  # type: ignore[list-item, arg-type]

    def answers(self, inputs: Iterable[Input]) -> Iterator[Answer]:
        """The same one after the other, a batch at a time."""
        left = iter(inputs)
        while read := [self.prepare(one) for one in itertools.islice(left, self.batch_size)]:
            found = iter(self.answer([one for one in read if isinstance(one, Prepared)]))
            yield from (next(found) if isinstance(one, Prepared) else one for one in read)

    def predict_base64(self, texts: Sequence[object]) -> list[Answer]:
        """Answer to base64 texts: over a network a text is never taken for a path."""
        read = [_decoded(text) for text in texts]
        found = iter(self.predict([data for data in read if isinstance(data, bytes)]))
        return [next(found) if isinstance(data, bytes) else data for data in read]

    def logits(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Raw answers [n, classes] to grey squares uint8 [n, size, size]."""
        with torch.inference_mode():
            return np.asarray(self.module(self._normalize(to_float(torch.from_numpy(pixels)))).numpy())

    def heat_map(self, one: Input, label: str) -> bytes:
        """A PNG of a radiograph as it was decoded, with the evidence for class ``label`` over it.

        Raises:
            ImageError: it cannot be read.
            ValueError: no such class, or the model's last features are not spatial.
        """
        found = self.prepare(one, pictures=True)
        if isinstance(found, Answer):
            raise ImageError(found.error)
        return self.heat(found, label)

    def heat(self, one: Prepared, label: str) -> bytes:
        """The same of an image that was prepared with pictures.

        Raises:
            ValueError: no such class, or the model's last features are not spatial.
        """
        chosen = self.sidecar.classes.index(label)
        return heat_png(self.module, self._normalize, one.square, _frame_of(one), chosen)

    def radiograph(self, one: Prepared) -> bytes:
        """A PNG of the radiograph as it was decoded, of the same size as its heat map."""
        return png(_frame_of(one))

    def prepare(self, one: Input, *, pictures: bool = False) -> Prepared | Answer:
        """Decode one input, for `heat` and `radiograph` too or not; what cannot be read is answered with the error."""
        try:
            data = bytes_of(one)
            grey = decode(data)
            square = letterbox(grey, self.sidecar.image_size)
            frame = framed(grey) if pictures else None
            seen = Seen(_traits(data, grey)) if self.watched else None
            return Prepared(square, why_out_of_distribution(data, grey), grey.size, frame, seen)
        except (ImageError, OSError, ValueError, TypeError) as error:
            return Answer(error=str(error) or type(error).__name__)

    def answer(self, images: Sequence[Prepared]) -> list[Answer]:
        """Answer to images that were decoded, a batch at a time."""
        starts = range(0, len(images), self.batch_size)
        return [one for start in starts for one in self._batch(images[start : start + self.batch_size])]

    def _batch(self, batch: Sequence[Prepared]) -> list[Answer]:
        with ExitStack() as stack:
            passes = stack.enter_context(pooled(self.module)) if self.watched and self.features else []
            shares = self._probabilities(np.stack([one.square for one in batch]))
        seen = self._with_distances([one.seen for one in batch], passes)
        return [self._answer(*found) for found in zip(shares, (one.doubt for one in batch), seen, strict=True)]

    def _with_distances(self, seen: list[Seen | None], passes: Sequence[torch.Tensor]) -> list[Seen | None]:
        """What is kept of each image with how far its features are, where the model's are known."""
        if self.features is None or not passes:
            return seen
        found = self.features.distance(torch.stack(list(passes)).mean(dim=0).numpy()).tolist()
        return [replace(one, distance=round(own, 4)) if one else None for one, own in zip(seen, found, strict=True)]

    def _probabilities(self, squares: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        scaled = self.logits(squares).astype(np.float64) / self.sidecar.temperature
        exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))

    def _answer(self, shares: npt.NDArray[np.float64], unlike: str, seen: Seen | None) -> Answer:
        if not np.isfinite(shares).all():
            return Answer(error=NO_NUMBERS)
        found = decide(self.sidecar.rule, shares.tolist(), unlike)
        probabilities = dict(zip(self.sidecar.classes, shares.tolist(), strict=True))
        return Answer(**vars(found), probabilities=probabilities, refer=bool(found.reason), seen=seen)


def _traits(data: bytes, grey: Grey) -> tuple[float, ...]:
    try:
        return tuple(traits.measure(data, grey).tolist())
    except Exception:  # noqa: BLE001 - whatever is odd about a file's tags, it has an answer
        return ()


def _frame_of(one: Prepared) -> Grey:
    assert one.frame is not None, "prepared without pictures"
    return one.frame


def _decoded(text: object) -> bytes | Answer:
    try:
        return from_base64(text)
    except ImageError as error:
        return Answer(error=str(error))
