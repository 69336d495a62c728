"""All steps in one DuckDB in this process: the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.engines import catalogue, history, prepare
from genrepipe.engines.engine import Engine, Predicted
from genrepipe.engines.predict import observe_continued, predict
from genrepipe.ingest import landing
from genrepipe.quality import checks
from genrepipe.warehouse import lake

if TYPE_CHECKING:
    from datetime import date

    from genrepipe.engines.engine import Work
    from genrepipe.ingest.landing import Landing
    from genrepipe.quality.checks import CheckResult
    from genrepipe.quality.monitors import Monitor, Scored
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.steps import Steps


class Local(Engine):
    """Runs every step on the connection of the warehouse."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def fingerprint(self, database: Database) -> str:
        """Hash the parts one after the other."""
        return landing.fingerprint(database, self.work.source)

    def open(self, steps: Steps, before: Database | None, horizon: date | None) -> None:
        """Begin on a warehouse whose tables are its own."""
        lake.refuse(steps.database)
        self.steps, self.before, self.horizon = steps, before, horizon

    def land(self) -> Landing:
        """Read the parts one after the other; of rows that the run date before had, no more than their hash."""
        recognise = self.work.run.action == "score" and not self.work.force
        return landing.land(self.steps, self.work.source, recognise=recognise)

    def folders(self) -> list[str]:
        """Return none: everything is in the warehouse."""
        return []

    def withdrawn(self) -> tuple[int, int]:
        """Ask the catalogue."""
        return catalogue.withdrawn(self.steps)

    def update_catalogue(self) -> None:
        """Write into tables ``track_history`` and ``artist_profiles``."""
        prepare.update_catalogue(self.steps)

    def predict(self) -> Predicted:
        """Continue the predictions that stay, and score the other tracks into table ``prediction_history``."""
        steps, work = self.steps, self.work
        steps.make("earlier_runs")
        bundle, scorer = work.models.bundle, work.models.scorer
        with steps.profile.step("continued"):
            self.cut()
            total = prepare.make_scorable(steps, bundle.duration_ms)
            continued = self.continue_predictions()
        work.stages.reporter.note("predictions continued", tracks=continued, of=total)
        if shadow := work.models.shadow:
            predict(steps, work.run, *shadow, work.stages, table="shadow_predictions", of="scorable")
        scored = predict(steps, work.run, bundle, scorer, work.stages, work.monitors)
        with steps.profile.step("monitors"):
            observe_continued(steps, work.monitors)
        with steps.profile.step("imputed"):
            imputed = prepare.imputed(steps)
        return Predicted(continued + scored, continued, imputed)

    def cut(self) -> None:
        """Remove the predictions that this run replaces: those of the job on the date."""
        run = self.work.run
        self.steps.database.execute(
            "DELETE FROM shadow_predictions WHERE job = ? AND run_date = ?", [run.job, run.run_date]
        )
        history.cut(self.steps, run)

    def continue_predictions(self) -> int:
        """Continue the predictions of the date before that stay; ``force`` scores every track again."""
        if self.work.force:
            history.none_continue(self.steps)
            return 0
        return history.continue_predictions(self.steps, self.work.models.bundle)

    def watch(self, monitor: Monitor, scored: Scored) -> int:
        """Let the monitor measure the run, and write."""
        monitor.measure(scored)
        return monitor.write(scored)

    def audits(self) -> list[CheckResult]:
        """Run them on the warehouse."""
        return checks.of_audits(self.steps)

    def settle(self) -> None:
        """Remove rows of the tables."""
        if self.horizon:
            catalogue.settle(self.steps, self.horizon)
            history.trim(self.steps, self.horizon)
            self.steps.database.execute(
                "DELETE FROM shadow_predictions WHERE run_id IN (SELECT run_id FROM runs SEMI JOIN run USING (job) WHERE run_date <= ?)",
                [self.horizon],
            )

    def close(self) -> None:
        """Do nothing: temporary tables go with the connection."""
