"""Measure a recipe on both splits, refitting everything on each fold's train rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from genrepipe.training import metrics, splits
from genrepipe.training.dataset import TEMPO
from genrepipe.training.fit import duration_median, fit, fit_imputer, predict, with_durations
from genrepipe.training.networks import Unskewed

if TYPE_CHECKING:
    from genrepipe.console import Reporter
    from genrepipe.training.dataset import Dataset
    from genrepipe.training.fit import Fitted, Recipe
    from genrepipe.training.splits import Indices

SPLITS = {"artist_disjoint": splits.artist_disjoint, "random": splits.random}


def cross_validate(recipe: Recipe, data: Dataset, seed: int, say: Reporter) -> dict[str, dict[str, dict[str, float]]]:
    """Return mean and sd over 5 folds of every measure, for the artist-disjoint and the random split."""
    result = {}
    for name, split in SPLITS.items():
        folds = []
        for number, (train, test) in enumerate(split(data, seed), 1):
            fitted = fit_fold(recipe, data, train, seed)
            folds.append(metrics.measure(data.y[test], predict(fitted, data.X[test])))
            say.progress(f"{recipe.name}: {name}", number, splits.FOLDS, accuracy=folds[-1]["accuracy"])
        result[name] = metrics.summarise(folds)
    return result


def fit_fold(recipe: Recipe, data: Dataset, train: Indices, seed: int) -> Fitted:
    """Fit everything on the train rows of one fold."""
    return fit(recipe, data.X[train], data.y[train], len(data.labels), seed)


def measure_imputers(data: Dataset, seed: int, say: Reporter) -> dict[str, Any]:
    """Return MAE and R² of the tempo imputer, linear regression and the median, over artist-disjoint folds."""
    found: dict[str, list[dict[str, float]]] = {"network": [], "linear": [], "median": []}
    for number, (train, test) in enumerate(splits.artist_disjoint(data, seed), 1):
        median = duration_median(data.X[train])
        fit_rows, held_out = (with_durations(data.X[rows], median) for rows in (train, test))
        fit_rows, held_out = (rows[~np.isnan(rows[:, TEMPO])] for rows in (fit_rows, held_out))
        known, truth = fit_rows[:, TEMPO], held_out[:, TEMPO]
        linear = LinearRegression().fit(np.delete(fit_rows, TEMPO, axis=1), known)
        predicted = {
            "network": _impute(fit_imputer(fit_rows, seed), held_out),
            "linear": linear.predict(np.delete(held_out, TEMPO, axis=1)),
            "median": np.full(len(truth), np.median(known)),
        }
        for name, tempos in predicted.items():
            found[name].append(metrics.measure_tempo(truth, tempos))
        say.progress("tempo imputers", number, splits.FOLDS)
    return {name: metrics.summarise(folds) for name, folds in found.items()}


def _impute(imputer: torch.nn.Module, rows: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    with torch.no_grad():
        return imputer(Unskewed()(torch.from_numpy(rows))).numpy()
