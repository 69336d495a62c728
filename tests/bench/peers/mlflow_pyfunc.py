"""Predict with MLflow's pyfunc, in an environment of its own: ``make bench-mlflow``.

``save MODEL FOLDER`` saves a graph as an MLflow model; ``predict FOLDER MATRIX OUT`` scores a matrix, kept by NumPy, as a frame, the way a
batch job calls pyfunc, and writes the probabilities as Parquet.
"""

from __future__ import annotations

import sys


def save(model: str, folder: str) -> None:
    """Save the graph."""
    import mlflow.onnx
    import onnx

    mlflow.onnx.save_model(onnx.load(model), folder)


def predict(folder: str, matrix: str, out: str) -> None:
    """Score the matrix."""
    import mlflow.pyfunc
    import numpy as np
    import pandas as pd

    model = mlflow.pyfunc.load_model(folder)
    answers = model.predict(pd.DataFrame(np.load(matrix)))
    probabilities = answers["probabilities"] if isinstance(answers, dict) else answers
    pd.DataFrame(np.stack(list(probabilities))).rename(columns=str).to_parquet(out)


if __name__ == "__main__":
    {"save": save, "predict": predict}[sys.argv[1]](*sys.argv[2:])
