"""Score a run's input again, and compare with what was published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrepipe import contracts
from genrepipe.core import addresses, resources, signals
from genrepipe.core.errors import SourceShapeError, UsageError
from genrepipe.core.quoting import identifier, literal
from genrepipe.engines import history, prepare
from genrepipe.engines.predict import predict
from genrepipe.ingest import landing, recipes, sources
from genrepipe.model import bundle as bundles
from genrepipe.model.scorer import Scorer
from genrepipe.pipeline.replay import find_bundle
from genrepipe.pipeline.results import VerifyResult
from genrepipe.warehouse import schema
from genrepipe.warehouse.ledger import Run
from genrepipe.warehouse.session import dry_session
from genrepipe.warehouse.steps import Steps

if TYPE_CHECKING:
    import polars as pl

    from genrepipe.core.resources import Plan

TOLERANCE = 1e-5  # of a probability, as for golden rows


def verify(warehouse: Path, run_id: str, folder: Path | None = None) -> VerifyResult:
    """Score a run's input again, beside the catalogue as it is, and compare with what was published.

    Nothing is written. Later runs may have changed what is known of an artist, or taken over a track: they are counted,
    and ``explained`` is false only where there is none and the answers differ all the same.

    Raises
    ------
    UsageError
        There is no such published run.
    SourceShapeError
        The source is not what that run read.
    UnknownModel
        The run's bundle is not here.
    """
    plan = resources.plan()
    with signals.deferred():
        ledger_line, published = _published(warehouse, run_id, plan)
        again = _score_again(warehouse, run_id, ledger_line, folder, plan)
    both = published.join(again, on="track_id", suffix="_again")
    genres = contracts.genres()
    differences = np.abs(both.select(genres).to_numpy() - both.select(f"{g}_again" for g in genres).to_numpy())
    largest, later = float(differences.max()) if len(both) else 0.0, ledger_line["later"]
    complete = len(both) == len(published) and (len(both) == len(again) or later > 0)
    status = "different"
    if complete and largest <= TOLERANCE:
        status = "identical" if largest == 0 else "within tolerance"
    return VerifyResult(
        status, run_id, ledger_line["run_date"].isoformat(), ledger_line["model"], len(published), len(both), largest,
        TOLERANCE, int((both["genre"] != both["genre_again"]).sum()), later, status != "different" or later > 0,
    )  # fmt: skip


def _published(warehouse: Path, run_id: str, plan: Plan) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return a run's line in the ledger, with the number of ``later`` runs, and its predictions."""
    with schema.open_reading(warehouse, plan) as database:
        lines = database.dicts(
            "SELECT run_date, job, delivery, runs.model_sha256, bundles.folder, runs.model, sources, source_sha256, read_as, "
            "(SELECT count(*) FROM runs AS after WHERE after.status = 'published' AND after.finished_at > runs.finished_at) AS later "
            "FROM runs LEFT JOIN bundles USING (model_sha256) WHERE run_id = ? AND status = 'published' AND action = 'score'",
            [run_id],
        )
        if not lines:
            raise UsageError(
                f"There is no published scoring run {run_id}",
                "See SELECT run_id FROM run_history WHERE action = 'score'; a replay stands beside the run of its date",
            )
        return lines[0], database.frame(f"SELECT {_columns()} FROM predictions WHERE run_id = ?", [run_id])


def _score_again(warehouse: Path, run_id: str, line: dict[str, Any], folder: Path | None, plan: Plan) -> pl.DataFrame:
    """Return the predictions of a run's input beside the catalogue as it is."""
    how = json.loads(line["read_as"] or "{}")
    names = line["sources"]
    places = [name if addresses.is_address(name) else str(Path(how.get("folder", "")) / name) for name in names]
    # Until layout 7 a line had the mapping alone.
    recipe = recipes.load(how.get("recipe")).with_keys(how.get("map", {}))
    opened = sources.open_source(places, encoding=how.get("encoding", "utf-8"), recipe=recipe)
    bundle = bundles.load(str(find_bundle(line["model_sha256"], line["folder"], line["model"], folder)))
    run = Run(line["job"], line["run_date"], "verify", delivery=line["delivery"])
    with opened as source, dry_session(warehouse, run, plan) as (memory, _):
        if landing.fingerprint(memory, source) != line["source_sha256"]:
            raise SourceShapeError(f"{', '.join(names)} is not what run {run_id} read", "Restore the files of that day")
        steps = Steps(memory)
        steps.bind_row("run", **run.relation())
        landing.land(steps, source)
        prepare.update_catalogue(steps)
        history.cut(steps, run)
        prepare.make_scorable(steps, bundle.duration_ms)
        history.none_continue(steps)
        predict(steps, run, bundle, Scorer(bundle, plan.threads))
        steps.make("run_predictions")
        return memory.frame(f"SELECT {_columns()} FROM run_predictions")


def _columns() -> str:
    probabilities = [f"probabilities[{literal(genre)}] AS {identifier(genre)}" for genre in contracts.genres()]
    return ", ".join(["track_id", "genre", *probabilities])
