"""The modules of a network compute what their sources say, on train rows, whatever the order of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from genrepipe.model import features
from genrepipe.training import networks, splits
from genrepipe.training.imputation import with_durations
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
    assert torch.allclose(scaled.mean(0), torch.zeros(13), atol=1e-3)
    assert torch.allclose(scaled.std(0, correction=0), torch.ones(13), atol=1e-3)


def test_the_discriminants_are_those_of_scikit_learn(data: Dataset) -> None:
    model, rows = fitted_model(data, "lda-3d")
    train, scaled = train_rows(data), model.inputs(rows).detach()
    analysis = LinearDiscriminantAnalysis(n_components=3).fit(scaled[train].numpy(), data.y[train])
    expected = analysis.transform(scaled.numpy())
    assert np.abs(model.projection(scaled).numpy() - expected).max() < 1e-4


def test_known_tempos_pass_and_missing_ones_are_imputed(data: Dataset) -> None:
    model, rows = fitted_model(data, "all-features")
    audio, tempo = model.blocks["audio_features"], features.position("tempo")
    missing = torch.isnan(rows[:, tempo])
    assert 0 < missing.sum() < len(rows)
    filled = audio.filled(rows)[:, tempo].detach()
    assert torch.equal(filled[~missing], rows[~missing, tempo])
    assert torch.equal(filled[missing], audio.imputer(audio.unskewed(rows))[missing].detach())
    assert ((filled > 30) & (filled < 250)).all()


@pytest.mark.parametrize("positions", [[0], [4], [3, 4], [1, 3], [2, 4], [0, 1, 2, 3, 4], [4, 2, 0], [0, 1, 3]])
def test_select_returns_the_columns_in_their_order(positions: list[int]) -> None:
    rows = torch.arange(10.0).reshape(2, 5)
    assert torch.equal(networks.select(rows, positions), rows[:, positions])
