"""Labels that arrive after the tracks."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.support import (
    DAY,
    NEXT,
    ask,
    run,
    score,
    tracks,
    write_csv,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def test_labels_that_came_later_stay_where_the_source_has_none(tmp_path: Path, warehouse: Path) -> None:
    bare = write_csv(tmp_path / "t.csv", tracks(20, music_genre=""))
    score(bare, warehouse)
    given = [{"instance_id": f"{i}.0", "music_genre": "Rock"} for i in range(1, 21)]
    assert run("labels", write_csv(tmp_path / "l.csv", given), "--warehouse", warehouse).code == 0
    score(write_csv(tmp_path / "t.csv", tracks(19, music_genre="")), warehouse, NEXT)
    assert len(ask(warehouse, "FROM tracks WHERE music_genre = 'Rock'")) == 20
    assert {row["run_date"] for row in ask(warehouse, "FROM performance")} == {DAY, NEXT}


@pytest.mark.parametrize(
    ("text", "code", "received"),
    [
        ("instance_id,music_genre\r\n1,Rock\n2,Rock\r\n", 0, 2),
        ("instance_id,music_genre\n1,Rock\n2\n3,Rock,more\n", 0, 3),
        ('instance_id,music_genre\n1,Rock\n2,"Rock\n3,Rock\n4,Rock\n', 65, 0),
        ("", 65, 0),
    ],
)
def test_no_row_of_labels_is_lost(tmp_path: Path, warehouse: Path, text: str, code: int, received: int) -> None:
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    (tmp_path / "l.csv").write_text(text, newline="")
    result = run("labels", tmp_path / "l.csv", "--warehouse", warehouse, "--output", "json")
    assert result.code == code, result.err
    if code == 0:
        told = result.json
        assert told["received"] == received
        assert received == told["labelled"] + told["unknown_tracks"] + told["repeated"] + told["not_labels"]
        (line,) = ask(warehouse, "FROM runs WHERE action = 'labels'")
        assert line["received"] == line["withheld"] + line["duplicates"]


def test_labels_that_come_later_measure_the_runs(tmp_path: Path, sample: Path) -> None:

    warehouse, bare, labels = tmp_path / "w.duckdb", tmp_path / "bare.csv", tmp_path / "labels.csv"
    whole = pl.read_csv(sample, infer_schema=False)
    whole.drop("music_genre").write_csv(bare)
    score(bare, warehouse)
    score(bare, warehouse, NEXT, "--model", "all-features", "--shadow", "lda-2d")
    assert ask(warehouse, "FROM performance") == []
    given = whole.select("instance_id", "music_genre").drop_nulls()
    extra = pl.DataFrame({"instance_id": ["nobody", "1"], "music_genre": ["Rock", "Polka"]})
    pl.concat([given, extra]).write_csv(labels)
    result = run("labels", labels, "--warehouse", warehouse, "--output", "json")
    assert result.code == 0, result.err
    counts = result.json
    assert (
        counts["received"] == counts["labelled"] + counts["unknown_tracks"] + counts["repeated"] + counts["not_labels"]
    )
    assert (counts["labelled"], counts["unknown_tracks"], counts["not_labels"]) == (3000, 1, 1)
    rows = ask(warehouse, "SELECT run_date, role, model, tracks FROM performance ORDER BY run_date, role")
    assert [(r["run_date"], r["role"], r["model"]) for r in rows] == [
        (DAY, "served", "artist-context"), (NEXT, "served", "all-features"), (NEXT, "shadow", "lda-2d"),
    ]  # fmt: skip
    (by_hand,) = ask(
        warehouse,
        f"SELECT avg((genre = music_genre)::INT) AS a FROM predictions JOIN tracks USING (track_id) WHERE run_date = '{DAY}'",
    )
    assert ask(warehouse, f"SELECT accuracy FROM performance WHERE run_date = '{DAY}'")[0]["accuracy"] == pytest.approx(
        by_hand["a"]
    )
    assert run("labels", bare, "--warehouse", warehouse).code == 65
