"""Score the corrected rows of a run date with that date's bundle, and merge them into its predictions."""

from __future__ import annotations

import tempfile
from dataclasses import replace as with_changes
from pathlib import Path
from typing import TYPE_CHECKING

from genrepipe.core import resources, signals
from genrepipe.core.errors import UnknownModel, UsageError
from genrepipe.core.events import SILENT, Reporter, Stages
from genrepipe.engines import history
from genrepipe.engines.local import Local
from genrepipe.ingest import landing, sources
from genrepipe.model import bundle as bundles
from genrepipe.pipeline.requests import ScoreRequest
from genrepipe.pipeline.results import ReplayResult, ScoreResult
from genrepipe.pipeline.scoring_run import ScoringRun, load_models, reported
from genrepipe.quality import quarantine
from genrepipe.warehouse import ledger, schema
from genrepipe.warehouse.ledger import Run
from genrepipe.warehouse.session import write_session

if TYPE_CHECKING:
    from datetime import date

    from genrepipe.engines.engine import Engine, Work
    from genrepipe.quality.quarantine import BrokenRule
    from genrepipe.warehouse.connection import Database


def replay(
    warehouse: Path, exported: Path, run_date: str, folder: Path | None = None, reporter: Reporter = SILENT
) -> ReplayResult:
    """Score corrected rows, as ``quarantine export`` wrote them, into the predictions of their run date.

    Parameters
    ----------
    folder
        Your own folder of bundles, where that date's bundle may be.

    Raises
    ------
    UsageError
        The date has no published run, or the file is no export of that date.
    UnknownModel
        The date's bundle is not here any more.
    """
    day, run_id = ledger.parse_date(run_date), ledger.new_run_id()
    with tempfile.TemporaryDirectory() as scratch, signals.deferred():
        corrected = Path(scratch) / "corrected.csv"
        ids = quarantine.corrected(exported, corrected)
        with schema.open_reading(warehouse, resources.plan()) as database:
            job, model = _job_and_bundle(database, day, ids, exported, folder)
        request = ScoreRequest(
            name=job,
            source=(str(corrected),),
            warehouse=warehouse,
            run_date=day.isoformat(),
            model=model,
            bundles=folder,
        )
        with reported(request, run_id, reporter):
            run = Run(job, day, "replay", run_id)
            result, reasons = _replay(request, run, exported, ids, reporter)
    with schema.open_reading(warehouse, resources.plan()) as database:
        resolved = database.value("SELECT count(*) FROM quarantine WHERE resolved_by = ?", [result.run_id])
        still_open = database.value(
            "SELECT count(*) FROM quarantine JOIN runs USING (run_id) WHERE quarantine.run_date = ? AND job = ? AND resolved_by IS NULL",
            [day, job],
        )
    values = {name: getattr(result, name) for name in ScoreResult.__dataclass_fields__}
    return ReplayResult(**values, reasons=reasons, resolved=resolved, open=still_open)


def _replay(
    request: ScoreRequest, run: Run, exported: Path, ids: set[str], reporter: Reporter
) -> tuple[ScoreResult, list[BrokenRule]]:
    plan, stages = resources.plan(), Stages(reporter)
    stages.start("bundle")
    models = load_models(request, plan)
    with sources.open_source(request.source) as copy:
        named = with_changes(copy, parts=tuple(with_changes(part, name=str(exported)) for part in copy.parts))
        scoring = Replay(request, run, named, models, plan, reporter, stages)
        with write_session(request.warehouse, run, plan, stages) as session:
            # Another command may have come between, and taken the date back or scored it again.
            found = _job_and_bundle(session.require_current(), run.run_date, ids, exported, request.bundles)
            if found != (run.job, request.model):
                raise UsageError(f"{run.run_date} was scored again meanwhile", "Run it again")
            if known := scoring.already_published(session.current):
                return known, []
            session.record_failure = scoring.record_failure
            scoring.open(session.begin(), session.current)
            scoring.land()
            with session.publishing():
                scoring.update_catalogue()
                scoring.predict()
                scoring.judge()
                scoring.record()
        return scoring.result("published"), scoring.reasons


class Replay(ScoringRun):
    """The stages of a replay: a few corrected rows join a run, rather than being one."""

    reasons: list[BrokenRule]  # what is still wrong with rows

    def make_engine(self, work: Work) -> Engine:
        """Return an engine that joins predictions to others."""
        return Joining(work)

    def land(self) -> None:
        """Read the corrected rows; those whose track the run has predicted are kept out.

        Of rows with one id the last in source order stands, and it came with that run.
        """
        self._read_source()
        self.steps.make("earlier_runs")
        self.database.execute(
            "INSERT INTO superseded SELECT row_id, true, false FROM accepted WHERE track_id IN (SELECT track_id FROM prediction_history "
            f"WHERE {history.OF_DATE} AND (replay_id IS NULL OR from_run_date < $day))",
            history.of_run(self.run),
        )
        self.counts = landing.count(self.database)
        self.reasons = quarantine.reasons(self.steps)
        self.database.forbid_file_access()

    def judge(self) -> None:
        """Run the audits: a few corrected rows say nothing of shares, drift or flips."""
        self.stages.start("checks")
        self._watch()
        self._check()


class Joining(Local):
    """Adds predictions to those of the run date."""

    def cut(self) -> None:
        """Remove the predictions of the accepted tracks alone."""
        run = self.work.run
        self.steps.database.execute(
            "DELETE FROM shadow_predictions WHERE job = ? AND run_date = ? AND track_id IN (SELECT track_id FROM accepted)",
            [run.job, run.run_date],
        )
        history.cut(self.steps, run, history.OF_ACCEPTED)

    def continue_predictions(self) -> int:
        """Continue none."""
        history.none_continue(self.steps)
        return 0


def _job_and_bundle(
    database: Database, day: date, ids: set[str], exported: Path, folder: Path | None
) -> tuple[str, str]:
    """Return the job whose rows an export holds, and the folder of the bundle that scored the date."""
    job = quarantine.job_of(database, day, ids, exported)
    rows = database.rows(
        "SELECT model_sha256, bundles.folder, runs.model FROM runs LEFT JOIN bundles USING (model_sha256) "
        "WHERE run_date = ? AND job = ? AND status = 'published' AND action = 'score' ORDER BY finished_at DESC LIMIT 1",
        [day, job],
    )
    if not rows:
        raise UsageError(
            f"{day} has no published run of job {job}", "Run the whole date again with the corrected source"
        )
    sha256, folder_then, name = rows[0]
    return job, str(find_bundle(sha256, folder_then, name, folder))


def find_bundle(sha256: str, folder_then: str | None, name: str, folder: Path | None) -> Path:
    """Return the folder of the bundle with this sha256: by its name, where it was then, or anywhere among those here.

    Raises
    ------
    UnknownModel
        It is not here.
    """
    available = bundles.available(folder)
    places = [available.get(name), Path(folder_then) if folder_then else None, *available.values()]
    for place in places:
        if place is None or not (place / bundles.MANIFEST).is_file():
            continue
        if sources.digest(place / bundles.MANIFEST) == sha256:
            return place
    raise UnknownModel(
        f"The bundle of that run, {name} with sha256 {sha256[:16]}, is not here",
        "Restore it, or name its folder with --bundles",
    )
