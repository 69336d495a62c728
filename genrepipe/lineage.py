"""What OpenLineage is told of a run: an event at its start and its end, with what it read and wrote."""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrepipe import __version__, contracts, objects

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

    from genrepipe.journey import ScoreRequest

NAMESPACE = "genrepipe"
PRODUCER = f"urn:genrepipe:{__version__}"


def wanted(file: Path | None) -> bool:
    """Whether anybody is to be told."""
    return file is not None or bool(os.environ.get("OPENLINEAGE_URL"))


def installed() -> bool:
    """Whether the extra is there."""
    return find_spec("openlineage") is not None


def client(file: Path | None) -> OpenLineageClient:
    """Return a client that appends to the file, or sends to ``OPENLINEAGE_URL`` as the client's own settings say."""
    from openlineage.client import OpenLineageClient  # noqa: PLC0415  of an extra
    from openlineage.client.transport.file import FileConfig, FileTransport  # noqa: PLC0415

    logging.getLogger("openlineage").addHandler(logging.NullHandler())  # it would print addresses, and no JSON lines
    if file is None:
        return OpenLineageClient()
    return OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(file), append=True)))


def event(kind: str, request: ScoreRequest, run_date: str, predicted: int | None, error: str | None) -> RunEvent:
    """Return one event of a run: START, COMPLETE, FAIL or ABORT.

    OpenLineage wants a UUID of a run, which is made of ours; ours is the tag ``run_id``.
    """
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState  # noqa: PLC0415
    from openlineage.client.facet_v2 import (  # noqa: PLC0415
        error_message_run,
        nominal_time_run,
        output_statistics_output_dataset,
        schema_dataset,
        tags_run,
    )

    def facet(contract: str) -> dict[str, Any]:
        columns = contracts.load(contract).table.properties
        fields = [schema_dataset.SchemaDatasetFacetFields(c.name, c.physicalType, c.description) for c in columns]
        return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}

    tag = tags_run.TagsRunFacetFields("run_id", str(request.run_id), "genrepipe")
    of_run: dict[str, Any] = {"tags": tags_run.TagsRunFacet([tag])}
    with suppress(ValueError):  # a run that was asked for with a date that is none fails, and that is told too
        of_run["nominalTime"] = nominal_time_run.NominalTimeRunFacet(f"{run_date}T00:00:00Z")
    if error is not None:
        of_run["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "python")
    written = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=predicted)
    named = [source.replace("{run_date}", run_date) for source in request.source]
    return RunEvent(
        eventType=RunState[kind],
        eventTime=datetime.now(UTC).isoformat(),
        run=Run(str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:genrepipe:run:{request.run_id}")), facets=of_run),
        job=Job(namespace=NAMESPACE, name=request.job),
        inputs=[InputDataset(*_place(name), facets=facet("source_tracks")) for name in named],
        outputs=[]
        if request.dry_run
        else [
            OutputDataset(
                "duckdb",
                f"{request.warehouse.absolute()}/predictions",
                facets=facet("predictions"),
                outputFacets={} if predicted is None else {"outputStatistics": written},
            )
        ],
        producer=PRODUCER,
    )


def _place(name: str) -> tuple[str, str]:
    """Return namespace and name of a source, as OpenLineage's naming of datasets wants them."""
    if objects.named(name):
        address = objects.shown(name)
        return objects.root(address), address.removeprefix(objects.root(address)).lstrip("/")
    return "file", str(Path(name).absolute())
