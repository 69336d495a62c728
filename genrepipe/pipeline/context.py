"""What is known of every artist of a run, as one matrix: a track finds the row of its artist by its position."""

from __future__ import annotations

import mmap
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from genrepipe.core.quoting import identifier
from genrepipe.model import features
from genrepipe.model.features import CONTEXT, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import polars as pl

    from genrepipe.contracts.schemas import RunningProof
    from genrepipe.warehouse.steps import Steps

ARTISTS = 250_000  # fetched at a time
WIDTH = 4  # bytes of a float32


class ArtistContext:
    """The matrix, float32 of shape (artists + 1, columns of the context); its first row is that of no artist, zeros.

    It lies in a file without a name beside the warehouse: with millions of artists it would be most of a run's memory.
    """

    def __init__(self, steps: Steps, proof: RunningProof) -> None:
        columns = features.columns([CONTEXT])
        steps.make("artist_positions")
        rows = int(steps.database.value("SELECT count(*) FROM artist_positions")) + 1
        with tempfile.TemporaryFile(dir=steps.database.scratch.parent) as file:
            file.truncate(rows * len(columns) * WIDTH)
            self._pages = mmap.mmap(file.fileno(), 0)
        self._values = np.frombuffer(self._pages, np.float32).reshape(rows, len(columns))
        known = ", ".join(
            f"{'tracks' if name == 'artist_tracks' else f'coalesce({identifier(name)}, 0)'} AS {identifier(name)}"
            for name in columns
        )
        for first in range(1, rows, ARTISTS):
            some = steps.database.frame(
                f"SELECT artist_position, {known} FROM artist_positions WHERE artist_position >= ? AND artist_position < ?",
                [first, first + ARTISTS],
            )
            (piece,) = features.BLOCKS[CONTEXT].pieces(some)
            proof.add("features", CONTEXT, piece.frame)
            self._values[some["artist_position"].to_numpy()] = features.matrix([piece.frame], "C")
            self.release()

    def part(self, tracks: pl.DataFrame, columns: Sequence[str]) -> Part:
        """Return the context of tracks, by their ``artist_position``, as a part of a matrix with these columns."""
        begin = columns.index(features.columns([CONTEXT])[0])
        positions: npt.NDArray[np.int32] = tracks["artist_position"].to_numpy()
        return Part(slice(begin, begin + self._values.shape[1]), self._values, positions)

    def release(self) -> None:
        """Give the memory of pages back that were read; they are read again from the file."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)
