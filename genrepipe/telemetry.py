"""What others learn of a run while nobody watches: metrics, lineage events, a dead man's switch.

None of it can fail a run: what cannot be delivered is a warning in the log. Addresses may hold secrets, so a log line
names no more than their host.
"""

from __future__ import annotations

import os
import urllib.request
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from genrepipe import __version__, contracts
from genrepipe.errors import GenrepipeError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genrepipe.console import Reporter
    from genrepipe.jobs import ScoreRequest

PING_SECONDS = 5
NAMESPACE = "genrepipe"


@dataclass(frozen=True)
class Telemetry:
    """Where to tell of runs; what is None or empty is not told."""

    say: Reporter
    metrics_file: Path | None = None
    ping_start: str | None = None
    ping_success: str | None = None
    ping_failure: str | None = None
    lineage_file: Path | None = None


def followed(telemetry: Telemetry, request: ScoreRequest, score: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Run a scoring job, and tell of its start and of how it ended."""
    identity = str(uuid.uuid4())
    _ping(telemetry, telemetry.ping_start)
    _lineage(telemetry, request, "START", identity, None)
    try:
        result = score(request, telemetry.say)
    except BaseException as error:
        code = error.exit_code if isinstance(error, GenrepipeError) else 70
        _metrics(telemetry, request, None, code)
        _lineage(telemetry, request, "ABORT" if isinstance(error, Interrupted) else "FAIL", identity, None)
        _ping(telemetry, telemetry.ping_failure)
        raise
    _metrics(telemetry, request, result, 0)
    _lineage(telemetry, request, "COMPLETE", identity, result)
    _ping(telemetry, telemetry.ping_success)
    return result


def _ping(telemetry: Telemetry, url: str | None) -> None:
    if not url:
        return
    host = None
    try:
        host = urlsplit(url).hostname
        if urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError("not an http address")
        with urllib.request.urlopen(url, timeout=PING_SECONDS):  # noqa: S310  its scheme is one of two
            pass
    except (OSError, ValueError, HTTPException) as error:
        telemetry.say.note("warning", check="ping", host=host, error=type(error).__name__)


def _metrics(telemetry: Telemetry, request: ScoreRequest, result: dict[str, Any] | None, exit_code: int) -> None:
    """Write a Prometheus textfile; after a failure what the last success left stands."""
    if telemetry.metrics_file is None:
        return
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    registry, job = CollectorRegistry(), request.job
    values: dict[tuple[str, str], float] = {}
    try:
        for family in text_string_to_metric_families(telemetry.metrics_file.read_text(encoding="utf-8")):
            for sample in family.samples:
                values[sample.name, sample.labels.get("stage") or sample.labels.get("outcome") or ""] = sample.value
    except (OSError, ValueError):
        values = {}
    now = datetime.now(UTC).timestamp()
    values["genrepipe_last_run_timestamp_seconds", ""] = now
    values["genrepipe_last_exit_code", ""] = exit_code
    if result is not None:
        values["genrepipe_last_success_timestamp_seconds", ""] = now
        for outcome in ("received", "predicted", "quarantined", "duplicates", "empty"):
            values["genrepipe_rows", outcome] = result[outcome]
        values["genrepipe_flips", ""] = result["flips"]
        values["genrepipe_warnings", ""] = len(result["warnings"])
        values["genrepipe_run_seconds", ""] = result["seconds"]
        values = {key: value for key, value in values.items() if key[0] != "genrepipe_stage_seconds"}
        for stage, seconds in result["stages"].items():
            values["genrepipe_stage_seconds", stage] = seconds
    gauges: dict[str, Gauge] = {}
    for (name, label), value in values.items():
        kind = {"genrepipe_rows": "outcome", "genrepipe_stage_seconds": "stage"}.get(name)
        if name not in HELP:
            continue
        gauge = gauges.get(name) or gauges.setdefault(
            name, Gauge(name, HELP[name], ["job", *([kind] if kind else [])], registry=registry)
        )
        gauge.labels(job, *([label] if kind else [])).set(value)
    try:
        write_to_textfile(str(telemetry.metrics_file), registry)
    except OSError as error:
        telemetry.say.note("warning", check="metrics", error=str(error.strerror))


HELP = {
    "genrepipe_last_run_timestamp_seconds": "When the last run ended, whatever its end.",
    "genrepipe_last_exit_code": "Exit code of the last run.",
    "genrepipe_last_success_timestamp_seconds": "When the last run that published ended.",
    "genrepipe_rows": "Rows of the last run that published, by what became of them.",
    "genrepipe_flips": "Tracks whose genre changed in the last run that published.",
    "genrepipe_warnings": "Checks of the last run that published which ended as warnings.",
    "genrepipe_run_seconds": "How long the last run that published took.",
    "genrepipe_stage_seconds": "The same by stage.",
}


def _lineage(
    telemetry: Telemetry, request: ScoreRequest, kind: str, identity: str, result: dict[str, Any] | None
) -> None:
    """Send one OpenLineage event to ``OPENLINEAGE_URL``, or append it to a file."""
    if not os.environ.get("OPENLINEAGE_URL") and telemetry.lineage_file is None:
        return
    try:
        from openlineage.client import OpenLineageClient  # noqa: PLC0415
        from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent, RunState  # noqa: PLC0415
        from openlineage.client.event_v2 import Run as LineageRun  # noqa: PLC0415
        from openlineage.client.facet_v2 import schema_dataset  # noqa: PLC0415
        from openlineage.client.transport.file import FileConfig, FileTransport  # noqa: PLC0415
    except ImportError:
        telemetry.say.note("warning", check="lineage", error="not installed: pip install 'genrepipe[lineage]'")
        return

    def facet(contract: str) -> dict[str, Any]:
        columns = contracts.load(contract).table.properties
        fields = [schema_dataset.SchemaDatasetFacetFields(c.name, c.physicalType, c.description) for c in columns]
        return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}

    try:
        transport = None
        if telemetry.lineage_file is not None:
            transport = FileTransport(FileConfig(log_file_path=str(telemetry.lineage_file), append=True))
        day = request.run_date or (result or {}).get("run_date") or datetime.now(UTC).date().isoformat()
        event = RunEvent(
            eventType=RunState[kind],
            eventTime=datetime.now(UTC).isoformat(),
            run=LineageRun(runId=identity),
            job=Job(namespace=NAMESPACE, name=request.job),
            inputs=[
                InputDataset("file", named.replace("{run_date}", day), facets=facet("source_tracks"))
                for named in request.source
            ],
            outputs=[OutputDataset("duckdb", f"{request.warehouse}/predictions", facets=facet("predictions"))],
            producer=f"urn:genrepipe:{__version__}",
        )
        OpenLineageClient(transport=transport).emit(event)
    except Exception as error:  # noqa: BLE001  whatever the client or the network does, the run counts
        telemetry.say.note("warning", check="lineage", error=type(error).__name__)
