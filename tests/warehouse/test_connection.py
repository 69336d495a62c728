"""Connections: access to files can be given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrepipe.core.errors import GenrepipeError
from genrepipe.warehouse.connection import Database
from tests.support import (
    PLAN,
    tracks,
    write_csv,
)


def test_a_sealed_database_reaches_no_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", tracks(2))
    with Database(tmp_path / "w.duckdb", PLAN) as database:
        assert database.value(f"SELECT count(*) FROM '{tmp_path}/t.csv'") == 2
        database.forbid_file_access()
        for statement in (
            f"FROM '{tmp_path}/t.csv'",
            f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
            f"ATTACH '{tmp_path}/x.duckdb'",
            "SET enable_external_access = true",
        ):
            with pytest.raises(GenrepipeError, match="disabled by configuration|Cannot enable"):
                database.execute(statement)
        database.execute("CREATE TABLE t AS SELECT 1")
