"""Object stores as sources: a real S3 protocol on this machine (moto), and a server of files."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import polars as pl
import pytest
import zstandard

from tests.support import DAY, Store, ask, genrepipe, run, score, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("obstore", reason="addresses need the extra: pip install 'genrepipe[cloud]'")

LEFT = "genrepipe.ingest.stores."  # how folders of downloads begin


@pytest.fixture(autouse=True)
def temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command in this process look for the folder of temporary files again, as a new process does."""
    monkeypatch.setattr(tempfile, "tempdir", None)


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve in a thread, and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_a_night_is_scored_from_a_bucket(tmp_path: Path, store: Store) -> None:
    """The names in the warehouse are addresses, the night is recognised, verified, labelled; no copy stays."""
    key = "nights/{run_date}.csv.gz"
    rows = [*tracks(40), *tracks(1, instance_id="99", energy="7")]
    body = gzip.compress(write_csv(tmp_path / "t.csv", rows).read_bytes())
    address = store.put(key.format(run_date=DAY), body)
    warehouse = tmp_path / "w.duckdb"
    first = score(f"s3://music/{key}", warehouse, DAY, **store.environment)
    assert (first["received"], first["predicted"], first["quarantined"]) == (41, 40, 1)
    assert list(first["stages"])[:3] == ["bundle", "fetching", "lock"]
    assert ask(warehouse, "SELECT sources FROM runs") == [{"sources": [address]}]
    assert ask(warehouse, "SELECT file, row_number FROM quarantine") == [{"file": address, "row_number": 41}]
    assert score(f"s3://music/{key}", warehouse, DAY, **store.environment)["status"] == "already published"
    again = run("verify", "--run", first["run_id"], "--warehouse", warehouse, "--output", "json", **store.environment)
    assert (again.code, again.json["status"]) == (0, "identical")
    labels = run("labels", address, "--warehouse", warehouse, "--output", "json", **store.environment)
    assert (labels.code, labels.json["received"]) == (0, 41)
    assert list(store.folder.iterdir()) == []
    age = ask(warehouse, "SELECT observed FROM checks WHERE name = 'source_age_hours' LIMIT 1")
    assert 0 <= age[0]["observed"] < 1


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("s3://music/a b.csv", ["a b.csv"]),
        ("s3://music/50%25[1].csv", ["50%25[1].csv"]),
        ("s3://music", ["50%25[1].csv", "a b.csv", "n/2/c.csv", "n/b.csv"]),
        ("s3://music/", ["50%25[1].csv", "a b.csv", "n/2/c.csv", "n/b.csv"]),
        ("s3://music/n", ["n/2/c.csv", "n/b.csv"]),
        ("s3://music/n/", ["n/2/c.csv", "n/b.csv"]),
        ("s3://music/n/*.csv", ["n/_hidden.csv", "n/b.csv"]),
        ("s3://music/*/*/?.csv", ["n/2/c.csv"]),
        ("s3://music/n/**/*.csv", ["n/2/c.csv", "n/_hidden.csv", "n/b.csv"]),
        ("s3://music/**/b*.csv", ["n/b.csv"]),
        ("s3://music/n/**/c*", ["n/2/c.csv"]),
    ],
)
def test_an_address_names_an_object_a_folder_or_a_pattern(
    tmp_path: Path, store: Store, address: str, found: list[str]
) -> None:
    for number, key in enumerate(
        ("a b.csv", "50%25[1].csv", "n/b.csv", "n/2/c.csv", "n/_hidden.csv", "n/.dot.csv", "n/readme.txt")
    ):
        store.put(key, write_csv(tmp_path / "t.csv", tracks(1, instance_id=str(number), energy="7")))
    told = run("validate", address, "--output", "json", **store.environment)
    assert told.code == 65, told.err
    (reason,) = told.json["reasons"]
    assert sorted(example["file"] for example in reason["examples"]) == [f"s3://music/{key}" for key in found]


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("s3://music/none.csv", 66, "there is no such object. Check the address"),
        ("s3://music/none-*.csv", 66, "there is no such object"),
        ("s3://music/readme.txt", 64, "s3://music/readme.txt: neither CSV, JSON Lines nor Parquet by its name"),
        ("s3://music/*", 64, "s3://music/readme.txt: neither CSV, JSON Lines nor Parquet by its name"),
        ("s3://other/a.csv", 66, "there is no such"),
        ("s3://music/w.duckdb::tracks", 64, "Copy it to a file first"),
        ("s3://music/n//a.csv", 64, "without empty"),
        ("s3://music/../a.csv", 64, "without empty"),
        ("ftp://host.example/a.csv", 64, "Name a path, or s3://"),
        ("http://127.0.0.1:9/a.txt", 64, "neither CSV, JSON Lines nor Parquet by its name"),
        ("s3://", 64, "Check the address"),
    ],
)
def test_what_is_wrong_with_an_address_is_one_line(store: Store, address: str, code: int, words: str) -> None:
    store.put("readme.txt", b"hello")
    result = run("validate", address, **store.environment)
    assert (result.code, words in result.error) == (code, True), result.err


@pytest.mark.parametrize(
    "address",
    [
        "s3://some-key:hush@music/a.csv",
        "s3://some-key:hu/sh@music/a.csv",
        "s3://music?secret=hush",
        "s3://music/a.csv?sig=hush",
        "az://container?sig=hush",
        "abfss://user:hush@account.dfs.core.windows.net/a.csv",
        "https://host.example/a.csv?token=hush",
        "https://host.example?token=hush",
        "https://user:hush@host.example/a.csv",
        "https://user:p/hush@host.example/a.csv",
        "postgres://user:hush@host.example/x.duckdb::t",
    ],
)
def test_a_secret_in_an_address_is_refused_and_told_to_nobody(tmp_path: Path, address: str) -> None:
    words = ("--warehouse", "w.duckdb", "--lineage-file", "events.json", "--result-file", "result.json")
    result = run("score", address, *words, cwd=tmp_path)
    assert result.code == 64
    shown = result.err + result.out + "".join(path.read_text() for path in tmp_path.iterdir())
    assert not any(word in shown for word in ("hush", "hu/", "/sh"))
    assert {path.name for path in tmp_path.iterdir()} == {"events.json", "result.json"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_ENDPOINT_URL", "127.0.0.1:9", "AWS_ENDPOINT_URL is not the address of a server"),
        ("AWS_ENDPOINT_URL", "http://host:port", "AWS_ENDPOINT_URL is not the address of a server"),
        ("AWS_ACCESS_KEY_ID", "some-key\n", "AWS_ACCESS_KEY_ID holds a line break"),
    ],
)
def test_settings_that_cannot_be_used_are_78(store: Store, name: str, value: str, words: str) -> None:
    result = run("validate", "s3://music/a.csv", **{**store.environment, name: value})
    assert (result.code, words in result.error) == (78, True), result.err


def test_a_store_that_is_not_there_or_refuses_is_worth_another_attempt(tmp_path: Path, store: Store) -> None:
    address = store.put("a.csv", write_csv(tmp_path / "t.csv", tracks(2)))
    gone = run("validate", address, **{**store.environment, "AWS_ENDPOINT_URL": "http://user:hush@127.0.0.1:9"})
    assert (gone.code, "Check the address, the store's settings" in gone.error) == (74, True)
    assert "hush" not in gone.err

    class Refusing(_Quiet):
        def do_GET(self) -> None:
            content = b"<Error><StringToSign>hush</StringToSign>" + b"x" * 100_000
            self.send_response(403)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with serving(Refusing) as endpoint:
        refused = run("validate", "s3://music", **{**store.environment, "AWS_ENDPOINT_URL": endpoint})
    assert (refused.code, "403 Forbidden" in refused.error) == (74, True), refused.err
    assert len(refused.error) < 500
    assert "hush" not in refused.err
    lost = run("validate", address, **{**store.environment, "TMPDIR": str(tmp_path / "none")})
    assert (lost.code, "TMPDIR" in lost.error) == (74, True)


def test_messages_and_ledger_name_the_object_and_not_its_copy(tmp_path: Path, store: Store) -> None:
    whole = write_csv(tmp_path / "t.csv", tracks(50)).read_bytes()
    parquet = tmp_path / "t.parquet"
    pl.read_csv(tmp_path / "t.csv", infer_schema=False).write_parquet(parquet)
    for key, content, code in (
        ("cut.csv.gz", gzip.compress(whole)[:-20], 74),
        ("cut.csv.zst", zstandard.compress(whole)[:-5], 74),
        ("cut.parquet", parquet.read_bytes()[:-30], 74),
        ("void.csv", b"", 65),
        ("void.parquet", b"", 74),
    ):
        address = store.put(key, content)
        result = run("score", address, "--warehouse", tmp_path / "w.duckdb", **store.environment)
        assert result.code == code, (key, result.err)
        assert address in result.error
        assert LEFT not in result.error
    errors = ask(tmp_path / "w.duckdb", "SELECT error FROM runs")
    assert len(errors) == 5
    assert not any(LEFT in line["error"] for line in errors)


def test_an_object_that_is_packed_under_a_plain_name_is_told(store: Store) -> None:
    store.client.put_object(Bucket="music", Key="a.csv", Body=gzip.compress(b"x"), ContentEncoding="gzip")
    told = run("validate", "s3://music/a.csv", **store.environment)
    assert (told.code, "Content-Encoding gzip" in told.error) == (65, True)


def test_an_object_that_is_named_twice_is_read_once(tmp_path: Path, store: Store) -> None:
    address = store.put("a.csv", write_csv(tmp_path / "t.csv", tracks(5)))
    told = run("validate", address, "s3://music/*.csv", address, "--output", "json", **store.environment)
    assert (told.json["received"], told.json["duplicates"]) == (5, 0)


def test_what_others_left_among_the_temporary_files_is_not_touched(tmp_path: Path, store: Store) -> None:
    address = store.put("a.csv", write_csv(tmp_path / "t.csv", tracks(5)))
    (tmp_path / "precious").mkdir()
    (store.folder / f"{LEFT}link").symlink_to(tmp_path / "precious")
    (store.folder / f"{LEFT}evil").mkdir()
    (store.folder / f"{LEFT}evil" / "lock").symlink_to(tmp_path / "made")
    assert run("validate", address, **store.environment).code == 0
    assert not (tmp_path / "made").exists()
    assert list((tmp_path / "precious").iterdir()) == []


def test_an_object_of_the_web(tmp_path: Path) -> None:
    """Its name is its address as it was given; a run can be verified by it."""
    write_csv(tmp_path / "a% night?.csv", tracks(3))
    with serving(partial(_Quiet, directory=str(tmp_path))) as address:
        warehouse = tmp_path / "w.duckdb"
        scored = score(f"{address}/a%25%20night%3F.csv", warehouse)
        assert scored["predicted"] == 3
        assert ask(warehouse, "SELECT sources FROM runs") == [{"sources": [f"{address}/a%25%20night%3F.csv"]}]
        again = run("verify", "--run", scored["run_id"], "--warehouse", warehouse, "--output", "json")
        assert again.json["status"] == "identical"
        assert run("validate", f"{address}/none.csv").code == 66
        assert run("validate", address).code == 64


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_ends_a_run_that_waits_for_a_store(tmp_path: Path, store: Store, number: int, code: int) -> None:
    """And what a kill leaves among the temporary files, the next run removes."""
    called, over = threading.Event(), threading.Event()

    class Slow(_Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.send_header("Last-Modified", "Mon, 23 Nov 2026 01:00:00 GMT")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"instance_id,")
                self.wfile.flush()
                called.set()
                over.wait()

        do_HEAD = do_GET  # noqa: N815

    with serving(Slow) as endpoint:
        try:
            warehouse = tmp_path / "w.duckdb"
            command = [sys.executable, "-m", "genrepipe", "score", f"{endpoint}/a.csv", "--warehouse", str(warehouse)]
            with subprocess.Popen(
                command, stderr=subprocess.PIPE, text=True, env=os.environ | store.environment
            ) as process:
                try:
                    assert called.wait(60)
                    process.send_signal(number)
                    since = time.monotonic()
                    process.communicate(timeout=60)
                    assert time.monotonic() - since < 5
                finally:
                    process.kill()
        finally:
            over.set()
    assert process.returncode == code
    assert not warehouse.exists()
    assert len(list(store.folder.iterdir())) == (code < 0)
    score(store.put("a.csv", write_csv(tmp_path / "t.csv", tracks(2))), warehouse, DAY, **store.environment)
    assert list(store.folder.iterdir()) == []


def test_a_full_temporary_folder_ends_with_74(tmp_path: Path, store: Store) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a tmpfs")
    address = store.put("a.csv", write_csv(tmp_path / "t.csv", tracks(20_000)))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", store.folder], check=False)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        result = run("validate", address, **store.environment)
        left = list(store.folder.iterdir())
    finally:
        subprocess.run(["umount", store.folder], check=True)
    assert result.code == 74
    assert "TMPDIR" in result.error
    assert left == []


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "obstore.py").write_text("raise ModuleNotFoundError(name='obstore')\n")
    result = genrepipe("validate", "s3://music/a.csv", PYTHONPATH=str(tmp_path))
    assert result.code == 78
    assert "pip install '.[cloud]'" in result.error
