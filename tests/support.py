"""What tests of every room share: rows, files, processes, queries."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from genrepipe import contracts
from genrepipe.core.resources import Plan
from genrepipe.engines import prepare
from genrepipe.ingest import sources
from genrepipe.warehouse import queries, schema
from genrepipe.warehouse.ledger import Run
from genrepipe.warehouse.steps import ACCUMULATED, INPUTS, PART, Steps, registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from genrepipe.ingest.landing import Landing
    from genrepipe.warehouse.connection import Database

ROOT = Path(__file__).parent.parent
REAL = Path(os.environ.get("GENREPIPE_REAL_TRACKS", ROOT.parent / "shared" / "data" / "tracks.csv"))
DATE, DAY, NEXT = "2026-11-22", "2026-11-20", "2026-11-21"
PLAN = Plan(threads=1, duckdb_memory_mb=512, duckdb_threads=1)

GOOD = {
    "instance_id": "1.0",
    "artist_name": "Röyksopp",
    "track_name": "Night Out",
    "popularity": "27.0",
    "acousticness": "0.00468",
    "danceability": "0.652",
    "duration_ms": "218293.0",
    "energy": "0.941",
    "instrumentalness": "0.792",
    "key": "A#",
    "liveness": "0.115",
    "loudness": "-5.201",
    "mode": "Minor",
    "speechiness": "0.0748",
    "tempo": "100.889",
    "obtained_date": "4-Apr",
    "valence": "0.759",
    "music_genre": "Electronic",
}


def track(number: int = 1, **changes: Any) -> dict[str, str]:
    """Return a good row with its own id and the changes."""
    return {**GOOD, "instance_id": f"{number}.0", "track_name": f"Night Out {number}", **changes}


def tracks(count: int, **changes: Any) -> list[dict[str, str]]:
    """Return good rows."""
    return [track(i + 1, **changes) for i in range(count)]


def write_csv(path: Path, rows: list[dict[str, str]], **options: Any) -> Path:
    """Write rows as CSV, with csv.DictWriter's options."""
    encoding = options.pop("encoding", "utf-8")
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else list(GOOD), **options)
        writer.writeheader()
        writer.writerows(rows)
    return path


class Finished:
    """How a genrepipe process ended."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line that a failure prints."""
        lines = [line for line in self.err.splitlines() if not line.startswith("{")]
        assert len(lines) == 1, self.err
        return lines[0]


def run(*arguments: object, cwd: Path | None = None, **environment: str) -> Finished:
    """Run the command line in this process: exit code, stdout and stderr are those that a process of its own would have."""
    from genrepipe import __main__

    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GENREPIPE_")}
    out, err = io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        code = __main__.run([str(argument) for argument in arguments])
    os.environ.update(kept)
    return Finished(subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue()))


def genrepipe(*arguments: object, cwd: Path | None = None, **environment: str) -> Finished:
    """Run the command line in a process of its own, warnings being errors."""
    env = (
        {k: v for k, v in os.environ.items() if not k.startswith("GENREPIPE_")}
        | {"PYTHONWARNINGS": "error"}
        | environment
    )
    command = [sys.executable, "-m", "genrepipe", *map(str, arguments)]
    return Finished(
        subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=1800, check=False)
    )


def ask(warehouse: Path, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a user's query, as plain values: dates as text, structs as dicts."""
    return [_plain(row) for row in queries.query(warehouse, sql, PLAN).iter_rows(named=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return (
        value.isoformat(sep=" ")
        if isinstance(value, datetime)
        else value.isoformat()
        if isinstance(value, date)
        else value
    )


def relations(database: Database, given: dict[str, Iterable[dict[str, Any]]]) -> Steps:
    """Bind relations of rows, each with the columns that it has in a run; a column that a row lacks is NULL.

    The columns of a step's relation are those of its own SELECT over empty relations, and so on down to the inputs.
    """
    columns = {name: _columns(name) for name in given}
    steps = Steps(database)
    for name, rows in given.items():
        in_warehouse = database.value(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = ? AND NOT temporary", [name]
        )
        if not in_warehouse:
            declared = ", ".join(f'"{column}" {kind}' for column, kind in columns[name].items())
            database.execute(f"CREATE TEMP TABLE {name} ({declared})")
            steps._bound.add(name)
        for row in rows:
            database.insert_row(name, row)
    return steps


@cache
def _columns(name: str) -> dict[str, str]:
    """Return names and types of a relation's columns, as a run on nothing has them."""
    with schema.open_memory(PLAN) as database:
        steps = Steps(database)
        received = ", ".join(f'NULL::VARCHAR AS "{column}"' for column in contracts.load("source_tracks").table.columns)
        steps.bind(PART, f"SELECT {received} LIMIT 0", kind="table")
        for source in INPUTS:
            steps.declare(source)
        for relation, step in ACCUMULATED.items():
            steps.make(step)
            steps.bind(relation, f"SELECT 0::BIGINT AS row_id, * FROM {step}", kind="table")
        if name in registry():
            steps.make(name)
        return {row[0]: row[1] for row in database.rows(f"DESCRIBE {name}")}


@contextmanager
def landed(*arguments: object, day: str = DATE, **options: Any) -> Iterator[tuple[Steps, Landing]]:
    """Land a source in memory, as a run does, with the options of ``sources.resolve``."""
    with prepare.landed_in_memory(sources.resolve(map(str, arguments), **options), run_of(day)) as found:
        yield found


def run_of(day: str = DATE, job: str = "score", action: str = "score") -> Run:
    """Return the identity of a run."""
    return Run(job, date.fromisoformat(day), action)


def score(source: object, warehouse: Path, day: str = DAY, *more: object, **environment: str) -> dict[str, Any]:
    """Score by the command line, in this process, and return the result."""
    words = ("score", source, "--warehouse", warehouse, "--run-date", day, "--output", "json", *more)
    result = run(*words, **environment)
    assert result.code == 0, result.err
    return result.json


def files(warehouse: Path) -> set[str]:
    return {path.name for path in warehouse.parent.glob(f"{warehouse.name}*")}


@contextmanager
def run_until(stage: str, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run and stop its process, as a debugger would, where it says that a stage begins."""
    command = [sys.executable, "-m", "genrepipe", *map(str, arguments)]
    env = os.environ | environment
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("{") and json.loads(line).get("stage") == stage:
                process.send_signal(signal.SIGSTOP)
                break
        else:
            pytest.fail(f"there was no stage {stage}")
        yield process
        process.kill()


def go_on(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def refuse(warehouse: Path, source: Path, *more: object, day: str = DAY) -> tuple[int, dict[str, Any]]:
    result = run("score", source, "--warehouse", warehouse, "--run-date", day, *more)
    (failed,) = ask(warehouse, f"FROM checks WHERE verdict = 'failed' AND run_date = '{day}'")
    (line,) = ask(warehouse, f"FROM runs WHERE run_date = '{day}' AND status = 'refused'")
    assert failed["run_id"] == line["run_id"]
    assert ask(warehouse, f"FROM predictions WHERE run_date = '{day}'") == []
    assert line["received"] == line["withheld"] + line["quarantined"] + line["duplicates"] + line["empty"]
    return result.code, failed


CREDENTIALS = {"AWS_ACCESS_KEY_ID": "some-key", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": "us-east-1"}


class Store:
    """A bucket named music, what the environment must say to reach it, and a folder of temporary files of its own."""

    def __init__(self, endpoint: str, client: Any, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.environment = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint, "TMPDIR": str(folder)}

    def put(self, key: str, content: bytes | Path) -> str:
        body = content.read_bytes() if hasattr(content, "read_bytes") else content
        self.client.put_object(Bucket="music", Key=key, Body=body)
        return f"s3://music/{key}"
