"""What a model knows of an artist, varied during training as it varies in production.

A catalogue holds one track of an artist or many, and the training labels know the artist or not. A network that has
seen whole discographies alone is worse than the audio features where it sees one track. Every epoch therefore cuts
each artist's tracks into parts of random sizes, shows each track the context of its own part, and shows the labels of
a random share of the tracks, never the track's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genrepipe.model import features
from genrepipe.model.features import CONTEXT
from genrepipe.training.networks import CONTEXT_TRACKS, Unskewed, context_features

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset

    Matrix = npt.NDArray[np.float32]
    Codes = npt.NDArray[np.int64]

ALL = np.iinfo(np.int64).max
# How many of an artist's tracks are seen together in an epoch, and with which probability.
SIZES = np.array([1, 2, 3, 5, 10, 20, ALL])
PROBABILITIES = np.array([0.15, 0.12, 0.10, 0.13, 0.10, 0.10, 0.30])
NO_LABELS = 0.25  # share of the artists that show no label in an epoch
SHARE_EXPONENT = 1 / 3  # the others show the share u ** SHARE_EXPONENT of their labels, u uniform in [0, 1)


def cut(artist: Codes, size: Codes | int, rng: np.random.Generator) -> Codes:
    """Cut each artist's tracks, shuffled, into parts of at most ``size`` tracks.

    Parameters
    ----------
    artist
        Artist codes, int64 of shape (tracks,); negative where the artist is missing.
    size
        One number, or one for each artist code.

    Returns
    -------
    One number for each part, int64 of shape (tracks,). A track without an artist is a part by itself.
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
    """Some rows of a dataset, and the artist context of any parts of them.

    Computes what ``sql/catalogue/profiles.sql`` computes, for parts that no catalogue holds.
    """

    def __init__(self, data: Dataset, rows: npt.NDArray[np.intp]) -> None:
        X = np.nan_to_num(data.X[rows].astype(np.float64), nan=1.0)
        self.features = context_features()
        positions = [features.position(name) for name in self.features]
        with torch.no_grad():
            values = Unskewed()(torch.from_numpy(X)).numpy()[:, positions]
        # Only values that the source has are counted, as in the profiles: nothing that was imputed.
        self.known = data.known[rows][:, positions]
        self.values = np.where(self.known, values, 0.0)
        self.positions, self.artist = positions, data.artist_code[rows]

    def episode(self, rng: np.random.Generator, lost: npt.NDArray[np.bool_] | None = None) -> Matrix:
        """Return the context of one epoch, over parts of random sizes.

        ``lost``, of shape (tracks, 13), are the audio features that the tracks lack in that epoch.
        """
        sizes = rng.choice(SIZES, size=int(self.artist.max(initial=0)) + 1, p=PROBABILITIES)
        return self.context(cut(self.artist, sizes, rng), lost)

    def context(self, parts: Codes, lost: npt.NDArray[np.bool_] | None = None) -> Matrix:
        """Return the artist context of each track over its part, float32 of shape (tracks, 37), in the contract's order.

        ``parts`` are the numbers that ``cut`` returns, ``lost`` the audio features that the tracks lack.
        """
        count = int(parts.max(initial=-1)) + 1
        is_known = self.known if lost is None else self.known & ~lost[:, self.positions]
        values = self.values if lost is None else np.where(is_known, self.values, 0.0)
        known = np.stack([np.bincount(parts, k, count) for k in is_known.T], 1)
        divisor = np.maximum(known, 1)
        mean = np.stack([np.bincount(parts, v, count) for v in values.T], 1) / divisor
        off = np.where(is_known, values - mean[parts], 0.0)
        variance = np.stack([np.bincount(parts, o * o, count) for o in off.T], 1) / divisor
        by_name: dict[str, npt.NDArray[Any]] = {CONTEXT_TRACKS: np.bincount(parts, minlength=count)}
        for i, name in enumerate(self.features):
            by_name |= {f"{name}_count": known[:, i], f"{name}_mean": mean[:, i], f"{name}_variance": variance[:, i]}
        profile = np.column_stack([by_name[name] for name in features.columns([CONTEXT])])
        context = profile[parts].astype(np.float32)
        context[self.artist < 0] = 0.0
        return context


def label_counts(artist: Codes, y: Codes, shown: npt.NDArray[np.bool_], classes: int) -> Matrix:
    """Count for each track how many shown tracks of its artist have each label, float32 of shape (tracks, classes).

    ``artist``, ``y`` and ``shown`` have shape (tracks,). The track itself is not counted; a track without an artist
    has no labels.
    """
    counts = np.zeros((int(artist.max(initial=0)) + 1, classes), np.float32)
    counted = shown & (artist >= 0)
    np.add.at(counts, (artist[counted], y[counted]), 1)
    labels = counts[np.maximum(artist, 0)]
    labels[np.flatnonzero(counted), y[counted]] -= 1
    labels[artist < 0] = 0
    return labels


def label_episode(artist: Codes, y: Codes, classes: int, rng: np.random.Generator) -> Matrix:
    """Return the label counts of one epoch, float32 of shape (tracks, classes).

    Some artists show no label, the others a random share.
    """
    artists = int(artist.max(initial=0)) + 1
    rate = np.where(rng.random(artists) < NO_LABELS, 0.0, rng.random(artists) ** SHARE_EXPONENT)
    return label_counts(artist, y, rng.random(len(artist)) < rate[np.maximum(artist, 0)], classes)


def known_labels(data: Dataset, train: npt.NDArray[np.intp], rows: npt.NDArray[np.intp]) -> Matrix:
    """Count for each row how many train rows of its artist have each label, float32 of shape (rows, classes).

    A train row counts itself, as in a catalogue that holds the training data.
    """
    artist = data.artist_code
    counts = np.zeros((int(artist.max(initial=0)) + 1, len(data.labels)), np.float32)
    named = train[artist[train] >= 0]
    np.add.at(counts, (artist[named], data.y[named]), 1)
    labels = counts[np.maximum(artist[rows], 0)]
    labels[artist[rows] < 0] = 0
    return labels
