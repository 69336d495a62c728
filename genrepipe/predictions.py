"""Probabilities become the rows that people query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe import checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

CARRIED = ("track_id", "artist_name", "track_name", "imputed", "artist_tracks")
# What pandera proves of a batch: the values that were computed here. The others come from tables with contracts of
# their own, or are the same in every row.
PROVED = ("genre", "probability", "runner_up", "runner_up_probability", "margin")
PRECISION = 1e-4  # how far from one the probabilities of a row may sum


def assemble(tracks: pl.DataFrame, probabilities: npt.NDArray[np.float32], labels: Sequence[str]) -> pl.DataFrame:
    """Return one prediction for each track.

    Parameters
    ----------
    tracks
        Scorable tracks, with the columns of ``CARRIED``.
    probabilities
        float32 of shape (tracks, labels).

    Raises
    ------
    OutputBroken
        A row is not a distribution over the genres.
    """
    best = probabilities.argmax(1)
    rows = np.arange(len(best))
    probability = probabilities[rows, best]
    others = probabilities.copy()
    others[rows, best] = -1.0
    second = others.argmax(1)
    runner_up_probability = probabilities[rows, second]
    genre = pl.Series(labels, dtype=pl.Enum(list(labels)))
    frame = tracks.select(CARRIED).with_columns(
        genre=genre.gather(pl.Series(best)),
        probability=pl.Series(probability),
        runner_up=genre.gather(pl.Series(second)),
        runner_up_probability=pl.Series(runner_up_probability),
        margin=pl.Series(probability - runner_up_probability),
        probabilities=pl.struct(pl.Series(label, probabilities[:, i].copy()) for i, label in enumerate(labels)),
    )
    checks.prove_distributions(probabilities, PRECISION)
    checks.prove("predictions", frame, only=PROVED)
    return frame
