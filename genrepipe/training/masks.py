"""Audio features that are hidden at random, as sources leave them out.

In training, so that a network holds where features are missing; in measuring, to see that it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genrepipe.model import features

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.training.dataset import Dataset
    from genrepipe.training.recipes import Recipe

    Mask = npt.NDArray[np.bool_]

HIGHEST_RATE = 0.5  # at which a row or an artist loses each of its features
RANDOM = (1, 3, 6)  # numbers of random features that are hidden from each row, in measuring


def lost(count: int, share: float, rng: np.random.Generator) -> Mask:
    """Return which features each of ``count`` rows or artists loses, bool of shape (count, 13).

    A ``share`` of them loses each feature at a rate of its own, uniform in [0, HIGHEST_RATE).
    """
    rate = np.where(rng.random(count) < share, rng.random(count) * HIGHEST_RATE, 0.0)
    return rng.random((count, len(features.columns()))) < rate[:, None]


def of_epoch(recipe: Recipe, artist: npt.NDArray[np.int64], rng: np.random.Generator) -> Mask:
    """Return which features each track loses in an epoch: by itself, or together with all tracks of its artist.

    ``artist`` are artist codes of shape (tracks,), negative where the artist is missing.
    """
    of_rows = lost(len(artist), recipe.masked_rows, rng)
    of_artists = lost(int(artist.max(initial=0)) + 2, recipe.masked_artists, rng)
    of_artists[-1] = False  # of tracks without an artist
    return of_rows | of_artists[artist]


def scenarios(data: Dataset) -> dict[str, Mask]:
    """Return what is hidden in each measurement: every feature by itself from all tracks, and random ones from each track."""
    columns, rng = features.columns(), np.random.default_rng(0)
    single = {name: np.broadcast_to(np.array(columns) == name, data.X.shape) for name in columns}
    order = rng.random(data.X.shape).argsort(1).argsort(1)
    return {**single, **{f"{count} random": order < count for count in RANDOM}}
