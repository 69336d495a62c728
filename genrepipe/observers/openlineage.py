"""OpenLineage: an event at the start and the end of a run, with what it read and wrote."""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core import addresses, files
from genrepipe.core.events import Reporter, RunFailed, RunStarted
from genrepipe.core.version import VERSION
from genrepipe.observers.delivery import deliver
from genrepipe.pipeline.results import ScoreResult

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

    from genrepipe.core.results import Result

NAMESPACE = "genrepipe"
PRODUCER = f"urn:genrepipe:{VERSION}"


class Lineage(Reporter):
    """Appends events to a file, or sends them to ``OPENLINEAGE_URL``; does nothing where neither is set."""

    def __init__(self, file: Path | None, log: Reporter) -> None:
        self._file, self._log = file, log
        self._wanted = file is not None or bool(os.environ.get("OPENLINEAGE_URL"))
        self._run: RunStarted | None = None

    def run_started(self, run: RunStarted) -> None:
        """Emit START."""
        self._run = run
        if self._wanted and find_spec("openlineage") is None:
            self._wanted = False
            self._log.warning("lineage", error="not installed: pip install 'genrepipe[lineage]'")
        self._emit("START")

    def run_succeeded(self, result: Result) -> None:
        """Emit COMPLETE, with the number of rows that were written."""
        self._emit("COMPLETE", predicted=result.predicted if isinstance(result, ScoreResult) else None)

    def run_failed(self, failure: RunFailed) -> None:
        """Emit ABORT after a signal, else FAIL."""
        self._emit("ABORT" if failure.status == "interrupted" else "FAIL", error=failure.error)

    def _emit(self, kind: str, predicted: int | None = None, error: str | None = None) -> None:
        run = self._run
        if self._wanted and self._file is not None and (reason := files.not_ours(self._file, b"{")):
            self._log.warning("lineage", error=f"{self._file} {reason}")
            return
        if self._wanted and run is not None:
            deliver(self._log, "lineage", lambda: _client(self._file).emit(_event(kind, run, predicted, error)))


def _client(file: Path | None) -> OpenLineageClient:
    from openlineage.client import OpenLineageClient  # noqa: PLC0415  of an extra
    from openlineage.client.transport.file import FileConfig, FileTransport  # noqa: PLC0415

    logging.getLogger("openlineage").addHandler(logging.NullHandler())  # it would print addresses, and not as JSON
    if file is None:
        return OpenLineageClient()
    return OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(file), append=True)))


def _event(kind: str, run: RunStarted, predicted: int | None, error: str | None) -> RunEvent:
    """Return one event: START, COMPLETE, FAIL or ABORT.

    OpenLineage wants a UUID of a run, which is derived from our run id; that is the tag ``run_id``.
    """
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState  # noqa: PLC0415
    from openlineage.client.facet_v2 import (  # noqa: PLC0415
        error_message_run,
        nominal_time_run,
        output_statistics_output_dataset,
        schema_dataset,
        tags_run,
    )

    def columns(contract: str) -> dict[str, Any]:
        table = contracts.load(contract).table
        fields = [
            schema_dataset.SchemaDatasetFacetFields(c.name, c.physicalType, c.description) for c in table.properties
        ]
        return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}

    tag = tags_run.TagsRunFacetFields("run_id", run.run_id, "genrepipe")
    facets: dict[str, Any] = {"tags": tags_run.TagsRunFacet([tag])}
    with suppress(ValueError):  # the run date may be no date: that run fails, and its events are sent all the same
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(f"{run.run_date}T00:00:00Z")
    if error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "python")
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=predicted)
    sources = [source.replace("{run_date}", run.run_date) for source in run.source]
    output = OutputDataset(
        "duckdb",
        f"{run.warehouse.absolute()}/predictions",
        facets=columns("predictions"),
        outputFacets={} if predicted is None else {"outputStatistics": statistics},
    )
    return RunEvent(
        eventType=RunState[kind],
        eventTime=datetime.now(UTC).isoformat(),
        run=Run(str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:genrepipe:run:{run.run_id}")), facets=facets),
        job=Job(namespace=NAMESPACE, name=run.job),
        inputs=[InputDataset(*_dataset(source), facets=columns("source_tracks")) for source in sources],
        outputs=[] if run.dry_run else [output],
        producer=PRODUCER,
    )


def _dataset(source: str) -> tuple[str, str]:
    """Return namespace and name of a source by OpenLineage's naming of datasets."""
    if addresses.is_address(source):
        address = addresses.redacted(source)
        bucket = addresses.bucket(address)
        return bucket, address.removeprefix(bucket).lstrip("/")
    return "file", str(Path(source).absolute())
