"""Bundles as a user meets them: shadows, champions, broken ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from genrepipe.model import bundle as bundles
from tests.support import (
    DAY,
    NEXT,
    ask,
    run,
    score,
    tracks,
    write_csv,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def test_a_shadow_scores_beside_and_changes_nothing_that_is_served(tmp_path: Path, sample: Path) -> None:
    with_shadow, without = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    score(sample, with_shadow, DAY, "--shadow", "all-features")
    score(sample, without)
    served = "SELECT track_id, genre, probability FROM predictions ORDER BY 1"
    assert ask(with_shadow, served) == ask(without, served)
    assert len(ask(with_shadow, "SELECT track_id FROM shadow_predictions WHERE model = 'all-features'")) == 3000
    compared = run("models", "compare", "--warehouse", with_shadow, "--output", "json").json
    assert compared["agreement"] == pytest.approx(1 - sum(flip["tracks"] for flip in compared["flips"]) / 3000)
    assert [row["role"] for row in compared["performance"]] == ["served", "shadow"]
    assert run("models", "compare", "--warehouse", without).code == 64


def test_a_promoted_model_is_the_champion_of_that_shelf(tmp_path: Path, sample: Path) -> None:
    shelf, warehouse = tmp_path / "shelf", tmp_path / "w.duckdb"
    shutil.copytree(bundles.available()["lda-3d"], shelf / "mine")
    assert run("models", "promote", "mine", "--bundles", shelf, "--anyway", "a trial").code == 0
    assert score(sample, warehouse, DAY, "--bundles", shelf)["model"] == "lda-3d"
    assert score(sample, warehouse, NEXT)["model"] == bundles.champion()
    promoted = run(
        "models", "promote", "learned-2d", "--bundles", shelf, "--anyway", "a trial", "--output", "json"
    ).json
    assert promoted["before"] == "mine"
    assert score(sample, warehouse, "2026-11-22", "--bundles", shelf)["model"] == "learned-2d"
    (shelf / "mine" / "model.onnx").write_bytes(b"x")
    assert run("models", "promote", "mine", "--bundles", shelf).code == 78


def test_a_model_whose_audit_failed_is_not_promoted(tmp_path: Path) -> None:
    folder = tmp_path / "shelf" / "leaky"
    shutil.copytree(bundles.available()["lda-3d"], folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["audit"][0]["passed"] = False
    (folder / "bundle.json").write_text(json.dumps(manifest))
    result = run("models", "promote", "leaky", "--bundles", tmp_path / "shelf")
    assert result.code == 78
    assert f"its audit failed at {manifest['audit'][0]['gate']}" in result.error


def test_a_shelf_that_is_not_there_is_not_stood_in_for(tmp_path: Path, warehouse: Path) -> None:
    source = write_csv(tmp_path / "t.csv", tracks(5))
    result = run("score", source, "--warehouse", warehouse, "--bundles", tmp_path / "none")
    assert result.code == 78
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "champion").write_text("\n")
    assert "names no model" in run("score", source, "--warehouse", warehouse, "--bundles", tmp_path / "shelf").error


def test_one_broken_bundle_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "bundle.json").write_text("{}")
    told = run("models", "list", "--bundles", tmp_path, "--output", "json").json["models"]
    assert [row["model"] for row in told if "broken" in row] == ["mine"]
    assert len(told) > 10
    assert "not a manifest" in run("models", "list", "--bundles", tmp_path).out


def test_each_job_of_a_date_is_measured_and_compared_alone(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    for job, rows, shadow in (("one", 40, "lda-3d"), ("two", 30, "lda-3d"), ("three", 20, "")):
        source = write_csv(tmp_path / f"{job}.csv", tracks(rows))
        score(source, warehouse, DAY, "--name", job, *(("--shadow", shadow) if shadow else ()))
    measured = "SELECT job, role, tracks FROM performance ORDER BY ALL"
    counts = {"one": 40, "two": 30, "three": 20}
    roles = [
        (job, role) for job in sorted(counts) for role in ("served", "shadow") if (job, role) != ("three", "shadow")
    ]
    want = [{"job": job, "role": role, "tracks": counts[job]} for job, role in roles]
    assert ask(warehouse, measured) == want
    assert run("labels", tmp_path / "one.csv", "--warehouse", warehouse).code == 0
    assert ask(warehouse, measured) == want
    for words, job in (((), "two"), (("--job", "one"), "one")):
        compared = run("models", "compare", *words, "--warehouse", warehouse, "--output", "json").json
        assert (compared["job"], compared["tracks"]) == (job, counts[job])
        assert [row["tracks"] for row in compared["performance"]] == [counts[job]] * 2
    none = run("models", "compare", "--job", "three", "--warehouse", warehouse)
    assert none.code == 64
    assert "job three has no shadow predictions" in none.error
