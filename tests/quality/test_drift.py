"""Drift against the training data and against recent runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrepipe.quality import drift
from tests.support import (
    NEXT,
    ask,
    score,
)

FREE = ("--limit", "flipped_percent=100")


def test_stability_by_hand() -> None:
    shares, expected = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert drift.stability(shares, expected) == pytest.approx(0.25 * np.log(2) + -0.25 * np.log(0.5 / 0.75))
    assert drift.stability(expected, expected) == 0
    assert np.isfinite(drift.stability(np.array([1.0, 0.0]), expected))
    assert [drift.verdict(psi) for psi in (0, 0.1, 0.25)] == ["stable", "moving", "drifted"]


def test_a_shifted_feature_drifts_and_the_others_do_not(tmp_path: Path, sample: Path) -> None:

    warehouse, shifted = tmp_path / "w.duckdb", tmp_path / "s.csv"
    score(sample, warehouse)
    louder = pl.read_csv(sample, infer_schema=False).with_columns(liveness=pl.lit("0.97"))
    louder.write_csv(shifted)
    score(shifted, warehouse, NEXT, *FREE)
    found = {(r["subject"], r["against"]): r for r in ask(warehouse, f"FROM drift WHERE run_date = '{NEXT}'")}
    assert len(found) == 28
    for against in ("bundle", "recent runs"):
        assert found["liveness", against]["verdict"] == "drifted"
        assert found["valence", against]["verdict"] == "stable"
    assert sum(found["liveness", "bundle"]["shares"]) == pytest.approx(1)


def test_the_training_data_is_its_own_reference(tmp_path: Path, real_tracks: Path) -> None:
    score(real_tracks, tmp_path / "w.duckdb")
    rows = ask(tmp_path / "w.duckdb", "SELECT subject, psi FROM drift WHERE against = 'bundle'")
    assert max(row["psi"] for row in rows if row["subject"] != "duration_ms") < 0.001
