"""ONNX: written by torch, made smaller and run by onnxruntime; needs the extra ``[export]``."""

import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fracture.errors import ConfigError

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_INPUT, _OUTPUT = "squares", "logits"


def require() -> None:
    """See to it that what is needed is there.

    Raises:
        ConfigError: a package is missing.
    """
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"--format onnx needs {', '.join(missing)}: pip install -e '.[export]'")


def write(model: nn.Module, squares: Tensor, path: Path) -> None:
    """Write a model, for any number of images, as one file.

    Args:
        model: takes grey squares uint8 [n, size, size].
        squares: two or more of them.
        path: of the file.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's, about its own exporter
        torch.onnx.export(
            model.eval(), (squares,), path, dynamo=True, external_data=False, verbose=False, input_names=[_INPUT],
            output_names=[_OUTPUT], dynamic_shapes=({0: torch.export.Dim("images")},),
        )  # fmt: skip


def quantize(path: Path, squares: npt.NDArray[np.uint8]) -> None:
    """Store weights as int8 and compute convolutions and products in it, with ranges seen on ``squares``; in place."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[npt.NDArray[np.uint8]] = iter(squares)

        def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
            one = next(self._left, None)
            return None if one is None else {_INPUT: one[None]}

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = Path(folder) / path.name
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        )  # fmt: skip


def runner(path: Path) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """Ask an ONNX file on the CPU: grey squares [n, size, size] to logits [n, classes]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda squares: np.asarray(session.run([_OUTPUT], {_INPUT: squares})[0])
