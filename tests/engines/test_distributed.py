"""Tasks leave what one process leaves, to the bit; each is run here without a cluster."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import genrepipe
from genrepipe.core.errors import GenrepipeError
from genrepipe.engines import spark
from genrepipe.ingest import pieces
from tests.engines.inprocess import cluster
from tests.engines.parity import differences
from tests.pipeline.test_nights import CHANGES, FREE, tonight, written
from tests.support import ask, run, track, write_csv

FIRST, SECOND, THIRD = "2026-11-20", "2026-11-21", "2026-11-22"
ARTISTS = ["Ann", "ann", "Bob", "Cat feat. Bob", "empty_field", "Dora; Ann", "Émile"]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "cluster", cluster)


class Both:
    """Two warehouses, one of each engine."""

    def __init__(self, folder: Path, buckets: int = 2) -> None:
        self.local, self.lake, self._buckets = folder / "local.duckdb", folder / "lake.duckdb", buckets

    def score(self, source: object, day: str, **words: Any) -> list[str]:
        """Score a date on both, and return how they differ; what each raises is the same."""
        words = {"limits": FREE, **words}
        outcomes = []
        for warehouse, how in (
            (self.local, {}),
            (self.lake, {"engine": "spark", "master": "local", "buckets": self._buckets}),
        ):
            try:
                genrepipe.score(source, warehouse, run_date=day, **{**how, **words})
                outcomes.append("")
            except GenrepipeError as error:
                outcomes.append(f"{type(error).__name__}: {error}")
        if outcomes[0] != outcomes[1]:
            return outcomes
        return differences(self.local, self.lake) if self.local.exists() else []


def many(count: int) -> list[dict[str, str]]:
    return [
        track(
            n, artist_name=ARTISTS[n % len(ARTISTS)] if n % 3 else f"Artist {n % 11}", energy=f"0.{n % 89 + 10}", tempo="?" if n % 7 == 0 else "120.5",
            duration_ms="-1" if n % 5 == 0 else "200000", music_genre=("Rock", "Jazz", "", "Polka")[n % 4],
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


NIGHTS = {
    "nights": st.lists(
        st.tuples(CHANGES, st.sampled_from([FIRST, SECOND, THIRD, "2026-11-23"])), min_size=1, max_size=3
    ),
    "kind": st.sampled_from(["increment", "snapshot"]),
    "model": st.sampled_from(["artist-context", "known-artist"]),
    "keep_days": st.sampled_from([None, None, 1]),
    "buckets": st.integers(1, 4),
}
SLOWLY = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=2, deadline=None, suppress_health_check=SLOWLY)
@given(**NIGHTS)
def test_nights_on_both_engines_leave_the_same(**drawn: Any) -> None:
    leave_the_same(**drawn)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=SLOWLY)
@given(**NIGHTS)
def test_many_nights_on_both_engines_leave_the_same(**drawn: Any) -> None:
    leave_the_same(**drawn)


def leave_the_same(
    nights: list[tuple[list[tuple[str, int]], str]], kind: str, model: str, keep_days: int | None, buckets: int
) -> None:
    rows = [track(n, artist_name=ARTISTS[n % len(ARTISTS)], energy=f"0.{n}") for n in range(1, 15)]
    rows[3]["duration_ms"] = "-1"
    rows[5]["music_genre"] = ""
    with tempfile.TemporaryDirectory() as folder:
        both = Both(Path(folder), buckets)
        words = {
            "delivery": kind,
            "model": model,
            "keep_days": keep_days,
            "force": True,
        }  # by what is new a history has fewer rows, which say the same
        assert both.score(written(Path(folder, "0.csv"), rows), SECOND, **words) == []
        for number, (changes, day) in enumerate(nights):
            rows = tonight(rows, changes)
            if not any(len(row) > 1 and any(row.values()) for row in rows):
                return
            assert both.score(written(Path(folder, f"{number + 1}.csv"), rows), day, **words) == []


def dirty(folder: Path) -> Path:
    """Write a delivery of four kinds of files, with something of everything that can be wrong with a row."""
    folder.mkdir()
    rows, names = many(120), list(track())
    broken = [
        rows[3], {**rows[4], "energy": "0.11"}, {**rows[5], "energy": "7"}, dict.fromkeys(rows[0], ""),
        {**rows[6], "instance_id": ""}, {**rows[7], "track_name": 'two "lines"\nin one'},
    ]  # fmt: skip
    write_csv(folder / "a.csv", rows[:40] + broken)
    with (folder / "a.csv").open("a") as file:
        file.write('one cell\n\n"bad "quote",x\n')
    with gzip.open(folder / "b.csv.gz", "wt") as packed:
        packed.write(
            ",".join(names) + "\n" + "".join(",".join(row[name] for name in names) + "\n" for row in rows[35:70])
        )
        packed.write(",".join({**rows[10], "valence": "0.99"}[name] for name in names) + "\n")
    pl.DataFrame(rows[70:100]).write_parquet(folder / "c.parquet")
    pl.DataFrame([*rows[100:], {**rows[8], "mode": "Dorian"}]).write_ndjson(folder / "d.jsonl")
    return folder


def test_a_dirty_delivery_and_a_second_night_with_a_shadow(tmp_path: Path) -> None:
    both = Both(tmp_path)
    assert both.score(dirty(tmp_path / "first"), FIRST) == []
    counts = ask(both.lake, "SELECT quarantined, duplicates, empty FROM runs")[0]
    assert counts["quarantined"] > 5
    assert counts["duplicates"] > 3
    assert counts["empty"] == 1
    changed = [{**row, "energy": "0.93"} if n % 4 == 0 else row for n, row in enumerate(many(130))]
    assert both.score(write_csv(tmp_path / "2.csv", changed), SECOND, shadow="all-features") == []
    assert ask(both.lake, "SELECT count(*) AS n FROM shadow_predictions") == [{"n": 130}]
    assert ask(both.lake, "SELECT DISTINCT cause FROM flips") != []


def test_the_files_of_a_delta_table(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(tmp_path / "table", pl.DataFrame(many(60)))
    deltalake.write_deltalake(tmp_path / "table", pl.DataFrame(many(90)[60:]), mode="append")
    assert Both(tmp_path).score(tmp_path / "table", FIRST) == []


def test_an_artist_with_half_of_all_tracks_and_tracks_of_nobody(tmp_path: Path) -> None:
    rows = [{**row, "artist_name": ("Big", "empty_field", "Big", f"A{n}")[n % 4]} for n, row in enumerate(many(200))]
    assert Both(tmp_path, 4).score(write_csv(tmp_path / "t.csv", rows), FIRST) == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_parts_that_are_cut_have_the_rows_of_whole_ones(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a cell holds line ends, and a row that is quarantined keeps its number."""
    monkeypatch.setattr(pieces, "CSV_BYTES", 3000)
    monkeypatch.setattr(pieces, "CHUNK", 1000)
    monkeypatch.setattr(pieces, "PARQUET_ROWS", 50)
    rows = [{**row, "track_name": f'A "{n}"\nand more'} for n, row in enumerate(many(300))]
    for n in (7, 150, 299):
        rows[n]["energy"] = "7"
    source = tmp_path / f"t{suffix}"
    pl.DataFrame(rows).write_parquet(source, row_group_size=40) if suffix == ".parquet" else write_csv(source, rows)
    asked: list[int] = []
    cut = pieces.cut
    monkeypatch.setattr(pieces, "cut", lambda *words: asked.append(len(found := cut(*words))) or found)
    both = Both(tmp_path)
    assert both.score(source, FIRST) == []
    assert asked[0] >= 4
    numbers = ask(both.lake, "SELECT row_number FROM quarantine ORDER BY 1")
    assert [each["row_number"] for each in numbers] == [8, 151, 300]


def test_a_run_that_is_refused_leaves_the_same_evidence(tmp_path: Path) -> None:
    both = Both(tmp_path)
    assert both.score(write_csv(tmp_path / "1.csv", many(60)), FIRST) == []
    lines = [{**row, "energy": "7"} if n % 2 else row for n, row in enumerate(many(60))]
    assert both.score(write_csv(tmp_path / "2.csv", lines), SECOND, limits={"quarantined_percent": 10}) == []
    other = [{**row, "energy": "0.03", "loudness": "-30", "artist_name": f"B{n}"} for n, row in enumerate(many(60))]
    assert both.score(write_csv(tmp_path / "3.csv", other), SECOND, limits={"flipped_percent": 0}) == []
    statuses = ask(both.lake, "SELECT status, exit_code FROM runs ORDER BY started_at")
    assert [(each["status"], each["exit_code"]) for each in statuses] == [
        ("published", 0),
        ("refused", 65),
        ("refused", 70),
    ]
    assert ask(both.lake, "SELECT count(*) AS n FROM flips") != [{"n": 0}]
    assert both.score(write_csv(tmp_path / "4.csv", many(60)), SECOND) == []


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "instance_id\n1\n"])
def test_what_is_no_table_is_refused_in_the_same_words(tmp_path: Path, text: str) -> None:
    source = tmp_path / "t.csv"
    source.write_text(text)
    assert Both(tmp_path).score(source, FIRST) == []
    assert Both(tmp_path).score(tmp_path / "none.csv", FIRST) == []


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Return two warehouses with two nights."""
    return two_nights(tmp_path)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Return the same, for tests that write nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spark, "cluster", cluster)
        return two_nights(tmp_path_factory.mktemp("unchanged"))


def two_nights(tmp_path: Path) -> Both:
    made = Both(tmp_path)
    assert made.score(write_csv(tmp_path / "1.csv", many(60)), FIRST, shadow="all-features") == []
    rows = [{**row, "energy": "0.9"} if n % 3 == 0 else row for n, row in enumerate(many(60))]
    rows[4]["energy"] = "9"
    assert made.score(write_csv(tmp_path / "2.csv", rows), SECOND, shadow="all-features") == []
    return made


def test_labels_are_taken_and_the_buckets_of_their_tracks_written_anew(both: Both, tmp_path: Path) -> None:
    labels = write_csv(tmp_path / "l.csv", [{"instance_id": str(n), "music_genre": "Jazz"} for n in (1, 2, 3, 999)])
    for warehouse in (both.local, both.lake):
        assert run("labels", labels, "--warehouse", warehouse).code == 0
    assert differences(both.local, both.lake) == []
    assert ask(both.lake, "SELECT music_genre FROM tracks WHERE track_id = '1'") == [{"music_genre": "Jazz"}]
    assert both.score(tmp_path / "1.csv", THIRD) == []


def test_rollback_goes_back_to_the_files_of_the_generation_before(both: Both) -> None:
    for _ in range(2):
        for warehouse in (both.local, both.lake):
            assert run("rollback", "--warehouse", warehouse).code == 0
        assert [line for line in differences(both.local, both.lake) if not line.startswith("runs")] == []
    assert len(ask(both.lake, "SELECT DISTINCT run_date FROM predictions")) == 2


def test_vacuum_removes_what_no_generation_lists(both: Both, tmp_path: Path) -> None:
    lake = tmp_path / "lake.duckdb.lake"
    orphan = next(lake.glob("*/track_history")) / "00000-0.parquet"
    orphan.write_bytes(b"left by a killed task")
    stranger = lake / "notes.txt"
    stranger.write_text("mine")
    before = set(lake.rglob("*.parquet"))
    assert run("rollback", "--warehouse", both.lake).code == 0
    result = run("vacuum", "--warehouse", both.lake, "--output", "json")
    assert result.json["removed"] == 1, result.err
    assert {*lake.rglob("*.parquet")} == before - {orphan}
    assert stranger.exists()
    assert run("rollback", "--warehouse", both.lake).code == 0
    assert [line for line in differences(both.local, both.lake) if not line.startswith("runs")] == []
    both.score(tmp_path / "1.csv", THIRD)  # the generation before the one before is gone: its tracks and profiles go
    assert run("vacuum", "--warehouse", both.lake, "--output", "json").json["removed"] > 3
    assert len(ask(both.lake, "SELECT DISTINCT run_date FROM predictions")) == 3


@pytest.mark.parametrize(
    ("words", "works"),
    [
        (("query", "SELECT count(*) FROM predictions"), True),
        (("query", "FROM explain_track('1')"), True),
        (("missing", "--from", FIRST, "--to", THIRD), True),
        (("quarantine", "list"), True),
        (("quarantine", "export", "--run-date", SECOND, "--out", "{out}"), True),
        (("models", "compare"), True),
        (("verify", "--run", "{run_id}"), True),
        (("score", "{source}", "--dry-run", "--run-date", THIRD, "--limit", "flipped_percent=100"), True),
        (("score", "{source}", "--run-date", THIRD), False),
        (("retract", "--run-date", SECOND), False),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, tuple) else None,
)
def test_commands_on_a_lake_work_or_are_refused_before_anything_is_touched(
    unchanged: Both, tmp_path: Path, words: tuple[str, ...], works: bool
) -> None:
    both = unchanged
    run_id = ask(both.lake, "SELECT run_id FROM runs ORDER BY started_at DESC LIMIT 1")[0]["run_id"]
    values = {"out": tmp_path / "out.csv", "source": both.lake.parent / "1.csv", "run_id": run_id}
    before = both.lake.read_bytes()
    result = run(*(word.format(**values) for word in words), "--warehouse", both.lake)
    assert result.code == (0 if works else 78), result.err
    assert both.lake.read_bytes() == before
    if not works:
        assert "lie in a lake" in result.err


def test_corrected_rows_are_refused_in_words(unchanged: Both, tmp_path: Path) -> None:
    both = unchanged
    out = tmp_path / "out.csv"
    run("quarantine", "export", "--run-date", SECOND, "--out", out, "--warehouse", both.lake)
    out.write_text(out.read_text().replace(",9,", ",0.9,"))
    result = run("quarantine", "replay", out, "--run-date", SECOND, "--warehouse", both.lake)
    assert result.code == 78
    assert "lie in a lake" in result.err


def test_a_warehouse_with_tables_of_its_own_is_not_taken_into_a_lake(unchanged: Both) -> None:
    both, tmp_path = unchanged, unchanged.lake.parent
    with pytest.raises(GenrepipeError, match="holds its tables itself"):
        genrepipe.score(tmp_path / "1.csv", both.local, run_date=THIRD, engine="spark", master="local")
    with pytest.raises(GenrepipeError, match="has 2 buckets, not 5"):
        genrepipe.score(tmp_path / "1.csv", both.lake, run_date=THIRD, engine="spark", master="local", buckets=5)
    with pytest.raises(GenrepipeError, match="lie in .*lake.duckdb.lake"):
        genrepipe.score(
            tmp_path / "1.csv", both.lake, run_date=THIRD, engine="spark", master="local", lake=tmp_path / "o"
        )
    with pytest.raises(GenrepipeError, match="belongs to"):
        genrepipe.score(tmp_path / "1.csv", tmp_path / "new.duckdb", run_date=THIRD, engine="spark", master="local", lake=str(tmp_path / "lake.duckdb.lake"))  # fmt: skip
    assert not (tmp_path / "o").exists()
    with pytest.raises(GenrepipeError, match="s3://bucket/lake is no folder"):
        genrepipe.score(tmp_path / "1.csv", tmp_path / "new.duckdb", run_date=THIRD, engine="spark", master="local", lake="s3://bucket/lake")  # fmt: skip
    with pytest.raises(GenrepipeError, match="A dry run has no other engine"):
        genrepipe.score(tmp_path / "1.csv", both.lake, run_date=THIRD, engine="spark", master="local", dry_run=True)


def test_a_lake_that_was_moved_away_is_told(both: Both, tmp_path: Path) -> None:
    shutil.move(tmp_path / "lake.duckdb.lake", tmp_path / "away")
    result = run("query", "SELECT count(*) FROM predictions", "--warehouse", both.lake)
    assert result.code == 74, result.err
    assert "lake.duckdb.lake" in result.error


def test_only_the_lake_can_be_read_by_a_query(unchanged: Both) -> None:
    source = unchanged.lake.parent / "1.csv"
    result = run("query", f"SELECT * FROM read_csv('{source}')", "--warehouse", unchanged.lake)
    assert result.code == 64


def test_the_views_over_a_lake_are_commented_as_the_tables_are(unchanged: Both) -> None:
    """Also with the units."""
    asked = "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main' ORDER BY ALL"
    assert ask(unchanged.lake, asked) == ask(unchanged.local, asked)
