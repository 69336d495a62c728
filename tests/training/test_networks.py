"""The modules of a network compute what their sources say, on train rows, whatever the order of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from genrepipe.model import features
from genrepipe.training import masks, networks, splits
from genrepipe.training.imputation import fit_imputer, with_durations
from genrepipe.training.recipes import RECIPES
from tests.training.conftest import fit_briefly

if TYPE_CHECKING:
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.networks import GenreModel


def fitted_model(data: Dataset, recipe: str) -> tuple[GenreModel, torch.Tensor]:
    """Return a model of a recipe, and the audio features of all rows with their durations filled."""
    fitted = fit_briefly(RECIPES[recipe], data)
    assert isinstance(fitted.model, networks.GenreModel)
    return fitted.model, torch.from_numpy(with_durations(data.X, fitted.duration_ms))


def train_rows(data: Dataset) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return splits.validation(data, np.arange(len(data)), 0)[0]


def test_the_scaler_standardises_the_train_rows(data: Dataset) -> None:
    model, rows = fitted_model(data, "all-features")
    scaled = model.blocks["audio_features"](rows).detach()[train_rows(data)]
    known = ~torch.isnan(rows[train_rows(data)])
    for column, kept in zip(scaled.T, known.T, strict=True):
        assert column[kept].mean() == pytest.approx(0, abs=1e-3)
        assert column[kept].std(correction=0) == pytest.approx(1, abs=1e-3)


def test_the_discriminants_are_those_of_scikit_learn(data: Dataset) -> None:
    model, rows = fitted_model(data, "lda-3d")
    train, scaled = train_rows(data), model.inputs(rows).detach()
    analysis = LinearDiscriminantAnalysis(n_components=3).fit(scaled[train].numpy(), data.y[train])
    expected = analysis.transform(scaled.numpy())
    assert np.abs(model.projection(scaled).numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("recipe", ["all-features", "artist-context"])
def test_known_features_pass_and_missing_ones_are_imputed_and_flagged(data: Dataset, recipe: str) -> None:
    model = fit_briefly(RECIPES[recipe], data).model
    assert isinstance(model, networks.GenreModel)
    rows, audio = torch.from_numpy(with_durations(data.X, 2e5)), model.blocks["audio_features"]
    lost = torch.from_numpy(masks.lost(len(rows), 1.0, np.random.default_rng(0)))
    missing = lost | torch.isnan(rows)
    with torch.no_grad():
        whole, part = audio(rows), audio(torch.where(lost, float("nan"), rows))
    assert torch.equal(part[:, :13][~missing], whole[:, :13][~missing])
    assert torch.isfinite(part).all()
    assert part[:, :13].abs().max() < 20
    assert (part[:, :13] != whole[:, :13])[lost].float().mean() > 0.99
    if recipe == "artist-context":
        assert torch.equal(part[:, 13:].bool(), missing)


def test_the_imputer_is_better_than_the_mean(data: Dataset) -> None:
    rows = with_durations(data.X, 2e5)
    train, test = next(splits.artist_disjoint(data, 0))
    audio = networks.Audio(unskew=True)
    audio.fit(torch.from_numpy(rows[train]))
    fit_imputer(audio, rows[train], 0)
    with torch.no_grad():
        known = audio(torch.from_numpy(rows[test]))
        for name in ("acousticness", "energy", "loudness", "danceability", "valence"):
            hidden, at = rows[test].copy(), features.position(name)
            hidden[:, at] = np.nan
            error = (audio(torch.from_numpy(hidden)) - known)[:, at].square().mean()
            assert error < 0.9 * known[:, at].square().mean(), name


@pytest.mark.parametrize("positions", [[0], [4], [3, 4], [1, 3], [2, 4], [0, 1, 2, 3, 4], [4, 2, 0], [0, 1, 3]])
def test_select_returns_the_columns_in_their_order(positions: list[int]) -> None:
    rows = torch.arange(10.0).reshape(2, 5)
    assert torch.equal(networks.select(rows, positions), rows[:, positions])
