"""Clean tracks become the float32 matrix that a bundle reads, block by block.

A block is a table of the contract ``features`` and a ``Block`` in ``BLOCKS``. To add one, describe its table in the
contract and register how it is built here; ``training/inputs.py`` says how a network reads it.

Key and mode are ordinals, as in the study: the position of the key among the twelve sharps in alphabetical order, and
0 for Major, 1 for Minor. A missing tempo stays NaN, since the graph of a bundle imputes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from genrepipe import contracts
from genrepipe.core.errors import ConfigurationError
from genrepipe.model import names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from genrepipe.contracts import Column

    Matrix = npt.NDArray[np.float32]
    Positions = npt.NDArray[np.integer]

AUDIO, CONTEXT, FLAGS, LABELS, VECTORS = (
    "audio_features",
    "artist_context",
    "name_flags",
    "artist_labels",
    "name_vectors",
)
MODES = ["Major", "Minor"]


def _no_preparation() -> None:
    pass


@dataclass(frozen=True)
class Piece:
    """Columns of a block.

    Attributes
    ----------
    frame
        Their rows.
    positions
        Where many tracks share a row, the position in ``frame`` of each track's row, int of shape (tracks,).
    """

    frame: pl.DataFrame
    positions: Positions | None = None

    def expand(self) -> pl.DataFrame:
        """Return a row for each track."""
        return self.frame if self.positions is None else self.frame[self.positions]


@dataclass(frozen=True)
class Part:
    """The same, as columns of the matrix that a bundle reads.

    Attributes
    ----------
    columns
        Where in the matrix they are, one after the other.
    values
        float32 of shape (rows, columns).
    positions
        As those of a ``Piece``, of which this is a part.
    """

    columns: slice
    values: Matrix
    positions: Positions | None = None

    def fill(self, matrix: Matrix, start: int) -> None:
        """Write the columns of the tracks from ``start`` on into a matrix, of as many as it has rows."""
        rows = slice(start, start + len(matrix))
        matrix[:, self.columns] = self.values[rows] if self.positions is None else self.values[self.positions[rows]]


@dataclass(frozen=True)
class Block:
    """One block of input columns: what it is and how it is built.

    Attributes
    ----------
    name
        The block's table in the contract ``features``.
    summary
        What the block holds, for the card of a bundle.
    derive
        Takes scorable tracks and a bundle's table of training labels (or None), and returns a frame that has the
        block's columns, in any order and of any numeric type; or pieces that have them together.
    needs_context
        Whether the tracks must carry the context of their artist.
    proved
        Whether the contract bounds the block's values, so that they can be proved.
    prepare
        Loads what the block needs; raises ``ExtraMissing`` where a package is not installed.
    """

    name: str
    summary: str
    derive: Callable[[pl.DataFrame, pl.DataFrame | None], pl.DataFrame | list[Piece]]
    needs_context: bool = False
    proved: bool = True
    prepare: Callable[[], None] = _no_preparation

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the contract's order; an array is one column for each of its elements."""
        properties = contracts.load("features").named(self.name).properties
        return [name for column in properties for name in _spread(column)]

    def pieces(self, tracks: pl.DataFrame, labels: pl.DataFrame | None = None) -> list[Piece]:
        """Return the block as Float32 columns, each row once that many tracks share.

        Raises
        ------
        ExtraMissing
            The block needs a package that is not installed.
        ValueError
            The block needs a table of labels, and there is none.
        """
        derived = self.derive(tracks, labels)
        pieces = [Piece(derived)] if isinstance(derived, pl.DataFrame) else derived
        return [
            Piece(piece.frame.select(pl.col(ours).cast(pl.Float32)), piece.positions)
            for piece in pieces
            if (ours := [name for name in self.columns if name in piece.frame.columns])
        ]

    def build(self, tracks: pl.DataFrame, labels: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return the block as Float32 columns in the contract's order, one row for each track; raises as ``pieces`` does."""
        expanded = [piece.expand() for piece in self.pieces(tracks, labels)]
        return pl.concat(expanded, how="horizontal").select(self.columns)


def _spread(column: Column) -> list[str]:
    if column.logicalType != "array":
        return [column.name]
    length = column.physicalType.partition("[")[2].removesuffix("]")  # FLOAT[300]
    if not length:
        raise ConfigurationError(
            f"The contract of the features gives column {column.name} no length", "Write one, as in FLOAT[300]"
        )
    return [f"{column.name}_{i}" for i in range(int(length))]


def ordinals() -> dict[str, list[str]]:
    """Return the words of columns that hold words, each at the position by which it counts."""
    return {"key": [str(key) for key in contracts.load("tracks").table.column("key").valid_values or ()], "mode": MODES}


def _audio(tracks: pl.DataFrame, _: pl.DataFrame | None) -> pl.DataFrame:
    return tracks.with_columns(
        pl.col(name).replace_strict(words, range(len(words)), default=None, return_dtype=pl.Float32)
        for name, words in ordinals().items()
    )


def _context(tracks: pl.DataFrame, _: pl.DataFrame | None) -> pl.DataFrame:
    return tracks


def _flags(tracks: pl.DataFrame, _: pl.DataFrame | None) -> list[Piece]:
    return [Piece(*names.flags(tracks, side)) for side in names.SIDES]


def _labels(tracks: pl.DataFrame, labels: pl.DataFrame | None) -> pl.DataFrame:
    if labels is None:
        msg = f"{LABELS} needs a bundle's table of labels"
        raise ValueError(msg)
    artists = tracks.select("artist_key")
    return artists.join(labels, on="artist_key", how="left", maintain_order="left").fill_null(0)


def _vectors(tracks: pl.DataFrame, _: pl.DataFrame | None) -> list[Piece]:
    return [Piece(*names.vectors(tracks, side)) for side in names.SIDES]


BLOCKS: dict[str, Block] = {
    block.name: block
    for block in (
        Block(AUDIO, "the 13 audio features", _audio),
        Block(CONTEXT, "what the artist's visible tracks say together (no label)", _context, needs_context=True),
        Block(FLAGS, "flags from artist name and title", _flags),
        Block(LABELS, "labels of the artist's tracks in the training data", _labels),
        Block(
            VECTORS,
            "spaCy's word vectors of artist name and title (needs the extra: pip install 'genrepipe[text]')",
            _vectors,
            proved=False,
            prepare=names.load_vectors,
        ),
    )
}


def columns(blocks: Sequence[str] = (AUDIO,)) -> list[str]:
    """Return the names of the columns of these blocks, in the order of the matrix."""
    return [name for block in blocks for name in BLOCKS[block].columns]


def position(column: str, block: str = AUDIO) -> int:
    """Return the position of a column in the matrix of its block.

    Raises
    ------
    ValueError
        The block has no such column.
    """
    return columns([block]).index(column)


def needs_context(blocks: Sequence[str]) -> bool:
    """Return whether a block needs tracks that carry the context of their artist."""
    return any(BLOCKS[block].needs_context for block in blocks)


def prepare(blocks: Sequence[str]) -> None:
    """Load what these blocks need before the work starts.

    Raises
    ------
    ExtraMissing
        A block needs a package that is not installed.
    """
    for block in blocks:
        BLOCKS[block].prepare()


def build(
    tracks: pl.DataFrame, blocks: Sequence[str] = (AUDIO,), labels: pl.DataFrame | None = None
) -> list[pl.DataFrame]:
    """Return one frame of Float32 columns for each block, in the contract's order.

    Parameters
    ----------
    tracks
        Scorable tracks with an imputed duration, and with the context of their artist where ``needs_context`` says so.
        A key or mode that the contract does not list becomes null.
    labels
        A bundle's table of training labels: ``artist_key`` and one count for each genre.

    Raises
    ------
    ExtraMissing
        A block needs a package that is not installed.
    ValueError
        A block needs a table of labels, and there is none.
    """
    return [BLOCKS[block].build(tracks, labels) for block in blocks]


def parts(pieces: Sequence[Piece], columns: Sequence[str]) -> list[Part]:
    """Return pieces as parts of a matrix that has some of these columns."""
    found = []
    for piece in pieces:
        # Rows are gathered one by one: theirs lie row by row.
        values = matrix([piece.frame], "F" if piece.positions is None else "C")
        positions = [columns.index(name) for name in piece.frame.columns]
        begin = 0
        for end in range(1, len(positions) + 1):
            if end == len(positions) or positions[end] != positions[end - 1] + 1:
                run = slice(positions[begin], positions[end - 1] + 1)
                found.append(Part(run, values[:, begin:end], piece.positions))
                begin = end
    return found


def matrix(frames: Sequence[pl.DataFrame], order: Literal["C", "F"] = "F") -> Matrix:
    """Return frames side by side as a float32 array of shape (rows, columns), NaN where a value is null.

    ``order`` is that of its memory: column by column, as frames are, or row by row.
    """
    columns = [frame.fill_null(float("nan")).to_numpy() for frame in frames]
    return np.asarray(np.hstack(columns, dtype=np.float32) if len(columns) > 1 else columns[0], np.float32, order=order)
