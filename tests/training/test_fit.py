"""Fitting: the sizes of the networks, and early stopping."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from genrepipe.model import bundle
from genrepipe.model.features import VECTORS
from genrepipe.training.fit import fit
from genrepipe.training.recipes import RECIPES
from tests.training.conftest import fit_briefly

if TYPE_CHECKING:
    from genrepipe.training.dataset import Dataset


@pytest.mark.parametrize(
    "name", [name for name, recipe in RECIPES.items() if recipe.kind == "network" and VECTORS not in recipe.inputs]
)
def test_a_network_has_the_parameters_of_its_shipped_bundle(data: Dataset, name: str) -> None:
    fitted = fit_briefly(RECIPES[name], data, epochs=2)
    assert fitted.model.trainable == bundle.load(name).manifest.parameters
    assert sum(p.numel() for p in fitted.model.blocks["audio_features"].imputer.net.parameters()) == 4237
    assert len(fitted.curves) == 2


def test_an_overfitting_network_stops_and_keeps_its_best_epoch(data: Dataset) -> None:
    greedy = replace(
        RECIPES["artist-context"], hidden=(256,), dropout=0.0, flag_dropout=0.0, schedule="constant", max_lr=2e-2, epochs=40,
        weight_decay=0.0,
    )  # fmt: skip
    fitted = fit(greedy, data, np.arange(len(data)), 0)
    losses = [validation for _, _, validation in fitted.curves]
    assert len(losses) < 40
    assert fitted.epochs == int(np.argmin(losses)) + 1
    assert len(losses) == fitted.epochs + greedy.patience


def test_a_network_retrained_on_all_rows_reads_blocks_that_are_drawn_anew(data: Dataset) -> None:
    recipe = replace(RECIPES["known-artist"], retrain_on_all=True)
    fitted = fit_briefly(recipe, data, epochs=2)
    assert fitted.epochs == len(fitted.curves) == 2
