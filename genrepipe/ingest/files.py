"""The bytes of a text file, compressed or plain: whether they are complete, how many records they hold, which lines are blank."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import zstandard

from genrepipe.core.errors import SourceShapeError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_UNPACKED_BYTES = 2**34  # of one compressed file; some hundred million tracks
CHUNK = 1 << 20
# At a time of a zstd file: a chunk of the densest blocks becomes 128 MB, and each frame that ends copies the rest of its chunk.
PACKED_CHUNK = 1 << 12
GZIP_TRAILER = 8  # bytes
LINE_FEED, RETURN = 10, 13


def compression(path: Path) -> str:
    """Return ``.gz`` or ``.zst``, or nothing where the file is not compressed, by its name."""
    suffix = path.suffix.lower()
    return suffix if suffix in {".gz", ".zst"} else ""


def check_complete(path: Path, name: str) -> None:
    """Refuse a compressed file that was cut short or damaged; DuckDB would read what is there and say nothing.

    The file is decompressed to its end, where the checksums of gzip (RFC 1952) and, where they are present, of zstd
    (RFC 8878) are compared.

    Raises
    ------
    StorageError
        The file is not complete, or not of the kind that its name says.
    SourceShapeError
        It decompresses to more than ``MAX_UNPACKED_BYTES``.
    """
    if not compression(path):
        return
    try:
        if _unpacked(path).size > MAX_UNPACKED_BYTES:
            raise SourceShapeError(
                f"{name} decompresses to more than {MAX_UNPACKED_BYTES:,} bytes",
                "If it is really a track table, deliver it in several files",
            )
    except (EOFError, ValueError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise StorageError(
            f"{name} cannot be read to its end: {error}", "It may be cut short or still be written: deliver it again"
        ) from error
    except OSError as error:
        raise StorageError(f"{name} cannot be read: {error.strerror}", "Check its permissions and the disk") from error


@dataclass(frozen=True)
class Unpacked:
    """What is in a compressed file: bytes, the last of them, and records, as ``count_records`` counts them with quotes."""

    size: int
    last: bytes
    records: int


def _unpacked(path: Path) -> Unpacked:
    """Decompress a file to its end, once; one that is too large, as far as that shows."""
    status = path.stat()
    return _unpacked_of(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _unpacked_of(path: Path, *_: int) -> Unpacked:
    size, last, counter = 0, b"", RecordCounter('"')
    for chunk in _without_mark(path):
        size, last = size + len(chunk), chunk[-1:] or last
        if size > MAX_UNPACKED_BYTES:
            break
        counter.add(chunk)
    return Unpacked(size, last, counter.records())


def decompressed(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, decompressed by the kind that its name says."""
    if compression(path) == ".zst":
        with path.open("rb") as file:
            yield from _zstd_frames(file)
        return
    with gzip.open(path) if compression(path) == ".gz" else path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _zstd_frames(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of every frame; the reader of the library takes a frame that was cut short for its end."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=2**31)
    frame = decompressor.decompressobj()
    begun, kept = False, b""
    while chunk := kept or file.read(PACKED_CHUNK):
        kept = b""
        content = frame.decompress(chunk)
        begun = True
        if content:
            yield content
        if frame.eof:
            kept, begun, frame = frame.unused_data, False, decompressor.decompressobj()
    if begun:
        msg = "the last frame is cut short"
        raise EOFError(msg)


def blank_lines(path: Path, delimiter: str = ",", quote: str = '"') -> list[int]:
    """Return the numbers, from 1, of the blank lines of a CSV file, which no reader takes for rows.

    A line is what a row is: a line break in a quoted cell ends none.
    """
    if not _may_have_blank_lines(path):
        return []
    return [number for number, is_blank in enumerate(_lines(path, delimiter, quote), 1) if is_blank]


def count_lines(path: Path, delimiter: str = ",", quote: str = '"') -> int:
    """Return how many lines of a CSV file are not blank; a line is what a row is, as for ``blank_lines``."""
    return sum(not is_blank for is_blank in _lines(path, delimiter, quote))


def _lines(path: Path, delimiter: str, quote: str) -> Iterator[bool]:
    """Yield for each line whether it is blank."""
    kept, parts = b"", _record_parts(delimiter, quote)
    for chunk in chain(_without_mark(path), [b""]):  # after the last chunk, what was kept is all that there is
        text, start = kept + chunk, 0
        for part in parts.finditer(text):
            if chunk and part.end() == len(text):
                break  # it may go on in the next chunk
            if part[0].startswith(b'"'):
                continue
            yield part.start() == start
            start = part.end()
        kept = text[start:]
    if kept:
        yield False


@cache
def _record_parts(delimiter: str, quote: str) -> re.Pattern[bytes]:
    """Return the pattern of a quoted cell, which begins where a cell begins, or a line end."""
    cell = rb'(?:(?<=[\n\r%s])|^)"(?:[^"]|"")*(?:"|$)|' % re.escape(delimiter.encode()) if quote else b""
    return re.compile(cell + rb"\r\n|\n|\r")


def _without_mark(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, decompressed, without a byte order mark."""
    chunks = decompressed(path)
    yield next(chunks, b"").removeprefix(codecs.BOM_UTF8)
    yield from chunks


def _may_have_blank_lines(path: Path) -> bool:
    kept = b"\n"  # so that a first line counts
    for chunk in _without_mark(path):
        text = kept + chunk
        if any(mark in text for mark in (b"\n\n", b"\n\r", b"\r\r")):
            return True
        kept = text[-2:]
    return False


def head(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, decompressed.

    Raises
    ------
    StorageError
        It cannot be read.
    """
    found = b""
    try:
        for chunk in decompressed(path):
            found += chunk
            if len(found) >= size:
                break
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", "Check its permissions and the disk") from error
    return found[:size]


def has_padding(path: Path, marks: bytes) -> bool:
    """Return whether a file, or what is compressed in it, ends in one of the bytes ``marks``, or a gzip file in zeros."""
    if not compression(path):
        with path.open("rb") as file:
            file.seek(-min(1, path.stat().st_size), 2)
            return file.read() in [bytes([mark]) for mark in marks]
    with path.open("rb") as file:
        file.seek(-min(GZIP_TRAILER + 1, path.stat().st_size), 2)
        return _unpacked(path).last in [bytes([mark]) for mark in marks] or not file.read().strip(b"\0")


def count_records(path: Path, quote: str) -> int:
    """Return how many records a CSV file has, blank lines apart: counted without the reader, to be held against it.

    A line break counts where the quotes before it are even in number, as RFC 4180 has them.
    """
    if compression(path) and quote == '"':
        return _unpacked(path).records
    counter = RecordCounter(quote)
    for chunk in _without_mark(path):
        counter.add(chunk)
    return counter.records()


class RecordCounter:
    """Counts the records of a file, chunk by chunk."""

    def __init__(self, quote: str) -> None:
        self._quote = quote
        self._records = self._odd = 0
        self._begun = b""  # the first bytes of the line that the last chunk ends in

    def add(self, chunk: bytes) -> None:
        """Count the lines that end in a chunk."""
        data = np.frombuffer(chunk, dtype=np.uint8)
        ends = np.flatnonzero(data == LINE_FEED)
        if self._quote:
            quotes = np.flatnonzero(data == ord(self._quote))
            ends = ends[(np.searchsorted(quotes, ends) + self._odd) % 2 == 0]
            self._odd = (self._odd + len(quotes)) % 2
        if not len(ends):
            self._begun = (self._begun + chunk[:2])[:2]
            return
        starts, lengths = ends[:-1] + 1, np.diff(ends) - 1
        blank = int(((lengths == 0) | ((lengths == 1) & (data[starts] == RETURN))).sum())
        blank += self._begun + chunk[: ends[0]][:2] in {b"", b"\r"}
        self._records += len(ends) - blank
        self._begun = chunk[ends[-1] + 1 :][:2]

    def records(self) -> int:
        """Return how many there were, with the one that no line end ends."""
        return self._records + (self._begun not in {b"", b"\r"})


def ends_in_line_end(path: Path) -> bool:
    """Return whether a file ends in a line end."""
    with path.open("rb") as file:
        file.seek(-min(1, path.stat().st_size), 2)
        return file.read() in {b"\n", b"\r"}
