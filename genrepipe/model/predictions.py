"""Probabilities as the rows that people query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe.contracts import schemas

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from genrepipe.model.bundle import GenreSets

CARRIED = ("track_id", "artist_name", "track_name", "imputed", "artist_tracks", "profile_version")
# What pandera proves of a batch: the values that were computed here. The others come from tables with contracts of
# their own, or are the same in every row.
PROVED = ("genre", "probability", "runner_up", "runner_up_probability", "margin")
PRECISION = 1e-4  # how far from one the probabilities of a row may sum


def assemble(
    tracks: pl.DataFrame,
    probabilities: npt.NDArray[np.float32],
    labels: Sequence[str],
    sets: GenreSets | None = None,
) -> pl.DataFrame:
    """Return one prediction for each track.

    Parameters
    ----------
    tracks
        Scorable tracks, with the columns of ``CARRIED``.
    probabilities
        float32 of shape (tracks, labels).
    sets
        The bundle's conformal thresholds; without them ``genre_set`` is null.

    Raises
    ------
    OutputBroken
        A row is not a distribution over the genres.
    """
    rows = np.arange(len(probabilities))
    best = probabilities.argmax(1)
    probability = probabilities[rows, best]
    others = probabilities.copy()
    others[rows, best] = -1
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
    if sets is not None:
        frame = frame.with_columns(
            genre_set=genre_sets(probabilities, tracks["artist_tracks"].to_numpy(), labels, sets)
        )
    schemas.prove_distributions(probabilities, PRECISION)
    return frame


def genre_sets(
    probabilities: npt.NDArray[np.float32],
    visible: npt.NDArray[np.integer],
    labels: Sequence[str],
    sets: GenreSets,
) -> pl.Series:
    """Return each track's conformal set: its genres at or above the threshold, the most probable first.

    ``visible`` is how many of the artist's tracks are visible, of shape (tracks,). The most probable genre is always a
    member, so no set is empty.
    """
    bucket = np.searchsorted(sets.visible_from, visible, side="right") - 1
    members = probabilities >= np.array(sets.thresholds, np.float32)[bucket][:, None]
    sizes = np.maximum(members.sum(1), 1)
    # A set is a number, its members' digits; there are few different ones, and each becomes a list once.
    base = len(labels) + 1
    codes = np.zeros(len(sizes), np.int64)
    rows, rest, rank = np.arange(len(sizes)), probabilities.copy(), 0
    while len(rows):
        best = rest.argmax(1)
        codes[rows] = codes[rows] * base + best + 1
        rest[np.arange(len(rows)), best] = -1
        rank += 1
        larger = sizes[rows] > rank
        rows, rest = rows[larger], rest[larger]
    distinct, positions = np.unique(codes, return_inverse=True)
    return pl.Series([_members(int(code), base, labels) for code in distinct], dtype=pl.List(pl.String)).gather(
        positions
    )


def _members(code: int, base: int, labels: Sequence[str]) -> list[str]:
    members = []
    while code:
        code, digit = divmod(code, base)
        members.append(labels[digit - 1])
    return members[::-1]
