"""Files that cannot be a warehouse: refused with one line, and left as they were."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest

import genrepipe as api
from genrepipe.core.errors import GenrepipeError, StorageError, WarehouseBusy, WarehouseUnusable
from tests.support import tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def a_folder(path: Path) -> None:
    path.mkdir()


def in_no_folder(path: Path) -> None:
    path.parent.rmdir()


def not_duckdb(path: Path) -> None:
    path.write_text("artist,genre\n" * 1000)


def strange_table(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE tracks (id INTEGER)")


def table_named_as_a_view(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE predictions_latest (id INTEGER)")


def foreign_layout(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE layout (room VARCHAR)")


def newer_layout(path: Path) -> None:
    api.score(write_csv(path.parent / "t.csv", tracks(3)), path)
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE layout SET layout_version = 99")


def newer_duckdb(path: Path) -> None:
    duckdb.connect(path).close()
    content = bytearray(path.read_bytes())
    content[12:20] = (9999).to_bytes(8, "little")  # the storage version in the file's header
    path.write_bytes(content)
    with pytest.raises(duckdb.Error, match="checksum") as caught:
        duckdb.connect(path)
    computed = re.search(r"computed checksum (\d+)", str(caught.value))
    assert computed is not None
    content[:8] = int(computed.group(1)).to_bytes(8, "little")
    path.write_bytes(content)


def damaged(path: Path) -> None:
    duckdb.connect(path).close()
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


WAREHOUSES: list[tuple[Callable[[Path], None], type[GenrepipeError], str]] = [
    (a_folder, WarehouseUnusable, "is a folder, not a warehouse file"),
    (in_no_folder, StorageError, "mkdir -p"),
    (not_duckdb, WarehouseUnusable, "is not a DuckDB file"),
    (strange_table, WarehouseUnusable, "has a table tracks that genrepipe did not make"),
    (table_named_as_a_view, WarehouseUnusable, "has a table predictions_latest that genrepipe did not make"),
    (foreign_layout, WarehouseUnusable, "has a table layout that genrepipe did not make"),
    (newer_layout, WarehouseUnusable, "Upgrade genrepipe"),
    (damaged, WarehouseUnusable, "is damaged"),
    (newer_duckdb, WarehouseUnusable, "another version of DuckDB"),
]


@pytest.mark.parametrize(("spoil", "error", "said"), WAREHOUSES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("dry_run", [False, True])
def test_bad_warehouses(
    tmp_path: Path, sample: Path, spoil: Callable[[Path], None], error: type[GenrepipeError], said: str, dry_run: bool
) -> None:
    folder = tmp_path / "house"
    folder.mkdir()
    warehouse = folder / "w.duckdb"
    spoil(warehouse)
    if dry_run and not folder.exists():
        assert api.score(sample, warehouse, dry_run=True).predicted > 0  # nothing is to be written
        return
    before = warehouse.read_bytes() if warehouse.is_file() else None
    with pytest.raises(error) as caught:
        api.score(sample, warehouse, dry_run=dry_run)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == (74 if error is StorageError else 78)
    assert (warehouse.read_bytes() if warehouse.is_file() else None) == before
    if folder.exists():
        assert {path.name for path in folder.iterdir()} <= {"w.duckdb", "t.csv", "w.duckdb.previous"}


def test_a_warehouse_that_another_process_has_open(tmp_path: Path, sample: Path, scored: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    warehouse.write_bytes(scored.read_bytes())
    holder = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, warehouse], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(WarehouseBusy, match=f"PID {process.pid}") as caught:
            api.score(sample, warehouse, run_date="2026-11-23")
        assert process.stdin is not None
        process.stdin.close()
    assert caught.value.exit_code == 75
    assert api.score(sample, warehouse, run_date="2026-11-23").status == "published"
