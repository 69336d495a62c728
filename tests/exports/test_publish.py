"""Published data: every reader reads back what the warehouse holds, whatever became of its run dates."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from genrepipe.core.errors import GenrepipeError
from genrepipe.exports.tables import TABLES
from genrepipe.pipeline.publish import publish
from genrepipe.warehouse import queries
from tests.support import DAY, NEXT, PLAN, Store, ask, genrepipe, run, score, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable

LAST = "2026-11-22"
LAKES = [pytest.param(name, marks=pytest.mark.filterwarnings("ignore")) for name in ("delta", "iceberg")]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One warehouse after each of the commands that change what it has published, the first of them first."""
    folder = tmp_path_factory.mktemp("history")
    warehouse, snapshots = folder / "w.duckdb", folder / "snapshots"
    snapshots.mkdir()
    kept: dict[str, Path] = {}

    def keep(name: str, code: int = 0, wanted: int = 0) -> None:
        assert code == wanted, name
        kept[name] = Path(shutil.copy(warehouse, snapshots / f"{len(kept)}.duckdb"))

    def delivery(name: str, rows: list[dict[str, str]]) -> Path:
        return write_csv(folder / f"{name}.csv", rows)

    first = delivery("first", [*tracks(39), track(99, energy="7")])
    score(first, warehouse, DAY)
    keep("a first night")
    quiet = {"acousticness": "0.98", "energy": "0.02", "loudness": "-30", "instrumentalness": "0.9"}
    other = delivery("quiet", [*tracks(33), *(track(number, **quiet) for number in range(34, 40))])
    score(other, warehouse, NEXT, "--model", "all-features", "--limit", "flipped_percent=100")
    keep("a night with flips, by another model")
    assert ask(warehouse, "SELECT count(*) AS n FROM flips")[0]["n"] > 0
    score(delivery("other", tracks(12, valence="0.1")), warehouse, NEXT, "--name", "other")
    keep("another job on the same date")
    score(delivery("corrected", tracks(38, energy="0.2")), warehouse, DAY)
    keep("an earlier date is scored again")
    refused = run("score", delivery("bad", tracks(20, energy="9")), "--warehouse", warehouse, "--run-date", LAST)
    keep("a refused night", refused.code, 65)
    score(first, warehouse, LAST)
    keep("the night is repeated")
    export = folder / "fixes.csv"
    words = ("--run-date", LAST, "--warehouse", warehouse)
    assert run("quarantine", "export", *words, "--out", export).code == 0
    export.write_text(export.read_text().replace(",7,", ",0.7,"))
    keep("a replay", run("quarantine", "replay", export, *words).code)
    keep("labels", run("labels", first, "--warehouse", warehouse).code)
    keep("a retracted date", run("retract", "--run-date", NEXT, "--job", "other", "--warehouse", warehouse).code)
    keep("a date that is gone", run("retract", "--run-date", NEXT, "--warehouse", warehouse).code)
    keep("a rollback", run("rollback", "--warehouse", warehouse).code)
    score(first, warehouse, LAST, "--keep-days", "1", "--force")
    keep("keep_days")
    return kept


def expected(warehouse: Path, table: str) -> pl.DataFrame:
    return queries.query(warehouse, f"FROM {table}", PLAN)


def assert_same(found: pl.DataFrame, warehouse: Path, table: str) -> None:
    want = expected(warehouse, table)
    found = found.with_columns(pl.col("run_date").cast(pl.String).str.to_date()).select(want.columns)
    order = [name for name in ("run_date", "run_id", "job", "track_id", "name") if name in want.columns]
    times = [name for name, kind in want.schema.items() if isinstance(kind, pl.Datetime)]
    same = [each.with_columns(pl.col(times).dt.cast_time_unit("us")).sort(order) for each in (found, want)]
    assert_frame_equal(*same, check_exact=True)


def polars(folder: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(folder / table / "**/*.parquet", hive_partitioning=True)


def pyarrow(folder: Path, table: str) -> pl.DataFrame:
    parquet = pytest.importorskip("pyarrow.parquet")
    return pl.DataFrame(parquet.read_table(folder / table))


def pandas(folder: Path, table: str) -> pl.DataFrame:
    read = pytest.importorskip("pandas", reason="pandas is of the extra bench").read_parquet
    return pl.DataFrame(read(folder / table, dtype_backend="pyarrow"))


def duckdb(folder: Path, table: str) -> pl.DataFrame:
    """Another process, of which nothing is ours."""
    out = folder.parent / f"{table}.parquet"
    sql = f"COPY (FROM read_parquet('{folder}/{table}/*/*.parquet')) TO '{out}'"
    subprocess.run([sys.executable, "-c", f"import duckdb; duckdb.sql({sql!r})"], check=True)
    return pl.read_parquet(out)


def delta(folder: Path, table: str) -> pl.DataFrame:
    from deltalake import DeltaTable

    return pl.DataFrame(DeltaTable(folder / table).to_pyarrow_table())


def iceberg(folder: Path, table: str) -> pl.DataFrame:
    from pyiceberg.catalog.sql import SqlCatalog

    catalogue = SqlCatalog("genrepipe", uri=f"sqlite:///{folder}/catalog.db")
    return pl.DataFrame(catalogue.load_table(f"genrepipe.{table}").scan().to_arrow())


READERS: dict[str, Callable[[Path, str], pl.DataFrame]] = {"parquet": polars, "delta": delta, "iceberg": iceberg}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("reader", [polars, pyarrow, pandas, duckdb])
def test_every_reader_of_parquet_reads_back_what_the_warehouse_holds(
    history: dict[str, Path], published: Path, reader: Callable[[Path, str], pl.DataFrame], table: str
) -> None:
    assert_same(reader(published, table), history["the night is repeated"], table)


@pytest.fixture(scope="module")
def published(history: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "p"
    publish(history["the night is repeated"], str(folder), missing=True)
    return folder


@pytest.mark.parametrize("form", ["parquet", *LAKES])
def test_a_target_follows_whatever_becomes_of_the_run_dates(
    history: dict[str, Path], tmp_path: Path, form: str
) -> None:
    """After each command the target is what the warehouse is; and once more forward, from a generation that was undone."""
    if form != "parquet":
        pytest.importorskip("pyiceberg", reason="lake tables need the extra: pip install 'genrepipe[lake]'")
    folder = tmp_path / "p"
    steps = [*history.items(), ("back", history["labels"]), ("forth", history["keep_days"])]
    for name, warehouse in steps if form == "parquet" else steps[1::3]:
        publish(warehouse, str(folder), form, missing=not folder.exists())
        for table in TABLES:
            assert_same(READERS[form](folder, table), warehouse, table)
        again = publish(warehouse, str(folder), missing=True)
        assert (again.status, again.written, again.removed) == ("already published", [], []), name


def test_only_what_changed_is_written(history: dict[str, Path], tmp_path: Path) -> None:
    def of(name: str, *, missing: bool = False) -> tuple[set[str], list[str]]:
        result = publish(history[name], str(tmp_path / "p"), missing=missing)
        return {f"{each.table} {each.run_date}" for each in result.written}, result.removed

    def every(day: str) -> set[str]:
        return {f"{table} {day}" for table in TABLES}

    assert of("a night with flips, by another model") == (every(NEXT), [])  # the newest, of a target that is new
    assert of("a night with flips, by another model", missing=True) == (every(DAY), [])
    written, removed = of("an earlier date is scored again")
    assert (written, removed) == ((every(DAY) | every(NEXT)) - {f"flips {DAY}", f"flips {NEXT}"}, [])
    assert of("a refused night") == ({f"runs {LAST}", f"checks {LAST}"}, [])
    assert of("the night is repeated") == (every(LAST), [])
    gone, removed = of("a date that is gone")
    assert {f"predictions {NEXT}", f"flips {NEXT}"} == set(removed)
    assert f"runs {NEXT}" in gone


def test_a_job_publishes_after_its_run(tmp_path: Path) -> None:
    """By the key of a job; a publish that fails is a warning, and the next one catches up."""
    source, folder = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "p"
    warehouse = tmp_path / "w.duckdb"
    dry = score(source, warehouse, DAY, "--publish", folder, "--dry-run")
    assert (dry["publish"], folder.exists()) == (None, False)
    first = score(source, warehouse, DAY, GENREPIPE_PUBLISH=str(folder))
    assert (first["publish"]["status"], first["publish"]["run_dates"]) == ("published", [DAY])
    assert "publish" not in first["warnings"]
    blocked = folder.rename(tmp_path / "away")
    folder.write_text("not a folder")
    job = tmp_path / "job.yaml"
    job.write_text(f"job: score\nname: score\nsource: {source}\nwarehouse: {warehouse}\npublish: {folder}\n")
    failed = run("run", job, "--run-date", NEXT, "--output", "json")
    assert (failed.code, failed.json["status"]) == (0, "published"), failed.err
    assert "publish" in failed.json["warnings"]
    assert failed.json["publish"]["exit_code"] == 78
    assert f"{folder} is a file, not a folder" in failed.json["publish"]["message"]
    assert '"check": "publish"' in failed.err
    assert "failed: " in run("run", job, "--run-date", NEXT).out
    folder.unlink()
    blocked.rename(folder)
    again = score(source, warehouse, NEXT, "--publish", folder)
    assert (again["status"], again["publish"]["run_dates"]) == ("already published", [NEXT])
    for table in TABLES:
        assert_same(polars(folder, table), warehouse, table)


def test_rows_of_one_job_alone(history: dict[str, Path], tmp_path: Path) -> None:
    warehouse, folder = history["the night is repeated"], tmp_path / "p"
    publish(warehouse, str(folder), job="other", missing=True)
    assert polars(folder, "predictions")["job"].unique().to_list() == ["other"]
    assert len(polars(folder, "predictions")) == 12
    with pytest.raises(GenrepipeError, match="was published of job other alone. Give the same --job"):
        publish(warehouse, str(folder))
    with pytest.raises(GenrepipeError, match="No run of job 'none'"):
        publish(warehouse, str(folder), job="none")


def test_whoever_reads_meanwhile_sees_whole_run_dates(history: dict[str, Path], tmp_path: Path) -> None:
    """Another process reads by a plain glob while a date is replaced again and again."""
    folder, stop = tmp_path / "p", tmp_path / "stop"
    two = [history["a night with flips, by another model"], history["an earlier date is scored again"]]
    publish(two[0], str(folder), missing=True)
    code = (
        "import duckdb, sys, pathlib\n"
        f"read = \"SELECT run_id, count(*) FROM read_parquet('{folder}/predictions/*/*.parquet') WHERE run_date = '{DAY}' GROUP BY ALL\"\n"
        "seen = set()\n"
        "print('ready', flush=True)\n"
        f"while not pathlib.Path({str(stop)!r}).exists():\n"
        "    try: seen.add(tuple(duckdb.sql(read).fetchall()))\n"
        "    except duckdb.Error: pass  # it opens a file twice, and says so where it is another one then\n"
        "print(repr(sorted(seen)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        for number in range(12):
            assert publish(two[(number + 1) % 2], str(folder)).status == "published"
        stop.touch()
        seen = eval(reader.stdout.read().splitlines()[-1])
    assert reader.returncode == 0
    whole = [
        tuple(
            ask(each, f"SELECT run_id, count(*) AS n FROM predictions WHERE run_date = '{DAY}' GROUP BY ALL")[
                0
            ].values()
        )
        for each in two
    ]
    assert {(rows,) for rows in whole} >= set(seen)


def test_a_publish_that_fails_on_the_way_is_caught_up(history: dict[str, Path], tmp_path: Path) -> None:
    """Files may not grow past some size: as on a full disk, the date is not half there, and the next publish writes it."""
    folder, warehouse = tmp_path / "p", history["an earlier date is scored again"]
    publish(history["a first night"], str(folder))
    before = polars(folder, "predictions")
    words = [sys.executable, "-m", "genrepipe", "publish", "--to", folder, "--warehouse", warehouse]
    small = 5000  # bytes: less than any table has, and more than the manifest
    limited = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (small, small)),
    )  # fmt: skip
    assert limited.returncode == 74, limited.stderr
    (line,) = [line for line in limited.stderr.splitlines() if not line.startswith("{")]
    assert str(folder) in line
    assert_frame_equal(polars(folder, "predictions"), before)
    assert json.loads((folder / "_manifest.json").read_text())["writing"]
    # back where it was: what was begun is written again, though the versions are those that were published
    publish(history["a first night"], str(folder))
    for table in TABLES:
        assert_same(polars(folder, table), history["a first night"], table)
    publish(warehouse, str(folder))
    for table in TABLES:
        assert_same(polars(folder, table), warehouse, table)


def test_a_file_that_was_lost_is_written_again(history: dict[str, Path], tmp_path: Path) -> None:
    folder, warehouse = tmp_path / "p", history["a first night"]
    publish(warehouse, str(folder))
    (lost,) = (folder / "predictions").rglob("*.parquet")
    lost.unlink()
    assert [each.table for each in publish(warehouse, str(folder)).written] == ["predictions"]


def _foreign(folder: Path) -> None:
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions/mine.parquet").write_bytes(b"mine")


def _stray(folder: Path, warehouse: Path) -> None:
    publish(warehouse, str(folder))
    (folder / f"predictions/run_date={DAY}/mine.parquet").write_bytes(b"mine")


def _broken(folder: Path) -> None:
    folder.mkdir()
    (folder / "_manifest.json").write_text('{"layout": 1}')


@pytest.mark.parametrize(
    ("prepare", "words", "code", "said"),
    [
        (lambda folder, _: folder.write_text("x"), (), 78, "is a file, not a folder"),
        (lambda folder, _: _foreign(folder), (), 78, "holds predictions/mine.parquet, which genrepipe did not write"),
        (_stray, (), 78, "mine.parquet is not listed in the manifest"),
        (lambda folder, _: _broken(folder), (), 78, "is not a manifest that genrepipe wrote"),
        (lambda folder, w: publish(w, str(folder)), ("--format", "delta"), 78, "in format parquet, not delta"),
        (lambda *_: None, ("--run-date", "2026-01-01"), 64, "2026-01-01 is no run date"),
        (lambda *_: None, ("--run-date", DAY, "--missing"), 64, "--run-date stands alone"),
        (lambda *_: None, ("--from-date", DAY), 64, "--from-date and --to-date belong together"),
        (lambda *_: None, ("--missing", "--from-date", NEXT, "--to-date", DAY), 64, "is after"),
        (lambda *_: None, ("--format", "csv"), 64, "'csv' is not one of"),
        (lambda *_: None, ("--to", "http://example.org/p"), 64, "http://… is not known here"),
        (lambda *_: None, ("--to", "s3://user:secret@bucket/p"), 64, "a secret, or a query, is part of the address"),
        (lambda *_: None, ("--to", "s3://bucket/p", "--format", "iceberg"), 64, "published to folders alone"),
        (lambda *_: None, ("--to", " "), 64, "is no name of a target"),
        (lambda *_: None, ("--to", "a\ud800"), 64, "is no name of a target"),
        (lambda *_: None, ("--to", "x" * 5000), 74, "File name too long"),
        (lambda *_: None, ("--to", "none/copy.duckdb", "--format", "duckdb"), 74, "its folder does not exist"),
        (lambda *_: None, ("--to", "/dev/null/p"), 74, "cannot be written: Not a directory"),
        (lambda *_: None, ("--warehouse", "none.duckdb"), 78, "there is no such warehouse"),
    ],
)  # fmt: skip
def test_what_cannot_be_published_is_one_line(
    history: dict[str, Path], tmp_path: Path, prepare: Callable[[Path, Path], Any], words: tuple[str, ...], code: int, said: str
) -> None:  # fmt: skip
    folder = tmp_path / "p"
    prepare(folder, history["a first night"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    given = dict(zip(words[::2], words[1::2], strict=False)) if len(words) % 2 == 0 else {}
    base = {"--to": folder, "--warehouse": history["a first night"]}
    kept = [word for pair in base.items() if pair[0] not in given for word in pair]
    result = run("publish", *kept, *words, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert (result.code, said in result.error) == (code, True), result.err
    assert before.items() <= {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}.items()


def test_a_held_warehouse_and_a_busy_target_are_75(history: dict[str, Path], tmp_path: Path) -> None:
    warehouse, folder = Path(shutil.copy(history["a first night"], tmp_path / "w.duckdb")), tmp_path / "p"
    code = f"import duckdb, sys; c = duckdb.connect({str(warehouse)!r}); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert run("publish", "--to", folder, "--warehouse", warehouse).code == 75
        holder.communicate()
    from genrepipe.exports.targets import Folder

    with Folder(folder):
        busy = run("publish", "--to", folder, "--warehouse", warehouse)
        assert (busy.code, "Another command publishes to" in busy.error) == (75, True)


def test_another_warehouse_does_not_publish_there(history: dict[str, Path], scored: Path, tmp_path: Path) -> None:
    publish(history["a first night"], str(tmp_path / "p"))
    with pytest.raises(GenrepipeError, match="holds what another warehouse published"):
        publish(scored, str(tmp_path / "p"))


def test_a_copy_is_a_warehouse_that_no_lock_can_reach(history: dict[str, Path], tmp_path: Path) -> None:
    """An analyst's shell holds the copy open for writing; runs go on, and so do copies."""
    warehouse, to = tmp_path / "w.duckdb", tmp_path / "copy.duckdb"
    shutil.copy(history["a first night"], warehouse)
    words = ("publish", "--format", "duckdb", "--to", to, "--warehouse", warehouse, "--output", "json")
    assert run(*words).json["status"] == "published"
    assert run(*words).json["status"] == "already published"
    code = f"import duckdb, sys; c = duckdb.connect({str(to)!r}); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        source = write_csv(tmp_path / "t.csv", tracks(5))
        night = score(source, warehouse, NEXT, "--publish", to, "--publish-format", "duckdb")
        assert night["publish"]["status"] == "published"
        shell.communicate()
    for table in TABLES:
        assert_frame_equal(expected(to, table), expected(warehouse, table), check_row_order=False)
    assert {path.name for path in tmp_path.glob("copy*")} == {"copy.duckdb", "copy.duckdb.manifest.json"}
    for foreign in (warehouse, source):
        result = run("publish", "--format", "duckdb", "--to", foreign, "--warehouse", warehouse)
        assert (result.code, "is not a copy that genrepipe publish made" in result.error) == (78, True)


def test_a_bucket_is_a_target_as_a_folder_is(
    history: dict[str, Path], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore", reason="addresses need the extra: pip install 'genrepipe[cloud]'")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    to, options = "s3://music/out/genres", {k.lower(): v for k, v in store.environment.items()} | {"allow_http": "true"}
    for name in ("a night with flips, by another model", "an earlier date is scored again", "a date that is gone"):
        publish(history[name], to, missing=True)
        for table in TABLES:
            found = pl.read_parquet(f"{to}/{table}/**/*.parquet", hive_partitioning=True, storage_options=options)
            assert_same(found, history[name], table)
        assert publish(history[name], to, missing=True).status == "already published"
    keys = {each["Key"] for each in store.client.list_objects_v2(Bucket="music")["Contents"]}
    assert {"out/genres/_manifest.json", "out/genres/contract.odcs.yaml"} <= keys
    assert list(store.folder.iterdir()) == []


def test_a_delta_table_in_a_bucket(history: dict[str, Path], tmp_path: Path, store: Store) -> None:
    """In processes of their own: the library holds the interpreter, and so the server in this one, while it waits."""
    pytest.importorskip("deltalake", reason="lake tables need the extra: pip install 'genrepipe[lake]'")
    for name in ("a night with flips, by another model", "an earlier date is scored again"):
        words = ("publish", "--to", "s3://music/out", "--format", "delta", "--missing", "--output", "json")
        written = genrepipe(*words, "--warehouse", history[name], **store.environment)
        assert (written.code, written.json["status"]) == (0, "published"), written.err
    read = (
        "import sys; from deltalake import DeltaTable; from pyarrow import parquet\n"
        f"parquet.write_table(DeltaTable('s3://music/out/predictions', storage_options={{'allow_http': 'true'}}).to_pyarrow_table(), {str(tmp_path / 'o')!r})"
    )
    environment = os.environ | store.environment
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert_same(pl.read_parquet(tmp_path / "o"), history["an earlier date is scored again"], "predictions")


def test_buckets_that_are_not_there_or_not_ours(
    history: dict[str, Path], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore", reason="addresses need the extra: pip install 'genrepipe[cloud]'")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    warehouse = history["a first night"]
    result = run("publish", "--to", "s3://none/out", "--warehouse", warehouse, **store.environment)
    assert (result.code, "there is no such store" in result.error) == (74, True), result.err
    store.put("flips/mine.parquet", b"mine")
    result = run("publish", "--to", "s3://music", "--warehouse", warehouse, **store.environment)
    assert (result.code, "holds flips/mine.parquet" in result.error) == (78, True), result.err
    from genrepipe.exports.targets import Prefix

    with Prefix("s3://music/out") as one, Prefix("s3://music/out") as other:
        assert one.read("_manifest.json") is other.read("_manifest.json") is None
        one.write("_manifest.json", b"1")
        one.write("_manifest.json", b"2")
        with pytest.raises(GenrepipeError, match="Another command publishes to"):
            other.write("_manifest.json", b"3")
