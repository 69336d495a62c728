"""The morning report: the page of a run, written when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core.errors import UsageError, as_genrepipe_error
from genrepipe.core.events import Reporter, RunFailed, RunStarted
from genrepipe.pipeline import night
from genrepipe.pipeline.results import ScoreResult
from genrepipe.warehouse import ledger

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.core.results import Result
    from genrepipe.pipeline.night import Row


class MorningReport(Reporter):
    """Writes the page of each run, whatever its end: to a file, or to a folder with a front page."""

    def __init__(self, where: Path | None, log: Reporter) -> None:
        self._where, self._log = where, log
        self._run: RunStarted | None = None

    def run_started(self, run: RunStarted) -> None:
        """Note the run's id and warehouse."""
        self._run = run

    def run_succeeded(self, result: Result) -> None:
        """Write the page of the run that stands."""
        if isinstance(result, ScoreResult) and result.status != "dry run":
            self._write(result.run_id)

    def run_failed(self, failure: RunFailed) -> None:
        """Write the page of a run that was stopped, also of one that has no line in the ledger, such as one without a source."""
        run = self._run
        if run is None or run.dry_run:
            return
        try:
            day = ledger.parse_date(run.run_date, future=True)
        except UsageError:  # there is no such night
            return
        ending = {"status": failure.status, "exit_code": failure.exit_code, "error": failure.error}
        self._write(run.run_id, night.line_of(run.run_id, run.job, day, run.source, **ending))

    def _write(self, run_id: str, unrecorded: Row | None = None) -> None:
        if self._where is None or self._run is None:
            return
        from genrepipe.pages.night import report  # noqa: PLC0415  templates, which few runs need

        is_file = self._where.suffix == ".html"
        out, folder = (self._where, None) if is_file else (None, self._where)
        try:
            written = report(self._run.warehouse, out, folder, run_id=run_id, unrecorded=unrecorded)
        except Exception as error:  # noqa: BLE001  a page is no reason to fail a run
            self._log.warning("report", error=str(as_genrepipe_error(error)))
        else:
            self._log.note("report", page=written.page)
