"""A trained module becomes a bundle: one ONNX graph, golden rows, reference values and a card."""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import io
import logging
import platform
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import polars as pl
import torch

from genrepipe import __version__, bundles, contracts, features
from genrepipe.scoring import Scorer
from genrepipe.training.fit import with_durations

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.bundles import Bundle
    from genrepipe.training.fit import Fitted

    Matrix = npt.NDArray[np.float32]

GOLDEN_ROWS = 256
TOLERANCE = 1e-5
OPSET = 20
LIBRARIES = ("torch", "onnx", "onnxruntime", "polars", "duckdb", "numpy", "scikit-learn")


def graph(model: torch.nn.Module, columns: int, labels: tuple[str, ...]) -> bytes:
    """Return the model as one ONNX graph from ``features`` (rows, columns) to ``probabilities`` (rows, labels)."""
    example = torch.zeros(2, columns)
    # It reports each operator of packages that are not installed and not needed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # the exporter speaks of its own future
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model, (example,), path, input_names=["features"], output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("rows")},), opset_version=OPSET, external_data=False, dynamo=True, verbose=False,
        )  # fmt: skip
        exported = onnx.load(path)
    # The exporter leaves source paths and stack traces in the graph, which say nothing to its users.
    for node in exported.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (
        *exported.graph.value_info,
        *exported.graph.input,
        *exported.graph.output,
        *exported.graph.initializer,
    ):
        del value.metadata_props[:]
    del exported.graph.metadata_props[:]
    del exported.metadata_props[:]
    exported.metadata_props.add(key="labels", value=",".join(labels))
    onnx.checker.check_model(exported, full_check=True)
    serialized: bytes = exported.SerializeToString(deterministic=True)
    return serialized


def golden(model: torch.nn.Module, X: Matrix, labels: tuple[str, ...], seed: int) -> pl.DataFrame:
    """Return inputs and the answers of a float64 copy of the model, for rows drawn at random and at the extremes."""
    chosen = np.random.default_rng(seed).choice(len(X), min(GOLDEN_ROWS, len(X)), replace=False)
    extremes = np.concatenate(
        [np.nanargmin(X, axis=0), np.nanargmax(X, axis=0), np.flatnonzero(np.isnan(X[:, 11]))[:32]]
    )
    rows = X[np.unique(np.concatenate([chosen, extremes]))]
    with torch.no_grad():
        answers = copy.deepcopy(model).double()(torch.from_numpy(rows).double()).numpy()
    inputs = pl.DataFrame(rows, schema=dict.fromkeys(features.columns(), pl.Float32))
    outputs = pl.DataFrame(answers, schema=[f"p_{label}" for label in labels])
    return pl.concat([inputs, outputs], how="horizontal")


def reference(X: Matrix) -> pl.DataFrame:
    """Return one row for each feature: missing share, mean, sd, median and the deciles of the training data."""
    rows = []
    for i, name in enumerate(features.columns()):
        known = X[~np.isnan(X[:, i]), i].astype(np.float64)
        rows.append(
            {
                "feature": name,
                "missing": 1 - len(known) / len(X),
                "mean": known.mean(),
                "sd": known.std(ddof=1),
                "median": float(np.median(known)),
                "deciles": [float(q) for q in np.quantile(known, np.arange(0.1, 1, 0.1))],
            }
        )
    return pl.DataFrame(rows)


def write(
    folder: Path,
    fitted: Fitted,
    X: Matrix,
    labels: tuple[str, ...],
    manifest: dict[str, Any],
    card: str,
    seed: int,
) -> Bundle:
    """Write a bundle, and prove through ``scoring`` that onnxruntime answers as the float64 reference does.

    Raises
    ------
    BundleBroken
        A golden row differs by more than the tolerance.
    StorageError
        The folder cannot be written.
    """
    files = {
        bundles.MODEL: graph(fitted.model, X.shape[1], labels),
        bundles.GOLDEN: _parquet(golden(fitted.model, with_durations(X, fitted.duration_ms), labels, seed)),
        bundles.REFERENCE: _parquet(reference(X)),
        bundles.CARD: card.encode(),
    }
    whole = {
        **manifest,
        "labels": labels,
        "input_columns": tuple(features.columns()),
        "tolerance": TOLERANCE,
        "contracts": contracts.versions(),
        "versions": versions(),
    }
    bundle = bundles.save(folder, files, whole)
    Scorer(bundle)
    return bundle


def versions() -> dict[str, str]:
    """Return the versions of the program, Python and the libraries that shape a bundle."""
    return {
        "genrepipe": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()
