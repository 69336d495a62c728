"""Metrics of the last run: as a textfile, which node_exporter reads, to a Pushgateway, and by OTLP.

The label of a job is ``genrepipe_job``: Prometheus gives ``job`` to what it scrapes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genrepipe.core import files
from genrepipe.core.errors import as_genrepipe_error
from genrepipe.core.events import Reporter, RunFailed, RunStarted
from genrepipe.core.version import VERSION
from genrepipe.observers.delivery import TIMEOUT, deliver
from genrepipe.pipeline import measures, night
from genrepipe.pipeline.results import ScoreResult

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from genrepipe.core.results import Result
    from genrepipe.pipeline.measures import Measures

    Labels = tuple[tuple[str, str], ...]
    Values = dict[tuple[str, Labels], float]

JOB = "genrepipe_job"
HELP = {
    "genrepipe_info": "Always 1; its labels say which version and which model the last run that published had.",
    "genrepipe_last_run_timestamp_seconds": "When the last run ended, whatever its end.",
    "genrepipe_last_exit_code": "Exit code of the last run.",
    "genrepipe_last_success_timestamp_seconds": "When the last run ended that published, or found its date published already.",
    "genrepipe_last_success_run_date_timestamp_seconds": "Midnight UTC of the run date that was published last.",
    "genrepipe_run_seconds": "How long the last run that published took, until its line in the ledger.",
    "genrepipe_stage_seconds": "The same by stage.",
    "genrepipe_rows": "Rows of the last run that published, by what became of them; and tracks that a snapshot withdrew.",
    "genrepipe_quarantined_ratio": "Share of the rows that hold anything which the last run kept out, published or not.",
    "genrepipe_flips": "Tracks whose genre changed in the last run that published, by cause.",
    "genrepipe_check_observed": "What each check of the last run measured, published or not.",
    "genrepipe_check_limit": "The limit of each of those checks.",
    "genrepipe_check_status": "0 where a check of the last run passed, 1 where it warned, 2 where it stopped the run.",
    "genrepipe_drift_psi": "Population stability index of each feature and of the genres, against the training data and recent runs.",
}
OUTCOMES = ("received", "predicted", "quarantined", "duplicates", "empty", "withdrawn")
VERDICTS = {"passed": 0, "warning": 1, "failed": 2}
# Families that a run which published nothing replaces too: of what it measured before it was stopped.
OF_ANY_RUN = (
    "genrepipe_last_run",
    "genrepipe_last_exit",
    "genrepipe_check",
    "genrepipe_quarantined",
    "genrepipe_drift",
)


def values_of(now: float, exit_code: int, measured: Measures) -> Values:
    """Return the metrics of a run, by name and labels; of one that left no line in the ledger, when it ended and how."""
    values: Values = {
        ("genrepipe_last_run_timestamp_seconds", ()): now,
        ("genrepipe_last_exit_code", ()): exit_code,
    }
    run = measured.run
    if run is None:
        return values
    for check in measured.checks:
        named = (("check", check["name"]), ("severity", check["severity"] or "error"))
        values["genrepipe_check_observed", named] = check["observed"]
        values["genrepipe_check_limit", named] = check["allowed"] or 0.0
        values["genrepipe_check_status", named] = VERDICTS[check["verdict"]]
    for row in measured.drift:
        values["genrepipe_drift_psi", (("subject", row["subject"]), ("against", row["against"]))] = row["psi"]
    filled = run["received"] - run["empty"]
    values["genrepipe_quarantined_ratio", ()] = run["quarantined"] / filled if filled else 0.0
    if exit_code != 0 or run["status"] != "published":
        return values
    about = (("version", VERSION), ("model", run["model"]), ("model_version", run["model_version"]))
    values["genrepipe_info", about] = 1
    values["genrepipe_last_success_timestamp_seconds", ()] = now
    day = datetime.combine(run["run_date"], datetime.min.time(), UTC)
    values["genrepipe_last_success_run_date_timestamp_seconds", ()] = day.timestamp()
    values["genrepipe_run_seconds", ()] = run["seconds"]
    values |= {("genrepipe_stage_seconds", (("stage", s),)): t for s, t in night.seconds_by_stage(run).items()}
    values |= {("genrepipe_rows", (("outcome", kind),)): run[kind] or 0 for kind in OUTCOMES}
    flips: dict[str, int] = {}
    for row in measured.flips:
        flips[row["cause"]] = flips.get(row["cause"], 0) + row["tracks"]
    values |= {("genrepipe_flips", (("cause", cause),)): tracks for cause, tracks in (flips or {"none": 0}).items()}
    return values


class Metrics(Reporter):
    """Sends the metrics of each run when it ends. After a failure, what the last success sent stays."""

    def __init__(self, path: Path | None, pushgateway: str | None, otlp: str | None, log: Reporter) -> None:
        self._path, self._pushgateway, self._otlp, self._log = path, pushgateway, otlp, log
        self._run: RunStarted | None = None

    def run_started(self, run: RunStarted) -> None:
        """Note the run, its job and its warehouse."""
        self._run = run

    def run_succeeded(self, result: Result) -> None:
        """Send the metrics of the run that stands: of one that was recognised, those of the run that published it."""
        if isinstance(result, ScoreResult) and result.status != "dry run":
            self._send(0, result.run_id)

    def run_failed(self, failure: RunFailed) -> None:
        """Send the exit code, and what the run measured."""
        if self._run is not None:
            self._send(failure.exit_code, self._run.run_id)

    def _send(self, exit_code: int, run_id: str) -> None:
        run = self._run
        if run is None or not (self._path or self._pushgateway or self._otlp):
            return
        measured = measures.Measures()
        try:
            if run.warehouse.exists():
                measured = measures.of_run(run.warehouse, run_id)
        except Exception as error:  # noqa: BLE001  metrics are no reason to fail a run
            self._log.warning("metrics", error=str(as_genrepipe_error(error)))
        values = values_of(datetime.now(UTC).timestamp(), exit_code, measured)
        if self._path is not None:
            self._write(self._path, run.job, values)
        if self._pushgateway is not None:
            url, job = self._pushgateway, run.job
            deliver(self._log, "pushgateway", lambda: push(url, job, values), host=_host(url))
        if self._otlp is not None:
            endpoint = self._otlp
            if find_spec("opentelemetry") is None:
                self._log.warning("otlp", error="not installed: pip install 'genrepipe[otlp]'")
            else:
                deliver(self._log, "otlp", lambda: export(endpoint, run.job, values), host=_host(endpoint))

    def _write(self, path: Path, job: str, values: Values) -> None:
        if reason := files.not_ours(path, b"# HELP genrepipe_"):
            self._log.warning("metrics", error=f"{path} {reason}")
            return
        from prometheus_client import write_to_textfile  # noqa: PLC0415  only where it is asked for

        replaced = {name for name, _ in values} | {
            n for n in HELP if n.startswith(OF_ANY_RUN) and ("genrepipe_quarantined_ratio", ()) in values
        }
        kept = {key: value for key, value in _earlier(path).items() if key[0] not in replaced}
        try:
            write_to_textfile(str(path), registry({**kept, **values}, job))
        except OSError as error:
            self._log.warning("metrics", error=str(error.strerror))


def registry(values: Values, job: str | None = None) -> CollectorRegistry:
    """Return gauges for Prometheus; ``job`` is their label, which a Pushgateway adds itself."""
    from prometheus_client import CollectorRegistry, Gauge  # noqa: PLC0415

    made, gauges = CollectorRegistry(), {}
    extra = ((JOB, job),) if job is not None else ()
    for (name, labels), value in values.items():
        names = [key for key, _ in (*extra, *labels)]
        if name not in gauges:
            gauges[name] = Gauge(name, HELP[name], names, registry=made)
        gauge = gauges[name].labels(**dict((*extra, *labels))) if names else gauges[name]
        gauge.set(value)
    return made


def push(url: str, job: str, values: Values) -> None:
    """Replace these families in a Pushgateway's group of the job; the others of the group stay."""
    from prometheus_client import pushadd_to_gateway  # noqa: PLC0415

    pushadd_to_gateway(url, "genrepipe", registry(values), grouping_key={JOB: job}, timeout=TIMEOUT)


def export(endpoint: str, job: str, values: Values) -> None:
    """Send gauges by OTLP over HTTP, to ``ENDPOINT/v1/metrics``, once.

    Raises
    ------
    ConnectionError
        The receiver did not take them.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415  of an extra
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    reader = InMemoryMetricReader()
    resource = Resource.create({"service.name": "genrepipe", "service.version": VERSION})
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    meter, gauges = provider.get_meter("genrepipe", VERSION), {}
    for (name, labels), value in values.items():
        if name not in gauges:
            gauges[name] = meter.create_gauge(name, description=HELP[name])
        gauges[name].set(value, {JOB: job, **dict(labels)})
    exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=TIMEOUT)
    data = reader.get_metrics_data()
    if data is not None and exporter.export(data, timeout_millis=1000 * TIMEOUT) is not MetricExportResult.SUCCESS:
        raise ConnectionError
    exporter.shutdown()
    provider.shutdown()


def _host(url: str) -> str | None:
    try:
        return urlsplit(url if "//" in url else f"//{url}").hostname
    except ValueError:
        return None


def _earlier(path: Path) -> Values:
    """Return what a textfile holds; nothing where it cannot be read."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
    return {
        (sample.name, _labels(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name in HELP
    }


def _labels(items: Iterable[tuple[str, str]]) -> Labels:
    return tuple((key, value) for key, value in items if key != JOB)
