"""Fitting: imputer, scalers, projection and network, all on train rows alone."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from genrepipe.model.features import AUDIO
from genrepipe.training import episodes, inputs, masks, splits, trees
from genrepipe.training.imputation import duration_median
from genrepipe.training.inputs import Selection
from genrepipe.training.networks import Discriminants, GenreModel
from genrepipe.training.optimise import Optimiser

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset
    from genrepipe.training.optimise import Progress
    from genrepipe.training.recipes import Recipe
    from genrepipe.training.splits import Indices

    Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes
    ----------
    duration_ms
        The median that replaces unknown durations, in milliseconds.
    train
        The rows whose labels the model may know.
    curves
        One row for each epoch: its number, the train loss and the validation loss, in nats.
    epochs
        The epoch whose weights were kept.
    """

    recipe: Recipe
    model: GenreModel | trees.TreeModel
    duration_ms: float
    train: Indices
    curves: list[tuple[int, float, float]] = field(default_factory=list)
    epochs: int = 0


def fit(recipe: Recipe, data: Dataset, rows: Indices, seed: int, progress: Progress | None = None) -> Fitted:
    """Train a recipe on some rows of a dataset; a few of their artists are held out for early stopping.

    ``progress`` is called after every epoch with its number from 1, the train loss and the validation loss.
    """
    train, validation = splits.validation(data, rows, seed)
    median = duration_median(data.X[train])
    if recipe.kind == "trees":
        return _fit_trees(recipe, data, rows, median, seed)

    fit_rows = rows if recipe.retrain_on_all else train
    # What is fitted must not know of other rows: the context is that of these rows, without any limit of its size.
    selection = Selection(data, fit_rows, fit_rows, median, visible=episodes.ALL)
    raw = {block: inputs.reader(block).raw(selection) for block in recipe.inputs}
    blocks: dict[str, inputs.Module] = {}
    for block in recipe.inputs:
        blocks[block] = inputs.reader(block).fit(raw[block], recipe, blocks, seed)
    torch.manual_seed(seed)
    widths = {block: int(module.width) for block, module in blocks.items()}
    columns = [raw[block].shape[1] for block in recipe.inputs]
    classes = len(data.labels)
    model = GenreModel(blocks, columns, recipe.projection(sum(widths.values())), recipe.network(widths, classes))
    with torch.no_grad():
        fixed = {block: module(torch.from_numpy(raw[block])) for block, module in blocks.items()}
        validation_inputs = model.inputs(torch.from_numpy(matrix(recipe, data, validation, train, median)))
    if isinstance(model.projection, Discriminants):
        model.projection.fit(torch.cat(list(fixed.values()), 1), data.y[fit_rows])
    draws = {block: inputs.reader(block).episodes(selection) for block in recipe.inputs}
    rng, y = np.random.default_rng(seed), torch.from_numpy(data.y)

    def epoch_inputs(_: int) -> torch.Tensor:
        """Return the inputs of one epoch, in which some blocks are drawn again."""
        lost = masks.of_epoch(recipe, data.artist_code[fit_rows], rng)
        parts = []
        for block, draw in draws.items():
            with torch.no_grad():
                parts.append(fixed[block] if draw is None else blocks[block](torch.from_numpy(draw(rng, lost))))
        return torch.cat(parts, 1)

    net = nn.Sequential(model.projection, model.net)
    untrained = copy.deepcopy(net.state_dict())
    # The validation rows lack nothing but what the source lacks: a model is to be the best one for such rows.
    optimiser = Optimiser(net, nn.CrossEntropyLoss(), recipe, seed, (validation_inputs, y[validation]))
    if not recipe.retrain_on_all:
        optimiser.run(lambda epoch: (epoch_inputs(epoch), y[train]), len(train), progress)
        return Fitted(recipe, model.eval(), median, rows, optimiser.curves, optimiser.best_epoch)
    of_train = torch.from_numpy(np.isin(rows, train))
    optimiser.run(lambda epoch: (epoch_inputs(epoch)[of_train], y[train]), len(train), progress)
    net.load_state_dict(untrained)
    last = Optimiser(net, nn.CrossEntropyLoss(), recipe, seed)
    last.run(lambda epoch: (epoch_inputs(epoch), y[rows]), len(rows))
    return Fitted(recipe, model.eval(), median, rows, optimiser.curves, recipe.epochs)


def _fit_trees(recipe: Recipe, data: Dataset, rows: Indices, median: float, seed: int) -> Fitted:
    reader = inputs.reader(AUDIO)
    X = reader.raw(Selection(data, rows, rows, median))
    audio = reader.fit(X, recipe, {}, seed)
    return Fitted(recipe, trees.fit(recipe, audio, X, data.y[rows], seed), median, rows)


def matrix(
    recipe: Recipe, data: Dataset, rows: Indices, train: Indices, duration_ms: float, visible: int | None = None
) -> Matrix:
    """Return the raw inputs of rows, float32 of shape (rows, columns), as scoring reads them.

    Parameters
    ----------
    train
        The rows whose labels may be known.
    duration_ms
        What replaces unknown durations.
    visible
        How many of an artist's tracks are seen together; None for all tracks of the catalogue. No label enters.
    """
    selection = Selection(data, rows, train, duration_ms, visible)
    return np.hstack([inputs.reader(block).raw(selection) for block in recipe.inputs])


def logits(fitted: Fitted, data: Dataset, rows: Indices, visible: int | None = None) -> npt.NDArray[np.float64]:
    """Return log-probabilities before the temperature, float64 of shape (rows, classes)."""
    model, raw = fitted.model, matrix(fitted.recipe, data, rows, fitted.train, fitted.duration_ms, visible)
    with torch.no_grad():
        if isinstance(model, trees.TreeModel):
            return model.log_probabilities(torch.from_numpy(raw))
        answers = torch.log_softmax(model.logits(model.inputs(torch.from_numpy(raw))).double(), 1)
    log_probabilities: npt.NDArray[np.float64] = answers.numpy()
    return log_probabilities
