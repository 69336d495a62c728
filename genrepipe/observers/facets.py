"""Facets of OpenLineage events: what a run was started by, what it checked, and of which columns its predictions are made."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import UUID

from genrepipe import contracts
from genrepipe.core.version import VERSION
from genrepipe.model import features

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from openlineage.client.facet_v2 import column_lineage_dataset

    from genrepipe.pipeline.night import Row

    Parent = tuple[str, str, str]  # namespace and name of a job, and the id of its run
    Derivation = dict[str, list[tuple[str, str, str]]]  # type, subtype and description, by source column

PARENT, ROOT_PARENT = "OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"
ENGINES = {"local": ("DuckDB", "duckdb"), "spark": ("Spark", "pyspark")}  # name, and package
ANSWERS = ("genre", "probability", "runner_up", "runner_up_probability", "margin", "genre_set", "probabilities")


def parent_of(text: str) -> Parent | None:
    """Return the parts of ``namespace/job/run_id``, or None where it is not that; a namespace may hold slashes."""
    parts = text.rsplit("/", 2)
    try:
        UUID(parts[-1])
        namespace, name, run_id = parts
    except ValueError:
        return None
    return (namespace, name, run_id) if namespace and name else None


def parent(of: Parent | None, root: Parent | None) -> dict[str, Any]:
    """Return the run that started this one, and the one that started them all, where they are known."""
    from openlineage.client.facet_v2 import parent_run  # noqa: PLC0415  of an extra

    if of is None:
        return {}
    origin = None
    if root is not None:
        origin = parent_run.Root(run=parent_run.RootRun(root[2]), job=parent_run.RootJob(*root[:2]))
    return {"parent": parent_run.ParentRunFacet(parent_run.Run(of[2]), parent_run.Job(*of[:2]), root=origin)}


def engine(name: str) -> dict[str, Any]:
    """Return what computes: DuckDB, or Spark."""
    from openlineage.client.facet_v2 import processing_engine_run  # noqa: PLC0415

    shown, package = ENGINES[name]
    facet = processing_engine_run.ProcessingEngineRunFacet(version(package), shown, VERSION)
    return {"processing_engine": facet}


def job() -> dict[str, Any]:
    """Return what kind of job it is."""
    from openlineage.client.facet_v2 import documentation_job, job_type_job  # noqa: PLC0415

    return {
        "jobType": job_type_job.JobTypeJobFacet("BATCH", "GENREPIPE", "JOB"),
        "documentation": documentation_job.DocumentationJobFacet(
            "Predicts the genre of every track of a source, into a warehouse.", "text/plain"
        ),
    }


def columns(contract: str) -> dict[str, Any]:
    """Return the columns of a contract's table."""
    from openlineage.client.facet_v2 import schema_dataset  # noqa: PLC0415

    table = contracts.load(contract).table
    fields = [schema_dataset.SchemaDatasetFacetFields(c.name, c.physicalType, c.description) for c in table.properties]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}


def assertions(checks: Iterable[Row], of_source: bool, note: str = "") -> dict[str, Any]:
    """Return the checks of the source, or those of the predictions, with the audits; nothing where there are none.

    Parameters
    ----------
    note
        A sentence that is added to each description.
    """
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality  # noqa: PLC0415

    ours = contracts.load("source_tracks").table.checks
    found = [
        quality.Assertion(
            assertion="custom_sql",
            success=check["verdict"] == "passed",
            severity="warn" if check["severity"] == "warning" else "error",
            name=check["name"],
            description=f"{check['sentence']}{note}",
            expected=f"{check['allowed'] or 0:.10g}",
            actual=f"{check['observed']:.10g}",
        )
        for check in checks
        if (check["name"] in ours) == of_source
    ]
    return {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet(found)} if found else {}


def column_lineage(sources: Sequence[tuple[str, str]], inputs: Sequence[str]) -> dict[str, Any]:
    """Return of which columns of the sources each column of ``predictions`` is made.

    Parameters
    ----------
    sources
        Namespace and name of each.
    inputs
        The blocks of features that the bundle reads.
    """
    from openlineage.client.facet_v2 import column_lineage_dataset as lineage  # noqa: PLC0415

    def fields(derivation: Mapping[str, list[tuple[str, str, str]]]) -> list[column_lineage_dataset.InputField]:
        return [
            lineage.InputField(*source, column, [lineage.Transformation(*each) for each in transformations])
            for source in sources
            for column, transformations in derivation.items()
        ]

    made = {name: lineage.Fields(fields(derivation)) for name, derivation in derivations(inputs).items()}
    return {"columnLineage": lineage.ColumnLineageDatasetFacet(made, dataset=fields(filters()))}


def derivations(inputs: Sequence[str]) -> dict[str, Derivation]:
    """Return how each column of ``predictions`` that comes from the source is made, by a bundle of these inputs."""
    audio = features.columns([features.AUDIO])
    answer: Derivation = {name: [("DIRECT", "TRANSFORMATION", "an input of the model")] for name in audio}
    artist = [("INDIRECT", "JOIN", "a missing duration_ms is the median of the artist's tracks")]
    if features.CONTEXT in inputs:
        context = features.columns([features.CONTEXT])
        for name in audio:
            if f"{name}_mean" in context:
                answer[name].append(("DIRECT", "AGGREGATION", "over the artist's tracks in the catalogue"))
        artist.append(("INDIRECT", "GROUP_BY", "aggregates of the artist's tracks in the catalogue"))
    if features.LABELS in inputs:
        artist.append(("INDIRECT", "JOIN", "labels of the artist in the bundle's training data"))
    if {features.FLAGS, features.VECTORS} & {*inputs}:
        artist.append(("DIRECT", "TRANSFORMATION", "an input of the model"))
        answer["track_name"] = [("DIRECT", "TRANSFORMATION", "an input of the model")]
    answer["artist_name"] = artist
    shown = [("DIRECT", "TRANSFORMATION", "without spaces around it; a marker of a missing value is NULL")]
    threshold = ("INDIRECT", "CONDITIONAL", "the threshold is that for as many tracks of the artist")
    return {
        "track_id": {"instance_id": [("DIRECT", "IDENTITY", "as text; a whole number has no .0")]},
        "artist_name": {"artist_name": shown},
        "track_name": {"track_name": shown},
        **dict.fromkeys(ANSWERS, answer),
        "genre_set": {**answer, "artist_name": [*artist, threshold]},
        "imputed": {name: [("INDIRECT", "CONDITIONAL", "named where it is missing")] for name in audio},
        "artist_tracks": {
            "instance_id": [("DIRECT", "AGGREGATION", "counted in the catalogue")],
            "artist_name": [("INDIRECT", "GROUP_BY", "tracks of the same artist")],
        },
    }


def filters() -> Derivation:
    """Return the columns of the source that decide which rows are predicted."""
    rules = ("INDIRECT", "FILTER", "rows that break a rule of the contract are quarantined")
    found: Derivation = {
        column.name: [rules]
        for column in contracts.load("source_tracks").table.properties
        if contracts.rules_of(column)
    }
    found.setdefault("instance_id", []).append(("INDIRECT", "GROUP_BY", "of the rows of a track the last one counts"))
    return found
