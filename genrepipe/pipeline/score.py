"""Score a source into a warehouse, all of it or nothing."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from genrepipe.core import addresses, resources, signals
from genrepipe.core.errors import UsageError
from genrepipe.core.events import BUNDLE, SILENT, Reporter, Stages
from genrepipe.core.profile import Profile
from genrepipe.ingest import sources
from genrepipe.pipeline import needs, publish
from genrepipe.pipeline.scoring_run import ScoringRun, load_models, reported
from genrepipe.quality import checks
from genrepipe.warehouse import ledger
from genrepipe.warehouse.ledger import Run
from genrepipe.warehouse.session import dry_session, write_session

if TYPE_CHECKING:
    from genrepipe.pipeline.requests import ScoreRequest
    from genrepipe.pipeline.results import ScoreResult


def score(request: ScoreRequest, reporter: Reporter = SILENT) -> ScoreResult:
    """Score a source into a warehouse, all of it or nothing.

    Raises
    ------
    GenrepipeError
        Any class of the tree in ``core.errors``; no prediction was published. From stage copy on
        the ledger has a line; of a run that a check refused, checks and quarantine are there to look at.
        Nothing is recorded of a mistaken request.
    """
    run_id = ledger.new_run_id()
    with signals.deferred(), reported(request, run_id, reporter):
        run = Run(request.name, ledger.parse_date(request.run_date), run_id=run_id, delivery=request.delivery)
        result = _score(request, run, reporter)
        if request.publish and not request.dry_run:
            result = publish.after_score(request, result, reporter)
    reporter.run_succeeded(result)
    return result


def _score(request: ScoreRequest, run: Run, reporter: Reporter) -> ScoreResult:
    if request.dry_run and request.engine != "local":
        raise UsageError("A dry run has no other engine than local", "Leave out --engine")
    plan, stages = resources.plan(), Stages(reporter, Profile(enabled=request.profile))
    stages.start("bundle")
    checks.check_limits(request.limits)
    recipe = request.reading
    models = load_models(request, plan)
    manifest = models.bundle.manifest
    reporter.note(BUNDLE, model=manifest.name, version=manifest.version, inputs=list(manifest.inputs))

    arguments = [argument.replace("{run_date}", run.run_date.isoformat()) for argument in request.source]
    if any(map(addresses.is_address, arguments)):
        stages.start("fetching")
    with sources.open_source(arguments, encoding=request.encoding, recipe=recipe, reporter=reporter) as source:
        text = needs.text_of(source)
        plan = resources.plan(text)
        scoring = ScoringRun(request, run, source, models, plan, reporter, stages)
        if request.dry_run:
            return _dry_run(scoring)
        with (
            closing(scoring.engine),
            write_session(request.warehouse, run, plan, stages, request.wait_seconds) as session,
        ):
            if known := scoring.already_published(session.current):
                return known
            session.record_failure = scoring.record_failure
            if request.engine == "local":
                needs.tell(text, request.warehouse, plan, reporter)
            scoring.open(session.begin(), session.current)
            scoring.land()
            with session.publishing():
                scoring.update_catalogue()
                scoring.predict()
                scoring.judge()
                scoring.record()
        return scoring.result("published")


def _dry_run(scoring: ScoringRun) -> ScoreResult:
    """Do everything but write."""
    request = scoring.request
    with dry_session(request.warehouse, scoring.run, scoring.plan, scoring.stages, request.wait_seconds) as (
        database,
        before,
    ):
        scoring.hash_source(database)
        scoring.open(database, before)
        scoring.land()
        scoring.update_catalogue()
        scoring.predict()
        scoring.judge()
        scoring.record()
    return scoring.result("dry run")
