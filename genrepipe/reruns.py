"""What operations do with runs that were: fill dates in, go back a generation, replay, verify, compare."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrepipe import (
    batches,
    bundles,
    catalogue,
    contracts,
    generations,
    interrupts,
    jobs,
    landing,
    objects,
    quarantine,
    resources,
    runs,
    sources,
    warehouse,
)
from genrepipe.console import Reporter, Silent
from genrepipe.contracts import identifier
from genrepipe.errors import (
    GenrepipeError,
    Interrupted,
    SourceShapeError,
    UnknownModel,
    UsageError,
    WarehouseUnusable,
)
from genrepipe.runs import Run
from genrepipe.scoring import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from genrepipe.database import Database
    from genrepipe.jobs import ScoreRequest

TOLERANCE = 1e-5  # of a probability that is scored again, see the golden rows


def days(first: str, last: str) -> list[str]:
    """Return the run dates from first to last, both included.

    Raises
    ------
    UsageError
        One is not a date, or they are the wrong way round.
    """
    begin, end = runs.parse_date(first), runs.parse_date(last)
    if begin > end:
        raise UsageError(f"--from {first} is after --to {last}", "Exchange them")
    return [(begin + timedelta(days=n)).isoformat() for n in range((end - begin).days + 1)]


def backfill(
    request: ScoreRequest, first: str, last: str, score: Callable[[ScoreRequest], dict[str, Any]]
) -> tuple[dict[str, Any], GenrepipeError | None]:
    """Run every date in turn, the oldest first; a date that fails does not keep the others from theirs.

    Returns
    -------
    One line for each date, and the first failure, if there was one.
    """
    lines: list[dict[str, Any]] = []
    failures: list[GenrepipeError] = []
    for day in days(first, last):
        try:
            lines.append(score(replace(request, run_date=day)))
        except Interrupted:
            raise
        except GenrepipeError as error:
            failures.append(error)
            lines.append({"status": "failed", "run_date": day, "error": type(error).__name__, "message": str(error), "exit_code": error.exit_code})  # fmt: skip
    code = failures[0].exit_code if failures else 0
    result = {"status": "failed" if failures else "published", "runs": lines, "exit_code": code}
    return result, failures[0] if failures else None


def missing(path: Path, first: str, last: str, job: str | None) -> dict[str, Any]:
    """Return the dates without a published run, of any job or of one.

    Raises
    ------
    UsageError
        A date is none, or the ledger does not know the job.
    """
    wanted = days(first, last)
    with warehouse.reading(path, resources.plan()) as database:
        found = database.rows(
            "SELECT DISTINCT run_date FROM runs WHERE status = 'published' AND action = 'score' AND job = coalesce(?, job)",
            [job],
        )
        jobs_known = {name for (name,) in database.rows("SELECT DISTINCT job FROM runs WHERE action = 'score'")}
    if job is not None and job not in jobs_known:
        raise UsageError(f"No run of job {job!r} is in the ledger", f"Jobs: {', '.join(sorted(jobs_known))}")
    published = {day.isoformat() for (day,) in found}
    return {"status": "listed", "missing": [day for day in wanted if day not in published], "dates": len(wanted)}


def rollback(path: Path) -> dict[str, Any]:
    """Publish the generation before again, with a line in its ledger; the one that is left becomes the previous one.

    Raises
    ------
    WarehouseUnusable
        There is no generation before.
    """
    with interrupts.deferred():
        run = Run("rollback", runs.parse_date(None), "rollback")
        plan = resources.plan()
        with generations.locked(path, plan, run.identity()) as files:
            current = files.hold()
            if current is None or not files.previous.exists():
                raise WarehouseUnusable(f"{path} has no generation before", "Only a published run leaves one")
            warehouse.require(current)
            left = _published(current)
            database = files.begin()
            warehouse.lay_out(database)
            warehouse.restore(database, files.previous, plan)
            back = _published(database)
            undone = [done for done in left if done not in back]
            last = back[-1] if back else None
            with database.transaction():
                said = f"Rolled back to run {last['run_id'] if last else None}; undone: {', '.join(done['run_id'] for done in undone)}."
                runs.enter(database, runs.line(run, "published", error=said))
            files.publish(database)
    return {"status": "rolled back", "run_id": run.run_id, "warehouse": str(path), "to": last, "undone": undone}


def _published(database: Database) -> list[dict[str, str]]:
    """Return what was published, the oldest first."""
    rows = database.rows(
        "SELECT run_id, run_date, action, job FROM runs WHERE status = 'published' ORDER BY finished_at"
    )
    return [
        {"run_id": run_id, "run_date": day.isoformat(), "action": action, "job": job}
        for run_id, day, action, job in rows
    ]


def replay(path: Path, exported: Path, run_date: str, own: Path | None, say: Reporter | None = None) -> dict[str, Any]:
    """Score the corrected rows of a run date with that date's bundle, and merge them into its predictions at once.

    Raises
    ------
    UsageError
        The date has no published run, or the file is no export of that date.
    UnknownModel
        The date's bundle is not here any more.
    """
    day = runs.parse_date(run_date)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "corrected.csv"
        ids = quarantine.corrected(exported, source)
        with warehouse.reading(path, resources.plan()) as database:
            job = quarantine.job_of(database, day, ids, exported)
            found = database.rows(
                "SELECT model_sha256, bundles.folder, runs.model FROM runs LEFT JOIN bundles USING (model_sha256) "
                "WHERE run_date = ? AND job = ? AND status = 'published' AND action = 'score' ORDER BY finished_at DESC LIMIT 1",
                [day, job],
            )
        if not found:
            raise UsageError(
                f"{day} has no published run of job {job}", "Run the whole date again with the corrected source"
            )
        sha256, folder_then, name = found[0]
        model = str(_bundle_of(sha256, folder_then, name, own))
        request = jobs.ScoreRequest(
            (str(source),), path, run_date, model, job, bundles=own, action="replay", shown_as=str(exported)
        )
        result = jobs.score(request, say)
    with warehouse.reading(path, resources.plan()) as database:
        resolved = database.value("SELECT count(*) FROM quarantine WHERE resolved_by = ?", [result["run_id"]])
        still = database.value("SELECT count(*) FROM quarantine WHERE run_date = ? AND resolved_by IS NULL", [day])
    return {**result, "resolved": resolved, "open": still}


def _bundle_of(sha256: str, folder: str | None, name: str, own: Path | None) -> Path:
    places = [bundles.shelf(own).get(name), Path(folder) if folder else None, *bundles.shelf(own).values()]
    for place in places:
        if (
            place is not None
            and (place / bundles.MANIFEST).is_file()
            and sources.digest(place / bundles.MANIFEST) == sha256
        ):
            return place
    raise UnknownModel(
        f"The bundle of that run, {name} with sha256 {sha256[:16]}, is not here",
        "Restore it, or name its shelf with --bundles",
    )


def verify(path: Path, run_id: str, own: Path | None) -> dict[str, Any]:
    """Score a run's input again, beside the catalogue as it is, and compare with what was published.

    Nothing is written. The answer is ``identical``, ``within tolerance``, or ``different``. Later runs may have changed
    what is known of an artist, or taken over a track, so their number is told: ``explained`` is false only where there
    was none and the answer differs all the same.

    Raises
    ------
    UsageError
        There is no such published run.
    SourceShapeError
        The source is not what that run read.
    """
    with interrupts.deferred():
        plan = resources.plan()
        with warehouse.reading(path, plan) as database:
            rows = database.rows(
                "SELECT run_date, runs.model_sha256, bundles.folder, runs.model, sources, source_sha256, read_as, finished_at "
                "FROM runs LEFT JOIN bundles USING (model_sha256) WHERE run_id = ? AND status = 'published' AND action = 'score'",
                [run_id],
            )
            if not rows:
                raise UsageError(
                    f"There is no published scoring run {run_id}",
                    "See SELECT run_id FROM run_history WHERE action = 'score'; a replay stands beside the run of its date",
                )
            day, sha256, folder, name, names, fingerprint, read_as, finished = rows[0]
            later = database.value(
                "SELECT count(*) FROM runs WHERE status = 'published' AND finished_at > ?", [finished]
            )
            columns = [
                "track_id",
                "genre",
                *(f"probabilities[{contracts.literal(g)}] AS {identifier(g)}" for g in contracts.genres()),
            ]
            published = database.frame(f"SELECT {', '.join(columns)} FROM predictions WHERE run_id = ?", [run_id])
        how = json.loads(read_as or "{}")
        places = [each if objects.named(each) else str(Path(how.get("folder", "")) / each) for each in names]
        opened = sources.opened(places, encoding=how.get("encoding", "utf-8"), mapping=how.get("map", {}))
        bundle = bundles.load(str(_bundle_of(sha256, folder, name, own)))
        run = Run("verify", day)
        with opened as source, warehouse.open_memory(plan, path) as memory:
            if landing.fingerprint(memory, source) != fingerprint:
                raise SourceShapeError(
                    f"{', '.join(names)} is not what run {run_id} read", "Restore the files of that day"
                )
            catalogue.begin(memory, run.run_id, day)
            landing.land(memory, source)
            catalogue.take(memory)
            batches.predict(memory, run, bundle, Scorer(bundle, plan.threads), Silent())
            again = memory.frame(f"SELECT {', '.join(columns)} FROM predictions WHERE run_id = ?", [run.run_id])
    both = published.join(again, on="track_id", suffix="_again")
    genres = contracts.genres()
    apart = np.abs(both.select(genres).to_numpy() - both.select(f"{g}_again" for g in genres).to_numpy())
    largest = float(apart.max()) if len(both) else 0.0
    whole = len(both) == len(published) and (len(both) == len(again) or later > 0)
    status = "different"
    if whole and largest <= TOLERANCE:
        status = "identical" if largest == 0 else "within tolerance"
    return {
        "status": status, "run_id": run_id, "run_date": day.isoformat(), "model": name, "tracks": len(published), "compared": len(both),
        "largest_difference": largest, "tolerance": TOLERANCE, "genres_differ": int((both["genre"] != both["genre_again"]).sum()),
        "later_runs": later, "explained": status != "different" or later > 0,
    }  # fmt: skip


def compare(path: Path, run_date: str | None) -> dict[str, Any]:
    """Hold the shadow's answers of a run date against those that were served; None is the newest date that has both.

    Raises
    ------
    UsageError
        No date has both.
    """
    with warehouse.reading(path, resources.plan()) as database:
        day: date | None = (
            runs.parse_date(run_date) if run_date else database.value("SELECT max(run_date) FROM shadow_predictions")
        )
        pairs = database.rows(
            "SELECT p.model, s.model, p.genre, s.genre, count(*) FROM predictions AS p JOIN shadow_predictions AS s USING (run_date, track_id) "
            "WHERE run_date = ? GROUP BY ALL ORDER BY 5 DESC, 3, 4",
            [day],
        )
        if not pairs:
            raise UsageError(f"{day or 'No run date'} has no shadow predictions", "Score with --shadow NAME first")
        measured = database.rows(
            "SELECT role, model, tracks, accuracy, macro_auroc FROM performance WHERE run_date = ? ORDER BY role", [day]
        )
    total = sum(count for *_, count in pairs)
    agree = sum(count for _, _, ours, theirs, count in pairs if ours == theirs)
    return {
        "status": "compared", "run_date": str(day), "model": pairs[0][0], "shadow": pairs[0][1], "tracks": total,
        "agreement": agree / total,
        "flips": [{"served": ours, "shadow": theirs, "tracks": count} for _, _, ours, theirs, count in pairs if ours != theirs],
        "performance": [dict(zip(("role", "model", "tracks", "accuracy", "macro_auroc"), row, strict=True)) for row in measured],
    }  # fmt: skip
