"""What MLflow loads of a packaged model: plain code, safetensors weights, nothing pickled."""

import base64
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from fracture.inference.inputs import from_base64
from fracture.inference.predictor import Predictor

_FIRST = ("decision", "label")
_LAST = ("fracture", "fracture_probability", "possible", "possible_in_words", "refer", "reason", "error")


class FractureClassifier(PythonModel):  # type: ignore[misc]
    """Base64 images in the first column, one answer a row."""

    predictor: Predictor

    def load_context(self, context: PythonModelContext) -> None:
        """Read weights and decisions from the artifacts."""
        self.predictor = Predictor.load(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext | None, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A row an image: decision, label, a probability a class, the rest of an `Answer`; a heat map where wanted.

        What there is none of is None in columns of Python objects: as NaN it would be no JSON.
        """
        del context
        texts = model_input.iloc[:, 0].tolist()
        rows = [asdict(answer) for answer in self.predictor.predict_base64(texts)]
        rows = [row | {"possible": " | ".join(row["possible"])} for row in rows]
        columns = {name: [row[name] for row in rows] for name in _FIRST}
        for name in self.predictor.sidecar.classes:
            columns[f"probability_{name}"] = [row["probabilities"].get(name) for row in rows]
        columns |= {name: [row[name] for row in rows] for name in _LAST}
        if (params or {}).get("heat_map"):
            columns["heat_map"] = [self._heat(text, row["label"]) for text, row in zip(texts, rows, strict=True)]
        return pd.DataFrame(columns, dtype=object)

    def _heat(self, text: str, label: str) -> str | None:
        """A PNG as base64, None where there is no answer or the model's features are not spatial."""
        try:
            return base64.b64encode(self.predictor.heat_map(from_base64(text), label)).decode() if label else None
        except ValueError:
            return None


set_model(FractureClassifier())
