"""One run from a source to committed predictions, stage by stage, and the evidence that it leaves where it is stopped."""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrepipe.core import addresses, signals
from genrepipe.core.errors import ConfigurationError, ContractBroken, OutputBroken, StorageError
from genrepipe.core.events import SILENT, Reporter, RunFailed, RunStarted, Stages
from genrepipe.engines import prepare, spark
from genrepipe.engines.distributed import Distributed
from genrepipe.engines.engine import Models, Work
from genrepipe.engines.local import Local
from genrepipe.ingest import landing, sources
from genrepipe.model import bundle as bundles
from genrepipe.model import features, promotions
from genrepipe.model.scorer import Scorer
from genrepipe.pipeline.results import ScoreResult
from genrepipe.quality import MONITORS, checks, quarantine
from genrepipe.quality.monitors import Scored
from genrepipe.warehouse import ledger, schema
from genrepipe.warehouse.connection import Database
from genrepipe.warehouse.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from genrepipe.core.resources import Plan
    from genrepipe.engines.engine import Engine
    from genrepipe.ingest.landing import Landing
    from genrepipe.ingest.sources import Source
    from genrepipe.model.bundle import Bundle
    from genrepipe.pipeline.requests import ScoreRequest
    from genrepipe.quality.checks import CheckResult
    from genrepipe.warehouse.ledger import RowCounts, Run

LEAP = timedelta(days=366)  # from one run date to the next; a nightly job has not paused for longer
# Tables whose rows ``keep_days`` removes; the ledger and its checks stay.
TRIMMED = ("quarantine", *(m.table for m in MONITORS if m.trimmed))


@contextmanager
def reported(request: ScoreRequest, run_id: str, reporter: Reporter) -> Iterator[None]:
    """Report the start of a run, and its end where it fails."""
    day = request.run_date or ledger.parse_date(None).isoformat()
    reporter.run_started(
        RunStarted(run_id, request.name, day, request.source, request.warehouse, request.dry_run, request.engine)
    )
    try:
        yield
    except BaseException as error:
        reporter.run_failed(RunFailed(**ledger.failure_columns(error)))
        raise


def load_models(request: ScoreRequest, plan: Plan) -> Models:
    """Load and verify the bundles of a request: their hashes, signatures where there is a key, and golden rows.

    Raises
    ------
    ConfigurationError
        There is no such bundle, one is broken, or it needs an extra.
    """
    shadow = _load(request.shadow, request, plan) if request.shadow else None
    return Models(*_load(request.model, request, plan), shadow)


def _load(model: str | None, request: ScoreRequest, plan: Plan) -> tuple[Bundle, Scorer]:
    bundle = bundles.load(model, request.bundles, request.bundle_key)
    features.prepare(bundle.manifest.inputs)
    return bundle, Scorer(bundle, plan.threads)


class ScoringRun:
    """The stages of one run. What it has learnt so far is what the ledger says where it is stopped."""

    def __init__(
        self, request: ScoreRequest, run: Run, source: Source, models: Models, plan: Plan,
        reporter: Reporter = SILENT, stages: Stages | None = None,
    ) -> None:  # fmt: skip
        self.request, self.run, self.source, self.models, self.plan = request, run, source, models, plan
        self.reporter, self.stages = reporter, stages or Stages(reporter)
        self.profile = self.stages.profile
        self.stamps = sources.stamps(source)
        self.where = ", ".join(part.name for part in source.parts)  # the source, as messages name it
        self.monitors = [monitor(models.bundle) for monitor in MONITORS]
        self.engine = self.make_engine(Work(run, source, models, plan, self.stages, self.monitors, request.force))
        self.fingerprint = ""
        self.counts: RowCounts | None = None
        self.predicted = 0
        self.withdrawn = 0
        self.imputed: dict[str, int] = {"duration_ms": 0, "tempo": 0}
        self.checks: list[CheckResult] = []
        self.flips = 0
        self.evidence: dict[str, pl.DataFrame] = {}  # rows of monitors, kept of a run that is refused

    def make_engine(self, work: Work) -> Engine:
        """Return the engine that runs the steps."""
        request = self.request
        if request.engine == "local":
            return Local(work)
        if request.lake and addresses.is_address(request.lake):
            raise ConfigurationError(
                f"The lake {addresses.redacted(request.lake)} is no folder",
                "Mount the bucket on the driver and the workers, and name the folder",
            )
        folder = Path(request.lake) if request.lake else request.warehouse.with_name(f"{request.warehouse.name}.lake")
        return Distributed(
            work, lambda: spark.cluster(request.master, self.reporter), folder, request.warehouse, request.buckets
        )

    def hash_source(self, database: Database) -> None:
        """Take the source's fingerprint, by which the same input is recognised."""
        with self.profile.step("fingerprint"):
            self.fingerprint = self.engine.fingerprint(database)

    def already_published(self, current: Database | None) -> ScoreResult | None:
        """Hash the source, and return the result of the run that published the same input with the same bundle."""
        with Database(None, self.plan) if current is None else nullcontext(current) as database:
            self.hash_source(database)
        if current is None or self.request.force or not schema.is_current(current):
            return None
        shadow = self.models.shadow[0] if self.models.shadow else None
        known = ledger.published(current, self.run, self.fingerprint, self.models.bundle, shadow)
        if known is None:
            return None
        self.counts = ledger.RowCounts(
            known["received"],
            known["predicted"],
            known["quarantined"],
            known["duplicates"],
            known["empty"],
            known["filtered"] or 0,
        )
        self.predicted, self.withdrawn = known["predicted"], known["withdrawn"] or 0
        self.imputed = ledger.imputed_of(known)
        self.flips = current.value("SELECT count(*) FROM flips WHERE run_id = ?", [known["run_id"]])
        return self.result("already published", run_id=known["run_id"])

    def open(self, database: Database, before: Database | None) -> None:
        """Begin on a generation of the warehouse; ``before`` is the one that users see."""
        self.database, self.before = database, before
        self.steps = Steps(database, self.profile)
        self.steps.bind_row("run", **self.run.relation())
        self.horizon = self._horizon()
        self.engine.open(self.steps, before, self.horizon)

    def land(self) -> None:
        """Read the source, and stop where it breaks its contract as a whole."""
        landed = self._read_source()
        counts = landed.counts
        landing.refuse_empty(counts, self.where)
        known, self.withdrawn = self.engine.withdrawn()
        prepare.bind_delivery(
            self.steps, landed, self.source, source_sha256=self.fingerprint, known=known, withdrawn=self.withdrawn
        )
        with self.profile.step("checks of the source"):
            self.checks = checks.of_contract(self.steps, "source_tracks", self.request.limits)
        checks.refuse_rejected(self.steps, counts, self.where, self.request.limits)
        checks.refuse_input(self.checks, self.where)
        signals.check()
        self.database.forbid_file_access(self.engine.folders())

    def _read_source(self) -> Landing:
        self.stages.start("landing")
        self.reporter.note("reading", parts=len(self.source.parts))
        with self.profile.step("landed") as measured:
            landed = self.engine.land()
            measured.rows = landed.counts.received
        self.counts = landed.counts
        if self.stamps != sources.stamps(self.source):
            raise StorageError(
                f"{self.where} changed while it was read", "It may still be written: run again when it is whole"
            )
        for note in landed.notes:
            self.reporter.note(note)
        for name in self.source.not_read:
            self.reporter.warning("not read", file=name)
        self.reporter.progress("rows received", landed.counts.received, landed.counts.received)
        return landed

    def update_catalogue(self) -> None:
        """Put the accepted tracks into the catalogue, keep those that are not, and renew what is known of artists."""
        self.stages.start("catalogue")
        with self.profile.step("quarantine"):
            quarantine.save(self.steps, self.run)
        self.engine.update_catalogue()

    def predict(self) -> None:
        """Replace the job's predictions of the run date."""
        self.stages.start("scoring")
        assert self.counts is not None  # noqa: S101  it has landed
        predicted = self.engine.predict()
        self.predicted, self.imputed = predicted.tracks, predicted.imputed
        self.counts.check_balance(self.predicted)

    def judge(self) -> None:
        """Run the monitors and the checks of the predictions; a failed one stops the publish."""
        self.stages.start("checks")
        self._watch()
        with self.profile.step("checks of the predictions"):
            self.checks += checks.of_contract(self.steps, "predictions", self.request.limits)
        self._check()

    def _watch(self) -> None:
        scored = Scored(self.run, self.steps, self.before, self.models.bundle, self.models.scorer)
        for monitor in self.monitors:
            if self.run.action == "replay" and not monitor.on_replay:
                continue
            self.database.execute(f"DELETE FROM {monitor.table} WHERE run_id IN (SELECT run_id FROM earlier_runs)")
            with self.profile.step(monitor.table) as measured:
                written = measured.rows = self.engine.watch(monitor, scored)
            if monitor.table == "flips":
                self.flips = written

    def _check(self) -> None:
        with self.profile.step("audits"):
            self.checks += self.engine.audits()
        if promised := self._promised_flips():
            self.checks.append(promised)
        for result in self.checks:
            if result.status == "warning":
                self.reporter.warning(
                    result.name, observed=round(result.observed, 4), allowed=result.allowed, sentence=result.sentence
                )
        try:
            checks.refuse_output(self.checks)
        except OutputBroken:
            # Everything is rolled back, apart from what the message says to look at.
            tables = [monitor.table for monitor in self.monitors if monitor.is_evidence]
            self.evidence = {t: self.database.frame(f"FROM {t} SEMI JOIN run USING (run_id)") for t in tables}
            raise

    def _promised_flips(self) -> CheckResult | None:
        """Hold the genres that a bundle changes on its first night against what its promotion promised, where it did."""
        folder, bundle = self.request.bundles, self.models.bundle
        if folder is None or self.run.action != "score":
            return None
        try:
            made = promotions.of(folder)
        except StorageError as error:
            self.reporter.warning("promotions", error=str(error))
            return None
        ours = [each for each in made if each.sha256 == bundle.sha256]
        if made and not ours and self.request.model is None:  # it was trained again where the champion lay
            self.reporter.warning(
                "not_promoted", model=bundle.title, folder=str(bundle.folder),
                remedy="Promote it, with a comparison, or restore the bundle that was promoted",
            )  # fmt: skip
        share = ours[-1].promised if ours else None
        known = self.database.value(
            "SELECT count(*) FROM earlier_predictions WHERE model_sha256_before <> ?", [bundle.sha256]
        )
        if share is None or not known:
            return None
        changed = self.database.value("SELECT count(*) FROM flips SEMI JOIN run USING (run_id) WHERE cause = 'model'")
        promised = round(share * known)
        self.reporter.note("new champion", known_tracks=known, changed_by_the_model=changed, promised=promised)
        sentence = f"{changed:,} genres changed by the model, the comparison promised about {promised:,}. At most twice as many."
        return checks.CheckResult("promised_flips", sentence, changed, 2 * promised, "warning")

    def record(self) -> None:
        """Write checks, bundles and the ledger's line, and remove what is past ``keep_days``."""
        self.stages.start("ledger")
        assert self.counts is not None  # noqa: S101  it has landed
        checks.save(self.database, self.run, self.checks)
        for bundle in (self.models.bundle, *([self.models.shadow[0]] if self.models.shadow else [])):
            ledger.save_bundle(self.database, bundle)
        counted = ledger.count_columns(self.counts, self.predicted, self.imputed)
        if self.profile.enabled:
            counted["profile"] = json.dumps([cost.to_dict() for cost in self.profile.costs()])
        self._trim()
        settled = {"settled_to": self.horizon, "withdrawn": self.withdrawn if self.run.delivery == "snapshot" else None}
        ledger.append(self.database, ledger.line(self.run, "published", **self._origin_columns(), **counted, **settled))
        signals.check()

    def _horizon(self) -> date | None:
        """Return the last run date of this job that is too far behind its newest, and before that of this run."""
        if self.request.keep_days is None or self._leaps():
            return None
        days = [day for day in ledger.run_dates(self.database, self.run.job) if day <= ledger.latest_date()]
        newest = max([self.run.run_date, *days])
        kept = timedelta(days=self.request.keep_days)
        if newest - date.min < kept:
            return None
        horizon: date = min(newest - kept, self.run.run_date - timedelta(days=1))
        return horizon

    def _trim(self) -> None:
        """Remove what was delivered and predicted up to the horizon."""
        if self.horizon is None:
            return
        self.engine.settle()
        for table in TRIMMED:
            self.database.execute(
                f"DELETE FROM {table} WHERE run_id IN (SELECT run_id FROM runs SEMI JOIN run USING (job) WHERE run_date <= ?)",
                [self.horizon],
            )

    def _leaps(self) -> bool:
        """Return whether the run date lies more than LEAP after the job's newest one before: a wrong clock must not cost the others."""
        days = ledger.run_dates(self.database, self.run.job)
        before = max((day for day in days if day < self.run.run_date), default=None)
        if before is None or self.run.run_date - before <= LEAP:
            return False
        self.reporter.warning(
            "keep_days", run_date=str(self.run.run_date), newest_before=str(before),
            remedy="Nothing was removed: check the clock. If the date is right, the next run removes what is past keep_days",
        )  # fmt: skip
        return True

    def record_failure(self, database: Database, error: Exception) -> None:
        """Write why there are no predictions: the ledger's line, the checks, and the quarantine of a refused run."""
        columns: dict[str, Any] = {**self._origin_columns(), **ledger.failure_columns(error)}
        if self.counts is not None:
            columns |= {**ledger.count_columns(self.counts, 0, {}), "withheld": self.counts.accepted}
        refused = isinstance(error, ContractBroken | OutputBroken) and self.counts is not None
        if refused and self.run.action == "score":
            self.steps.after_rollback()
            quarantine.save(self.steps, self.run, published=False)
            for table, rows in self.evidence.items():
                database.execute(
                    f"DELETE FROM {table} WHERE run_id IN (SELECT run_id FROM earlier_runs WHERE status = 'refused')"
                )
                database.insert(table, rows)
        checks.save(database, self.run, self.checks)
        ledger.append(database, ledger.line(self.run, **columns))

    def _origin_columns(self) -> dict[str, Any]:
        """Return the columns of the ledger that say what was read, how, and by which bundle."""
        read_as = {"encoding": self.source.encoding, "recipe": self.source.recipe.dumped(), "folder": str(Path.cwd())}
        return {
            **ledger.bundle_columns(self.models.bundle), "sources": [part.name for part in self.source.parts],
            "source_sha256": self.fingerprint, "read_as": json.dumps(read_as), "stages": json.dumps(self.stages.so_far()),
        }  # fmt: skip

    def result(self, status: str, run_id: str | None = None) -> ScoreResult:
        """Return the result of the run; ``run_id`` is that of the run which stands, where it is another one."""
        assert self.counts is not None  # noqa: S101  a run without counts has no result
        seconds, manifest = self.run.seconds, self.models.bundle.manifest
        return ScoreResult(
            status=status, run_id=run_id or self.run.run_id, run_date=self.run.run_date.isoformat(),
            model=manifest.name, model_version=manifest.version, warehouse=str(self.request.warehouse),
            received=self.counts.received, predicted=self.predicted, quarantined=self.counts.quarantined,
            duplicates=self.counts.duplicates, empty=self.counts.empty, filtered=self.counts.filtered, withdrawn=self.withdrawn, imputed=self.imputed, flips=self.flips,
            warnings=[result.name for result in self.checks if result.status == "warning"],
            seconds=round(seconds, 3), rows_per_second=round(self.counts.received / seconds), stages=self.stages.finish(),
            profile=self.profile.costs(), publish=None,
        )  # fmt: skip
