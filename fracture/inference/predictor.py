"""The predictor: a model with everything that was decided about it, asked for one image or many."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from fracture.data.batches import Normalize, to_float
from fracture.data.images import ImageError, decode, letterbox
from fracture.errors import ConfigError
from fracture.evidence.verdict import LOOK, NO_NUMBERS, Said, decide
from fracture.inference.heat import heat_png
from fracture.inference.inputs import Input, bytes_of, from_base64
from fracture.inference.unlike import why_unlike
from fracture.models import checkpoint
from fracture.models.checkpoint import Sidecar

WEIGHTS, SIDECAR = "weights.safetensors", "model.json"


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
        error: why there is no answer; a person must look then, and everything else is empty.
    """

    decision: Said = LOOK
    label: str = ""
    fracture: bool | None = None
    fracture_probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    refer: bool = True
    reason: str = ""
    error: str = ""


class Predictor:
    """Answers as the run that made the model would: same decoding, same square, same normalisation.

    Attributes:
        module: the torch module, in evaluation mode.
        sidecar: what the model is and what validation decided about it.
    """

    def __init__(self, module: nn.Module, sidecar: Sidecar, batch_size: int = 16) -> None:
        """Answer with ``module``, ``batch_size`` images at a time."""
        self.module, self.sidecar, self.batch_size = module.eval(), sidecar, batch_size
        self._normalize = Normalize(sidecar.mean, sidecar.std)

    @classmethod
    def load(cls, folder: Path) -> "Predictor":
        """Read what `save` has written.

        Raises:
            ConfigError: a file is missing or damaged, or was made for other preprocessing.
        """
        try:
            sidecar = Sidecar.model_validate_json((folder / SIDECAR).read_bytes())
            state = load_file(folder / WEIGHTS)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder}: holds no packaged model: {error}") from error
        checkpoint.same_preprocessing(folder, sidecar)
        if checkpoint.weights_sha256(state) != sidecar.weights_sha256:
            raise ConfigError(f"{folder}: the weights are not those that {SIDECAR} names")
        return cls(checkpoint.rebuild(sidecar, state), sidecar)

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
        batch: list[Input] = []
        for one in inputs:
            batch.append(one)
            if len(batch) == self.batch_size:
                yield from self._batch(batch)
                batch = []
        if batch:
            yield from self._batch(batch)

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
        """A PNG of what the model sees, with the evidence for class ``label`` over it.

        Raises:
            ImageError: it cannot be read.
            ValueError: no such class, or the model's last features are not spatial.
        """
        square = letterbox(decode(bytes_of(one)), self.sidecar.image_size)
        return heat_png(self.module, self._normalize, square, self.sidecar.classes.index(label))

    def _batch(self, batch: Sequence[Input]) -> list[Answer]:
        read = [self._read(one) for one in batch]
        squares = [found[0] for found in read if not isinstance(found, Answer)]
        shares = iter(self._probabilities(np.stack(squares)) if squares else ())
        return [found if isinstance(found, Answer) else self._answer(next(shares), found[1]) for found in read]

    def _read(self, one: Input) -> Answer | tuple[npt.NDArray[np.uint8], str]:
        """The square that the model sees and why it may be unlike a radiograph, or an answer with an error."""
        try:
            data = bytes_of(one)
            grey = decode(data)
            return letterbox(grey, self.sidecar.image_size), why_unlike(data, grey)
        except (ImageError, OSError, ValueError, TypeError) as error:
            return Answer(error=str(error) or type(error).__name__)

    def _probabilities(self, squares: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        scaled = self.logits(squares).astype(np.float64) / self.sidecar.temperature
        exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))

    def _answer(self, shares: npt.NDArray[np.float64], unlike: str) -> Answer:
        if not np.isfinite(shares).all():
            return Answer(error=NO_NUMBERS)
        found = decide(self.sidecar.rule, shares.tolist(), unlike)
        probabilities = dict(zip(self.sidecar.classes, shares.tolist(), strict=True))
        return Answer(**vars(found), probabilities=probabilities, refer=bool(found.reason))


def _decoded(text: object) -> bytes | Answer:
    try:
        return from_base64(text)
    except ImageError as error:
        return Answer(error=str(error))
