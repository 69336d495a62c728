"""The bytes of a CSV file, compressed or plain: whether they are complete, how lines end, which lines are blank."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from genrepipe.core.errors import SourceShapeError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_UNPACKED_BYTES = 2**34  # of one compressed file; some hundred million tracks
CHUNK = 1 << 20
# At a time of a zstd file: a chunk of the densest blocks becomes 128 MB, and each frame that ends copies the rest of its chunk.
PACKED_CHUNK = 1 << 12
# A quoted cell, which begins where a cell begins, or a line end; by the delimiter.
_RECORD_PARTS = {
    delimiter: re.compile(rb'(?:(?<=[\n\r%s])|^)"(?:[^"]|"")*(?:"|$)|\r\n|\n|\r' % delimiter.encode())
    for delimiter in (",", "\t")
}


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
        size = 0
        for chunk in _decompressed(path):
            size += len(chunk)
            if size > MAX_UNPACKED_BYTES:
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


def _decompressed(path: Path) -> Iterator[bytes]:
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


def blank_lines(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> list[int]:
    """Return the numbers, from 1, of the blank lines of a CSV file, which no reader takes for rows.

    A line is what a row is: a line break in a quoted cell ends none.
    """
    if not _may_have_blank_lines(path, encoding):
        return []
    blank: list[int] = []
    line, kept = 1, b""
    for chunk in chain(_utf8(path, encoding), [b""]):  # after the last chunk, what was kept is all that there is
        text, start = kept + chunk, 0
        for part in _RECORD_PARTS[delimiter].finditer(text):
            if chunk and part.end() == len(text):
                break  # it may go on in the next chunk
            if part[0].startswith(b'"'):
                continue
            if part.start() == start:
                blank.append(line)
            line, start = line + 1, part.end()
        kept = text[start:]
    return blank


def _utf8(path: Path, encoding: str) -> Iterator[bytes]:
    """Yield the text of a file in UTF-8, without a byte order mark; Latin-1 as it is, since its line ends and quotes are the same."""
    if encoding != "utf-16":
        chunks = _decompressed(path)
        yield next(chunks, b"").removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decode = codecs.getincrementaldecoder("utf-16")("replace").decode
    for chunk in _decompressed(path):
        yield decode(chunk).encode()


def _may_have_blank_lines(path: Path, encoding: str) -> bool:
    kept = b"\n"  # so that a first line counts
    for chunk in _utf8(path, encoding):
        text = kept + chunk
        if any(mark in text for mark in (b"\n\n", b"\n\r", b"\r\r")):
            return True
        kept = text[-2:]
    return False


def has_lone_returns(path: Path) -> bool:
    """Return whether lines end in a carriage return alone, judged by the first 256 KiB."""
    if compression(path) == ".zst":
        return False
    with gzip.open(path) if compression(path) == ".gz" else path.open("rb") as file:
        return b"\r" in file.read(1 << 18).replace(b"\r\n", b"")


def ends_in_line_end(path: Path) -> bool:
    """Return whether a file, of UTF-8 or UTF-16, ends in a line end."""
    with path.open("rb") as file:
        file.seek(-min(2, path.stat().st_size), 2)
        return file.read().rstrip(b"\0").endswith((b"\n", b"\r"))


def with_line_feeds(path: Path, out: BinaryIO) -> None:
    """Copy a CSV file, decompressed, with a line feed as the end of every line."""
    kept = b""
    with gzip.open(path) if compression(path) == ".gz" else path.open("rb") as file:
        while chunk := file.read(1 << 20):
            chunk = kept + chunk
            kept = chunk[-1:] if chunk.endswith(b"\r") else b""  # its line feed may come with the next chunk
            out.write(chunk[: len(chunk) - len(kept)].replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    out.write(kept.replace(b"\r", b"\n"))
