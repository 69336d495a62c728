"""A warehouse that another process holds: who it is, and how long a command waits for it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genrepipe.core import processes, waiting
from tests.support import DAY, NEXT, run, score, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@contextmanager
def held(warehouse: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that somebody left open, and that ends when its stdin does."""
    command = [sys.executable, "-c", HOLDER, str(warehouse)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def waiting_for(warehouse: Path, *words: object) -> subprocess.Popen[str]:
    """Start a command, and return it when it says that it waits."""
    command = [sys.executable, "-m", "genrepipe", *map(str, words), "--warehouse", str(warehouse), "--wait", "1m"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line).get("check") == "busy":
            assert "PID" in json.loads(line)["message"]
            return process
    pytest.fail("it did not wait")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source and a warehouse of two generations; only for reading."""
    folder = tmp_path_factory.mktemp("published")
    for day in (DAY, NEXT):
        score(write_csv(folder / "t.csv", tracks(5)), folder / "w.duckdb", day)
    return folder


@pytest.fixture
def warehouse(published: Path, tmp_path: Path) -> Path:
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    return tmp_path / "w.duckdb"


@pytest.mark.parametrize("words", [("score", "t.csv", "--run-date", "2026-11-22"), ("rollback",)])
def test_a_command_waits_for_a_shell_that_is_closed(
    warehouse: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(warehouse.parent)
    with held(warehouse) as shell:
        refused = run(*words, "--warehouse", warehouse)
        assert refused.code == 75
        assert f"(PID {shell.pid}, user " in refused.error
        with waiting_for(warehouse, *words) as process:
            shell.kill()
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_waiting(warehouse: Path, number: int, code: int) -> None:
    with held(warehouse), waiting_for(warehouse, "score", warehouse.parent / "t.csv") as process:
        since = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, time.monotonic() - since < 5) == (code, True), err
    assert run("score", warehouse.parent / "t.csv", "--warehouse", warehouse, "--run-date", DAY).code == 0


def test_what_is_not_free_in_time_is_busy(warehouse: Path) -> None:
    with held(warehouse):
        words = ("score", warehouse.parent / "t.csv", "--warehouse", warehouse, "--output", "json")
        refused = run(*words, GENREPIPE_WAIT="1s")
    assert (refused.code, refused.json["error"]) == (75, "WarehouseBusy")
    assert [json.loads(line)["check"] for line in refused.err.splitlines() if '"busy"' in line] == ["busy"]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("45", 45), (" 2H ", 7200), ("0s", 0)])  # fmt: skip
def test_durations(text: str, seconds: int) -> None:
    assert waiting.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "ten", "-5s", "1d", "10m!", "25h", "1e3", "٣s", "99999999999"])
def test_what_is_no_duration(tmp_path: Path, text: str) -> None:
    for words in (("score", "t.csv"), ("rollback",)):
        assert run(*words, "--warehouse", tmp_path / "w.duckdb", "--wait", text).code == 64


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["/usr/bin/duckdb", "w.duckdb", ""], "duckdb w.duckdb"),
        (
            ["python", "-m", "genrepipe", "score", "x.csv", "--ping-start", "https://secret"],
            "python -m genrepipe score x.csv",
        ),
        (["duckdb", "-c", "CREATE SECRET"], "duckdb"),
        (["x", "s3://key:secret@host"], "x"),
        (["x" * 90], f"{'x' * 59}…"),
    ],
)
def test_a_command_is_shown_without_what_may_be_secret(words: list[str], shown: str) -> None:
    assert processes.command(words) == shown
