"""The study's benchmark: gradient-boosted trees on linear discriminants, by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from genrepipe.training import calibrate
from genrepipe.training.networks import Discriminants

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.training.networks import Audio
    from genrepipe.training.recipes import Recipe

    Matrix = npt.NDArray[np.float32]

ROUNDS = 100


class Precise(nn.Module):
    """Compute a module in float64 and return float32.

    Trees split at exact numbers: a discriminant that two libraries round differently falls into another leaf.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.double().eval()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the output of the module, as float32."""
        return cast("torch.Tensor", self.inner(rows.double()).float())


@dataclass
class TreeModel:
    """The audio block, discriminants, trees and a temperature."""

    front: nn.Module
    trees: HistGradientBoostingClassifier
    temperature: float = 1.0

    @property
    def trainable(self) -> int:
        """Number of leaves of all trees."""
        return sum(int(tree.get_n_leaf_nodes()) for stage in self.trees._predictors for tree in stage)

    def log_probabilities(self, rows: torch.Tensor) -> npt.NDArray[np.float64]:
        """Return log-probabilities before the temperature, float64 of shape (rows, classes)."""
        with torch.no_grad():
            discriminants = self.front(rows).numpy()
        logarithms: npt.NDArray[np.float64] = np.log(np.maximum(self.trees.predict_proba(discriminants), 1e-12))
        return logarithms

    def probabilities(self, rows: torch.Tensor) -> npt.NDArray[np.float64]:
        """Return probabilities, float64 of shape (rows, classes)."""
        return calibrate.tempered(self.log_probabilities(rows), self.temperature)


def fit(recipe: Recipe, audio: Audio, X: Matrix, y: npt.NDArray[np.int64], seed: int) -> TreeModel:
    """Fit discriminants, and 100 rounds of trees of depth 3 at learning rate 0.1, on audio features (rows, 13).

    These are the defaults of scikit-learn's GradientBoostingClassifier; the histogram variant is about fifty times
    faster.
    """
    discriminants = Discriminants(audio.width, recipe.dimensions or 3)
    with torch.no_grad():
        scaled = audio(torch.from_numpy(X))
        discriminants.fit(scaled, y)
        front = Precise(nn.Sequential(audio, discriminants))
        projected = front(torch.from_numpy(X)).numpy()
    classifier = HistGradientBoostingClassifier(
        max_iter=ROUNDS, learning_rate=0.1, max_depth=3, early_stopping=False, random_state=seed
    )
    return TreeModel(front, classifier.fit(projected, y))
