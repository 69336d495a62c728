"""Metrics of the last run as a Prometheus textfile, which node_exporter reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genrepipe.core import files
from genrepipe.core.events import Reporter, RunFailed, RunStarted
from genrepipe.pipeline.results import ScoreResult

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.core.results import Result

HELP = {
    "genrepipe_last_run_timestamp_seconds": "When the last run ended, whatever its end.",
    "genrepipe_last_exit_code": "Exit code of the last run.",
    "genrepipe_last_success_timestamp_seconds": "When the last run that published ended.",
    "genrepipe_rows": "Rows of the last run that published, by what became of them; and tracks that a snapshot withdrew.",
    "genrepipe_flips": "Tracks whose genre changed in the last run that published.",
    "genrepipe_warnings": "Checks of the last run that published which ended as warnings.",
    "genrepipe_run_seconds": "How long the last run that published took.",
    "genrepipe_stage_seconds": "The same by stage.",
}
LABELS = {"genrepipe_rows": "outcome", "genrepipe_stage_seconds": "stage"}
OUTCOMES = ("received", "predicted", "quarantined", "duplicates", "empty", "withdrawn")


class Metrics(Reporter):
    """Writes the textfile when a run ends. After a failure, what the last success wrote stays."""

    def __init__(self, path: Path | None, log: Reporter) -> None:
        self._path, self._log, self._job = path, log, ""

    def run_started(self, run: RunStarted) -> None:
        """Note the job, which is a label of every metric."""
        self._job = run.job

    def run_succeeded(self, result: Result) -> None:
        """Write the metrics of the run."""
        if isinstance(result, ScoreResult):
            self._write(0, result)

    def run_failed(self, failure: RunFailed) -> None:
        """Write the exit code."""
        self._write(failure.exit_code)

    def _write(self, exit_code: int, result: ScoreResult | None = None) -> None:
        if self._path is None:
            return
        if reason := files.not_ours(self._path, b"# HELP genrepipe_"):
            self._log.warning("metrics", error=f"{self._path} {reason}")
            return
        from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415  only where it is asked for

        values = self._earlier()
        now = datetime.now(UTC).timestamp()
        values["genrepipe_last_run_timestamp_seconds", ""] = now
        values["genrepipe_last_exit_code", ""] = exit_code
        if result is not None:
            values = {key: value for key, value in values.items() if key[0] != "genrepipe_stage_seconds"}
            values["genrepipe_last_success_timestamp_seconds", ""] = now
            values |= {("genrepipe_rows", outcome): getattr(result, outcome) for outcome in OUTCOMES}
            values["genrepipe_flips", ""] = result.flips
            values["genrepipe_warnings", ""] = len(result.warnings)
            values["genrepipe_run_seconds", ""] = result.seconds
            values |= {("genrepipe_stage_seconds", stage): seconds for stage, seconds in result.stages.items()}
        registry = CollectorRegistry()
        gauges: dict[str, Gauge] = {}
        for (name, label), value in values.items():
            if name not in gauges:
                extra = [LABELS[name]] if name in LABELS else []
                gauges[name] = Gauge(name, HELP[name], ["job", *extra], registry=registry)
            gauges[name].labels(self._job, *([label] if name in LABELS else [])).set(value)
        try:
            write_to_textfile(str(self._path), registry)
        except OSError as error:
            self._log.warning("metrics", error=str(error.strerror))

    def _earlier(self) -> dict[tuple[str, str], float]:
        """Return what the file holds, by name and label; nothing where it cannot be read."""
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

        try:
            families = list(text_string_to_metric_families(self._path.read_text(encoding="utf-8")))  # type: ignore[union-attr]
        except (OSError, ValueError):
            return {}
        return {
            (sample.name, sample.labels.get(LABELS.get(sample.name, ""), "")): sample.value
            for family in families
            for sample in family.samples
            if sample.name in HELP
        }
