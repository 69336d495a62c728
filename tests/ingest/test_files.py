"""The bytes of a CSV file: complete or refused, however they were packed; where lines end, and which are blank."""

from __future__ import annotations

import csv
import gzip
import io
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genrepipe.core.errors import SourceShapeError, StorageError
from genrepipe.ingest import files
from tests.support import GOOD, landed, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"  # a frame of three bytes that no reader shows (RFC 8878)
ANY = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def write(folder: Path, content: bytes, name: str = "t.csv.zst") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def whole(path: Path) -> bool:
    try:
        files.check_complete(path, path.name)
    except StorageError:
        return False
    return True


@pytest.mark.parametrize("level", [1, 19])
@pytest.mark.parametrize("checksum", [False, True])
def test_whole_zstd_files_pass_and_every_cut_is_found(tmp_path: Path, level: int, checksum: bool) -> None:
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=checksum)
    content = compressor.compress(write_csv(tmp_path / "raw.csv", tracks(3000)).read_bytes())
    for several in (content, content + content, SKIPPABLE + content, content + SKIPPABLE + content + SKIPPABLE):
        assert whole(write(tmp_path, several))
    for cut in (3, 5, 9, len(content) // 2, len(content) - 1):
        with pytest.raises(StorageError, match=r"^t.csv.zst cannot be read to its end: .*cut short.*deliver it again"):
            files.check_complete(write(tmp_path, content[:cut]), "t.csv.zst")


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("sized", [False, True])
def test_a_zstd_file_of_several_frames_is_whole_at_their_ends_alone(
    tmp_path: Path, checksum: bool, sized: bool
) -> None:
    """Cut at every byte: what a writer had finished may stand, half a frame may not."""
    compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized)
    frames = [
        compressor.compress(b"a,b\n" * 9),
        SKIPPABLE,
        compressor.compress(b""),
        compressor.compress(b"1,2\n3,4\n"),
    ]
    content, ends, at = b"".join(frames), set(), 0
    for frame in frames:
        at += len(frame)
        ends.add(at)
    found = {cut for cut in range(1, len(content) + 1) if whole(write(tmp_path, content[:cut]))}
    assert found == ends


def test_every_cut_of_a_gzip_file_is_found(tmp_path: Path) -> None:
    members = [gzip.compress(b"a,b\n" * 9), gzip.compress(b"1,2\n3,4\n")]
    content = b"".join(members)
    found = {cut for cut in range(1, len(content) + 1) if whole(write(tmp_path, content[:cut], "t.csv.gz"))}
    assert found == {len(members[0]), len(content)}


@pytest.mark.parametrize("at", [-1, -2, -3, -4])
def test_a_wrong_checksum_is_found(tmp_path: Path, at: int) -> None:
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(write_csv(tmp_path / "r", tracks(50)).read_bytes())
    damaged = bytearray(packed)
    damaged[at] ^= 1
    for content in (bytes(damaged), packed + bytes(damaged), bytes(damaged) + packed):
        with pytest.raises(StorageError, match=r"cannot be read to its end: .*checksum"):
            files.check_complete(write(tmp_path, content), "t.csv.zst")


@pytest.mark.parametrize("name", ["t.csv.zst", "t.csv.gz"])
@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" + bytes(100), b"plain,text\n1,2\n", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"]
)
def test_what_is_not_packed_as_its_name_says_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    assert not whole(write(tmp_path, content, name))


@settings(max_examples=200, **ANY)  # type: ignore[arg-type]
@given(content=st.binary(max_size=300), at=st.integers(0, 299), flip=st.integers(1, 255))
def test_a_changed_byte_is_found_or_changes_nothing(tmp_path: Path, content: bytes, at: int, flip: int) -> None:
    """With checksums, bytes either read as they were packed, or are refused."""
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(content))
    packed[at % len(packed)] ^= flip
    path = write(tmp_path, bytes(packed))
    if whole(path):
        assert b"".join(files.decompressed(path)) in {
            content,
            b"",
        }  # a magic number may become that of a skippable frame


def frames_of(content: bytes, size: int) -> bytes:
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
    return b"".join(compressor.compress(content[start : start + size]) for start in range(0, len(content), size))


def blocks_of(content: bytes, size: int) -> bytes:
    packing = zstandard.ZstdCompressor(level=1).compressobj()
    parts = []
    for start in range(0, len(content), size):
        parts += [packing.compress(content[start : start + size]), packing.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)]
    return b"".join([*parts, packing.flush()])


def raw_blocks_of(content: bytes, size: int) -> bytes:
    """One frame of blocks that are not compressed, each with a header of three bytes (RFC 8878, 3.1.1)."""
    starts = range(0, len(content), size)
    blocks = b"".join(
        struct.pack("<I", (len(content[s : s + size]) << 3) | (s + size >= len(content)))[:3] + content[s : s + size]
        for s in starts
    )
    return b"\x28\xb5\x2f\xfd" + b"\x00\x58" + blocks  # no checksum, no size, a window of 2 MB


@pytest.mark.parametrize(
    ("pack", "size"), [(frames_of, 2), (frames_of, 120), (blocks_of, 2), (blocks_of, 120), (raw_blocks_of, 1)]
)
def test_many_tiny_frames_and_blocks_are_read(tmp_path: Path, pack, size: int) -> None:  # type: ignore[no-untyped-def]
    """A reader that guesses sizes by frames or blocks of the largest kind would refuse them: 2,500 rows are small."""
    content = write_csv(tmp_path / "raw.csv", tracks(2_500)).read_bytes()
    packed = pack(content, size)
    assert len(content) / size * 2**17 > files.MAX_UNPACKED_BYTES or size == 120
    path = write(tmp_path, packed)
    assert b"".join(files.decompressed(path)) == content
    with landed(path) as (_, found):
        assert (found.counts.received, found.counts.accepted) == (2_500, 2_500)
    with pytest.raises(StorageError, match="cut short"):
        files.check_complete(write(tmp_path, packed[:-1]), "t.csv.zst")


def test_a_file_that_unpacks_without_end_is_refused_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of blocks, each of which is four bytes and stands for 128 KiB."""
    block = struct.pack("<I", (2**17 << 3) | 2)[:3] + b"0"
    path = write(tmp_path, b"\x28\xb5\x2f\xfd" + b"\x00\x58" + block * 2**18)
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2**29)
    tracemalloc.start()
    try:
        with pytest.raises(SourceShapeError, match="decompresses to more than 536,870,912 bytes") as caught:
            files.check_complete(path, path.name)
        assert tracemalloc.get_traced_memory()[1] < 2**29
    finally:
        tracemalloc.stop()
    assert caught.value.exit_code == 65


lines = st.lists(st.sampled_from(["", "", "a,b", '"a\n\nb",c', '"\n"', "x", " ", '"a""\n"', "é"]), max_size=12)


@settings(max_examples=150, **ANY)  # type: ignore[arg-type]
@given(rows=lines, end=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans(), form=st.sampled_from(["", ".gz", ".zst"]),
       encoding=st.sampled_from(["utf-8", "utf-8-sig"]), chunk=st.sampled_from([1 << 20, 7, 64]))  # fmt: skip
@example(rows=["a"], end="\n", last=True, form="", encoding="utf-8-sig", chunk=1 << 20)
def test_blank_lines_are_those_that_the_csv_module_sees(
    tmp_path: Path, rows: list[str], end: str, last: bool, form: str, encoding: str, chunk: int
) -> None:
    text = end.join(rows) + (end if last else "")
    packed = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[form](text.encode(encoding))
    path = write(tmp_path, packed, f"t.csv{form}")
    expected = [number for number, cells in enumerate(csv.reader(io.StringIO(text, newline="")), 1) if not cells]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "CHUNK", chunk)
        assert files.blank_lines(path) == expected
        records = [cells for cells in csv.reader(io.StringIO(text, newline="")) if cells]
        assert files.count_lines(path) == len(records)
        if end != "\r":  # of such files a copy is read
            assert files.count_records(path, '"') == len(records)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(("text", "ended"), [("a,b\n1,2\n", True), ("a,b\r", True), ("a,b\n1,2", False), ("é", False)])
def test_whether_a_file_ends_in_a_line_end(tmp_path: Path, text: str, ended: bool, encoding: str) -> None:
    assert files.ends_in_line_end(write(tmp_path, text.encode(encoding), "t.csv")) is ended


@pytest.mark.parametrize("name", ["T.CSV.GZ", "T.CSV.ZST", "T.CSV"])
def test_names_in_capitals_are_read_alike(tmp_path: Path, name: str) -> None:
    """Thousands of rows: packed, some of their bytes are carriage returns."""
    plain = write_csv(tmp_path / "plain.csv", tracks(3000)).read_bytes()
    pack = {"GZ": gzip.compress, "ZST": zstandard.compress}.get(name.rpartition(".")[2], bytes)
    with landed(write(tmp_path, pack(plain), name)) as (_, found):
        assert (found.counts.received, found.counts.accepted) == (3000, 3000)
    if pack is not bytes:
        cut = write(tmp_path, pack(plain) + pack(plain)[:-20], name)
        with pytest.raises(StorageError, match="cannot be read to its end"), landed(cut):
            pass


def test_rows_of_many_members_are_all_read(tmp_path: Path) -> None:
    """Appended gzip members, as log shippers leave them."""
    header = ",".join(GOOD) + "\n"
    members = [gzip.compress(header.encode())]
    members += [gzip.compress((",".join(row.values()) + "\n").encode()) for row in tracks(300)]
    with landed(write(tmp_path, b"".join(members), "t.csv.gz")) as (_, found):
        assert found.counts.accepted == 300
