"""Lineage: OpenLineage events are valid by the standard's schemas, and say what was read, checked and made of what."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from referencing import Registry, Resource

from genrepipe import contracts
from genrepipe.model import bundle as bundles
from genrepipe.observers import facets
from tests.support import DAY, NEXT, ROOT, ask, run, track, tracks, write_csv

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("openlineage.client", reason="lineage needs the extra: pip install 'genrepipe[lineage]'")

SCHEMAS = {
    schema["$id"]: schema
    for path in (ROOT / "tests/data/openlineage").glob("*.json")
    for schema in [json.loads(path.read_text(encoding="utf-8"))]
}
REGISTRY = Registry().with_resources((name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items())
PARENT, ROOT_RUN = "0190f3a0-0000-7000-8000-000000000001", "0190f3a0-0000-7000-8000-000000000002"


def validate(event: dict[str, Any]) -> list[str]:
    """Hold an event, and each of its facets, against the standard's schemas; return the names of the facets."""
    held = jsonschema.FormatChecker(["uuid", "date", "email"])

    def hold(what: Any, schema: str) -> None:
        jsonschema.Draft202012Validator({"$ref": schema}, registry=REGISTRY, format_checker=held).validate(what)

    hold(event, event["schemaURL"])
    datasets = [*event["inputs"], *event["outputs"]]
    holders = [event["run"]["facets"], event["job"]["facets"], *(d["facets"] for d in datasets)]
    holders += [d[key] for d in datasets for key in ("inputFacets", "outputFacets") if key in d]
    for holder in holders:
        for facet in holder.values():
            hold(facet, facet["_schemaURL"])
            assert facet["_producer"] == event["producer"]
    return [name for holder in holders for name in holder]


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.json").read_text().splitlines()]


def assertions(dataset: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in dataset[kind]["dataQualityAssertions"]["assertions"]}


def test_lineage_events_name_the_run_its_datasets_and_their_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", tracks(5))
    words = ("score", "t.csv", "--warehouse", "w.duckdb", "--lineage-file", "events.json", "--run-date")
    parents = {
        "OPENLINEAGE_PARENT_ID": f"https://airflow/dags.score/{PARENT}",
        "OPENLINEAGE_ROOT_PARENT_ID": f"airflow/dag/{ROOT_RUN}",
    }
    result = run(*words, DAY, "--output", "json", cwd=tmp_path, **parents)
    assert run(*words, DAY, cwd=tmp_path).code == 0  # recognised
    write_csv(tmp_path / "t.csv", tracks(5, energy="7"))
    assert run(*words, NEXT, cwd=tmp_path).code == 65
    assert run(*words, "yesterday", cwd=tmp_path).code == 64
    events = told(tmp_path)
    assert [e["eventType"] for e in events] == ["START", "COMPLETE", "START", "COMPLETE", *["START", "FAIL"] * 2]
    assert len({e["run"]["runId"] for e in events}) == 4
    names = {name for event in events for name in validate(event)}
    assert names == {
        "columnLineage", "dataQualityAssertions", "documentation", "errorMessage", "inputStatistics", "jobType", "nominalTime",
        "outputStatistics", "parent", "processing_engine", "schema", "tags",
    }  # fmt: skip
    start, complete, _, recognised, _, refused = events[:6]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["run"]["facets"]["tags"]["tags"][0]["value"] == result.json["run_id"]
    parent = complete["run"]["facets"]["parent"]
    assert (parent["job"]["namespace"], parent["job"]["name"], parent["run"]["runId"]) == (
        "https://airflow",
        "dags.score",
        PARENT,
    )
    assert (parent["root"]["job"]["name"], parent["root"]["run"]["runId"]) == ("dag", ROOT_RUN)
    assert complete["run"]["facets"]["processing_engine"]["name"] == "DuckDB"
    assert complete["job"]["facets"]["jobType"]["processingType"] == "BATCH"
    (read,), (wrote,) = complete["inputs"], complete["outputs"]
    assert (read["name"], read["inputFacets"]["inputStatistics"]["rowCount"]) == (str(tmp_path / "t.csv"), 5)
    assert (wrote["name"], wrote["outputFacets"]["outputStatistics"]["rowCount"]) == (
        f"{tmp_path}/w.duckdb/predictions",
        5,
    )
    assert {"genre", "probability"} <= {column["name"] for column in wrote["facets"]["schema"]["fields"]}
    checks = ask(tmp_path / "w.duckdb", f"FROM checks WHERE run_id = '{result.json['run_id']}'")
    held = assertions(read, "inputFacets") | assertions(wrote, "outputFacets")
    assert {
        name: (a["success"], float(a["actual"]), float(a["expected"]), a["description"]) for name, a in held.items()
    } == {
        c["name"]: (c["verdict"] == "passed", pytest.approx(c["observed"]), c["allowed"], c["sentence"]) for c in checks
    }
    assert "sum_to_one" in assertions(wrote, "outputFacets")
    assert (recognised["inputs"][0]["inputFacets"], recognised["outputs"][0]["outputFacets"]) == ({}, {})

    assert refused["run"]["facets"]["nominalTime"]["nominalStartTime"] == f"{NEXT}T00:00:00Z"
    assert "break the contract" in refused["run"]["facets"]["errorMessage"]["message"]
    stopped = assertions(refused["inputs"][0], "inputFacets")["quarantined_percent"]
    assert (stopped["success"], stopped["severity"], stopped["actual"], stopped["expected"]) == (
        False,
        "error",
        "100",
        "5",
    )
    assert refused["outputs"][0]["outputFacets"] == {}

    broken = copy.deepcopy(complete)
    del broken["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"][0]["success"]
    with pytest.raises(jsonschema.ValidationError, match="'success' is a required property"):
        validate(broken)

    columns_are_made_of_columns(wrote)


def columns_are_made_of_columns(wrote: dict[str, Any]) -> None:
    lineage = wrote["facets"]["columnLineage"]
    made = {
        column: {field["field"]: [t["subtype"] for t in field["transformations"]] for field in of["inputFields"]}
        for column, of in lineage["fields"].items()
    }
    assert made["track_id"] == {"instance_id": ["IDENTITY"]}
    assert made["genre"]["energy"] == ["TRANSFORMATION", "AGGREGATION"]
    assert made["genre"]["key"] == ["TRANSFORMATION"]
    assert {"artist_name", "track_name"} <= set(made["genre"])  # the champion reads flags of both names
    assert "instance_id" in {field["field"] for field in lineage["dataset"]}


def test_a_dry_run_writes_nothing_and_a_parent_that_is_none_is_left_out(tmp_path: Path) -> None:
    sources = [write_csv(tmp_path / f"{part}.csv", [track(number)]) for number, part in enumerate("ab")]
    words = ("score", *sources, "--warehouse", tmp_path / "w.duckdb", "--lineage-file", tmp_path / "events.json")
    dry = run(*words, "--dry-run", OPENLINEAGE_PARENT_ID="airflow/dags.score/not-a-run")
    assert (dry.code, "OPENLINEAGE_PARENT_ID is left out" in dry.err) == (0, True)
    last = told(tmp_path)[-1]
    validate(last)
    assert (last["eventType"], last["outputs"], "parent" in last["run"]["facets"]) == ("COMPLETE", [], False)
    assert [each["name"] for each in last["inputs"]] == [str(source) for source in sources]


@pytest.mark.parametrize("name", sorted(bundles.available()))
def test_the_columns_that_a_bundle_reads_are_columns_of_the_source(name: str) -> None:
    inputs = bundles.load(name).manifest.inputs
    source, predictions = (set(contracts.load(each).table.columns) for each in ("source_tracks", "predictions"))
    found = facets.derivations(inputs)
    assert found.keys() == predictions - {"run_date", "model", "model_version", "run_id", "scored_at", "job"}
    assert {column for derivation in found.values() for column in derivation} <= source
    assert not {"music_genre", "obtained_date"} & {column for each in found.values() for column in each}
    assert ("track_name" in found["genre"]) == bool({"name_flags", "name_vectors"} & {*inputs})


@pytest.mark.parametrize(
    "text",
    ["", "a", f"job/{PARENT}", f"/job/{PARENT}", f"namespace//{PARENT}", "namespace/job/7", f"namespace/job/{PARENT}/"],
)
def test_a_parent_is_a_namespace_a_job_and_the_uuid_of_a_run(text: str) -> None:
    assert facets.parent_of(text) is None
    assert facets.parent_of(f"http://host/a/job/{PARENT}") == ("http://host/a", "job", PARENT)
