"""Metrics of the last run: as a textfile, which node_exporter reads, to a Pushgateway, and by OTLP.

The label of a job is ``genrepipe_job``: Prometheus gives ``job`` to what it scrapes.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from genrepipe import contracts
from genrepipe.core import files
from genrepipe.core.events import Reporter, RunFailed, RunStarted
from genrepipe.core.version import VERSION
from genrepipe.observers.delivery import TIMEOUT, deliver, measured
from genrepipe.pipeline import night
from genrepipe.pipeline.results import ScoreResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from genrepipe.core.results import Result
    from genrepipe.pipeline.measures import Measures

    Families = dict[str, dict[tuple[str, ...], float]]  # by name, and by the values of the labels

JOB = "genrepipe_job"


@dataclass(frozen=True)
class Metric:
    """A gauge: what it says, and its labels beside ``genrepipe_job``."""

    help: str
    labels: tuple[str, ...] = ()


METRICS = {
    "genrepipe_info": Metric(
        "Always 1: the labels say which version and which model the last run that published had.",
        ("version", "model", "model_version"),
    ),
    "genrepipe_last_run_timestamp_seconds": Metric("When the last run ended, whatever its end."),
    "genrepipe_last_exit_code": Metric("Exit code of the last run."),
    "genrepipe_last_success_timestamp_seconds": Metric(
        "When the last run ended that published, or found its run date published already."
    ),
    "genrepipe_last_success_run_date_timestamp_seconds": Metric("Midnight UTC of the run date of that run."),
    "genrepipe_run_seconds": Metric(
        "How long the last run that published took, until its line in the ledger; publishing comes after it."
    ),
    "genrepipe_stage_seconds": Metric("The same by stage.", ("stage",)),
    "genrepipe_rows": Metric(
        "Rows of the last run that published: received, and what became of them; and tracks that a snapshot withdrew.",
        ("outcome",),
    ),
    "genrepipe_flips": Metric("Tracks whose genre changed in the last run that published, by cause.", ("cause",)),
    "genrepipe_quarantined_ratio": Metric(
        "Share of the rows, the empty ones apart, that the last run kept out which read its source, published or not."
    ),
    "genrepipe_check_observed": Metric(
        "What each check measured, of the last run that was checked, published or not.", ("check", "severity")
    ),
    "genrepipe_check_limit": Metric("The limit of each of those checks.", ("check", "severity")),
    "genrepipe_check_status": Metric(
        "0 where one of those checks passed, 1 where it warned, 2 where it stopped the run.", ("check", "severity")
    ),
    "genrepipe_drift_psi": Metric(
        "Population stability index of each feature and of the genres, against the bundle's training data and recent runs.",
        ("subject", "against"),
    ),
}
OUTCOMES = ("received", "predicted", "quarantined", "duplicates", "empty", "withdrawn")
VERDICTS = {"passed": 0, "warning": 1, "failed": 2}


def families_of(now: float, exit_code: int, measures: Measures) -> Families:
    """Return the metrics that a run has, each by the values of its labels; one of which it measured nothing is left out."""
    families: Families = {
        "genrepipe_last_run_timestamp_seconds": {(): now},
        "genrepipe_last_exit_code": {(): exit_code},
    }
    run = measures.run
    if run is None:
        return families
    checks = [((check["name"], check["severity"] or "error"), check) for check in measures.checks]
    families["genrepipe_check_observed"] = {key: check["observed"] for key, check in checks}
    families["genrepipe_check_limit"] = {key: check["allowed"] or 0 for key, check in checks}
    families["genrepipe_check_status"] = {key: VERDICTS[check["verdict"]] for key, check in checks}
    families["genrepipe_drift_psi"] = {(row["subject"], row["against"]): row["psi"] for row in measures.drift}
    if filled := run["received"] - run["empty"]:
        families["genrepipe_quarantined_ratio"] = {(): run["quarantined"] / filled}
    if exit_code == 0 and run["status"] == "published":
        families |= _of_success(now, measures)
    return {name: family for name, family in families.items() if family}


def _of_success(now: float, measures: Measures) -> Families:
    run = measures.run
    assert run is not None  # noqa: S101  it published
    day = datetime.combine(run["run_date"], datetime.min.time(), UTC).timestamp()
    causes = contracts.load("operations").named("flips").column("cause").valid_values or ()
    flips: Counter[str] = Counter({str(cause): 0 for cause in causes})
    for row in measures.flips:
        flips[row["cause"]] += row["tracks"]
    return {
        "genrepipe_info": {(run["genrepipe_version"], run["model"], run["model_version"]): 1},
        "genrepipe_last_success_timestamp_seconds": {(): now},
        "genrepipe_last_success_run_date_timestamp_seconds": {(): day},
        "genrepipe_run_seconds": {(): run["seconds"]},
        "genrepipe_stage_seconds": {(stage,): seconds for stage, seconds in night.seconds_by_stage(run).items()},
        "genrepipe_rows": {(outcome,): run[outcome] or 0 for outcome in OUTCOMES},
        "genrepipe_flips": {(cause,): tracks for cause, tracks in flips.items()},
    }


class Metrics(Reporter):
    """Sends the metrics of each run when it ends. What a run did not measure stays as an earlier one left it."""

    def __init__(self, path: Path | None, pushgateway: str | None, otlp: str | None, log: Reporter) -> None:
        self._path, self._pushgateway, self._otlp, self._log = path, pushgateway, otlp, log
        self._run: RunStarted | None = None

    def run_started(self, run: RunStarted) -> None:
        """Note the run, its job and its warehouse."""
        self._run = run

    def run_succeeded(self, result: Result) -> None:
        """Send the metrics of the run that stands: of one that was recognised, those of the run that published it."""
        if isinstance(result, ScoreResult):
            self._send(0, result.run_id)

    def run_failed(self, failure: RunFailed) -> None:
        """Send the exit code, and what the run measured before it was stopped."""
        if self._run is not None:
            self._send(failure.exit_code, self._run.run_id)

    def _send(self, exit_code: int, run_id: str) -> None:
        run = self._run
        if run is None or run.dry_run or not (self._path or self._pushgateway or self._otlp):
            return
        families = families_of(
            datetime.now(UTC).timestamp(), exit_code, measured(self._log, "metrics", run.warehouse, run_id)
        )
        if self._path is not None:
            self._write(self._path, run.job, families)
        if (gateway := self._pushgateway) is not None:
            deliver(self._log, "pushgateway", lambda: push(gateway, run.job, families), host=_host(gateway))
        if (endpoint := self._otlp) is not None:
            if _has_otlp():
                deliver(self._log, "otlp", lambda: export(endpoint, run.job, families), host=_host(endpoint))
            else:
                self._log.warning("otlp", error="not installed: pip install 'genrepipe[otlp]'", host=_host(endpoint))

    def _write(self, path: Path, job: str, families: Families) -> None:
        if reason := files.not_ours(path, b"# HELP genrepipe_"):
            self._log.warning("metrics", error=f"{path} {reason}")
            return
        from prometheus_client import generate_latest, write_to_textfile  # noqa: PLC0415  only where it is asked for

        try:
            if str(path) in files.STREAMS:
                path.write_bytes(generate_latest(registry({job: families})))
            else:
                jobs = _earlier(path)
                jobs[job] = {**jobs.get(job, {}), **families}
                write_to_textfile(str(path), registry(jobs))
        except OSError as error:
            self._log.warning("metrics", error=f"{path}: {error.strerror}")


def registry(jobs: Mapping[str, Families] | Mapping[None, Families]) -> CollectorRegistry:
    """Return the gauges of jobs, with the job as a label where it is not None."""
    from prometheus_client import CollectorRegistry, Gauge  # noqa: PLC0415

    made, gauges = CollectorRegistry(), {}
    for job, families in jobs.items():
        extra = {} if job is None else {JOB: job}
        for name, family in families.items():
            metric = METRICS[name]
            if name not in gauges:
                gauges[name] = Gauge(name, metric.help, [*extra, *metric.labels], registry=made)
            for labels, value in family.items():
                values = [*extra.values(), *labels]
                (gauges[name].labels(*values) if values else gauges[name]).set(value)
    return made


def push(url: str, job: str, families: Families) -> None:
    """Replace these families in the group that a Pushgateway keeps for the job; the others of the group stay."""
    from prometheus_client import pushadd_to_gateway  # noqa: PLC0415
    from prometheus_client.exposition import basic_auth_handler, default_handler  # noqa: PLC0415

    parts = urlsplit(url if "://" in url else f"http://{url}")
    handler: Callable[..., Callable[[], None]] = default_handler
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        handler = partial(basic_auth_handler, username=user, password=password)
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    pushadd_to_gateway(
        parts.geturl(), "genrepipe", registry({None: families}), grouping_key={JOB: job}, timeout=TIMEOUT, handler=handler
    )  # fmt: skip


def export(endpoint: str, job: str, families: Families) -> None:
    """Send gauges by OTLP over HTTP, to ``ENDPOINT/v1/metrics``; ``OTEL_EXPORTER_OTLP_HEADERS`` and the like hold.

    Raises
    ------
    ConnectionError
        The receiver did not take them.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415  of an extra
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())  # it would print addresses, and not as JSON
    reader = InMemoryMetricReader()
    resource = Resource.create({"service.name": "genrepipe", "service.version": VERSION})
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    meter = provider.get_meter("genrepipe", VERSION)
    for name, family in families.items():
        metric = METRICS[name]
        gauge = meter.create_gauge(name, description=metric.help)
        for labels, value in family.items():
            gauge.set(value, {JOB: job, **dict(zip(metric.labels, labels, strict=True))})
    exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=TIMEOUT)
    data = reader.get_metrics_data()
    if data is not None and exporter.export(data) is not MetricExportResult.SUCCESS:
        raise ConnectionError
    exporter.shutdown()
    provider.shutdown()


def _has_otlp() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def _host(url: str) -> str | None:
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname
    except ValueError:
        return None


def _earlier(path: Path) -> dict[str, Families]:
    """Return what a textfile holds, by job; nothing where it cannot be read, or of a metric that has other labels now."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        samples = [s for f in text_string_to_metric_families(path.read_text(encoding="utf-8")) for s in f.samples]
    except (OSError, ValueError):
        return {}
    jobs: dict[str, Families] = {}
    for sample in samples:
        metric = METRICS.get(sample.name)
        if metric is not None and set(sample.labels) == {JOB, *metric.labels}:
            labels = tuple(sample.labels[label] for label in metric.labels)
            jobs.setdefault(sample.labels[JOB], {}).setdefault(sample.name, {})[labels] = sample.value
    return jobs
