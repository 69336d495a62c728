"""What a model may know of an artist, made to vary in training as it will vary at night.

A catalogue may hold one track of an artist, or all; the training labels may know the artist, or not. A network that
only saw whole discographies falls below the audio alone where it sees one track, so every epoch cuts each artist's
tracks into parts of a random size and lets each track see its own part, and shows the labels of a random share of
them, never the track's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genrepipe.training.dataset import DURATION, KEY, TEMPO
from genrepipe.training.networks import Unskewed

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset

    Matrix = npt.NDArray[np.float32]
    Codes = npt.NDArray[np.int64]

ALL = np.iinfo(np.int64).max
# How many of an artist's tracks an epoch lets be seen together, and how often.
SIZES = np.array([1, 2, 3, 5, 10, 20, ALL])
CHANCES = np.array([0.15, 0.12, 0.10, 0.13, 0.10, 0.10, 0.30])
NO_LABELS = 0.25  # of the artists show no label in an epoch
SHOWN = 1 / 3  # exponent of a uniform number: the share of the labels that the others show, mostly high


def cut(artist: Codes, size: Codes | int, rng: np.random.Generator) -> Codes:
    """Cut each artist's tracks, shuffled, into parts of at most ``size`` tracks.

    ``size`` is one number, or one for each artist code. Returns one number for each part, int64 of shape (tracks,); a
    track without an artist is a part by itself.
    """
    shuffled = rng.permutation(len(artist))
    order = shuffled[np.argsort(artist[shuffled], kind="stable")]
    codes = artist[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1])
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    limit = size if isinstance(size, int) else size[codes]
    limit = np.where(codes < 0, 1, limit)
    parts = np.empty(len(artist), np.int64)
    begins = (place % limit == 0).astype(np.int64)
    parts[order] = np.cumsum(begins) - 1
    return parts


class Discographies:
    """The tracks of some rows as the artist profiles of ``sql/clean/60_artist_profiles.sql`` see them."""

    def __init__(self, data: Dataset, rows: npt.NDArray[np.intp]) -> None:
        X = np.nan_to_num(data.X[rows].astype(np.float64), nan=1.0)
        with torch.no_grad():
            values = np.delete(Unskewed()(torch.from_numpy(X)).numpy(), KEY, axis=1)
        known = np.ones(values.shape, np.bool_)
        # What profiles know of durations and tempos is known: nothing that was imputed enters.
        known[:, DURATION] = data.duration_known[rows]
        known[:, TEMPO - 1] = ~np.isnan(data.X[rows, TEMPO])
        self.values, self.known = np.where(known, values, 0.0), known
        self.artist = data.artist_code[rows]

    def episode(self, rng: np.random.Generator) -> Matrix:
        """Return the context of one epoch: parts of random sizes."""
        sizes = rng.choice(SIZES, size=int(self.artist.max(initial=0)) + 1, p=CHANCES)
        return self.context(cut(self.artist, sizes, rng))

    def context(self, parts: Codes) -> Matrix:
        """Return what each track's part says together, float32 of shape (tracks, 27), as scoring would read it."""
        count = int(parts.max(initial=-1)) + 1
        tracks = np.bincount(parts, minlength=count)
        known = np.stack([np.bincount(parts, k, count) for k in self.known.T], 1)
        divisor = np.maximum(known, 1)
        mean = np.stack([np.bincount(parts, v, count) for v in self.values.T], 1) / divisor
        off = np.where(self.known, self.values - mean[parts], 0.0)
        variance = np.stack([np.bincount(parts, o * o, count) for o in off.T], 1) / divisor
        moments = np.stack([mean, variance], 2).reshape(count, -1)
        profile = np.column_stack([tracks, known[:, DURATION], known[:, TEMPO - 1], moments])
        seen = profile[parts].astype(np.float32)
        seen[self.artist < 0] = 0.0
        return seen


def label_counts(artist: Codes, y: Codes, shown: npt.NDArray[np.bool_], classes: int) -> Matrix:
    """Return for each track how often its artist's shown tracks have each label, float32 of shape (tracks, classes).

    Its own label is never counted; a track without an artist has none.
    """
    counts = np.zeros((int(artist.max(initial=0)) + 1, classes), np.float32)
    counted = shown & (artist >= 0)
    np.add.at(counts, (artist[counted], y[counted]), 1)
    found = counts[np.maximum(artist, 0)]
    found[np.flatnonzero(counted), y[counted]] -= 1
    found[artist < 0] = 0
    return found


def label_episode(artist: Codes, y: Codes, classes: int, rng: np.random.Generator) -> Matrix:
    """Return the label counts of one epoch: some artists show none, the others a random share."""
    artists = int(artist.max(initial=0)) + 1
    rate = np.where(rng.random(artists) < NO_LABELS, 0.0, rng.random(artists) ** SHOWN)
    return label_counts(artist, y, rng.random(len(artist)) < rate[np.maximum(artist, 0)], classes)


def known_labels(data: Dataset, train: npt.NDArray[np.intp], rows: npt.NDArray[np.intp]) -> Matrix:
    """Return how often the train rows of each row's artist have each label, float32 of shape (rows, classes)."""
    artist = data.artist_code
    counts = np.zeros((int(artist.max(initial=0)) + 1, len(data.labels)), np.float32)
    named = train[artist[train] >= 0]
    np.add.at(counts, (artist[named], data.y[named]), 1)
    found = counts[np.maximum(artist[rows], 0)]
    found[artist[rows] < 0] = 0
    return found
