"""What it takes to add a monitor, or an audio column: each is added here, in a copy of what ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml

import genrepipe as api
from genrepipe.engines import prepare
from genrepipe.ingest import sources
from genrepipe.model import features
from genrepipe.pipeline import scoring_run
from genrepipe.quality import MONITORS
from genrepipe.quality.monitors import Batch, Monitor, Scored
from tests.support import DATE, ask, run_of, track, tracks, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")


class LongTitles(Monitor):
    """Counts titles by length, batch by batch."""

    table = "long_titles"

    def __init__(self, bundle: Any) -> None:
        super().__init__(bundle)
        self.counts: list[int] = []

    def observe(self, batch: Batch) -> None:
        assert len(batch.predictions) == len(batch.labels)
        self.counts.append(int((batch.predictions["track_name"].str.len_chars() > 20).sum()))

    def write(self, scored: Scored) -> int:
        scored.database.insert_row(
            self.table, {"run_id": scored.run.run_id, "run_date": scored.run.run_date, "tracks": sum(self.counts)}
        )
        return 1


def test_a_monitor_is_a_table_a_module_and_an_entry(
    tmp_path: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three files: the contract with the table, and a check if it has a limit; the module; the registry."""

    def add(document: dict[str, Any]) -> None:
        columns = [("run_id", "string", "VARCHAR"), ("run_date", "date", "DATE"), ("tracks", "number", "BIGINT")]
        document["schema"].append(
            {
                "name": "long_titles", "physicalType": "table", "description": "How many titles are long.",
                "properties": [
                    {"name": name, "logicalType": logical, "physicalType": physical, "description": "A column."}
                    for name, logical, physical in columns
                ],
            }
        )  # fmt: skip

    edit(shipped / "contracts/operations.odcs.yaml", add)
    monkeypatch.setattr(scoring_run, "MONITORS", (*MONITORS, LongTitles))
    source = write_csv(tmp_path / "t.csv", [*tracks(5), track(6, track_name="A title of more than twenty letters")])
    for _ in range(2):  # the date again replaces its rows
        api.score(source, tmp_path / "w.duckdb", run_date=DATE, force=True)
    assert ask(tmp_path / "w.duckdb", "SELECT tracks FROM long_titles") == [{"tracks": 1}]


def test_an_audio_column_is_the_contracts_and_one_sql_file(tmp_path: Path, shipped: Path) -> None:
    """It is read, judged, kept in the catalogue, and a feature; bundles that do not know it must be trained again."""
    column = {
        "name": "brightness", "logicalType": "number", "physicalType": "FLOAT", "description": "How bright it sounds.",
        "required": True, "logicalTypeOptions": {"minimum": 0, "maximum": 1},
    }  # fmt: skip
    for name, tables in (("source_tracks", [0]), ("tracks", [0, 1]), ("features", [0])):
        for table in tables:
            edit(
                shipped / f"contracts/{name}.odcs.yaml",
                lambda document, table=table: document["schema"][table]["properties"].append(column),
            )
    typed = shipped / "sql/land/typed.sql"
    typed.write_text(typed.read_text().replace("key_of(", "number(brightness) AS brightness,\n    key_of("))

    rows = [{**track(n), "brightness": value} for n, value in enumerate(("0.25", "0.5", "7", "0.75", "0.5"))]
    rows[4] |= {"instance_id": "3.0"}  # says the same as row 3 but for its brightness
    source = sources.resolve([str(write_csv(tmp_path / "t.csv", rows))])
    with prepare.landed_in_memory(source, run_of()) as (steps, landed):
        assert (landed.counts.accepted, landed.counts.quarantined) == (3, 2)
        prepare.update_catalogue(steps)
        prepare.make_scorable(steps, 200_000)
        batch = pl.concat(prepare.batches(steps, 10))
        (audio,) = features.build(batch)
        assert steps.database.rows("SELECT brightness FROM tracks ORDER BY ALL") == [(0.25,), (0.5,), (0.5,)]
        steps.make("quarantined")
        reasons = steps.database.rows("SELECT reasons[1] FROM quarantined ORDER BY ALL")
    assert audio.columns[-1] == "brightness"
    assert sorted(audio["brightness"]) == [0.25, 0.5, 0.5]
    assert [reason for (reason,) in reasons] == [
        "brightness.maximum: must be at most 1",
        "instance_id.unique: a later row of the same track says something else",
    ]
    with pytest.raises(api.GenrepipeError, match="Train it again"):
        api.score(tmp_path / "t.csv", tmp_path / "w.duckdb")
