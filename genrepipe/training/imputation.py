"""Missing audio features: the median duration, and a network that predicts every feature from the others."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from genrepipe.model import features
from genrepipe.training import masks
from genrepipe.training.networks import Imputer
from genrepipe.training.optimise import Optimiser
from genrepipe.training.recipes import Recipe

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.training.networks import Audio

    Matrix = npt.NDArray[np.float32]

_RECIPE = Recipe("imputer", "missing audio features from the known ones", max_lr=1.5e-2, epochs=40)
_SHARE = 0.5  # of the rows that lose random values in an epoch
_TEMPO_SHARE = 0.7  # of the rows that lose the tempo, which sources lack most often and which is the hardest to predict


def duration_median(X: Matrix) -> float:
    """Return the median of the known durations of a matrix of audio features, in milliseconds."""
    return float(np.nanmedian(X[:, features.position("duration_ms")]))


def with_durations(X: Matrix, median: float) -> Matrix:
    """Return a copy of a matrix of audio features with unknown durations replaced by a median, in milliseconds."""
    X = X.copy()
    duration = features.position("duration_ms")
    X[np.isnan(X[:, duration]), duration] = median
    return X


def fit_imputer(audio: Audio, X: Matrix, seed: int) -> None:
    """Train the imputer of an audio module on known values of rows of shape (rows, 13); its scalers must be fitted.

    In every epoch each row loses values at random, and the loss is the mean squared error of those alone. Adam with a
    one-cycle learning rate, mini-batches of 512. The answer for the same rows is remembered, since most recipes are
    fitted on the same folds.
    """
    key = (hashlib.sha256(X.tobytes()).digest(), audio.unskew, seed)
    if key not in _trained:
        _trained[key] = copy.deepcopy(_train_imputer(audio, X, seed))
    audio.imputer.load_state_dict(_trained[key])


_trained: dict[tuple[bytes, bool, int], dict[str, torch.Tensor]] = {}


def _train_imputer(audio: Audio, X: Matrix, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    audio.imputer = Imputer(X.shape[1])  # whose first weights are those of the seed
    rows, rng = torch.from_numpy(X), np.random.default_rng(seed)
    unknown = torch.isnan(rows)
    with torch.no_grad():
        target, read = audio.standardised(rows)

    def epoch(_: int) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = masks.lost(len(X), _SHARE, rng)
        hidden[:, features.position("tempo")] |= rng.random(len(X)) < _TEMPO_SHARE
        lost = torch.from_numpy(hidden) & ~unknown
        missing = lost | unknown
        inputs = torch.cat([torch.where(missing, 0.0, read), missing.float()], 1)
        return inputs, torch.where(lost, target, float("nan"))

    Optimiser(audio.imputer.net, _KnownSquares(), _RECIPE, seed).run(epoch, len(X))
    return audio.imputer.state_dict()


class _KnownSquares(nn.Module):
    """Mean squared error over the targets that are not NaN."""

    def forward(self, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean, a scalar."""
        return (predicted - target)[~torch.isnan(target)].square().mean()
