"""Words to calls. No logic lives here, and nothing heavy is imported before a command runs."""

from __future__ import annotations

from pathlib import Path

import click

from genrepipe import __version__, rendering
from genrepipe.errors import ContractBroken
from genrepipe.options import ENCODING, MAP, OUTPUT, SOURCE, WAREHOUSE, Words, pairs, show
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
@ENCODING
@MAP
@OUTPUT
def score(
    source: tuple[str, ...],
    warehouse: Path,
    run_date: str | None,
    model: str | None,
    dry_run: bool,
    encoding: str,
    mapping: tuple[str, ...],
    output: str,
) -> None:
    """Score SOURCE into a warehouse: CSV or Parquet files, globs, folders, or file.duckdb::table.

    \b
    Example:
        genrepipe score tracks.csv --warehouse warehouse.duckdb --run-date 2026-11-22
    """
    from genrepipe import jobs
    from genrepipe.console import reporter

    request = jobs.ScoreRequest(source, warehouse, run_date, model, "score", dry_run, encoding, pairs(mapping, "--map"))
    with reporter() as say:
        result = jobs.score(request, say)
    show(result, output, rendering.score_text)


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
        click.get_current_context().exit(ContractBroken.exit_code)


cli.add_command(train)
cli.add_command(audit)
cli.add_command(explore)


@cli.command()
@click.option("--rows", type=click.IntRange(1), default=5000, show_default=True, help="How many tracks.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same table.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file: .csv or .parquet.")
def sample(rows: int, seed: int, out: Path) -> None:
    """Make up a messy catalogue of tracks to try things on. Synthetic: invented artists and titles.

    \b
    Example:
        genrepipe sample --rows 5000 --seed 0 --out sample.csv
    """
    from genrepipe import samples

    samples.write(rows, seed, out)
    click.echo(f"{out}: {rows:,} synthetic tracks and the usual mess")


@cli.group(cls=Words)
def models() -> None:
    """List, show and verify the bundles that can score.

    \b
    Example:
        genrepipe models list
    """


@models.command("list")
@OUTPUT
def models_list(output: str) -> None:
    """List the bundles that ship; * is the champion.

    \b
    Example:
        genrepipe models list --output json
    """
    from genrepipe import bundles

    champion = bundles.champion()
    found = [{"champion": name == champion, **rendering.facts(bundles.load(name))} for name in bundles.shelf()]
    show({"models": found}, output, rendering.models_text)


@models.command("show")
@click.argument("model", required=False)
def models_show(model: str | None) -> None:
    """Print the card of a bundle: what it is, how it was measured, where it fails.

    \b
    Example:
        genrepipe models show all-features
    """
    from genrepipe import bundles

    click.echo((bundles.load(model).folder / bundles.CARD).read_text(encoding="utf-8"), nl=False)


@models.command("verify")
@click.argument("model", required=False)
@OUTPUT
def models_verify(model: str | None, output: str) -> None:
    """Check a bundle's hashes, and score its golden rows against their recorded answers.

    \b
    Example:
        genrepipe models verify bundles/all-features
    """
    from genrepipe import bundles
    from genrepipe.scoring import Scorer

    bundle = bundles.load(model)
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
    from genrepipe.database import query as ask

    rendering.print_frame(ask(warehouse, sql, resources.plan()), output)


@cli.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a key of the job file.")
@OUTPUT
def run(job_file: Path, settings: tuple[str, ...], output: str) -> None:
    """Run a job file. A flag wins over GENREPIPE_KEY in the environment, which wins over the file.

    \b
    Example:
        genrepipe run jobs/score_nightly.yaml --set run_date=2026-11-22
    """
    from genrepipe import jobs
    from genrepipe.console import reporter
    from genrepipe.settings import ScoreJob, load

    job = load(job_file, pairs(settings, "--set"))
    if isinstance(job, ScoreJob):
        request = jobs.ScoreRequest(
            job.source, job.warehouse, job.run_date, job.model, job.name, False, job.encoding, job.map
        )
        with reporter() as say:
            result = jobs.score(request, say)
        show(result, output, rendering.score_text)
    else:
        show(
            train_with(job.source, job.out, job.models, job.seed, job.tune, job.encoding, job.map),
            output,
            rendering.train_text,
        )
