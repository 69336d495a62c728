"""Words to calls. No logic lives here, and nothing heavy is imported before a command runs."""

from __future__ import annotations

from pathlib import Path

import click

from genrepipe import __version__, interrupts, rendering
from genrepipe.errors import BundleBroken, ContractBroken
from genrepipe.operations_commands import compare, labels, missing, promote, quarantine, rollback, run_job, verify
from genrepipe.options import (
    BUNDLES,
    ENCODING,
    FORCE,
    FROM,
    MAP,
    OUTPUT,
    RESULT_FILE,
    SOURCE,
    TO,
    WAREHOUSE,
    Words,
    numbers,
    pairs,
    show,
)
from genrepipe.training_commands import audit, explore, train, train_with


@click.group(cls=Words, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="genrepipe")
def cli() -> None:
    """Predict the music genre of every track in a track table, into a DuckDB file that people query.

    \b
    A first minute:
        genrepipe sample --rows 5000 --out sample.csv
        genrepipe score sample.csv --warehouse warehouse.duckdb
        genrepipe query "SELECT genre, count(*) FROM predictions_latest GROUP BY ALL" --warehouse warehouse.duckdb
    """


@cli.command()
@SOURCE
@WAREHOUSE
@click.option(
    "--run-date", envvar="GENREPIPE_RUN_DATE", help="The business date, YYYY-MM-DD; without it, today in UTC."
)
@click.option("--model", envvar="GENREPIPE_MODEL", help="A bundle's name or folder; without it, the champion.")
@click.option("--dry-run", is_flag=True, help="Do everything but write.")
@FORCE
@click.option("--shadow", envvar="GENREPIPE_SHADOW", help="Score a second bundle beside, into shadow_predictions.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="CHECK=NUMBER",
    help="Set the limit of a check: --limit flipped_percent=30.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(1, 36_500),
    envvar="GENREPIPE_KEEP_DAYS",
    help="Forget run dates further than this behind the newest.",
)
@BUNDLES
@FROM
@TO
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path),
    envvar="GENREPIPE_METRICS_FILE",
    help="Write a Prometheus textfile.",
)
@click.option(
    "--lineage-file",
    type=click.Path(path_type=Path),
    envvar="GENREPIPE_LINEAGE_FILE",
    help="Append OpenLineage events.",
)
@RESULT_FILE
@ENCODING
@MAP
@OUTPUT
def score(
    source: tuple[str, ...],
    warehouse: Path,
    run_date: str | None,
    model: str | None,
    dry_run: bool,
    force: bool,
    shadow: str | None,
    limits: tuple[str, ...],
    keep_days: int | None,
    bundles: Path | None,
    first: str | None,
    last: str | None,
    metrics_file: Path | None,
    lineage_file: Path | None,
    result_file: str | None,  # noqa: ARG001  __main__ writes it, whatever the end
    encoding: str,
    mapping: tuple[str, ...],
    output: str,
) -> None:
    """Score SOURCE into a warehouse: CSV or Parquet files, globs, folders, file.duckdb::table, s3://….

    With --from and --to every date between is run; {run_date} in SOURCE becomes each of them.

    \b
    Example:
        genrepipe score tracks.csv --warehouse warehouse.duckdb --run-date 2026-11-22
    """
    with interrupts.deferred():
        from genrepipe import jobs
        from genrepipe.console import reporter
        from genrepipe.telemetry import Telemetry

        request = jobs.ScoreRequest(
            source, warehouse, run_date, model, "score", dry_run, encoding, pairs(mapping, "--map"),
            shadow, force, numbers(limits, "--limit"), keep_days, bundles,
        )  # fmt: skip
        with reporter() as say:
            run_job(request, Telemetry(say, metrics_file, lineage_file=lineage_file), output, first, last)


@cli.command()
@SOURCE
@ENCODING
@MAP
@OUTPUT
def validate(source: tuple[str, ...], encoding: str, mapping: tuple[str, ...], output: str) -> None:
    """Check SOURCE against its contract, and write nothing. Exits with 65 where a run would be stopped.

    \b
    Example:
        genrepipe validate tracks.csv
    """
    from genrepipe import jobs

    result = jobs.validate(source, encoding, pairs(mapping, "--map"))
    show(result, output, rendering.validate_text)
    if result["status"] == "rejected":
        failed = [check["name"] for check in result["checks"] if check["verdict"] == "failed"] or ["no tracks"]
        raise ContractBroken(
            f"{', '.join(source)}: a run would be stopped by {', '.join(failed)}",
            "Correct the source; if it is right, give the run another --limit",
        )


cli.add_command(train)
cli.add_command(audit)
cli.add_command(explore)


@cli.command()
@click.option("--rows", type=click.IntRange(1), default=5000, show_default=True, help="How many tracks.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same table.")
@click.option("--broken", type=click.IntRange(0), default=0, help="How many of them break the contract.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file: .csv or .parquet.")
def sample(rows: int, seed: int, broken: int, out: Path) -> None:
    """Make up a messy catalogue of tracks to try things on. Synthetic: invented artists and titles.

    \b
    Example:
        genrepipe sample --rows 5000 --seed 0 --out sample.csv
    """
    from genrepipe import samples

    samples.write(rows, seed, out, broken)
    click.echo(f"{out}: {rows:,} synthetic tracks and the usual mess")


@cli.group(cls=Words)
def models() -> None:
    """List, show, verify, promote and compare the bundles that can score.

    \b
    Example:
        genrepipe models list
    """


@models.command("list")
@BUNDLES
@OUTPUT
def models_list(bundles: Path | None, output: str) -> None:
    """List the bundles, your own and those that ship; * is the champion.

    \b
    Example:
        genrepipe models list --output json
    """
    from genrepipe import bundles as shelves

    champion = shelves.champion(bundles)
    found = []
    for name in shelves.shelf(bundles):
        try:
            told = {**rendering.facts(shelves.load(name, bundles)), "model": name}
        except BundleBroken as error:
            told = {"model": name, "broken": str(error)}
        found.append({"champion": name == champion, **told})
    show({"models": found}, output, rendering.models_text)


@models.command("show")
@click.argument("model", required=False)
@BUNDLES
def models_show(model: str | None, bundles: Path | None) -> None:
    """Print the card of a bundle: what it is, how it was measured, where it fails.

    \b
    Example:
        genrepipe models show all-features
    """
    from genrepipe import bundles as shelves

    click.echo(shelves.load(model, bundles).contents[shelves.CARD].decode(), nl=False)


@models.command("verify")
@click.argument("model", required=False)
@BUNDLES
@OUTPUT
def models_verify(model: str | None, bundles: Path | None, output: str) -> None:
    """Check a bundle's hashes, and score its golden rows against their recorded answers.

    \b
    Example:
        genrepipe models verify bundles/all-features
    """
    from genrepipe import bundles as shelves
    from genrepipe.scoring import Scorer

    bundle = shelves.load(model, bundles)
    scorer = Scorer(bundle)
    result = {
        "status": "verified",
        **rendering.facts(bundle),
        "golden_rows": len(bundle.golden),
        "largest_difference": scorer.golden_difference,
        "tolerance": bundle.manifest.tolerance,
    }
    show(result, output, rendering.verify_text)


@cli.command()
@click.argument("sql")
@WAREHOUSE
@click.option(
    "--output",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How to print the rows.",
)
def query(sql: str, warehouse: Path, output: str) -> None:
    """Run one read-only SQL query on a warehouse.

    \b
    Example:
        genrepipe query "SELECT * FROM run_history" --warehouse warehouse.duckdb
    """
    from genrepipe import resources
    from genrepipe.queries import query as ask

    rendering.print_frame(ask(warehouse, sql, resources.plan()), output)


@cli.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a key of the job file.")
@FROM
@TO
@FORCE
@RESULT_FILE
@OUTPUT
def run(
    job_file: Path,
    settings: tuple[str, ...],
    first: str | None,
    last: str | None,
    force: bool,
    result_file: str | None,  # noqa: ARG001  __main__ writes it, whatever the end
    output: str,
) -> None:
    """Run a job file, or a job that ships by its name. A flag wins over GENREPIPE_KEY in the environment, which wins over the file.

    \b
    Example:
        genrepipe run score_nightly --set run_date=2026-11-22
    """
    from genrepipe.settings import ScoreJob, load

    job = load(job_file, pairs(settings, "--set"))
    if not isinstance(job, ScoreJob):
        result = train_with(job.source, job.out, job.models, job.seed, job.tune, job.encoding, job.map)
        show(result, output, rendering.train_text)
        return
    with interrupts.deferred():
        from genrepipe import jobs
        from genrepipe.console import reporter
        from genrepipe.telemetry import Telemetry

        request = jobs.ScoreRequest(
            job.source, job.warehouse, job.run_date, job.model, job.name, False, job.encoding, job.map,
            job.shadow, force, job.limits, job.keep_days, job.bundles,
        )  # fmt: skip
        with reporter() as say:
            telemetry = Telemetry(
                say, job.metrics_file, job.ping_start, job.ping_success, job.ping_failure, job.lineage_file
            )
            run_job(request, telemetry, output, first, last)


@cli.group(cls=Words)
def config() -> None:
    """Show what is in force.

    \b
    Example:
        genrepipe config show jobs/score_nightly.yaml
    """


@config.command("show")
@click.argument("job_file", type=click.Path(path_type=Path), default=Path("score_nightly"))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a key of the job file.")
@OUTPUT
def config_show(job_file: Path, settings: tuple[str, ...], output: str) -> None:
    """Print each key of a job, its value in force, and where that comes from. Secrets are not shown.

    \b
    Example:
        genrepipe config show score_nightly --set run_date=2026-11-22
    """
    from genrepipe.settings import explain

    found = explain(job_file, pairs(settings, "--set"))
    told = [{"key": each.key, "value": each.value, "origin": each.origin} for each in found]
    show({"status": "shown", "settings": told}, output, rendering.config_text)


for command in (missing, rollback, quarantine, labels, verify):
    cli.add_command(command)
for command in (promote, compare):
    models.add_command(command)
