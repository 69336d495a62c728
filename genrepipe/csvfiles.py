"""The bytes of a CSV file, packed or plain: whether they are whole, and how their lines end."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, BinaryIO

from genrepipe.errors import SourceShapeError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

MAX_UNPACKED_BYTES = 2**34  # of one compressed file; some hundred million tracks
ZSTD_BLOCK = 2**17  # RFC 8878: no block unpacks to more


def packing(path: Path) -> str:
    """Return ``.gz`` or ``.zst``, or nothing where the file is not compressed, by its name."""
    suffix = path.suffix.lower()
    return suffix if suffix in {".gz", ".zst"} else ""


def check_whole(path: Path, name: str) -> None:
    """Refuse a compressed file that was cut short or damaged; DuckDB would read what is there and say nothing.

    gzip is read to its end and its checksum compared (RFC 1952); of zstd the headers of frames and blocks are walked
    (RFC 8878), which finds a cut.

    Raises
    ------
    StorageError
        The file is not whole, or not of the kind that its name says.
    SourceShapeError
        It unpacks to more than any track table.
    """
    try:
        unpacked = 0
        if packing(path) == ".gz":
            with gzip.open(path) as file:
                while unpacked <= MAX_UNPACKED_BYTES and (chunk := file.read(1 << 20)):
                    unpacked += len(chunk)
        elif packing(path) == ".zst":
            with path.open("rb") as file:
                unpacked = _walk_zstd(file, path.stat().st_size)
        if unpacked > MAX_UNPACKED_BYTES:
            raise SourceShapeError(
                f"{name} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes",
                "If it is a track table indeed, deliver it in several files",
            )
    except (EOFError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        raise StorageError(
            f"{name} cannot be read to its end: {error}", "It may be cut short or still be written: deliver it again"
        ) from error
    except OSError as error:
        raise StorageError(f"{name} cannot be read: {error.strerror}", "Check its permissions and the disk") from error


def _walk_zstd(file: BinaryIO, size: int) -> int:
    """Return how many bytes the blocks unpack to, at most."""
    blocks = 0

    def take(count: int) -> bytes:
        found = file.read(count)
        if len(found) < count:
            msg = "the last frame is cut short"
            raise EOFError(msg)
        return found

    while file.tell() < size:
        magic = int.from_bytes(take(4), "little")
        if magic & 0xFFFFFFF0 == 0x184D2A50:  # a frame to skip
            file.seek(int.from_bytes(take(4), "little"), 1)
            continue
        if magic != 0xFD2FB528:
            msg = "it is not zstd"
            raise ValueError(msg)
        descriptor = take(1)[0]
        single_segment, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
        content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
        take((1 - single_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size)
        last = False
        while not last:
            header = int.from_bytes(take(3), "little")
            last, run_length, length = bool(header & 1), header >> 1 & 3 == 1, header >> 3
            blocks += 1
            file.seek(1 if run_length else length, 1)
        take(4 * checksum)
    if file.tell() > size:
        msg = "the last block is cut short"
        raise EOFError(msg)
    return blocks * ZSTD_BLOCK


def lone_returns(path: Path) -> bool:
    """Tell whether lines end in a carriage return alone, by the first quarter of a megabyte."""
    if packing(path) == ".zst":
        return False
    with gzip.open(path) if packing(path) == ".gz" else path.open("rb") as file:
        return b"\r" in file.read(1 << 18).replace(b"\r\n", b"")


def ends_in_line_end(path: Path) -> bool:
    """Tell whether a file's last byte ends a line; one of UTF-16 or UTF-8 alike."""
    with path.open("rb") as file:
        file.seek(-min(2, path.stat().st_size), 2)
        return file.read().rstrip(b"\0").endswith((b"\n", b"\r"))


def with_line_feeds(path: Path, out: BinaryIO) -> None:
    """Copy a CSV file, unpacked, with every line ending in a line feed."""
    kept = b""
    with gzip.open(path) if packing(path) == ".gz" else path.open("rb") as file:
        while chunk := file.read(1 << 20):
            chunk = kept + chunk
            kept = chunk[-1:] if chunk.endswith(b"\r") else b""  # its line feed may come with the next chunk
            out.write(chunk[: len(chunk) - len(kept)].replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    out.write(kept.replace(b"\r", b"\n"))
