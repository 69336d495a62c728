"""The study's benchmark: gradient-boosted trees on linear discriminants (scikit-learn), and their way to ONNX."""

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
    """A module that computes in float64 and answers in float32.

    Trees cut at exact numbers: a discriminant that two libraries round differently lands in another leaf.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.double().eval()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what the module answers, float32."""
        return cast("torch.Tensor", self.inner(rows.double()).float())


@dataclass
class TreeModel:
    """Audio block and discriminants, then trees, then a temperature."""

    front: nn.Module
    trees: HistGradientBoostingClassifier
    temperature: float = 1.0

    @property
    def trainable(self) -> int:
        """Number of leaves, which is what trees learn."""
        return sum(int(tree.get_n_leaf_nodes()) for stage in self.trees._predictors for tree in stage)

    def log_probabilities(self, rows: torch.Tensor) -> npt.NDArray[np.float64]:
        """Return log-probabilities before the temperature, float64 of shape (rows, classes)."""
        with torch.no_grad():
            seen = self.front(rows).numpy()
        found: npt.NDArray[np.float64] = np.log(np.maximum(self.trees.predict_proba(seen), 1e-12))
        return found

    def probabilities(self, rows: torch.Tensor) -> npt.NDArray[np.float64]:
        """Return probabilities, float64 of shape (rows, classes)."""
        return calibrate.tempered(self.log_probabilities(rows), self.temperature)


def fit(recipe: Recipe, audio: Audio, X: Matrix, y: npt.NDArray[np.int64], seed: int) -> TreeModel:
    """Fit discriminants and 100 rounds of trees of depth 3, learning rate 0.1, on rows of shape (rows, 13).

    Those are the defaults of scikit-learn's GradientBoostingClassifier; the histogram variant is some fifty times faster.
    """
    discriminants = Discriminants(recipe.dimensions or 3)
    with torch.no_grad():
        scaled = audio(torch.from_numpy(X))
        discriminants.fit(scaled, y)
        front = Precise(nn.Sequential(audio, discriminants))
        seen = front(torch.from_numpy(X)).numpy()
    found = HistGradientBoostingClassifier(
        max_iter=ROUNDS, learning_rate=0.1, max_depth=3, early_stopping=False, random_state=seed
    )
    return TreeModel(front, found.fit(seen, y))
