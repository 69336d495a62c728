"""Words to calls for those who look after the nightly run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genrepipe import rendering
from genrepipe.options import BUNDLES, ENCODING, MAP, OUTPUT, SOURCE, WAREHOUSE, Words, pairs, show

if TYPE_CHECKING:
    from genrepipe.jobs import ScoreRequest
    from genrepipe.telemetry import Telemetry

JOB = click.option("--job", help="Of this job alone; without it, of any.")


def run_job(request: ScoreRequest, telemetry: Telemetry, output: str, first: str | None, last: str | None) -> None:
    """Score one date, or every date from first to last, followed by whatever follows runs; print what happened."""
    from genrepipe import jobs, reruns
    from genrepipe import telemetry as following
    from genrepipe.errors import UsageError

    def score(one: ScoreRequest) -> dict[str, Any]:
        return following.followed(telemetry, one, jobs.score)

    if (first is None) != (last is None):
        raise UsageError("--from and --to belong together", "Name both dates, or neither")
    if first is not None and request.run_date is not None:
        raise UsageError(f"--from and --to beside the run date {request.run_date}", "Name a range, or one date")
    if first is None or last is None:
        show(score(request), output, rendering.score_text)
        return
    result, failure = reruns.backfill(request, first, last, score)
    show(result, output, rendering.backfill_text)
    if failure is not None:
        raise failure


@click.command()
@WAREHOUSE
@OUTPUT
def rollback(warehouse: Path, output: str) -> None:
    """Go back to the generation before the last run. Once more goes forward again.

    \b
    Example:
        genrepipe rollback --warehouse warehouse.duckdb
    """
    from genrepipe import reruns

    show(reruns.rollback(warehouse), output, rendering.rollback_text)


@click.command()
@click.option("--from", "first", required=True, help="The first run date, YYYY-MM-DD.")
@click.option("--to", "last", required=True, help="The last run date, YYYY-MM-DD.")
@JOB
@WAREHOUSE
@OUTPUT
def missing(first: str, last: str, job: str | None, warehouse: Path, output: str) -> None:
    """List the run dates without a published run.

    \b
    Example:
        genrepipe missing --from 2026-11-01 --to 2026-11-30 --warehouse warehouse.duckdb
    """
    from genrepipe import reruns

    show(reruns.missing(warehouse, first, last, job), output, rendering.missing_text)


@click.command()
@click.option("--run", "run_id", required=True, help="The run's id, from run_history.")
@WAREHOUSE
@BUNDLES
@OUTPUT
def verify(run_id: str, warehouse: Path, bundles: Path | None, output: str) -> None:
    """Score a run's input again, write nothing, and say whether the answers are the same.

    Exits with 70 where they differ and no later run can be the reason.

    \b
    Example:
        genrepipe verify --run 20261122T010000.000000Z-abc123 --warehouse warehouse.duckdb
    """
    from genrepipe import reruns
    from genrepipe.errors import OutputBroken

    result = reruns.verify(warehouse, run_id, bundles)
    show(result, output, rendering.again_text)
    if not result["explained"]:
        raise OutputBroken(
            f"Run {run_id} is not answered as it was: {result['genres_differ']:,} genres differ",
            "Compare the versions in bundle.json with those installed, or report a bug",
        )


@click.command()
@SOURCE
@WAREHOUSE
@ENCODING
@MAP
@OUTPUT
def labels(source: tuple[str, ...], warehouse: Path, encoding: str, mapping: tuple[str, ...], output: str) -> None:
    """Take genre labels that came later, from SOURCE with instance_id and music_genre, and measure the runs by them.

    \b
    Example:
        genrepipe labels labels.csv --warehouse warehouse.duckdb
    """
    from genrepipe import labels as later

    show(later.take(warehouse, source, encoding, pairs(mapping, "--map")), output, rendering.labels_text)


@click.group(cls=Words)
def quarantine() -> None:
    """Look at the rows that were kept out, correct them, and bring them back.

    \b
    Example:
        genrepipe quarantine list --warehouse warehouse.duckdb
    """


@quarantine.command("list")
@click.option("--run-date", help="Of this date alone, YYYY-MM-DD.")
@WAREHOUSE
@OUTPUT
def quarantine_list(run_date: str | None, warehouse: Path, output: str) -> None:
    """Count the open rows by run date and rule, with five examples of each.

    \b
    Example:
        genrepipe quarantine list --warehouse warehouse.duckdb --output json
    """
    from genrepipe import quarantine as rows
    from genrepipe import resources, runs
    from genrepipe.warehouse import reading

    day = runs.parse_date(run_date) if run_date else None
    with reading(warehouse, resources.plan()) as database:
        show({"status": "listed", "groups": rows.groups(database, day)}, output, rendering.quarantine_text)


@quarantine.command("show")
@click.argument("row_id")
@WAREHOUSE
@OUTPUT
def quarantine_show(row_id: str, warehouse: Path, output: str) -> None:
    """Show one row whole: file, row number, every reason, every cell.

    \b
    Example:
        genrepipe quarantine show 0123456789abcdef --warehouse warehouse.duckdb
    """
    from genrepipe import quarantine as rows
    from genrepipe import resources
    from genrepipe.warehouse import reading

    with reading(warehouse, resources.plan()) as database:
        show({"status": "shown", **rows.row(database, row_id)}, output, rendering.quarantined_row_text)


@quarantine.command("export")
@click.option("--run-date", required=True, help="The run date, YYYY-MM-DD.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The CSV file to correct.")
@JOB
@WAREHOUSE
@OUTPUT
def quarantine_export(run_date: str, out: Path, job: str | None, warehouse: Path, output: str) -> None:
    """Write the open rows of a run date as CSV, to be corrected.

    \b
    Example:
        genrepipe quarantine export --run-date 2026-11-22 --out fixes.csv --warehouse warehouse.duckdb
    """
    from genrepipe import quarantine as rows
    from genrepipe import resources, runs
    from genrepipe.warehouse import reading

    with reading(warehouse, resources.plan()) as database:
        count = rows.export(database, runs.parse_date(run_date), out, job)
    show({"status": "exported", "rows": count, "file": str(out)}, output, rendering.exported_text)


@quarantine.command("replay")
@click.argument("corrected", type=click.Path(path_type=Path))
@click.option("--run-date", required=True, help="The run date that the rows belong to, YYYY-MM-DD.")
@WAREHOUSE
@BUNDLES
@OUTPUT
def quarantine_replay(corrected: Path, run_date: str, warehouse: Path, bundles: Path | None, output: str) -> None:
    """Score corrected rows with that date's bundle, and merge them into its predictions.

    \b
    Example:
        genrepipe quarantine replay fixes.csv --run-date 2026-11-22 --warehouse warehouse.duckdb
    """
    from genrepipe import reruns
    from genrepipe.console import reporter

    with reporter() as say:
        result = reruns.replay(warehouse, corrected, run_date, bundles, say)
    show(result, output, rendering.replay_text)


@click.command("promote")
@click.argument("model")
@click.option(
    "--bundles",
    type=click.Path(path_type=Path),
    required=True,
    envvar="GENREPIPE_BUNDLES",
    help="Your own shelf: a folder of bundles, and of the champion's name.",
)
@OUTPUT
def promote(model: str, bundles: Path, output: str) -> None:
    """Make MODEL the champion of your own shelf: the bundle that a job uses when it names none.

    \b
    Example:
        genrepipe models promote known-artist --bundles bundles
    """
    from genrepipe import bundles as shelves
    from genrepipe.scoring import Scorer

    Scorer(shelves.load(model, bundles))
    before, now = shelves.promote(model, bundles)
    show(
        {"status": "promoted", "before": before, "champion": now, "bundles": str(bundles)},
        output,
        rendering.promoted_text,
    )


@click.command("compare")
@click.option("--run-date", help="The run date, YYYY-MM-DD; without it, the newest one with a shadow.")
@WAREHOUSE
@OUTPUT
def compare(run_date: str | None, warehouse: Path, output: str) -> None:
    """Hold the shadow's answers against those that were served.

    \b
    Example:
        genrepipe models compare --warehouse warehouse.duckdb
    """
    from genrepipe import reruns

    show(reruns.compare(warehouse, run_date), output, rendering.compare_text)
