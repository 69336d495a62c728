"""Rows that lack audio features: predicted, with a name for each of them, up to the limits of the contract."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrepipe.core import assets
from genrepipe.model import features
from genrepipe.quality import checks
from tests.support import DATE, ask, landed, refuse, run, score, track, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

AUDIO = features.columns()


def test_a_row_is_predicted_and_names_what_it_lacks(tmp_path: Path) -> None:
    rows = [
        *(track(i, **{name: ""}) for i, name in enumerate(AUDIO, 1)),
        track(20, key="-1"),
        track(21, energy="?", mode="NaN", valence="n/a"),
        track(22, **dict.fromkeys(AUDIO[:6], "")),
        track(23),
    ]
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", rows)
    result = score(source, warehouse, DATE, "--limit", "mostly_imputed_percent=100")
    assert (result["predicted"], result["quarantined"]) == (len(rows), 0)
    found = {row["track_id"]: row["imputed"] for row in ask(warehouse, "SELECT track_id, imputed FROM predictions")}
    assert found == {
        **{str(i): [name] for i, name in enumerate(AUDIO, 1)},
        "20": ["key"], "21": ["energy", "mode", "valence"], "22": AUDIO[:6], "23": [],
    }  # fmt: skip
    catalogue = ask(warehouse, "SELECT energy, mode FROM tracks WHERE track_id = '21'")
    assert catalogue == [{"energy": None, "mode": None}]


def test_the_result_the_ledger_and_the_same_run_again_agree(tmp_path: Path) -> None:
    rows = [*tracks(40), track(41, energy=""), track(42, energy="", tempo="?"), track(43, mode="")]
    warehouse, source = tmp_path / "w.duckdb", write_csv(tmp_path / "t.csv", rows)
    first, second = score(source, warehouse, DATE), score(source, warehouse, DATE)
    expected = {"duration_ms": 0, "tempo": 1, "energy": 2, "mode": 1}
    assert (first["status"], second["status"]) == ("published", "already published")
    assert first["imputed"] == second["imputed"] == expected
    (line,) = ask(warehouse, "SELECT imputed, imputed_duration_ms, imputed_tempo FROM runs")
    assert (json.loads(line["imputed"]), line["imputed_duration_ms"], line["imputed_tempo"]) == (expected, 0, 1)
    shown = run("score", source, "--warehouse", warehouse, "--run-date", DATE, "--force").out
    assert "imputed    duration_ms 0, tempo 1, energy 2, mode 1" in shown


def test_a_row_that_lacks_more_than_six_is_kept_out(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    rows = [*tracks(40), track(41, **dict.fromkeys(AUDIO[:7], "")), track(42, **dict.fromkeys(AUDIO[:6], ""))]
    result = score(write_csv(tmp_path / "t.csv", rows), warehouse, DATE)
    assert (result["predicted"], result["quarantined"]) == (41, 1)
    (row,) = ask(warehouse, "SELECT track_id, reasons FROM quarantine")
    assert row == {"track_id": "41", "reasons": ["row.features: more than 6 of the 13 audio features are missing"]}


@pytest.mark.parametrize("column", ["energy", "key", "mode", "duration_ms"])
def test_a_source_that_lost_a_column_warns_and_then_stops(tmp_path: Path, column: str) -> None:
    warehouse = tmp_path / "w.duckdb"
    some = [*tracks(20), *(track(i, **{column: ""}) for i in range(21, 31))]
    assert "imputed_percent" in score(write_csv(tmp_path / "a.csv", some), warehouse, DATE)["warnings"]
    code, failed = refuse(warehouse, write_csv(tmp_path / "b.csv", tracks(40, **{column: ""})))
    assert (code, failed["name"], failed["observed"]) == (65, "mostly_imputed_percent", 100)


@pytest.mark.parametrize(
    ("absent", "missing", "expected"),
    [
        ([], {}, {"imputed_percent": 0, "mostly_imputed_percent": 0, "absent_features": 0}),
        (["energy"], {"energy": ""}, {"imputed_percent": 0, "mostly_imputed_percent": 0, "absent_features": 1}),
        (["energy"], {"energy": "", "key": ""}, {"imputed_percent": 100, "mostly_imputed_percent": 100, "absent_features": 1}),
        (AUDIO[:7], {}, {"imputed_percent": 0, "mostly_imputed_percent": 0, "absent_features": 7}),
    ],
)  # fmt: skip
def test_what_a_source_says_it_has_not_counts_as_absent_alone(
    tmp_path: Path, absent: list[str], missing: dict[str, str], expected: dict[str, float]
) -> None:
    path = write_csv(tmp_path / "t.csv", tracks(4, **missing))
    with landed(path) as (steps, found):
        counts = found.counts
        steps.bind_row(
            "delivery", received=counts.received, accepted=counts.accepted, quarantined=0, duplicates=0, empty=0, known=0,
            withdrawn=0, files_not_read=0, source_sha256="", source_age_hours=0.0, absent=absent,
        )  # fmt: skip
        results = {result.name: result for result in checks.of_contract(steps, "source_tracks", {})}
    assert {name: results[name].observed for name in expected} == expected
    assert (results["absent_features"].status == "failed") == (len(absent) > 6)


def test_missing_features_are_no_bound_and_no_mode_in_the_profile_of_an_artist(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    rows = [track(1, energy="0.5", mode="Minor"), track(2, energy="", mode=""), track(3, artist_name="Bob", energy="")]
    score(write_csv(tmp_path / "t.csv", rows), warehouse, DATE)
    columns = "tracks, energy_count, energy_mean, energy_variance, mode_count, mode_mean, tempo_count"
    ann, bob = ask(warehouse, f"SELECT {columns} FROM artist_profiles ORDER BY tracks DESC")
    assert ann == {
        "tracks": 2, "energy_count": 1, "energy_mean": 0, "energy_variance": 0, "mode_count": 1, "mode_mean": 1, "tempo_count": 2,
    }  # fmt: skip
    assert (bob["energy_count"], bob["energy_mean"], bob["energy_variance"]) == (0, None, None)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lacks=st.lists(st.sets(st.sampled_from(AUDIO), max_size=6), min_size=3, max_size=12))
def test_whatever_is_missing_the_complete_rows_have_their_answers(tmp_path: Path, lacks: list[set[str]]) -> None:
    """Of artists of their own, so that no context changes; and every answer is a distribution."""
    rows = [track(i, artist_name=f"Artist {i}", energy=f"0.{i}5") for i in range(1, len(lacks) + 1)]
    less = [row | dict.fromkeys(names, "") for row, names in zip(rows, lacks, strict=True)]
    answers = []
    for number, each in enumerate((rows, less)):
        warehouse = tmp_path / f"{number}.duckdb"
        warehouse.unlink(missing_ok=True)
        more = [
            word for name in ("mostly_imputed_percent", "quarantined_percent") for word in ("--limit", f"{name}=100")
        ]
        score(write_csv(tmp_path / f"{number}.csv", each), warehouse, DATE, *more)
        answers.append(ask(warehouse, "SELECT imputed, probabilities FROM predictions ORDER BY track_id::INTEGER"))
    for names, whole, part in zip(lacks, *answers, strict=True):
        assert set(part["imputed"]) == names
        assert sum(part["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        if not names:
            assert part["probabilities"] == whole["probabilities"]


def test_a_bundle_of_an_earlier_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Its graph imputes the tempo alone, and would answer NaN for any other missing feature."""
    folder = shutil.copytree(assets.pretrained() / "all-features", tmp_path / "old")
    manifest: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**manifest, "format": 3}))
    warehouse = tmp_path / "w.duckdb"
    result = run("score", write_csv(tmp_path / "t.csv", [track(1)]), "--warehouse", warehouse, "--model", folder)
    assert result.code == 78
    assert "format 3" in result.error
    assert "Train it again" in result.error
    assert not warehouse.exists()
