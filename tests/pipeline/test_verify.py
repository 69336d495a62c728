"""A run's input is scored again."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from genrepipe.core import assets
from tests.support import (
    DAY,
    run,
    score,
)


def test_a_run_is_scored_again_and_told_apart(tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    warehouse, source = tmp_path / "w.duckdb", tmp_path / "s.csv"
    shutil.copy(sample, source)
    shutil.copytree(assets.pretrained() / "lda-2d", tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    run_id = score("s.csv", Path("w.duckdb"), DAY, "--model", "own")["run_id"]
    monkeypatch.chdir("/")
    verify = ("verify", "--run", run_id, "--warehouse", warehouse, "--output", "json")
    same = run(*verify)
    assert (same.code, same.json["status"], same.json["compared"], same.json["largest_difference"]) == (
        0,
        "identical",
        3000,
        0,
    )
    for change, code, status in ((4e-6, 0, "within tolerance"), (0.01, 70, "different")):
        with duckdb.connect(warehouse) as connection:
            connection.execute(
                f"UPDATE prediction_history SET probabilities = struct_update(probabilities, Rock := (probabilities.Rock + {change})::FLOAT) WHERE track_id = (SELECT min(track_id) FROM predictions)"
            )
        found = run(*verify)
        assert (found.code, found.json["status"]) == (code, status)
    with source.open("a") as file:
        file.write("\n")
    assert run(*verify).code == 65
    assert run("verify", "--run", "20260101T000000", "--warehouse", warehouse).code == 64
