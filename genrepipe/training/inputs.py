"""How networks read the blocks of features: one ``Reader`` for each block that is not simply standardised.

A block without a reader of its own is standardised, so a new block needs an entry here only where that does not do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genrepipe.model import features
from genrepipe.model.features import AUDIO, CONTEXT, FLAGS, LABELS
from genrepipe.training import episodes
from genrepipe.training.imputation import fit_imputer, with_durations
from genrepipe.training.networks import ArtistContext, Audio, Centred, KnownLabels, Scaler

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset
    from genrepipe.training.recipes import Recipe
    from genrepipe.training.splits import Indices

    Matrix = npt.NDArray[np.float32]
    Mask = npt.NDArray[np.bool_]
    # Modules know their width, which torch's type does not say.
    Module = Any
    # Draws the block of an epoch, in which the tracks lack some audio features: bool of shape (rows, 13).
    Draw = Callable[[np.random.Generator, Mask], Matrix]


@dataclass(frozen=True)
class Selection:
    """Rows of a dataset, and what may be known of them.

    Attributes
    ----------
    rows
        The rows to read.
    train
        The rows whose labels may be known.
    duration_ms
        What replaces a duration that neither the track nor its artist knows.
    visible
        None for the context of the whole catalogue, as scoring has it; else the context is that of these rows alone,
        and at most so many tracks of an artist are seen together.
    """

    data: Dataset
    rows: Indices
    train: Indices
    duration_ms: float
    visible: int | None = None


class Reader:
    """Reads a block as the catalogue has it, and standardises it. Other readers override what they do differently."""

    def __init__(self, block: str) -> None:
        self.block = block

    def raw(self, selection: Selection) -> Matrix:
        """Return the raw block of the selected rows, float32 of shape (rows, columns), in the contract's order."""
        return selection.data.block(self.block)[selection.rows]

    def fit(self, raw: Matrix, recipe: Recipe, fitted: dict[str, Module], seed: int) -> Module:  # noqa: ARG002
        """Return the module that reads the block, fitted on a raw block of train rows.

        ``fitted`` has the modules of the blocks before this one in the recipe.
        """
        scaler = Scaler(raw.shape[1])
        scaler.fit(torch.from_numpy(raw))
        return scaler

    def episodes(self, selection: Selection) -> Draw | None:  # noqa: ARG002
        """Return a function that draws the raw block for one epoch, or None where it is the same in every epoch."""
        return None


class AudioReader(Reader):
    """Fills durations; the module imputes, unskews where the recipe says so, and standardises."""

    def raw(self, selection: Selection) -> Matrix:
        """Return the audio features with unknown durations filled; any other missing one is NaN."""
        return with_durations(selection.data.X[selection.rows], selection.duration_ms)

    def fit(self, raw: Matrix, recipe: Recipe, fitted: dict[str, Module], seed: int) -> Module:  # noqa: ARG002
        """Return the module, with an imputer that is trained here."""
        audio = Audio(recipe.unskew, recipe.missing_flags)
        audio.fit(torch.from_numpy(raw))
        fit_imputer(audio, raw, seed)
        return audio

    def episodes(self, selection: Selection) -> Draw:
        """Return a function that hides what the tracks lack."""
        raw = self.raw(selection)
        return lambda _, lost: np.where(lost, np.float32("nan"), raw)


class ContextReader(Reader):
    """Shrinks the artist's means and variances; every epoch shows other parts of each artist's tracks."""

    def raw(self, selection: Selection) -> Matrix:
        """Return the context of the whole catalogue, or of parts of the selected rows."""
        if selection.visible is None:
            return super().raw(selection)
        tracks = episodes.Discographies(selection.data, selection.rows)
        return tracks.context(episodes.cut(tracks.artist, selection.visible, np.random.default_rng(0)))

    def fit(self, raw: Matrix, recipe: Recipe, fitted: dict[str, Module], seed: int) -> Module:  # noqa: ARG002
        """Return the module, in units of the audio features' scaler."""
        context = ArtistContext()
        context.fit(fitted[AUDIO].scaler, torch.from_numpy(raw))
        return context

    def episodes(self, selection: Selection) -> Draw:
        """Return a function that cuts each artist's tracks into parts of random sizes."""
        return episodes.Discographies(selection.data, selection.rows).episode


class FlagsReader(Reader):
    """Centres the flags."""

    def fit(self, raw: Matrix, recipe: Recipe, fitted: dict[str, Module], seed: int) -> Module:  # noqa: ARG002
        """Return the module that subtracts the means."""
        centred = Centred(raw.shape[1])
        centred.fit(torch.from_numpy(raw))
        return centred


class LabelsReader(Reader):
    """Counts the labels of the artist's train rows; every epoch shows other labels, never the track's own."""

    def raw(self, selection: Selection) -> Matrix:
        """Return how often the train rows of each row's artist have each label."""
        counts = episodes.known_labels(selection.data, selection.train, selection.rows)
        return np.take(counts, self._order(selection.data), axis=1)

    def fit(self, raw: Matrix, recipe: Recipe, fitted: dict[str, Module], seed: int) -> Module:  # noqa: ARG002
        """Return the module, which has nothing to fit."""
        return KnownLabels(raw.shape[1])

    def episodes(self, selection: Selection) -> Draw:
        """Return a function that shows a random share of the labels of each artist."""
        data, rows = selection.data, selection.rows
        artist, y, order = data.artist_code[rows], data.y[rows], self._order(data)
        return lambda rng, _: np.take(episodes.label_episode(artist, y, len(data.labels), rng), order, axis=1)

    def _order(self, data: Dataset) -> list[int]:
        """Return the label that each column of the block counts, as a position in ``data.labels``."""
        return [data.labels.index(name.removeprefix("labels_")) for name in features.columns([self.block])]


READERS: dict[str, Reader] = {
    reader.block: reader
    for reader in (AudioReader(AUDIO), ContextReader(CONTEXT), FlagsReader(FLAGS), LabelsReader(LABELS))
}


def reader(block: str) -> Reader:
    """Return the reader of a block; one that standardises, where none is registered."""
    return READERS.get(block) or Reader(block)
