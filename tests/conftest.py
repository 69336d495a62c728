"""Fixtures that tests of every room share: real files, real servers."""

from __future__ import annotations

import logging
import shutil
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

import genrepipe as api
from genrepipe import contracts
from genrepipe.contracts import schemas
from genrepipe.core import assets
from genrepipe.synthetic import tracks as synthetic
from genrepipe.warehouse import steps
from tests.support import DATE, REAL, ROOT, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def real_tracks() -> Path:
    if not REAL.exists():
        pytest.skip(f"the real table is not here: {REAL} (set GENREPIPE_REAL_TRACKS)")
    return REAL


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of contracts, SQL and jobs that a test may change; what is read of them is forgotten before and after."""
    folder = tmp_path / "shipped"
    for name in ("contracts", "sql", "jobs"):
        shutil.copytree(ROOT / name, folder / name)
    caches = (assets.sql, contracts.load, contracts.versions, steps.registry, schemas.schema)
    monkeypatch.setattr(assets, "shipped", lambda name: folder / name)
    for cache in caches:
        cache.cache_clear()
    yield folder
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    synthetic.write(3000, 1, path)
    return path


@pytest.fixture(scope="session")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "big.csv"
    synthetic.write(20_000, 3, path)
    return path


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A warehouse into which the sample was scored; only for reading."""
    warehouse = tmp_path_factory.mktemp("scored") / "warehouse.duckdb"
    api.score(sample, warehouse, run_date=DATE)
    return warehouse


@pytest.fixture(scope="session")
def s3() -> Iterator[tuple[str, Any]]:
    """A server that speaks the S3 protocol, and a client of it."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    yield endpoint, client
    client.close()
    server.stop()


@pytest.fixture
def store(s3: tuple[str, Any], tmp_path: Path) -> Iterator[Store]:
    endpoint, client = s3
    client.create_bucket(Bucket="music")
    folder = tmp_path / "tmp"
    folder.mkdir()
    yield Store(endpoint, client, folder)
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")):
        pass
