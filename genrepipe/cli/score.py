"""score, validate, run, config and sample."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genrepipe.cli import completion, rendering
from genrepipe.cli.options import (
    FROM,
    LOGGING,
    OUTPUT,
    READING,
    SET,
    SOURCE,
    TO,
    Group,
    RequestCommand,
    flags,
    job_request,
    log_options,
    recipe_of,
    score_request,
    settings_of,
)
from genrepipe.cli.output import show
from genrepipe.core import signals
from genrepipe.core.errors import ContractBroken, UsageError

if TYPE_CHECKING:
    from genrepipe.pipeline.requests import ScoreRequest
    from genrepipe.pipeline.results import ValidateResult


@click.command(cls=RequestCommand, kind="score", positional=("source",))
@click.argument("source", nargs=-1, shell_complete=completion.files)
@FROM
@TO
@LOGGING
@OUTPUT
def score(first: str | None, last: str | None, output: str, **values: Any) -> None:
    """Score SOURCE into a warehouse: CSV, JSON Lines or Parquet files, globs, folders, lake tables, file.duckdb::table, s3://….

    With --from and --to every date between is run; {run_date} in SOURCE becomes each of them. Every option is a key of a
    job file too, and can be set as GENREPIPE_KEY in the environment.

    \b
    Example:
        genrepipe score tracks.csv --warehouse warehouse.duckdb --run-date 2026-11-22
    """
    _run_score(score_request(values), first, last, output)


def _run_score(request: ScoreRequest, first: str | None, last: str | None, output: str) -> None:
    """Score one date, or every date from first to last, and show what happened."""
    if (first is None) != (last is None):
        raise UsageError("--from and --to belong together", "Name both dates, or neither")
    with signals.deferred():
        from genrepipe import observers
        from genrepipe.pipeline.backfill import backfill
        from genrepipe.pipeline.results import BackfillResult, ScoreResult
        from genrepipe.pipeline.score import score

        with observers.following(request, **log_options(), nights=first is not None) as reporter:
            if first is None or last is None:
                result: ScoreResult | BackfillResult = score(request, reporter)
                failure = None
            else:
                result, failure = backfill(request, first, last, reporter)
        if isinstance(result, ScoreResult):
            show(result, output, rendering.score_text)
        else:
            show(result, output, rendering.backfill_counts if _shows_nights() else rendering.backfill_text)
        if failure is not None:
            raise failure


def _shows_nights() -> bool:
    """Return whether the log has shown every night on the terminal where the result will be."""
    chosen = log_options()
    return (
        sys.stdout.isatty() and sys.stderr.isatty() and not chosen.get("quiet") and chosen.get("log_format") != "json"
    )


@click.command()
@SOURCE
@READING
@OUTPUT
def validate(source: tuple[str, ...], encoding: str, output: str, **keys: Any) -> None:
    """Check SOURCE against its contract, and write nothing. Exits with 65 where a run would be stopped.

    \b
    Example:
        genrepipe validate tracks.csv
    """
    from genrepipe.pipeline.validate import validate as check

    result = check(source, encoding, recipe_of(keys))
    show(result, output, rendering.validate_text)
    refuse(result, source)


def refuse(result: ValidateResult, source: tuple[str, ...]) -> None:
    """Stop with an error where a run would be stopped."""
    if result.status == "rejected":
        failed = [check.name for check in result.checks if check.verdict == "failed"] or ["no tracks"]
        raise ContractBroken(
            f"{', '.join(source)}: a run would be stopped by {', '.join(failed)}",
            "Correct the source; if it is right, give the run another --limit",
        )


@click.command(cls=RequestCommand, kind="score")
@click.argument("job_file", type=click.Path(readable=False, path_type=Path), shell_complete=completion.job_files)
@SET
@FROM
@TO
@LOGGING
@OUTPUT
def run(
    job_file: Path, settings: tuple[str, ...], first: str | None, last: str | None, output: str, **values: Any
) -> None:
    """Run a job file, or a job that ships by its name. A flag wins over GENREPIPE_KEY in the environment, which wins over the file.

    \b
    Example:
        genrepipe run score_nightly --run-date 2026-11-22
    """
    from genrepipe.pipeline.requests import ScoreRequest

    request = job_request(job_file, values, settings)
    if isinstance(request, ScoreRequest):
        _run_score(request, first, last, output)
        return
    from genrepipe.cli.train import train_bundles

    show(train_bundles(request), output, rendering.train_text)


@click.group(cls=Group)
def config() -> None:
    """Show what is in force, and what a job file can hold.

    \b
    Example:
        genrepipe config show jobs/score_nightly.yaml
    """


@config.command("show", cls=RequestCommand, kind="score")
@click.argument(
    "job_file", type=click.Path(readable=False, path_type=Path), default=Path("score_nightly"),
    shell_complete=completion.job_files,
)  # fmt: skip
@SET
@OUTPUT
def config_show(job_file: Path, settings: tuple[str, ...], output: str, **values: Any) -> None:
    """Print each key of a job, its value in force, and where that comes from. Secrets are not shown.

    \b
    Example:
        genrepipe config show score_nightly --set run_date=2026-11-22
    """
    from genrepipe.pipeline import requests

    found = requests.settings(job_file, {**flags(values), **settings_of(settings)})
    show({"status": "shown", "settings": [vars(each) for each in found]}, output, rendering.config_text)


@config.command("schema")
@click.argument("kind", type=click.Choice(["score", "train"]), default="score")
def config_schema(kind: str) -> None:
    """Print the JSON Schema of a job file, with which editors complete and check it.

    \b
    Example:
        genrepipe config schema score > score.schema.json
    """
    import json

    from genrepipe.pipeline import requests

    click.echo(json.dumps(requests.json_schema(kind), indent=2, ensure_ascii=False))


@click.command()
@click.option("--rows", type=click.IntRange(1), default=5000, show_default=True, help="How many tracks.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same table.")
@click.option("--broken", type=click.IntRange(0), default=0, help="How many of them break the contract.")
@click.option(
    "--out", type=click.Path(readable=False, path_type=Path), required=True, help="The file: .csv or .parquet."
)
def sample(rows: int, seed: int, broken: int, out: Path) -> None:
    """Make up a messy catalogue of tracks to try things on. Synthetic: invented artists and titles.

    \b
    Example:
        genrepipe sample --rows 5000 --seed 0 --out sample.csv
    """
    from genrepipe.synthetic import tracks

    tracks.write(rows, seed, out, broken)
    click.echo(f"{out}: {rows:,} synthetic tracks and the usual mess")
