"""Blocks are read by the names of their columns, and a new block needs the contract and one registration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch

from genrepipe.model import bundle, features
from genrepipe.model.features import AUDIO, CONTEXT, FLAGS, LABELS, Block
from genrepipe.model.scorer import Scorer
from genrepipe.training import episodes, export, inputs
from genrepipe.training.fit import matrix
from genrepipe.training.imputation import duration_median, with_durations
from genrepipe.training.inputs import Selection
from genrepipe.training.networks import ArtistContext, Scaler, Unskewed
from genrepipe.training.recipes import RECIPES, Recipe
from tests.training.conftest import fit_briefly, write_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.training.dataset import Dataset
    from tests.training.conftest import EditFeatures


def shuffle_columns(tables: list[dict[str, Any]]) -> None:
    """Change the order of the columns of every block; tempo and duration come first and last."""
    for number, table in enumerate(tables):
        np.random.default_rng(number).shuffle(table["properties"])
        table["properties"].sort(key=lambda column: {"tempo": -1, "duration_ms": 1}.get(column["name"], 0))


def rebuilt(data: Dataset) -> Dataset:
    """Return the dataset with the matrices that the contract in force describes."""
    return replace(data, X=np.ascontiguousarray(features.matrix(features.build(data.tracks))), _blocks={})


def values_by_name(data: Dataset) -> dict[str, Any]:
    """Return everything that is found by position during training, by name."""
    rows = np.arange(len(data))
    audio = features.columns()
    filled = torch.from_numpy(with_durations(data.X, duration_median(data.X)))
    unskewed = Unskewed()(filled)
    tracks = episodes.Discographies(data, rows)
    context = tracks.context(episodes.cut(tracks.artist, 5, np.random.default_rng(0)))
    scaler = Scaler(len(audio))
    scaler.fit(torch.nan_to_num(unskewed))
    module = ArtistContext()
    module.fit(scaler, torch.from_numpy(context))
    moments = module(torch.from_numpy(context)).T
    labels = inputs.reader(LABELS).raw(Selection(data, rows, rows[::2], 0.0))
    parts = {
        "audio": zip(audio, data.X.T, strict=True),
        "unskewed": zip(audio, unskewed.T, strict=True),
        "context": zip(features.columns([CONTEXT]), context.T, strict=True),
        "catalogue": zip(features.columns([CONTEXT]), data.block(CONTEXT).T, strict=True),
        "flags": zip(features.columns([FLAGS]), data.block(FLAGS).T, strict=True),
        "labels": zip(features.columns([LABELS]), labels.T, strict=True),
        "mean": zip(module.features, moments[: len(module.features)], strict=True),
        "spread": zip(module.features, moments[len(module.features) : -2], strict=True),
        "usual": zip(module.features, module.usual, strict=True),
    }
    values = {f"{part} {name}": np.asarray(value) for part, named in parts.items() for name, value in named}
    values |= {"artist": moments[-2:].numpy(), "twins": data.twins, "duration": np.array(duration_median(data.X))}
    return values


def test_a_reordered_contract_changes_no_value(data: Dataset, edit_features: EditFeatures) -> None:
    order, before = features.columns(), values_by_name(data)
    edit_features(shuffle_columns)
    assert features.columns() != order
    assert [features.columns()[i] for i in (0, -1)] == ["tempo", "duration_ms"]
    after = values_by_name(rebuilt(data))
    assert after.keys() == before.keys()
    for name, value in before.items():
        if name == "twins":  # numbers of sets, which depend on the order of the bytes
            assert (
                len(np.unique(value)) == len(np.unique(after[name])) == len(np.unique([value, after[name]], axis=1).T)
            )
        else:
            assert np.array_equal(after[name], value, equal_nan=True), name


def test_a_bundle_of_a_reordered_contract_answers_as_it_was_trained(
    data: Dataset, edit_features: EditFeatures, tmp_path: Path
) -> None:
    """Every block is built by the scoring path and by the training path, and both give the same answers."""
    edit_features(shuffle_columns)
    data = rebuilt(data)
    fitted = fit_briefly(RECIPES["known-artist"], data, epochs=3)
    saved = write_bundle(tmp_path / "bundle", fitted, data)
    tracks = data.tracks.with_columns(pl.col("duration_ms").fill_null(fitted.duration_ms))
    scored = features.matrix(features.build(tracks, saved.manifest.inputs, export.artists(data)))
    rows = np.arange(len(data))
    trained = torch.from_numpy(matrix(fitted.recipe, data, rows, rows, fitted.duration_ms))
    with torch.no_grad():
        assert np.abs(Scorer(saved).probabilities(scored) - fitted.model(trained).numpy()).max() < 1e-5


def add_table(tables: list[dict[str, Any]]) -> None:
    column = {"logicalType": "number", "physicalType": "FLOAT", "description": "A number.", "required": True}
    tables.append(
        {
            "name": "title_shape", "physicalType": "matrix", "description": "The shape of the title.",
            "properties": [{"name": "title_vowels", **column}, {"name": "title_length", **column}],
        }
    )  # fmt: skip


def title_shape(tracks: pl.DataFrame, _: pl.DataFrame | None) -> pl.DataFrame:
    title = pl.col("track_name").fill_null("")
    return tracks.select(title_length=title.str.len_chars(), title_vowels=title.str.count_matches("[aeiou]"))


def test_a_new_block_trains_and_scores(
    data: Dataset, edit_features: EditFeatures, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A table in the contract and a ``Block`` are all that a block needs; it is standardised."""
    edit_features(add_table)
    monkeypatch.setitem(features.BLOCKS, "title_shape", Block("title_shape", "the shape of the title", title_shape))
    fitted = fit_briefly(Recipe("titled", "audio and title", inputs=(AUDIO, "title_shape"), hidden=(8,)), data)
    saved = write_bundle(tmp_path / "bundle", fitted, data)
    assert saved.manifest.input_columns[-2:] == ("title_vowels", "title_length")
    read = bundle.load(str(tmp_path / "bundle"))
    X = features.matrix(features.build(data.tracks.drop_nulls("duration_ms"), read.manifest.inputs))
    probabilities = Scorer(read).probabilities(X)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    X[:, -1] += 100
    assert not np.allclose(probabilities, Scorer(read).probabilities(X))


def test_a_block_may_have_a_reader_of_its_own(
    data: Dataset, edit_features: EditFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hidden(inputs.Reader):
        """Shows zeros in every epoch."""

        def episodes(self, selection: Selection) -> inputs.Draw:
            return lambda _rng, _lost: np.zeros((len(selection.rows), 2), np.float32)

    edit_features(add_table)
    monkeypatch.setitem(features.BLOCKS, "title_shape", Block("title_shape", "the shape of the title", title_shape))
    recipe = Recipe("titled", "audio and title", inputs=(AUDIO, "title_shape"), hidden=(8,))
    plain = fit_briefly(recipe, data)
    monkeypatch.setitem(inputs.READERS, "title_shape", Hidden("title_shape"))
    hidden = fit_briefly(recipe, data)
    assert plain.curves != hidden.curves
