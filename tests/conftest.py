"""Shared fixtures: real files, real processes."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
REAL = Path(os.environ.get("GENREPIPE_REAL_TRACKS", ROOT.parent / "shared" / "data" / "tracks.csv"))

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


class Result:
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


def genrepipe(*arguments: object, cwd: Path | None = None, **environment: str) -> Result:
    """Run the command line in a process of its own, warnings being errors."""
    env = (
        {k: v for k, v in os.environ.items() if not k.startswith("GENREPIPE_")}
        | {"PYTHONWARNINGS": "error"}
        | environment
    )
    command = [sys.executable, "-m", "genrepipe", *map(str, arguments)]
    return Result(subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=1800, check=False))


@pytest.fixture(scope="session")
def real_tracks() -> Path:
    if not REAL.exists():
        pytest.skip(f"the real table is not here: {REAL} (set GENREPIPE_REAL_TRACKS)")
    return REAL


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    assert genrepipe("sample", "--rows", 3000, "--seed", 1, "--out", path).code == 0
    return path


@pytest.fixture(scope="session")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "big.csv"
    assert genrepipe("sample", "--rows", 20_000, "--seed", 3, "--out", path).code == 0
    return path


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A warehouse into which the sample was scored; only for reading."""
    warehouse = tmp_path_factory.mktemp("scored") / "warehouse.duckdb"
    result = genrepipe("score", sample, "--warehouse", warehouse, "--run-date", "2026-11-22")
    assert result.code == 0, result.err
    return warehouse


CREDENTIALS = {"AWS_ACCESS_KEY_ID": "some-key", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": "us-east-1"}


class Store:
    """A bucket named music, what the environment must say to reach it, and a folder of temporary files of its own."""

    def __init__(self, endpoint: str, client: Any, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.environment = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint, "TMPDIR": str(folder)}

    def put(self, key: str, content: bytes | Path) -> str:
        body = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket="music", Key=key, Body=body)
        return f"s3://music/{key}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="music")
    folder = tmp_path / "tmp"
    folder.mkdir()
    yield Store(endpoint, client, folder)
    client.close()
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")):
        pass
    server.stop()


def ask(warehouse: Path, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a query, through the command that users have."""
    result = genrepipe("query", sql, "--warehouse", warehouse, "--output", "json")
    assert result.code == 0, result.err
    rows: list[dict[str, Any]] = json.loads(result.out)
    return rows
