"""Every gate of the audit passes where nothing leaks, and fails on a leak that is planted for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from genrepipe.model import bundle, features
from genrepipe.training import episodes, leakage, splits
from genrepipe.training.recipes import RECIPES

if TYPE_CHECKING:
    from genrepipe.training.dataset import Dataset


def test_artists_on_both_sides_are_caught(data: Dataset) -> None:
    honest = leakage.artists_on_both_sides(data, splits.artist_disjoint(data, 0))
    planted = leakage.artists_on_both_sides(data, splits.random(data, 0))
    assert (honest.passed, honest.value) == (True, 0)
    assert not planted.passed
    assert planted.value > 100


def test_twins_on_both_sides_are_caught(data: Dataset) -> None:
    assert leakage.twins_on_both_sides(data, splits.random_twins_apart(data, 0)).passed
    planted = leakage.twins_on_both_sides(data, splits.random(data, 0))
    assert not planted.passed
    assert planted.value > 10


@pytest.mark.parametrize("name", ["lda-3d", "all-features-plus", "gradient-boosting", "artist-context", "known-artist"])
def test_fits_that_see_test_rows_are_caught(data: Dataset, name: str) -> None:
    """Scalers, discriminants, imputers, usual variances and priors: each shows when it is fitted with test rows."""
    recipe = RECIPES[name]
    assert leakage.fitted_on_test_rows(recipe, data, 0).value == 0
    planted = leakage.fitted_on_test_rows(
        recipe, data, 0, fit_rows=lambda train, test: np.sort(np.concatenate([train, test[:5]]))
    )
    assert not planted.passed


def test_an_input_that_knows_the_label_is_caught(data: Dataset) -> None:
    recipe = replace(RECIPES["all-features"], epochs=10)
    # 600 test rows are few for a tolerance of 0.02, so the mean over several shuffles is compared.
    values = [float(leakage.shuffled_labels(recipe, data, seed).explanation.split()[1]) for seed in range(4)]
    assert np.mean(values) == pytest.approx(0.5, abs=leakage.CHANCE)
    shuffled = np.random.default_rng(0).permutation(data.y)  # the labels that the gate draws
    planted = replace(data, X=data.X.copy())
    planted.X[:, features.position("popularity")] = shuffled * 10
    caught = leakage.shuffled_labels(recipe, planted, 0)
    assert not caught.passed
    assert caught.value > 0.1


def test_labels_that_hold_the_tracks_own_are_caught(data: Dataset) -> None:
    recipe = RECIPES["known-artist"]
    assert leakage.own_label(recipe, data).passed

    def with_own(artist: np.ndarray, y: np.ndarray, shown: np.ndarray, classes: int) -> np.ndarray:  # type: ignore[type-arg]
        counts = episodes.label_counts(artist, y, shown, classes)
        counts[np.arange(len(y)), y] += 1
        return counts

    assert not leakage.own_label(recipe, data, with_own).passed


@pytest.mark.parametrize("planted", ["file_row", "label", "obtained_date"])
def test_an_input_in_disguise_is_caught(data: Dataset, planted: str) -> None:
    recipe = RECIPES["artist-context"]
    assert leakage.disguised(recipe, data).passed
    values = {
        "file_row": data.tracks["file_row"].to_numpy(),
        "label": data.y,
        "obtained_date": leakage.date_codes(data),
    }
    leak = replace(data, X=data.X.copy())
    leak.X[:, features.position("energy")] = 3.0 * values[planted] + 7
    caught = leakage.disguised(recipe, leak)
    assert not caught.passed
    assert caught.value > 0.99


@pytest.mark.parametrize("name", ["all-features", "artist-context", "known-artist", "words"])
def test_shipped_bundles_carry_a_passed_audit(name: str) -> None:
    shipped = bundle.load(name)
    assert len(shipped.manifest.audit) == 8
    assert all(gate["passed"] for gate in shipped.manifest.audit)
    card = (shipped.folder / bundle.CARD).read_text(encoding="utf-8")
    for gate in shipped.manifest.audit:
        assert f"| {gate['gate']} | passed |" in card
