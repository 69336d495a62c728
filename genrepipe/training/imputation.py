"""Missing audio features: the median duration, and a network that predicts the tempo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from genrepipe.model import features
from genrepipe.training.networks import TempoImputer, Unskewed
from genrepipe.training.optimise import Optimiser
from genrepipe.training.recipes import Recipe

if TYPE_CHECKING:
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float32]

_RECIPE = Recipe("tempo-imputer", "the tempo from the 12 other features", max_lr=1e-2, epochs=12)


def duration_median(X: Matrix) -> float:
    """Return the median of the known durations of a matrix of audio features, in milliseconds."""
    return float(np.nanmedian(X[:, features.position("duration_ms")]))


def with_durations(X: Matrix, median: float) -> Matrix:
    """Return a copy of a matrix of audio features with unknown durations replaced by a median, in milliseconds."""
    X = X.copy()
    duration = features.position("duration_ms")
    X[np.isnan(X[:, duration]), duration] = median
    return X


def fit_tempo_imputer(X: Matrix, seed: int) -> TempoImputer:
    """Train the tempo imputer on the rows with a known tempo, of shape (rows, 13); durations must be filled.

    Adam on the mean squared error with a one-cycle learning rate, mini-batches of 512, 12 epochs.
    """
    torch.manual_seed(seed)
    imputer = TempoImputer()
    tempo_position = features.position("tempo")
    rows = torch.from_numpy(X[~np.isnan(X[:, tempo_position])])
    others, tempo = imputer.others(Unskewed()(rows)), rows[:, tempo_position]
    imputer.scaler.fit(others)
    imputer.center, imputer.spread = tempo.mean().reshape(1), tempo.std().reshape(1)
    inputs, target = imputer.scaler(others).detach(), ((tempo - imputer.center) / imputer.spread)[:, None]
    Optimiser(imputer.net, nn.MSELoss(), _RECIPE, seed).run(lambda _: inputs, target)
    return imputer.eval()
