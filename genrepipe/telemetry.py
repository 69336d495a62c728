"""What others learn of a run while nobody watches: metrics, lineage events, a dead man's switch.

None of it can fail a run, or hold it up for long: what cannot be delivered is a warning in the log. Addresses may hold
secrets, so a log line names no more than their host.
"""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from genrepipe import interrupts, lineage, runs
from genrepipe.errors import Interrupted
from genrepipe.journey import ending

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genrepipe.console import Reporter
    from genrepipe.jobs import ScoreRequest

PATIENCE = 5.0  # seconds for each delivery
LAST_PATIENCE = 1.0  # the same once a signal came: it promises an end within 5 s
EVENTS = {"interrupted": "ABORT"}  # of OpenLineage, by how a run ended; else FAIL


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
    request = replace(request, run_id=runs.new_id())
    day = request.run_date or datetime.now(UTC).date().isoformat()
    telemetry.say.begin(str(request.run_id), request.job, day)
    _ping(telemetry, telemetry.ping_start)
    _lineage(telemetry, "START", request, day)
    try:
        result = score(request, telemetry.say)
    except BaseException as error:
        end = ending(error)
        _metrics(telemetry, request, None, end["exit_code"])
        _lineage(telemetry, EVENTS.get(end["status"], "FAIL"), request, day, error=end["error"])
        _ping(telemetry, telemetry.ping_failure)
        raise
    _metrics(telemetry, request, result, 0)
    _lineage(telemetry, "COMPLETE", request, day, predicted=result["predicted"])
    _ping(telemetry, telemetry.ping_success)
    return result


def _deliver(telemetry: Telemetry, check: str, send: Callable[[], object], **facts: Any) -> None:
    """Send something, and wait for it no longer than it is worth: clients of others try again and again."""
    stopped = interrupts.received() is not None
    try:
        interrupts.heeding(send, LAST_PATIENCE if stopped else PATIENCE, last=stopped)
    except (Interrupted, TimeoutError):  # where it is a signal, the run ends where it next looks
        telemetry.say.warn(check, error="no answer in time", **facts)
    except Exception as error:  # noqa: BLE001  whatever a client or the network does, the run counts
        telemetry.say.warn(check, error=type(error).__name__, **facts)


def _ping(telemetry: Telemetry, url: str | None) -> None:
    if not url:
        return
    host = None
    try:
        host = urlsplit(url).hostname
        if urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError("not an http address")
    except ValueError as error:
        telemetry.say.warn("ping", error=type(error).__name__, host=host)
        return

    def send() -> None:
        with urllib.request.urlopen(url, timeout=2 * PATIENCE):  # noqa: S310  its scheme is one of two
            pass

    _deliver(telemetry, "ping", send, host=host)


def _lineage(
    telemetry: Telemetry,
    kind: str,
    request: ScoreRequest,
    day: str,
    predicted: int | None = None,
    error: str | None = None,
) -> None:
    """Send one OpenLineage event to ``OPENLINEAGE_URL``, or append it to a file."""
    if not lineage.wanted(telemetry.lineage_file):
        return
    if not lineage.installed():
        if kind == "START":  # once is enough
            telemetry.say.warn("lineage", error="not installed: pip install 'genrepipe[lineage]'")
        return

    def send() -> None:
        lineage.client(telemetry.lineage_file).emit(lineage.event(kind, request, day, predicted, error))

    _deliver(telemetry, "lineage", send)


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
        telemetry.say.warn("metrics", error=str(error.strerror))


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
