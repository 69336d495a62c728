"""Export: a trained model becomes a bundle of one ONNX graph, golden rows, reference values and a card."""

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
from onnx.compose import merge_models
from skl2onnx import to_onnx
from skl2onnx.common import _container
from skl2onnx.common.data_types import FloatTensorType

from genrepipe import contracts
from genrepipe.core.version import VERSION
from genrepipe.model import bundle, features
from genrepipe.model.scorer import Scorer
from genrepipe.training import calibrate
from genrepipe.training.fit import matrix
from genrepipe.training.imputation import with_durations
from genrepipe.training.trees import TreeModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from genrepipe.model.bundle import Bundle
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.evaluate import Evaluation
    from genrepipe.training.fit import Fitted
    from genrepipe.training.networks import GenreModel

    Matrix = npt.NDArray[np.float32]

GOLDEN_ROWS = 256
TOLERANCE = 1e-5
OPSET = 20
LIBRARIES = ("torch", "onnx", "onnxruntime", "polars", "duckdb", "numpy", "scikit-learn")


def graph(model: GenreModel | TreeModel, columns: int, labels: tuple[str, ...]) -> bytes:
    """Return the model as one ONNX graph from ``features`` (rows, columns) to ``probabilities`` (rows, labels)."""
    exported = _trees(model, columns) if isinstance(model, TreeModel) else _export(model, columns, "probabilities")
    exported.metadata_props.add(key="labels", value=",".join(labels))
    onnx.checker.check_model(exported, full_check=True)
    serialized: bytes = exported.SerializeToString(deterministic=True)
    return serialized


def _export(model: torch.nn.Module, columns: int, output: str) -> Any:
    # The exporter logs every operator of packages that are not installed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # deprecations within the exporter
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model, (torch.zeros(2, columns),), path, input_names=["features"], output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("rows")},), opset_version=OPSET, external_data=False, dynamo=True, verbose=False,
        )  # fmt: skip
        exported = onnx.load(path)
    # The exporter leaves source paths and stack traces in the graph.
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
    return exported


def _trees(model: TreeModel, columns: int) -> Any:
    """Return the modules before the trees, the trees, and the temperature as one graph."""
    front = _export(model.front, columns, "seen")
    kind = FloatTensorType([None, model.trees.n_features_in_])
    with _integer_attributes():
        trees = to_onnx(
            model.trees,
            initial_types=[("seen", kind)],
            options={"zipmap": False},
            target_opset={"": OPSET, "ai.onnx.ml": 3},
        )
    trees.ir_version = front.ir_version
    merged = merge_models(
        front,
        onnx.compose.add_prefix(trees, "trees_"),
        io_map=[("seen", "trees_seen")],
        outputs=["trees_probabilities"],
    )
    inverse = onnx.helper.make_tensor("inverse_temperature", onnx.TensorProto.FLOAT, [1], [1 / model.temperature])
    merged.graph.initializer.append(inverse)
    del merged.graph.output[:]
    merged.graph.output.append(
        onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["rows", len(model.trees.classes_)])
    )
    merged.graph.node.extend(
        [
            onnx.helper.make_node("Log", ["trees_probabilities"], ["log_probabilities"]),
            onnx.helper.make_node("Mul", ["log_probabilities", "inverse_temperature"], ["tempered"]),
            onnx.helper.make_node("Softmax", ["tempered"], ["probabilities"], axis=1),
        ]
    )
    return merged


@contextlib.contextmanager
def _integer_attributes() -> Iterator[None]:
    """Make skl2onnx 1.20 write boolean attributes of tree nodes as integers, which onnx 1.23 requires."""
    original = _container.make_node

    def make_node(*arguments: Any, **attributes: Any) -> Any:
        converted = {
            key: [int(v) for v in value]
            if isinstance(value, list) and any(isinstance(v, bool | np.bool_) for v in value)
            else value
            for key, value in attributes.items()
        }
        return original(*arguments, **converted)

    _container.make_node = make_node
    try:
        yield
    finally:
        _container.make_node = original


def golden(
    model: GenreModel | TreeModel, raw: Matrix, columns: list[str], labels: tuple[str, ...], seed: int
) -> pl.DataFrame:
    """Return golden rows: inputs, and the probabilities of a float64 copy of the model.

    The rows are a random sample of ``raw``, of shape (rows, columns), its extremes in every column, some rows without a
    tempo, and copies of some without each audio feature and without 3 and 6 random ones.
    """
    rows = np.vstack([raw[_golden_positions(raw, columns, seed)], _without_features(raw, columns, seed)])
    answers = _answers(model, rows)
    inputs = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.Float32))
    outputs = pl.DataFrame(answers, schema=[f"p_{label}" for label in labels])
    return pl.concat([inputs, outputs], how="horizontal")


def _answers(model: Any, rows: Matrix) -> npt.NDArray[np.float64]:
    """Return the probabilities of a float64 copy of the model, of shape (rows, labels)."""
    if isinstance(model, TreeModel):
        return np.asarray(model.probabilities(torch.from_numpy(rows)))
    with torch.no_grad():
        answers: npt.NDArray[np.float64] = copy.deepcopy(model).double()(torch.from_numpy(rows).double()).numpy()
    return answers


def _without_features(raw: Matrix, columns: list[str], seed: int) -> Matrix:
    """Return rows that lack audio features: 4 without each one, 16 without 3 random ones, and 16 without 6."""
    audio, rng = features.columns(), np.random.default_rng(seed)
    if not set(audio) <= set(columns):
        return raw[:0]
    lost = [np.arange(len(audio)) == i for i in range(len(audio)) for _ in range(4)]
    lost += [rng.permutation(len(audio)) < count for count in (3, 6) for _ in range(16)]
    rows = raw[rng.choice(len(raw), len(lost))].copy()
    at = [columns.index(name) for name in audio]
    rows[:, at] = np.where(np.array(lost), np.float32("nan"), rows[:, at])
    return rows


def _golden_positions(raw: Matrix, columns: list[str], seed: int) -> npt.NDArray[np.intp]:
    random = np.random.default_rng(seed).choice(len(raw), min(GOLDEN_ROWS, len(raw)), replace=False)
    few = raw[:, : min(len(columns), 128)]  # a few dimensions of word vectors are enough
    extremes = [np.nanargmin(few, axis=0), np.nanargmax(few, axis=0)]
    if "tempo" in columns:
        extremes.append(np.flatnonzero(np.isnan(raw[:, columns.index("tempo")]))[:32])
    positions: npt.NDArray[np.intp] = np.unique(np.concatenate([random, *extremes]))
    return positions


def reference(X: Matrix, genre_shares: list[float]) -> pl.DataFrame:
    """Return what drift is measured against: one row for each audio feature, and the row ``genre`` for the answers.

    ``edges`` are the distinct inner deciles of the training data. ``shares`` has the share of its rows in each bin,
    closed above, and last the share of missing values. The row ``genre`` has no edges and one share for each genre.
    """
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(features.columns()):
        known = X[~np.isnan(X[:, i]), i]
        edges = np.unique(np.quantile(known, np.arange(0.1, 1, 0.1), method="higher"))
        counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
        rows.append(
            {
                "feature": name,
                "missing": 1 - len(known) / len(X),
                "mean": known.astype(np.float64).mean(),
                "sd": known.astype(np.float64).std(ddof=1),
                "median": float(np.median(known)),
                "edges": edges.astype(np.float64).tolist(),
                "shares": [*(counts / len(X)).tolist(), 1 - len(known) / len(X)],
            }
        )
    schema: dict[str, Any] = {"feature": pl.String, "missing": pl.Float64, "mean": pl.Float64, "sd": pl.Float64, "median": pl.Float64,
              "edges": pl.List(pl.Float64), "shares": pl.List(pl.Float64)}  # fmt: skip
    return pl.DataFrame([*rows, {"feature": "genre", "edges": [], "shares": genre_shares}], schema=schema)


def artists(data: Dataset) -> pl.DataFrame:
    """Return how many tracks of each artist have each label: ``artist_key``, and a UInt16 column for each label."""
    counts = pl.DataFrame({"artist_key": data.artist, "label": [f"labels_{data.labels[i]}" for i in data.y]})
    named = counts.filter(pl.col("artist_key") != "")
    wide = named.pivot("label", index="artist_key", values="label", aggregate_function="len").fill_null(0)
    columns = features.columns([features.LABELS])
    wide = wide.with_columns(pl.lit(0).alias(c) for c in columns if c not in wide.columns)
    return wide.select("artist_key", pl.col(columns).cast(pl.UInt16)).sort("artist_key")


def write(
    folder: Path,
    fitted: Fitted,
    data: Dataset,
    evaluation: Evaluation,
    manifest: dict[str, Any],
    card: str,
    seed: int,
) -> Bundle:
    """Write a bundle, and prove that onnxruntime gives the answers of the float64 copy for the golden rows.

    Parameters
    ----------
    evaluation
        The temperature, the thresholds of genre sets and the metrics that the bundle carries.
    manifest
        The keys of ``bundle.json`` that are known before the export.

    Raises
    ------
    BundleBroken
        A golden row differs by more than ``TOLERANCE``.
    StorageError
        The folder cannot be written.
    """
    inputs = fitted.recipe.inputs
    columns = features.columns(inputs)
    rows = np.arange(len(data))
    raw = matrix(fitted.recipe, data, rows, rows, fitted.duration_ms)
    if isinstance(fitted.model, TreeModel):
        fitted.model.temperature = evaluation.temperature
    else:
        fitted.model.temperature.fill_(evaluation.temperature)
    answers = _answers(fitted.model, raw).argmax(1)
    shares = (np.bincount(answers, minlength=len(data.labels)) / len(raw)).tolist()
    files = {
        bundle.MODEL: graph(fitted.model, len(columns), data.labels),
        bundle.GOLDEN: _parquet(golden(fitted.model, raw, columns, data.labels, seed)),
        bundle.REFERENCE: _parquet(reference(with_durations(data.X, fitted.duration_ms), shares)),
        bundle.CARD: card.encode(),
    }
    if fitted.curves:
        curves = pl.DataFrame(fitted.curves, schema=["epoch", "train_loss", "validation_loss"], orient="row")
        files[bundle.CURVES] = _parquet(curves)
    if features.LABELS in inputs:
        files[bundle.ARTISTS] = _parquet(artists(data))
    complete = {
        **manifest,
        "labels": data.labels,
        "inputs": inputs,
        "input_columns": tuple(columns),
        "parameters": fitted.model.trainable,
        "temperature": evaluation.temperature,
        "genre_sets": {
            "coverage": calibrate.COVERAGE, "visible_from": calibrate.VISIBLE_FROM, "thresholds": evaluation.thresholds,
        },
        "metrics": {**manifest["metrics"], **evaluation.metrics},
        "tolerance": TOLERANCE,
        "contracts": contracts.versions(),
        "versions": versions(),
    }  # fmt: skip
    saved = bundle.save(folder, files, complete)
    Scorer(saved)  # scores the golden rows
    return saved


def versions() -> dict[str, str]:
    """Return the versions of genrepipe, Python and the libraries that a bundle depends on."""
    return {
        "genrepipe": VERSION,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()
