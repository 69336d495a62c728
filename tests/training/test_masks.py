"""What is hidden: in training at random, in measuring one feature or a number of them, and what the artist then lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrepipe.core.errors import SourceShapeError
from genrepipe.model import features
from genrepipe.model.features import CONTEXT
from genrepipe.model.scorer import Scorer
from genrepipe.training import dataset, episodes, masks
from genrepipe.training.fit import matrix
from genrepipe.training.recipes import RECIPES
from tests.support import write_csv
from tests.training.conftest import fit_briefly, write_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.training.dataset import Dataset
    from genrepipe.training.fit import Fitted

COLUMNS = features.columns()


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> Fitted:
    return fit_briefly(RECIPES["artist-context"], data)


@pytest.fixture(scope="module")
def scorer(data: Dataset, fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer(write_bundle(tmp_path_factory.mktemp("bundle") / "b", fitted, data))


def raw(data: Dataset, fitted: Fitted, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> np.ndarray:
    return matrix(fitted.recipe, data, rows, rows, fitted.duration_ms)


def test_an_epoch_hides_what_the_recipe_says_alike_for_a_seed() -> None:
    artist = np.array([0, 0, 1, -1] * 2000)
    recipe = replace(RECIPES["artist-context"], masked_rows=0.4, masked_artists=0.0)
    first, second = (masks.of_epoch(recipe, artist, np.random.default_rng(3)) for _ in range(2))
    assert (first == second).all()
    assert first.mean() == pytest.approx(0.4 * masks.HIGHEST_RATE / 2, abs=0.01)
    assert not masks.of_epoch(replace(recipe, masked_rows=0.0), artist, np.random.default_rng(3)).any()


def test_all_tracks_of_an_artist_lack_the_same() -> None:
    artist = np.array([0, 1, 1, 2, -1] * 20)
    recipe = replace(RECIPES["artist-context"], masked_rows=0.0, masked_artists=1.0)
    lost = masks.of_epoch(recipe, artist, np.random.default_rng(0))
    for code in range(3):
        assert len(np.unique(lost[artist == code], axis=0)) == 1
    assert lost.any()
    assert not lost[artist < 0].any()


def test_each_measurement_hides_what_its_name_says(data: Dataset) -> None:
    scenarios = masks.scenarios(data)
    assert list(scenarios) == [*COLUMNS, "1 random", "3 random", "6 random"]
    assert {name: set(hidden.sum(1)) for name, hidden in scenarios.items()} == {
        **{name: {1} for name in COLUMNS}, "1 random": {1}, "3 random": {3}, "6 random": {6},
    }  # fmt: skip
    assert all(scenarios[name][:, COLUMNS.index(name)].all() for name in COLUMNS)


def test_tracks_without_features_are_as_scoring_reads_them(tmp_path: Path, sample: Path) -> None:
    """What training measures is what the SQL makes of a source that lacks the same cells."""
    whole = dataset.read((str(sample),))
    hidden = np.random.default_rng(1).random(whole.X.shape) < 0.2
    hidden[hidden.sum(1) + (~whole.known).sum(1) > 6] = False
    less = whole.without(hidden)
    rows = pl.read_csv(sample, infer_schema_length=0).fill_null("").filter(pl.col("instance_id") != "")
    position = {name: i for i, name in enumerate(whole.track_id)}
    kept = [row for row in rows.to_dicts() if row["instance_id"].removesuffix(".0") in position]
    for row in kept:
        lacks = hidden[position[row["instance_id"].removesuffix(".0")]]
        row.update({name: "" for name, lost in zip(COLUMNS, lacks, strict=True) if lost})
    read = dataset.read((str(write_csv(tmp_path / "t.csv", kept)),))
    assert (read.track_id == less.track_id).all()
    assert (read.known == less.known).all()
    assert np.allclose(read.X, less.X, equal_nan=True, rtol=1e-6)
    assert np.allclose(read.block(CONTEXT), less.block(CONTEXT), rtol=1e-5, atol=1e-4)


def test_a_masked_track_is_unknown_in_its_artists_context(data: Dataset) -> None:
    tracks = episodes.Discographies(data, np.arange(len(data)))
    parts, lost = episodes.cut(tracks.artist, 5, np.random.default_rng(1)), np.zeros(data.X.shape, np.bool_)
    lost[:, COLUMNS.index("energy")] = True
    context = dict(zip(features.columns([CONTEXT]), tracks.context(parts, lost).T, strict=True))
    before = dict(zip(features.columns([CONTEXT]), tracks.context(parts).T, strict=True))
    assert not any(context[f"energy_{moment}"].any() for moment in ("count", "mean", "variance"))
    others = [name for name in context if not name.startswith("energy_")]
    assert all(np.array_equal(context[name], before[name]) for name in others)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2999), st.sets(st.sampled_from(COLUMNS), max_size=13)), min_size=1, max_size=40
    )
)
def test_any_missing_features_give_a_distribution_the_same_in_both_engines(
    data: Dataset, fitted: Fitted, scorer: Scorer, rows: list[tuple[int, set[str]]]
) -> None:
    """And a row that lacks nothing has the answer that it has among rows that lack nothing."""
    X = raw(data, fitted, np.array([row % len(data) for row, _ in rows]))
    whole = scorer.probabilities(X)
    for number, (_, missing) in enumerate(rows):
        X[number, [COLUMNS.index(name) for name in missing]] = np.nan
    answers = scorer.probabilities(X)
    assert np.isfinite(answers).all()
    assert np.allclose(answers.sum(1), 1, atol=1e-5)
    complete = np.array([not missing for _, missing in rows])
    assert np.array_equal(answers[complete], whole[complete])
    model = fitted.model
    assert isinstance(model, torch.nn.Module)
    with torch.no_grad():
        # a copy in float64 is what the golden rows hold; float32 is enough here
        assert np.abs(model(torch.from_numpy(X)).numpy() - answers).max() < 1e-5


def test_a_column_of_which_nothing_is_known_is_not_trained_on(tmp_path: Path, small: Path) -> None:
    rows = pl.read_csv(small, infer_schema_length=0).fill_null("").to_dicts()
    path = write_csv(tmp_path / "t.csv", [{**row, "valence": ""} for row in rows])
    with pytest.raises(SourceShapeError, match="fewer than 100 labelled tracks have valence"):
        dataset.read((str(path),))
