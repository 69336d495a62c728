"""The write session: one lock, what a kill leaves, what a failure records."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import genrepipe as api
from genrepipe.core.errors import (
    WarehouseBusy,
    as_genrepipe_error,
)
from genrepipe.warehouse import generations, ledger
from genrepipe.warehouse.ledger import failure_columns
from genrepipe.warehouse.session import write_session
from tests.support import (
    DATE,
    DAY,
    PLAN,
    ask,
    files,
    go_on,
    run,
    run_of,
    run_until,
    score,
    track,
    tracks,
    write_csv,
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("stage", ["landing", "scoring", "checks"])
def test_a_signal_rolls_back_writes_the_ledger_and_ends_in_time(
    tmp_path: Path, big: Path, stage: str, number: int, code: int
) -> None:
    warehouse, word = tmp_path / "w.duckdb", tmp_path / "result.json"
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, "2026-11-01")
    with run_until(stage, "score", big, "--warehouse", warehouse, "--run-date", DAY, "--result-file", word) as process:
        process.send_signal(number)
        since = time.monotonic()
        ended, err = go_on(process)
        took = time.monotonic() - since
    assert ended == code, err
    assert took < 5
    assert json.loads(word.read_text())["exit_code"] == code
    assert [line for line in err.splitlines() if not line.startswith("{")] == [err.splitlines()[-1]]
    (line,) = ask(warehouse, f"FROM runs WHERE run_date = '{DAY}'")
    assert (line["status"], line["exit_code"]) == ("interrupted", code)
    assert len(ask(warehouse, "FROM predictions")) == len(ask(warehouse, "FROM tracks")) == 5
    assert files(warehouse) == {"w.duckdb"}


@pytest.mark.parametrize("stage", ["lock", "copy", "landing", "scoring", "ledger", "publishing"])
def test_a_killed_run_leaves_the_old_generation_whole_and_the_next_one_cleans_up(
    tmp_path: Path, big: Path, stage: str
) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, "2026-11-01")
    with run_until(stage, "score", big, "--warehouse", warehouse, "--run-date", DAY) as process:
        process.kill()
        process.wait()
    assert len(ask(warehouse, "FROM predictions")) == len(ask(warehouse, "FROM tracks")) == 5
    score(big, warehouse)
    lines = ask(warehouse, f"SELECT status, exit_code FROM runs WHERE run_date = '{DAY}' ORDER BY started_at")
    assert lines == [{"status": "killed", "exit_code": None}, {"status": "published", "exit_code": 0}]
    assert files(warehouse) == {"w.duckdb", "w.duckdb.previous"}


def test_what_a_run_could_not_write_for_lack_of_room_the_next_one_does(tmp_path: Path) -> None:
    said = {"run_id": "20261101T000000.000000Z-aaaaaa", "job": "score", "run_date": DAY, "action": "score",
            "started_at": "2026-11-20T01:00:00", "status": "failed", "exit_code": 74, "error": "no space"}  # fmt: skip
    warehouse = tmp_path / "w.duckdb"
    generations.sibling(warehouse, "lock").write_text(json.dumps(said))
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    assert ask(warehouse, "SELECT status, exit_code, error FROM runs WHERE exit_code <> 0") == [
        {"status": "failed", "exit_code": 74, "error": "no space"}
    ]


def test_there_is_one_lock(tmp_path: Path) -> None:
    path, busy = tmp_path / "w.duckdb", pytest.raises(WarehouseBusy, match=rf"of {DAY} \(PID {os.getpid()} on")
    with write_session(path, run_of(DAY), PLAN), busy, write_session(path, run_of(DAY), PLAN):
        pytest.fail("two sessions at once")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_at_any_moment_is_one_line_and_leaves_a_whole_warehouse(tmp_path: Path, sample: Path) -> None:
    seen = set()
    for attempt in range(9):
        warehouse = tmp_path / f"{attempt}.duckdb"
        command = [
            sys.executable,
            "-m",
            "genrepipe",
            "score",
            str(sample),
            "--warehouse",
            str(warehouse),
            "--run-date",
            DATE,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(0.25 + 0.125 * attempt)  # before, the interpreter itself is starting
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        assert process.returncode in {0, 130, -signal.SIGINT}, err
        seen.add(process.returncode)
        if warehouse.exists():
            (line,) = ask(warehouse, "FROM runs")
            assert (line["status"] == "published") == (len(ask(warehouse, "FROM predictions")) > 0)
            assert line["status"] in {"published", "interrupted"}
        again = run("score", sample, "--warehouse", warehouse, "--run-date", DATE, "--output", "json")
        assert again.json["predicted"] == 3000
    assert 130 in seen


def test_a_failure_in_the_middle_leaves_the_dates_before_as_they_were(
    tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that fails after it wrote predictions rolls back all of them, and the catalogue with them."""

    warehouse = tmp_path / "w.duckdb"
    api.score(write_csv(tmp_path / "t.csv", tracks(20)), warehouse, run_date=DATE)
    before = {
        table: ask(warehouse, f"FROM {table} ORDER BY ALL") for table in ("tracks", "predictions", "flips", "drift")
    }

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger, "save_bundle", full)
    with pytest.raises(OSError, match="No space left"):
        api.score(sample, warehouse, run_date=DATE)
    assert {table: ask(warehouse, f"FROM {table} ORDER BY ALL") for table in before} == before


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 74, "Out of memory"),
        (RuntimeError("can't start new thread"), 74, "Out of memory"),
        (RuntimeError("std::bad_alloc: Bad allocation"), 74, "Out of memory"),
        (PermissionError(13, "Permission denied", "w.csv"), 74, "w.csv: Permission denied"),
        (KeyError("x"), 70, "GENREPIPE_DEBUG=1"),
    ],
)
def test_the_ledger_and_the_exit_code_agree_on_what_ended_a_run(error: Exception, code: int, words: str) -> None:
    told = failure_columns(error)
    assert (told["status"], told["exit_code"], as_genrepipe_error(error).exit_code) == ("failed", code, code)
    assert words in told["error"]


NOTE = {
    "run_id": "20261119T021500.000000Z-aaaaaa", "job": "score", "run_date": "2026-11-19", "action": "score",
    "started_at": "2026-11-19T02:15:00", "pid": 1, "host": "elsewhere",
}  # fmt: skip


def killed(warehouse: Path) -> list[dict[str, object]]:
    return ask(warehouse, "SELECT run_id, status FROM runs WHERE status = 'killed'")


@pytest.mark.parametrize("command", ["score", "recognised", "replay", "labels", "rollback"])
def test_the_next_command_of_any_kind_records_a_killed_run(tmp_path: Path, command: str) -> None:
    """A killed run leaves its identity in the lock file, and cannot say more."""
    warehouse, fixes = tmp_path / "w.duckdb", tmp_path / "fixes.csv"
    source = write_csv(tmp_path / "t.csv", [*tracks(40), track(41, energy="7")])
    score(source, warehouse, "2026-11-18")
    score(source, warehouse)
    assert run("quarantine", "export", "--run-date", DAY, "--out", fixes, "--warehouse", warehouse).code == 0
    labels = write_csv(tmp_path / "l.csv", [{"instance_id": "1", "music_genre": "Rock"}])
    generations.sibling(warehouse, "lock").write_text(json.dumps(NOTE))
    words = {
        "score": ("score", source, "--run-date", "2026-11-21"),
        "recognised": ("score", source, "--run-date", DAY),
        "replay": ("quarantine", "replay", fixes, "--run-date", DAY),
        "labels": ("labels", labels),
        "rollback": ("rollback",),
    }[command]
    result = run(*words, "--warehouse", warehouse)
    assert result.code == 0, result.err
    assert killed(warehouse) == [{"run_id": NOTE["run_id"], "status": "killed"}]
    assert files(warehouse) == {"w.duckdb", "w.duckdb.previous"}


@pytest.mark.parametrize(
    "words", [("score", "none.csv"), ("score", "{source}", "--limit", "nothing=1"), ("labels", "none.csv")]
)
def test_a_command_that_fails_before_it_writes_leaves_the_note_to_the_next(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    score(source, warehouse)
    generations.sibling(warehouse, "lock").write_text(json.dumps(NOTE))
    assert run(*(word.format(source=source) for word in words), "--warehouse", warehouse).code != 0
    assert killed(warehouse) == []
    score(source, warehouse, "2026-11-21")
    assert len(killed(warehouse)) == 1


def test_a_recognised_run_after_a_kill_leaves_the_generation_to_go_back_to(tmp_path: Path) -> None:
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    first = score(source, warehouse, "2026-11-18")
    score(source, warehouse)
    generations.sibling(warehouse, "lock").write_text(json.dumps(NOTE))
    assert score(source, warehouse)["status"] == "already published"
    back = run("rollback", "--warehouse", warehouse, "--output", "json").json
    assert back["to"]["run_id"] == first["run_id"]


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "7", '{"run_id": 1}', '{"unrecorded": [1, {}]}', "{" * 50, "\x00\xff"]
)
def test_a_lock_file_of_anything_else_is_no_note(tmp_path: Path, text: str) -> None:
    warehouse = tmp_path / "w.duckdb"
    generations.sibling(warehouse, "lock").write_text(text, encoding="latin-1")
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    assert len(ask(warehouse, "FROM runs")) == 1
    assert files(warehouse) == {"w.duckdb"}


def test_labels_that_cannot_be_read_are_in_the_ledger_and_change_nothing(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse)
    before = ask(warehouse, "FROM tracks ORDER BY track_id")
    (tmp_path / "l.csv").write_text("instance_id,music_genre\n1,Polka\n")
    assert run("labels", tmp_path / "l.csv", "--warehouse", warehouse).code == 65
    assert ask(warehouse, "FROM tracks ORDER BY track_id") == before
    (line,) = ask(warehouse, "FROM runs WHERE action = 'labels'")
    assert (line["status"], line["exit_code"]) == ("refused", 65)


# The last second of publishing


def test_a_signal_after_the_commit_is_too_late(tmp_path: Path, big: Path) -> None:
    """Exit code, last line, ledger and data agree: the run is published."""
    warehouse = tmp_path / "w.duckdb"
    score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, "2026-11-01")
    with run_until("publishing", "score", big, "--warehouse", warehouse, "--run-date", DAY) as process:
        process.send_signal(signal.SIGTERM)
        code, err = go_on(process)
    assert code == 0, err
    lines = ask(warehouse, f"SELECT status, exit_code, predicted FROM runs WHERE run_date = '{DAY}'")
    assert lines == [{"status": "published", "exit_code": 0, "predicted": 20_000}]
    assert len(ask(warehouse, f"FROM predictions WHERE run_date = '{DAY}'")) == 20_000


@pytest.mark.parametrize("published", [False, True])
def test_a_kill_around_the_swap_keeps_two_generations_apart(tmp_path: Path, published: bool) -> None:
    """Before it, the second name of the current generation is removed; after it, it becomes the generation before."""
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    runs = [score(source, warehouse, day)["run_id"] for day in ("2026-11-18", "2026-11-19")]
    kept = generations.sibling(warehouse, "previous.new")
    os.link(warehouse, kept)
    if (
        published
    ):  # the state between the two renames: 18th is the generation before, 19th has two names, 20th is current
        shutil.copy(warehouse, tmp_path / "next.duckdb")
        score(source, tmp_path / "next.duckdb")
        (tmp_path / "next.duckdb").replace(warehouse)
    assert kept.samefile(warehouse) is not published
    back = run("rollback", "--warehouse", warehouse, "--output", "json")
    assert back.code == 0, back.err
    assert back.json["to"]["run_id"] == runs[1 if published else 0]
    assert not kept.exists()
    assert not generations.sibling(warehouse, "previous").samefile(warehouse)


def test_a_copy_that_outlives_its_run_holds_the_lock(tmp_path: Path) -> None:
    """A kill -9 while the copying child is stalled; what the child writes later must not meet the next run."""
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", tracks(5))
    score(source, warehouse, "2026-11-18")
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin" / "cp"
    slow.write_text(f'#!/bin/sh\ntouch {tmp_path}/stalled\nsleep 6\nexec {shutil.which("cp")} "$@"\n')
    slow.chmod(0o755)
    command = [
        sys.executable,
        "-m",
        "genrepipe",
        "score",
        str(source),
        "--warehouse",
        str(warehouse),
        "--run-date",
        DAY,
    ]
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"PATH": path}) as process:
        while not (tmp_path / "stalled").exists():
            time.sleep(0.05)
        process.kill()
    busy = run("score", source, "--warehouse", warehouse, "--run-date", DAY)
    assert busy.code == 75, busy.err
    until = time.monotonic() + 60
    while (result := run("score", source, "--warehouse", warehouse, "--run-date", DAY)).code == 75:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert result.code == 0, result.err
    statuses = ask(warehouse, f"SELECT status FROM runs WHERE run_date = '{DAY}' ORDER BY started_at")
    assert [row["status"] for row in statuses] == ["killed", "published"]
    assert len(ask(warehouse, "FROM predictions")) == 10
    assert files(warehouse) == {"w.duckdb", "w.duckdb.previous"}


def test_a_source_that_is_replaced_while_it_is_read_is_noticed(tmp_path: Path, big: Path) -> None:
    """By another file of the same size and time, renamed over it after its hash was taken."""
    warehouse, source, other = tmp_path / "w.duckdb", tmp_path / "s.csv", tmp_path / "o.csv"
    shutil.copy2(big, source)
    content = big.read_bytes()
    other.write_bytes(content.replace(b"Minor", b"Major"))
    os.utime(other, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    with run_until("copy", "score", source, "--warehouse", warehouse, "--run-date", DAY) as process:
        other.replace(source)
        code, err = go_on(process)
    assert code == 74, err
    assert "changed while it was read" in err
