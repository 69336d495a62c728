"""Parts of a source cut into pieces that can be read apart from each other, each as a file of its own.

A plain CSV file is cut between records, where it is certain where records end: every quote begins or ends a cell, and all
lines end alike. A Parquet file is cut between row groups. Anything else is one piece.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genrepipe.core.errors import GenrepipeError
from genrepipe.core.quoting import file_literal
from genrepipe.ingest import files, reader, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from genrepipe.ingest.sources import Part, Source
    from genrepipe.warehouse.connection import Database

    Positions = npt.NDArray[np.int64]

CSV_BYTES = 64 << 20  # of a piece; more than a reader looks at to tell how a file is written
PARQUET_ROWS = 400_000
CHUNK = 8 << 20
QUOTE, COMMA, LINE_FEED, RETURN = b'",\n\r'


@dataclass(frozen=True)
class Piece:
    """A piece of a part of a source.

    Attributes
    ----------
    ordinal
        The part's place in the source.
    first
        How many rows of the part come before it.
    begins, ends
        Its bytes in a CSV file, or its rows in a Parquet file; ``ends`` is None where it is the whole part.
    header
        How many bytes of a CSV file come before its first row.
    """

    ordinal: int
    first: int = 0
    begins: int = 0
    ends: int | None = None
    header: int = 0


def cut(database: Database, source: Source, ordinal: int) -> list[Piece]:
    """Return the pieces of a part, in its order; a part that cannot be read is one piece, whose reading says why."""
    part, whole = source.parts[ordinal], [Piece(ordinal)]
    try:
        if part.kind == "parquet":
            return _cut_parquet(database, part, ordinal) or whole
        if part.kind == "csv" and not files.compression(part.path) and part.path.stat().st_size > CSV_BYTES:
            dialect = text.detect(part.path, part.name, source.encoding, part.delimiter)
            if dialect.plain and not dialect.skipped and (dialect.delimiter, dialect.quote) == (",", '"'):
                return _cut_csv(part.path, ordinal) or whole
    except (OSError, GenrepipeError):
        pass
    return whole


def _cut_parquet(database: Database, part: Part, ordinal: int) -> list[Piece]:
    file = file_literal(part.path)
    names = {name for (name,) in database.rows(f"SELECT name FROM parquet_schema({file})", reading=part)}
    if reader.ROW_NUMBER in names:
        return []
    groups = database.rows(
        f"SELECT row_group_id, any_value(row_group_num_rows) FROM parquet_metadata({file}) GROUP BY ALL ORDER BY ALL",
        reading=part,
    )
    pieces, begins, at = [], 0, 0
    for number, (_, rows) in enumerate(groups):
        at += rows
        if at - begins >= PARQUET_ROWS or number == len(groups) - 1:
            pieces.append(Piece(ordinal, begins, begins, at))
            begins = at
    return pieces if len(pieces) > 1 else []


def _cut_csv(path: Path, ordinal: int) -> list[Piece]:
    """Return the pieces of a CSV file; none where it is not certain where its records end, or there is one piece."""
    cuts: list[tuple[int, int]] = []  # each a byte, and the records before it
    header = 0
    scan, counter = _Scan(), files.RecordCounter('"')
    at = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            ends = scan.record_ends(chunk)
            if ends is None:
                return []
            wanted = (cuts[-1][0] if cuts else 0) + CSV_BYTES
            if not header and len(ends):
                header = at + int(ends[0]) + 1
            later = ends[ends + at + 1 >= wanted] if at + len(chunk) >= wanted else ends[:0]
            if len(later):
                cut = int(later[0]) + 1
                counter.add(chunk[:cut])
                cuts.append((at + cut, counter.records()))
                counter.add(chunk[cut:])
            else:
                counter.add(chunk)
            at += len(chunk)
    if not scan.is_regular() or not cuts or not header:
        return []
    if cuts[-1][0] == at:
        cuts.pop()
    bounds = [(header, 1), *cuts, (at, 0)]
    return [Piece(ordinal, before - 1, begins, ends, header) for (begins, before), (ends, _) in pairwise(bounds)]


class _Scan:
    """Finds where the records of a CSV file end, chunk by chunk, as long as that is certain."""

    def __init__(self) -> None:
        self._odd = 0  # quotes so far, modulo two
        self._last = LINE_FEED  # the byte before the chunk
        self._ends = 0  # line feeds that end records, those of them after a carriage return, and all carriage returns
        self._returned = 0
        self._returns = 0
        self._closed = False  # whether the last byte was a quote that ends a cell

    def record_ends(self, chunk: bytes) -> Positions | None:
        """Return the positions of line feeds that end records; None where it is not certain which do."""
        data = np.frombuffer(bytes([self._last]) + chunk, dtype=np.uint8)
        quotes = np.flatnonzero(data[1:] == QUOTE) + 1
        opens = quotes[self._odd :: 2]
        closes = quotes[1 - self._odd :: 2]
        before = data[opens - 1]
        if not np.isin(before, (COMMA, LINE_FEED, QUOTE)).all():
            return None
        if self._closed and data[1] not in {COMMA, LINE_FEED, RETURN, QUOTE}:
            return None
        inner = closes[closes < len(data) - 1]
        if not np.isin(data[inner + 1], (COMMA, LINE_FEED, RETURN, QUOTE)).all():
            return None
        feeds = np.flatnonzero(data[1:] == LINE_FEED) + 1
        ends = feeds[(np.searchsorted(quotes, feeds) + self._odd) % 2 == 0]
        self._ends += len(ends)
        self._returned += int((data[ends - 1] == RETURN).sum())
        self._returns += int((data[1:] == RETURN).sum())
        self._closed = bool(len(closes) and closes[-1] == len(data) - 1)
        self._odd = (self._odd + len(quotes)) % 2
        self._last = int(data[-1])
        found: Positions = ends - 1
        return found

    def is_regular(self) -> bool:
        """Return whether no quote is left open, and all records end alike: a carriage return anywhere else may end a line to a reader."""
        return self._odd == 0 and self._returns == self._returned and self._returned in {0, self._ends}


@contextmanager
def opened(piece: Piece, part: Part, scratch: Path) -> Iterator[Part]:
    """Yield a part that is the piece: a copy of these bytes after the header, or the same file with these rows."""
    if piece.ends is None:
        yield part
    elif part.kind == "parquet":
        yield replace(part, rows=(piece.begins, piece.ends))
    else:
        scratch.mkdir(exist_ok=True)
        with part.path.open("rb") as file, tempfile.NamedTemporaryFile(suffix=".csv", dir=scratch) as copy:
            copy.write(file.read(piece.header))
            file.seek(piece.begins)
            copy.write(file.read(piece.ends - piece.begins))
            copy.flush()
            yield replace(part, path=Path(copy.name))
