"""What is known of every artist of a run, as one matrix: a track finds the row of its artist by its position."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from genrepipe.core.errors import CHECK, REMEDIES, StorageError
from genrepipe.core.quoting import identifier
from genrepipe.model import features
from genrepipe.model.features import CONTEXT, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import polars as pl

    from genrepipe.contracts.schemas import RunningProof
    from genrepipe.warehouse.steps import Steps

ARTISTS = 250_000  # fetched at a time
IN_MEMORY = 64 << 20  # bytes; a larger matrix lies in a file
WIDTH = 4  # bytes of a float32


class ArtistContext:
    """The matrix, float32 of shape (artists + 1, columns of the context); its first row is that of no artist, zeros.

    A large one lies in a file without a name beside the warehouse: with millions of artists it would be most of a run's
    memory.
    """

    def __init__(self, steps: Steps, proof: RunningProof) -> None:
        columns = features.columns([CONTEXT])
        steps.make("artist_positions")
        rows = int(steps.database.value("SELECT count(*) FROM artist_positions")) + 1
        size = rows * len(columns) * WIDTH
        self._pages = _mapped(steps.database.scratch.parent, size) if size > IN_MEMORY else None
        held = (
            np.zeros(rows * len(columns), np.float32) if self._pages is None else np.frombuffer(self._pages, np.float32)
        )
        self._values = held.reshape(rows, len(columns))
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
        if self._pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)


def _mapped(folder: Path, size: int) -> mmap.mmap:
    """Return so many zero bytes of a file without a name in a folder, as memory.

    Raises
    ------
    StorageError
        There is no room.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):  # a full disk is an error now, and not a signal when a page is written
                with _unless_unsupported():
                    os.posix_fallocate(file.fileno(), 0, size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise StorageError(
            f"{folder}: {size >> 20:,} MB for what is known of artists: {error.strerror}",
            REMEDIES.get(error.errno or 0, CHECK),
        ) from error


@contextmanager
def _unless_unsupported() -> Iterator[None]:
    """Go on where a file system cannot reserve room."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            raise
