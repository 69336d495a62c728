"""Clean tracks become the float32 matrix that a bundle reads, block by block.

The study codes key and mode as ordinals: the position of the key among the twelve sharps in alphabetical order,
and 0 for Major, 1 for Minor. A missing tempo stays NaN, since the bundle's own graph imputes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe import contracts, names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from genrepipe.contracts import Column

AUDIO, CONTEXT, FLAGS, LABELS, VECTORS = (
    "audio_features",
    "artist_context",
    "name_flags",
    "artist_labels",
    "name_vectors",
)
MODES = ["Major", "Minor"]


def columns(blocks: Sequence[str] = (AUDIO,)) -> list[str]:
    """Return the names of the columns of these blocks, in the order of the matrix.

    The blocks are the tables of the contract ``features``; a column of vectors is one column for each dimension.
    """
    contract = contracts.load("features")
    return [name for block in blocks for column in contract.named(block).properties for name in _spread(column)]


def _spread(column: Column) -> list[str]:
    if column.logicalType != "array":
        return [column.name]
    return [f"{column.name}_{i}" for i in range(names.WIDTH)]


def build(
    tracks: pl.DataFrame, blocks: Sequence[str] = (AUDIO,), labels: pl.DataFrame | None = None
) -> list[pl.DataFrame]:
    """Return one frame of Float32 columns for each block, in the contract's order.

    Parameters
    ----------
    tracks
        Scorable tracks whose duration is imputed; beside their artist's context where a block needs it. Values outside
        the enumerations of key and mode become null.
    labels
        A bundle's table of training labels: ``artist_key`` and one count for each genre.

    Raises
    ------
    ExtraMissing
        A block needs word vectors, and spaCy is not installed.
    """
    return [_block(block, tracks, labels) for block in blocks]


def _block(block: str, tracks: pl.DataFrame, labels: pl.DataFrame | None) -> pl.DataFrame:
    if block == AUDIO:
        keys = [str(key) for key in contracts.load("tracks").table.column("key").valid_values or ()]
        tracks = tracks.with_columns(
            pl.col("key").replace_strict(keys, range(len(keys)), default=None, return_dtype=pl.Float32),
            pl.col("mode").replace_strict(MODES, [0, 1], default=None, return_dtype=pl.Float32),
        )
    elif block == FLAGS:
        return names.flags(tracks)
    elif block == VECTORS:
        return pl.DataFrame(names.vectors(tracks), schema=dict.fromkeys(columns([VECTORS]), pl.Float32))
    elif block == LABELS:
        if labels is None:
            msg = "artist_labels needs a bundle's table of labels"
            raise ValueError(msg)
        keys_only = tracks.select("artist_key")
        tracks = keys_only.join(labels, on="artist_key", how="left", maintain_order="left").fill_null(0)
    return tracks.select(pl.col(columns([block])).cast(pl.Float32))


def matrix(frames: Sequence[pl.DataFrame]) -> npt.NDArray[np.float32]:
    """Return frames side by side as a float32 array of shape (rows, columns), NaN where null, in the frames' order of memory."""
    return np.hstack([frame.fill_null(float("nan")).to_numpy() for frame in frames], dtype=np.float32)
