"""Fitting: the tempo imputer, the scaler and the network, on train rows and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from genrepipe.training.dataset import DURATION, TEMPO
from genrepipe.training.networks import FEATURES, Bottleneck, Discriminants, GenreModel, TempoImputer, Unskewed, layers

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Matrix = npt.NDArray[np.float32]
    Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Recipe:
    """How one bundle's network is trained.

    Adam with mini-batches; ``peak`` is the highest learning rate of the one-cycle schedule (Smith and Topin 2018).
    The study trained full-batch; with one-cycle peaks of 0.1 and 0.05 and 150 epochs that ended lower on both splits.
    ``dimensions`` and ``encoder`` put a projection before the network: linear discriminants, or a learned bottleneck
    with hidden layers of the encoder's sizes.
    """

    name: str
    summary: str
    unskew: bool
    hidden: tuple[int, ...]
    peak: float
    epochs: int
    batch_size: int
    dimensions: int = FEATURES
    encoder: tuple[int, ...] | None = None
    weight_decay: float = 0.0

    def projection(self) -> nn.Module:
        """Return what stands between scaler and network, not yet fitted."""
        if self.dimensions == FEATURES:
            return nn.Identity()
        return Discriminants(self.dimensions) if self.encoder is None else Bottleneck(self.encoder, self.dimensions)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "all-features", "13 audio features, 20 and 15 hidden units, as in the study",
            unskew=False, hidden=(20, 15), peak=2e-2, epochs=30, batch_size=512,
        ),
        Recipe(
            "all-features-plus", "the same 755 parameters on unskewed features",
            unskew=True, hidden=(20, 15), peak=2e-2, epochs=40, batch_size=512,
        ),
        Recipe(
            "lda-3d", "3 linear discriminants of the 13 audio features, 15 hidden units, as in the study",
            unskew=False, hidden=(15,), peak=2e-2, epochs=20, batch_size=512, dimensions=3,
        ),
        Recipe(
            "lda-2d", "2 linear discriminants of the 13 audio features, 15 hidden units, as in the study",
            unskew=False, hidden=(15,), peak=2e-2, epochs=20, batch_size=512, dimensions=2,
        ),
        Recipe(
            "learned-3d", "a learned bottleneck of 3 in place of the linear discriminants",
            unskew=True, hidden=(15,), peak=1e-2, epochs=30, batch_size=1024, dimensions=3, encoder=(64, 32), weight_decay=1e-3,
        ),
        Recipe(
            "learned-2d", "a learned bottleneck of 2 in place of the linear discriminants",
            unskew=True, hidden=(15,), peak=1e-2, epochs=30, batch_size=1024, dimensions=2, encoder=(64, 32), weight_decay=1e-3,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """A trained model, and the median that stands in for durations that nobody knows."""

    model: GenreModel
    duration_ms: float


def duration_median(X: Matrix) -> float:
    """Return the median of the known durations of a feature matrix, in milliseconds."""
    return float(np.nanmedian(X[:, DURATION]))


def with_durations(X: Matrix, median: float) -> Matrix:
    """Return the matrix with unknown durations filled."""
    X = X.copy()
    X[np.isnan(X[:, DURATION]), DURATION] = median
    return X


def fit_imputer(X: Matrix, seed: int) -> TempoImputer:
    """Train the tempo imputer on the rows whose tempo is known; durations must be filled.

    Adam on the mean squared error with a one-cycle rate, mini-batches of 512, 12 epochs.
    """
    torch.manual_seed(seed)
    imputer = TempoImputer()
    rows = torch.from_numpy(X[~np.isnan(X[:, TEMPO])])
    others, tempo = imputer.others(Unskewed()(rows)), rows[:, TEMPO]
    imputer.scaler.fit(others)
    imputer.center, imputer.spread = tempo.mean().reshape(1), tempo.std().reshape(1)
    inputs, target = imputer.scaler(others), ((tempo - imputer.center) / imputer.spread)[:, None]
    _descend(imputer.net, inputs, target, nn.MSELoss(), peak=1e-2, epochs=12, batch_size=512, seed=seed)
    return imputer.eval()


def fit(
    recipe: Recipe,
    X: Matrix,
    y: npt.NDArray[np.int64],
    classes: int,
    seed: int,
    progress: Progress | None = None,
) -> Fitted:
    """Train imputer, scaler and network on train rows.

    Parameters
    ----------
    X, y
        float32 features of shape (tracks, 13), NaN where unknown, and int64 labels of shape (tracks,).
    progress
        Called after every epoch with its number from 1 and its mean train loss.
    """
    median = duration_median(X)
    filled = with_durations(X, median)
    imputer = fit_imputer(filled, seed)
    torch.manual_seed(seed)
    model = GenreModel(
        imputer, recipe.unskew, recipe.projection(), layers((recipe.dimensions, *recipe.hidden, classes))
    )
    with torch.no_grad():
        inputs = model.inputs(torch.from_numpy(filled))
        model.scaler.fit(inputs)
        scaled = model.scaler(inputs)
        if isinstance(model.projection, Discriminants):
            model.projection.fit(scaled, y)
    _descend(
        nn.Sequential(model.projection, model.net), scaled, torch.from_numpy(y), nn.CrossEntropyLoss(), peak=recipe.peak,
        epochs=recipe.epochs, batch_size=recipe.batch_size, weight_decay=recipe.weight_decay, seed=seed, progress=progress,
    )  # fmt: skip
    return Fitted(model.eval(), median)


def predict(fitted: Fitted, X: Matrix) -> npt.NDArray[np.float32]:
    """Return probabilities, float32 of shape (tracks, classes)."""
    with torch.no_grad():
        probabilities: torch.Tensor = fitted.model(torch.from_numpy(with_durations(X, fitted.duration_ms)))
    return probabilities.numpy()


def _descend(
    net: nn.Module,
    inputs: torch.Tensor,
    target: torch.Tensor,
    loss: nn.Module,
    *,
    peak: float,
    epochs: int,
    batch_size: int,
    seed: int,
    weight_decay: float = 0.0,
    progress: Progress | None = None,
) -> None:
    """Minimise a loss with AdamW (Adam where nothing decays) and a one-cycle learning rate."""
    inputs = inputs.detach()
    steps = -(-len(inputs) // batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=peak, weight_decay=weight_decay)
    schedule: Any = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=steps * epochs)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(inputs), generator=generator)
        total = 0.0
        for rows in torch.split(order, batch_size):
            optimizer.zero_grad()
            value = loss(net(inputs[rows]), target[rows])
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.item()
        if progress:
            progress(epoch, total / steps)
