"""What MLflow loads of a packaged model: plain code, safetensors weights, nothing pickled."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from fracture.inference.predictor import Predictor


class FractureClassifier(PythonModel):  # type: ignore[misc]
    """Base64 images in the first column, one answer a row."""

    predictor: Predictor

    def load_context(self, context: PythonModelContext) -> None:
        """Read weights and decisions from the artifacts."""
        self.predictor = Predictor.load(Path(context.artifacts["model"]))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # MLflow reads hints as a schema
        """A row an image: label, a probability a class, fracture, refer, reason, error."""
        del context, params
        answers = self.predictor.predict_base64(model_input.iloc[:, 0].tolist())
        rows = [asdict(answer) for answer in answers]
        classes = self.predictor.sidecar.classes
        shares = pd.DataFrame([{name: row["probabilities"].get(name) for name in classes} for row in rows])
        plain = pd.DataFrame(
            [{key: row[key] for key in ("label", "fracture", "refer", "reason", "error")} for row in rows]
        )
        return pd.concat([plain[["label"]], shares.add_prefix("probability_"), plain.drop(columns="label")], axis=1)


set_model(FractureClassifier())
