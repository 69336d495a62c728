"""OpenLineage: an event at the start and the end of a run, with what it read, checked and wrote."""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrepipe.core import addresses, files
from genrepipe.core.events import BUNDLE, Reporter, RunFailed, RunStarted
from genrepipe.core.version import VERSION
from genrepipe.observers import facets
from genrepipe.observers.delivery import deliver, measured
from genrepipe.pipeline.measures import Measures
from genrepipe.pipeline.results import ScoreResult

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

    from genrepipe.core.results import Result
    from genrepipe.observers.facets import Parent

NAMESPACE = "genrepipe"
PRODUCER = f"urn:genrepipe:{VERSION}"


class Lineage(Reporter):
    """Appends events to a file, or sends them to ``OPENLINEAGE_URL``; does nothing where neither is set.

    ``OPENLINEAGE_PARENT_ID`` and ``OPENLINEAGE_ROOT_PARENT_ID``, each ``namespace/job/run_id``, name the run of a scheduler
    that started this one, and the one that started them all.
    """

    def __init__(self, file: Path | None, log: Reporter) -> None:
        self._file, self._log = file, log
        self._wanted = file is not None or bool(os.environ.get("OPENLINEAGE_URL"))
        self._run: RunStarted | None = None
        self._parent: dict[str, Any] = {}
        self._inputs: list[str] = []

    def run_started(self, run: RunStarted) -> None:
        """Emit START."""
        self._run, self._inputs = run, []
        if not self._wanted:
            return
        if find_spec("openlineage") is None:
            self._wanted = False
            self._log.warning("lineage", error="not installed: pip install 'genrepipe[lineage]'")
            return
        from openlineage.client.facet_v2 import set_producer  # noqa: PLC0415  of an extra

        set_producer(PRODUCER)
        self._parent = facets.parent(self._named(facets.PARENT), self._named(facets.ROOT_PARENT))
        self._emit("START")

    def note(self, event: str, **facts: Any) -> None:
        """Note what the bundle reads."""
        if event == BUNDLE:
            self._inputs = list(facts["inputs"])

    def run_succeeded(self, result: Result) -> None:
        """Emit COMPLETE, with what was measured and written; a run that was recognised did neither."""
        run = self._run
        wrote = isinstance(result, ScoreResult) and run is not None and result.run_id == run.run_id and not run.dry_run
        self._emit("COMPLETE", measures=self._measured() if wrote else None)

    def run_failed(self, failure: RunFailed) -> None:
        """Emit ABORT after a signal, else FAIL, with what was checked before."""
        kind = "ABORT" if failure.status == "interrupted" else "FAIL"
        self._emit(kind, measures=self._measured(), error=failure.error)

    def _named(self, variable: str) -> Parent | None:
        text = os.environ.get(variable)
        if not text:
            return None
        found = facets.parent_of(text)
        if found is None:
            self._log.warning(
                "lineage", error=f"{variable} is left out: it is not namespace/job/run_id, of a run that is a UUID"
            )
        return found

    def _measured(self) -> Measures | None:
        if not self._wanted or self._run is None or self._run.dry_run:
            return None
        return measured(self._log, "lineage", self._run.warehouse, self._run.run_id)

    def _emit(self, kind: str, measures: Measures | None = None, error: str | None = None) -> None:
        run = self._run
        if not self._wanted or run is None:
            return
        if self._file is not None and (reason := files.not_ours(self._file, b"{")):
            self._log.warning("lineage", error=f"{self._file} {reason}")
            return

        def send() -> None:
            event = _event(kind, run, measures or Measures(), self._parent, self._inputs, error)
            _client(self._file).emit(event)

        deliver(self._log, "lineage", send)


def _client(file: Path | None) -> OpenLineageClient:
    from openlineage.client import OpenLineageClient  # noqa: PLC0415  of an extra
    from openlineage.client.transport.file import FileConfig, FileTransport  # noqa: PLC0415

    logging.getLogger("openlineage").addHandler(logging.NullHandler())  # it would print addresses, and not as JSON
    if file is None:
        return OpenLineageClient()
    return OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(file), append=True)))


def _event(
    kind: str, run: RunStarted, measures: Measures, parent: dict[str, Any], inputs: list[str], error: str | None
) -> RunEvent:
    """Return one event: START, COMPLETE, FAIL or ABORT.

    OpenLineage wants a UUID of a run, which is derived from our run id; that is the tag ``run_id``.
    """
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState  # noqa: PLC0415
    from openlineage.client.facet_v2 import error_message_run, nominal_time_run, tags_run  # noqa: PLC0415

    tag = tags_run.TagsRunFacetFields("run_id", run.run_id, "genrepipe")
    of_run: dict[str, Any] = {"tags": tags_run.TagsRunFacet([tag]), **parent, **facets.engine(run.engine)}
    with suppress(ValueError):  # the run date may be no date: that run fails, and its events are sent all the same
        of_run["nominalTime"] = nominal_time_run.NominalTimeRunFacet(f"{run.run_date}T00:00:00Z")
    if error is not None:
        of_run["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "python")
    sources = [_dataset(source.replace("{run_date}", run.run_date)) for source in run.source]
    return RunEvent(
        eventType=RunState[kind],
        eventTime=datetime.now(UTC).isoformat(),
        run=Run(str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:genrepipe:run:{run.run_id}")), facets=of_run),
        job=Job(namespace=NAMESPACE, name=run.job, facets=facets.job()),
        inputs=_inputs(sources, measures),
        outputs=[] if run.dry_run else [_output(run, sources if kind == "COMPLETE" else [], measures, inputs)],
        producer=PRODUCER,
    )


def _inputs(sources: list[tuple[str, str]], measures: Measures) -> list[InputDataset]:
    from openlineage.client.event_v2 import InputDataset  # noqa: PLC0415
    from openlineage.client.facet_v2 import input_statistics_input_dataset as statistics  # noqa: PLC0415

    together = " It is of all inputs together." if len(sources) > 1 else ""
    of_input = facets.assertions(measures.checks, of_source=True, note=together)
    if measures.run is not None and measures.run["received"] and not together:
        rows = measures.run["received"] + (measures.run["filtered"] or 0)
        of_input["inputStatistics"] = statistics.InputStatisticsInputDatasetFacet(rowCount=rows)
    return [InputDataset(*each, facets=facets.columns("source_tracks"), inputFacets=of_input) for each in sources]


def _output(run: RunStarted, sources: list[tuple[str, str]], measures: Measures, inputs: list[str]) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset  # noqa: PLC0415
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics  # noqa: PLC0415

    # The standard has assertions on inputs; what is checked here, before it is published, is the output.
    of_output = facets.assertions(measures.checks, of_source=False)
    if measures.run is not None and measures.run["status"] == "published":
        of_output["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(
            rowCount=measures.run["predicted"]
        )
    made = facets.column_lineage(sources, inputs) if sources and inputs else {}
    return OutputDataset(
        "duckdb",
        f"{run.warehouse.absolute()}/predictions",
        facets={**facets.columns("predictions"), **made},
        outputFacets=of_output,
    )


def _dataset(source: str) -> tuple[str, str]:
    """Return namespace and name of a source by OpenLineage's naming of datasets."""
    if addresses.is_address(source):
        address = addresses.redacted(source)
        bucket = addresses.bucket(address)
        return bucket, address.removeprefix(bucket).lstrip("/")
    return "file", str(Path(source).absolute())
