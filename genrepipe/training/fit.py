"""Fitting: the tempo imputer, scalers, projection and network, on train rows and nothing else."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from genrepipe.features import AUDIO, CONTEXT, FLAGS, LABELS
from genrepipe.training import episodes, splits, trees
from genrepipe.training.dataset import DURATION, TEMPO
from genrepipe.training.networks import (
    ArtistContext,
    Audio,
    Centred,
    Discriminants,
    GenreModel,
    KnownLabels,
    Scaler,
    TempoImputer,
    Unskewed,
)
from genrepipe.training.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset
    from genrepipe.training.splits import Indices

    Matrix = npt.NDArray[np.float32]
    Progress = Callable[[int, float, float], None]


_IMPUTER = Recipe("tempo-imputer", "the tempo from the 12 other features", peak=1e-2, epochs=12)


@dataclass(frozen=True)
class Fitted:
    """A trained model, the median that stands in for durations that nobody knows, and how training went.

    ``curves`` has a row for each epoch: number, train loss, validation loss (nats); ``epochs`` is the one whose
    weights were kept.
    """

    recipe: Recipe
    model: GenreModel | trees.TreeModel
    duration_ms: float
    train: Indices
    curves: list[tuple[int, float, float]] = field(default_factory=list)
    epochs: int = 0


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
    inputs, target = imputer.scaler(others).detach(), ((tempo - imputer.center) / imputer.spread)[:, None]
    _Descent(imputer.net, nn.MSELoss(), _IMPUTER, seed).run(lambda _: inputs, target)
    return imputer.eval()


def fit(recipe: Recipe, data: Dataset, rows: Indices, seed: int, progress: Progress | None = None) -> Fitted:
    """Train everything on some rows of a dataset, a few artists of which are held out to tell when to stop.

    ``progress`` is called after every epoch with its number from 1 and the mean train and validation losses.
    """
    kept, held = splits.validation(data, rows, seed)
    median = duration_median(data.X[kept])
    if recipe.kind == "trees":
        audio = _fit_audio(recipe, with_durations(data.X[rows], median), seed)
        return Fitted(
            recipe, trees.fit(recipe, audio, with_durations(data.X[rows], median), data.y[rows], seed), median, rows
        )

    classes = len(data.labels)
    discographies = episodes.Discographies(data, kept) if CONTEXT in recipe.inputs else None
    fit_on = rows if recipe.by_heart else kept
    raw = {block: _raw(block, data, fit_on, fit_on, median, discographies) for block in recipe.inputs}
    blocks = _fit_blocks(recipe, raw, classes, seed)
    torch.manual_seed(seed)
    widths = {block: int(module.width) for block, module in blocks.items()}
    model = GenreModel(
        blocks, [raw[block].shape[1] for block in recipe.inputs], recipe.projection(), recipe.network(widths, classes)
    )
    with torch.no_grad():
        still = {block: module(torch.from_numpy(raw[block])) for block, module in blocks.items()}
        watched = model.inputs(torch.from_numpy(matrix(recipe, data, held, kept, median)))
    if isinstance(model.projection, Discriminants):
        model.projection.fit(still[AUDIO], data.y[fit_on])
    rng = np.random.default_rng(seed)

    def epoch_inputs(_: int) -> torch.Tensor:
        """Return what the network sees in one epoch: what may be known of an artist is drawn anew."""
        fresh = {}
        if discographies is not None:
            fresh[CONTEXT] = discographies.episode(rng)
        if LABELS in recipe.inputs:
            fresh[LABELS] = episodes.label_episode(data.artist_code[kept], data.y[kept], classes, rng)
        with torch.no_grad():
            drawn = {block: blocks[block](torch.from_numpy(rows)) for block, rows in fresh.items()}
        return torch.cat([drawn.get(block, still[block]) for block in recipe.inputs], 1)

    net = nn.Sequential(model.projection, model.net)
    untrained = copy.deepcopy(net.state_dict())
    truth = torch.from_numpy(data.y)
    descent = _Descent(net, nn.CrossEntropyLoss(), recipe, seed, (watched, truth[held]))
    if not recipe.by_heart:
        descent.run(epoch_inputs, truth[kept], progress)
        return Fitted(recipe, model.eval(), median, rows, descent.curves, descent.best_epoch)
    everything = epoch_inputs(0)
    among = torch.from_numpy(np.isin(rows, kept))
    descent.run(lambda _: everything[among], truth[kept], progress)
    net.load_state_dict(untrained)
    _Descent(net, nn.CrossEntropyLoss(), recipe, seed).run(lambda _: everything, truth[rows])
    return Fitted(recipe, model.eval(), median, rows, descent.curves, recipe.epochs)


def _fit_audio(recipe: Recipe, X: Matrix, seed: int) -> Audio:
    audio = Audio(fit_imputer(X, seed), recipe.unskew)
    with torch.no_grad():
        audio.scaler.fit(audio.filled(torch.from_numpy(X)))
    return audio


def _fit_blocks(recipe: Recipe, raw: dict[str, Matrix], classes: int, seed: int) -> dict[str, Any]:
    blocks: dict[str, Any] = {}
    for block in recipe.inputs:
        if block == AUDIO:
            blocks[block] = _fit_audio(recipe, raw[block], seed)
        elif block == CONTEXT:
            blocks[block] = ArtistContext()
            blocks[block].fit(blocks[AUDIO].scaler, torch.from_numpy(raw[block]))
        elif block == LABELS:
            blocks[block] = KnownLabels(classes)
        else:
            blocks[block] = (Centred if block == FLAGS else Scaler)(raw[block].shape[1])
            blocks[block].fit(torch.from_numpy(raw[block]))
    return blocks


def _raw(
    block: str, data: Dataset, rows: Indices, train: Indices, median: float, seen: episodes.Discographies | None = None
) -> Matrix:
    if block == AUDIO:
        return with_durations(data.X[rows], median)
    if block == CONTEXT and seen is not None:
        # What is fitted, here the usual variance, must not know of other rows.
        return seen.context(episodes.cut(seen.artist, episodes.ALL, np.random.default_rng(0)))
    if block == LABELS:
        return episodes.known_labels(data, train, rows)
    return data.block(block)[rows]


def matrix(
    recipe: Recipe, data: Dataset, rows: Indices, train: Indices, median: float, visible: int | None = None
) -> Matrix:
    """Return the raw inputs of rows, float32 of shape (rows, columns), as scoring would read them.

    ``train`` are the rows whose labels may be known. With ``visible``, only that many tracks of an artist are seen
    together; else all of them, as the catalogue has them: no label enters.
    """
    parts = {block: _raw(block, data, rows, train, median) for block in recipe.inputs}
    if visible is not None and CONTEXT in parts:
        seen = episodes.Discographies(data, rows)
        parts[CONTEXT] = seen.context(episodes.cut(seen.artist, visible, np.random.default_rng(0)))
    return np.hstack(list(parts.values()))


def logits(fitted: Fitted, data: Dataset, rows: Indices, visible: int | None = None) -> npt.NDArray[np.float64]:
    """Return log-probabilities before the temperature, float64 of shape (rows, classes)."""
    model, raw = fitted.model, matrix(fitted.recipe, data, rows, fitted.train, fitted.duration_ms, visible)
    with torch.no_grad():
        if isinstance(model, trees.TreeModel):
            return model.log_probabilities(torch.from_numpy(raw))
        found: npt.NDArray[np.float64] = torch.log_softmax(
            model.logits(model.inputs(torch.from_numpy(raw))).double(), 1
        ).numpy()
    return found


class _Descent:
    """Minimises a loss with AdamW; where the loss of validation rows no longer falls, it stops and takes the best epoch's weights.

    A descent that comes to its end keeps its last weights: those of a rate that has come down to nothing.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        recipe: Recipe,
        seed: int,
        watched: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self.net, self.loss, self.recipe, self.watched = net, loss, recipe, watched
        self.optimizer = torch.optim.AdamW(
            net.parameters(), lr=recipe.peak, weight_decay=recipe.weight_decay, fused=True
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.curves: list[tuple[int, float, float]] = []
        self.best_epoch = 0

    def run(
        self, epoch_inputs: Callable[[int], torch.Tensor], target: torch.Tensor, progress: Progress | None = None
    ) -> None:
        """Train; ``epoch_inputs`` returns the train inputs of an epoch."""
        steps = -(-len(target) // self.recipe.batch_size)
        schedule: Any = None
        if self.recipe.schedule == "one-cycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer, self.recipe.peak, total_steps=steps * self.recipe.epochs, pct_start=self.recipe.rising
            )
        best, kept = float("inf"), copy.deepcopy(self.net.state_dict())
        for epoch in range(1, self.recipe.epochs + 1):
            train_loss = self._epoch(epoch_inputs(epoch), target, schedule) / steps
            if self.watched is None:
                continue
            watched_loss = self._watch(*self.watched)
            self.curves.append((epoch, train_loss, watched_loss))
            if progress:
                progress(epoch, train_loss, watched_loss)
            if watched_loss < best:
                self.best_epoch, best, kept = epoch, watched_loss, copy.deepcopy(self.net.state_dict())
            elif self.recipe.patience <= epoch - self.best_epoch and epoch < self.recipe.epochs:
                self.net.load_state_dict(kept)
                return
        self.best_epoch = self.recipe.epochs

    def _watch(self, inputs: torch.Tensor, target: torch.Tensor) -> float:
        self.net.eval()
        with torch.no_grad():
            return float(self.loss(self.net(inputs), target))

    def _epoch(self, inputs: torch.Tensor, target: torch.Tensor, schedule: Any) -> float:
        self.net.train()
        total = 0.0
        for rows in torch.split(torch.randperm(len(inputs), generator=self.generator), self.recipe.batch_size):
            self.optimizer.zero_grad()
            value = self.loss(self.net(inputs[rows]), target[rows])
            value.backward()
            self.optimizer.step()
            if schedule:
                schedule.step()
            total += value.item()
        return total
