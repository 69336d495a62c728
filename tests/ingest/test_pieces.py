"""Pieces of a file hold its rows, in its order, or the file is one piece."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrepipe.ingest import pieces, sources
from genrepipe.ingest.pieces import Piece
from genrepipe.warehouse.connection import Database
from tests.support import PLAN

CELL = st.text(st.sampled_from('ab1",\n\r ;é'), max_size=6)


def cut(path: Path, size: int, chunk: int) -> list[Piece]:
    with pytest.MonkeyPatch.context() as patch, Database(None, PLAN) as database:
        patch.setattr(pieces, "CSV_BYTES", size)
        patch.setattr(pieces, "CHUNK", chunk)
        patch.setattr(pieces, "PARQUET_ROWS", size)
        return pieces.cut(database, sources.resolve([str(path)]), 0)


def read(piece: Piece, path: Path) -> list[list[str]]:
    (part,) = sources.resolve([str(path)]).parts
    with tempfile.TemporaryDirectory() as scratch, pieces.opened(piece, part, Path(scratch)) as opened:
        return list(csv.reader(io.StringIO(opened.path.read_text(encoding="utf-8"), newline="")))


@settings(max_examples=180, deadline=None)
@given(
    rows=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=40),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    size=st.integers(20, 200),
    chunk=st.integers(7, 90),
)
def test_pieces_of_any_csv_file_are_its_rows(
    rows: list[list[str]], end: str, quoting: int, size: int, chunk: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator=end, quoting=quoting)
            writer.writerows([["a", "b", "c"], *rows])
        found = cut(path, size, chunk)
        if found == [Piece(0)]:
            return
        whole = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
        read_again = [read(piece, path) for piece in found]
        assert all(lines[0] == ["a", "b", "c"] for lines in read_again)
        assert [line for lines in read_again for line in lines[1:]] == whole[1:]
        counted = [len([line for line in lines[1:] if line]) for lines in read_again]
        assert [piece.first for piece in found] == [sum(counted[:n]) for n in range(len(found))]


def lines(count: int, cell: str = "x") -> str:
    return "a,b\n" + "".join(f"{n},{cell}\n" for n in range(count))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (lines(100), 7),
        (lines(100, '"x\ny"'), 12),
        (lines(100, '"say ""no"""'), 20),
        (lines(50) + '7,5" disk\n' + lines(50)[4:], 1),  # a quote within a cell
        (lines(50) + '7,"open\n' + lines(50)[4:], 1),
        (lines(100).replace("\n", "\r\n"), 8),
        (lines(50) + lines(50)[4:].replace("\n", "\r\n"), 1),  # two kinds of line ends
        (lines(100).replace("5,x", "5,\rx"), 1),
        (lines(100).replace(",", ";"), 1),
        ("\n" + lines(100), 1),
        ("# of the export\n" + lines(100), 1),
        (lines(1), 1),
    ],
    ids=["plain", "line ends in cells", "escaped quotes", "a stray quote", "an open quote", "CRLF", "mixed", "a lone return", "semicolons", "a blank line first", "a comment", "small"],
)  # fmt: skip
def test_a_csv_file_is_cut_where_that_is_certain(tmp_path: Path, text: str, count: int) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    assert len(cut(path, 70, 33)) == pytest.approx(count, abs=2 if count > 1 else 0)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl"])
def test_other_files_are_one_piece(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(lines(100))
    assert cut(tmp_path / name, 70, 33) == [Piece(0)]


def test_a_parquet_file_is_cut_between_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": range(100)}).write_parquet(path, row_group_size=10)
    assert [(p.first, p.begins, p.ends) for p in cut(path, 25, 0)] == [
        (0, 0, 30),
        (30, 30, 60),
        (60, 60, 90),
        (90, 90, 100),
    ]
    pl.DataFrame({"a": range(100), "file_row_number": range(100)}).write_parquet(path, row_group_size=10)
    assert cut(path, 25, 0) == [Piece(0)]
