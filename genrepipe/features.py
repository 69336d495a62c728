"""Clean tracks become the float32 matrix that every bundle reads.

The study codes key and mode as ordinals: the position of the key among the twelve sharps in alphabetical order,
and 0 for Major, 1 for Minor. A missing tempo stays NaN, since the bundle's own graph imputes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrepipe import contracts

if TYPE_CHECKING:
    import numpy.typing as npt

MODES = ["Major", "Minor"]


def columns() -> list[str]:
    """Return the names of the features, in the order of the matrix."""
    return contracts.load("features").table.columns


def build(tracks: pl.DataFrame) -> pl.DataFrame:
    """Return the features of tracks whose duration is imputed, one Float32 column each, in the contract's order.

    ``tracks`` has the columns of the contract; values outside the enumerations of key and mode become null.
    """
    keys = [str(key) for key in contracts.load("tracks").table.column("key").valid_values or ()]
    coded = {
        "key": pl.col("key").replace_strict(keys, range(len(keys)), default=None, return_dtype=pl.Float32),
        "mode": pl.col("mode").replace_strict(MODES, [0, 1], default=None, return_dtype=pl.Float32),
    }
    return tracks.select(coded.get(name, pl.col(name).cast(pl.Float32)).alias(name) for name in columns())


def matrix(features: pl.DataFrame) -> npt.NDArray[np.float32]:
    """Return the features as a C-contiguous float32 array of shape (rows, 13), NaN where null."""
    return np.ascontiguousarray(features.fill_null(float("nan")).to_numpy(), dtype=np.float32)
