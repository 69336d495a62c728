"""Who watches a run: logs, metrics, lineage, a heartbeat. None of them can fail it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.observers.servers import listening
from tests.support import (
    DAY,
    NEXT,
    ask,
    go_on,
    run,
    run_until,
    score,
    tracks,
    write_csv,
)

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


CLASSICAL = {"energy": "0.02", "acousticness": "0.99", "instrumentalness": "0.9", "popularity": "20", "loudness": "-28"}


def test_lineage_events_are_sent_to_a_server(tmp_path: Path, big: Path) -> None:
    pytest.importorskip("openlineage.client", reason="lineage needs the extra: pip install 'genrepipe[lineage]'")
    told: list[dict[str, Any]] = []

    def hear(request: BaseHTTPRequestHandler, body: bytes) -> None:
        assert (request.command, request.path) == ("POST", "/api/v1/lineage")
        told.append(json.loads(body))

    warehouse = tmp_path / "w.duckdb"
    with listening(hear) as address:
        score(write_csv(tmp_path / "t.csv", tracks(5)), warehouse, DAY, OPENLINEAGE_URL=address)
        words = ("score", big, "--warehouse", warehouse, "--run-date", NEXT)
        with run_until("scoring", *words, OPENLINEAGE_URL=address) as process:
            process.terminate()
            assert go_on(process)[0] == 143
    assert [event["eventType"] for event in told] == ["START", "COMPLETE", "START", "ABORT"]


@pytest.mark.parametrize("number", [0, signal.SIGTERM])
def test_who_does_not_answer_holds_up_no_run(tmp_path: Path, number: int) -> None:
    """Servers of lineage, pings and metrics that take a call and say nothing, with and without a signal meanwhile."""
    pytest.importorskip("openlineage.client", reason="lineage needs the extra: pip install 'genrepipe[lineage]'")
    over, called = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        called.set()
        over.wait()

    source, warehouse = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "w.duckdb"
    with listening(hang) as address:
        job = tmp_path / "j.yaml"
        job.write_text(
            f"job: score\nname: n\nsource: {source}\nwarehouse: {warehouse}\nping_start: {address}/a\nping_success: {address}/b\nping_failure: {address}/c\n"
        )
        if number:
            job.write_text(
                f"{job.read_text()}pushgateway: {address}\notlp: {address}\nmetrics_file: {tmp_path}/m.prom\n"
            )
        command = [sys.executable, "-m", "genrepipe", "run", str(job)]
        environment = os.environ | {"OPENLINEAGE_URL": address}
        try:
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
                try:
                    assert called.wait(60)
                    since = time.monotonic()
                    if number:
                        process.send_signal(number)
                    _, err = process.communicate(timeout=120)
                    took = time.monotonic() - since
                finally:
                    process.kill()
        finally:
            over.set()
    assert process.returncode == (143 if number else 0), err
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    unheard = [line["check"] for line in lines if line.get("error") == "no answer in time"]
    assert unheard == ["lineage", "ping", *(["pushgateway", "otlp"] if number else []), "lineage", "ping"]
    if number:
        assert took < 5
        assert 'genrepipe_last_exit_code{genrepipe_job="n"} 143.0' in (tmp_path / "m.prom").read_text()
    else:
        assert took < 40  # four deliveries of 5 s and a run; the client alone would try for longer


def test_a_dead_mans_switch_hears_of_start_and_end(tmp_path: Path) -> None:
    asked: list[str] = []

    with listening(lambda request, _: asked.append(request.path)) as address:
        source = write_csv(tmp_path / "t.csv", tracks(5))
        job = tmp_path / "j.yaml"
        job.write_text(
            f"job: score\nname: n\nsource: {source}\nwarehouse: {tmp_path}/w.duckdb\nping_start: {address}/secret/start\n"
            f"ping_success: {address}/ok\nping_failure: {address}/failed\n"
        )
        assert run("run", job).code == 0
        assert run("run", job, "--set", "source=none.csv").code == 66
    assert asked == ["/secret/start", "/ok", "/secret/start", "/failed"]
    unheard = run("run", job, "--force")  # nobody listens any more, and the run counts
    assert unheard.code == 0
    assert "127.0.0.1" in unheard.err
    assert "secret" not in unheard.err


def test_every_log_line_names_the_run_and_its_level(tmp_path: Path, sample: Path) -> None:
    result = run("score", sample, "--warehouse", tmp_path / "w.duckdb", "--output", "json")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert len(lines) > 8
    assert {line["run_id"] for line in lines} == {result.json["run_id"]}
    assert set(result.json["stages"]) == {line["stage"] for line in lines if line["event"] == "stage"}
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{6}", result.json["run_id"])
    assert {line["level"] for line in lines if line["event"] != "warning"} == {"info"}


def test_log_lines_say_what_is_a_warning_and_why_a_run_failed(tmp_path: Path) -> None:
    """A collector reads the JSON lines alone, and looks at their level."""
    source = write_csv(tmp_path / "t.csv", tracks(20, **CLASSICAL))
    few = run("score", source, "--warehouse", tmp_path / "w.duckdb")
    warned = [json.loads(line) for line in few.err.splitlines()]
    assert {(line["event"], line["level"]) for line in warned} == {("stage", "info"), ("warning", "warning")} | {
        (line["event"], "info") for line in warned if line["event"] not in {"stage", "warning"}
    }
    write_csv(source, tracks(20, energy="7"))
    failed = run("score", source, "--warehouse", tmp_path / "w.duckdb")
    last = json.loads([line for line in failed.err.splitlines() if line.startswith("{")][-1])
    assert (last["event"], last["level"], last["exit_code"]) == ("failed", "error", 65)
    assert failed.error == f"genrepipe: error: {last['error']}"
    assert ask(tmp_path / "w.duckdb", f"SELECT status FROM runs WHERE run_id = '{last['run_id']}'") == [{"status": "refused"}]  # fmt: skip


def test_a_dead_mans_switch_that_talks_nonsense_fails_no_run(tmp_path: Path, warehouse: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def babble() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(b"what?\r\n\r\n")

    thread = threading.Thread(target=babble)
    thread.start()
    source, job = write_csv(tmp_path / "t.csv", tracks(5)), tmp_path / "j.yaml"
    job.write_text(
        f"job: score\nname: n\nsource: {source}\nwarehouse: {warehouse}\nping_start: http://[bad\n"
        f"ping_success: http://127.0.0.1:{server.getsockname()[1]}/\n"
    )
    result = run("run", job)
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    assert result.code == 0, result.err
    warned = [json.loads(line) for line in result.err.splitlines() if '"ping"' in line]
    assert [line["error"] for line in warned] == ["ValueError", "BadStatusLine"]


def test_logs_are_json_lines_off_a_terminal(tmp_path: Path, sample: Path) -> None:
    result = run("score", sample, "--warehouse", tmp_path / "w.duckdb")
    assert [line[0] for line in result.err.splitlines()] == ["{"] * len(result.err.splitlines())
    assert '"event": "tracks predicted"' in result.err


def test_a_terminal_gets_a_progress_bar(tmp_path: Path, sample: Path) -> None:
    leader, follower = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "genrepipe",
        "score",
        str(sample),
        "--warehouse",
        str(tmp_path / "w.duckdb"),
    ]
    with subprocess.Popen(command, stderr=follower, stdout=follower) as process:
        shown = b""
        while process.poll() is None or select.select([leader], [], [], 0.2)[0]:
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 65536)
    os.close(follower)
    os.close(leader)
    assert process.returncode == 0
    assert b"tracks predicted" in shown
    bars, result = shown.split(b"predicted and published")
    assert "━".encode() in bars
    assert b"\x1b" not in result  # nothing is drawn over it, and nothing after it
    assert b"received   3,001 = 3,000 predicted" in result
