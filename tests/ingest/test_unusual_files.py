"""Unusual files: cut short, compressed without end, pipes, headers that are none."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from genrepipe.core import errors
from genrepipe.ingest import files
from tests.support import (
    genrepipe,
    run,
    tracks,
    write_csv,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst"])
def test_a_compressed_file_has_a_limit(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv.gz":
        path.write_bytes(gzip.compress(b"0" * 3_000_000))
    else:
        import zstandard

        path.write_bytes(zstandard.compress(b"0" * 3_000_000))
    files.check_complete(path, path.name)
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2_000_000)
    with pytest.raises(errors.SourceShapeError, match="decompresses to more than"):
        files.check_complete(path, path.name)


@pytest.mark.parametrize(("end", "code"), [("", 74), ("\n", 0)])
def test_a_file_that_ends_within_its_last_row_is_not_whole(
    tmp_path: Path, warehouse: Path, end: str, code: int
) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(60))
    source.write_text(source.read_text().rstrip()[:-100] + end)
    result = run("score", source, "--warehouse", warehouse)
    assert result.code == code
    assert (code == 0) or "ends within row 60" in result.error


def test_a_pipe_is_no_source(tmp_path: Path, warehouse: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    result = run("score", tmp_path / "p.csv", "--warehouse", warehouse)
    assert result.code == 64
    assert "neither a file nor a folder" in result.error


def test_a_message_stays_a_line_whatever_the_header(tmp_path: Path, warehouse: Path) -> None:
    write_csv(tmp_path / "t.csv", tracks(500))
    result = run("score", tmp_path / "t.csv", "--warehouse", warehouse, "--encoding", "utf-16")
    assert result.code == 65
    assert len(result.error) < 1500


def test_what_is_rewritten_leaves_no_scratch_folder(tmp_path: Path) -> None:
    source, scratch = write_csv(tmp_path / "t.csv", tracks(3), lineterminator="\r"), tmp_path / "scratch"
    scratch.mkdir()
    told = genrepipe("validate", source, "--output", "json", TMPDIR=str(scratch))
    assert (told.json["accepted"], list(scratch.iterdir())) == (3, [])
