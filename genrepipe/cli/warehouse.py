"""Commands on a warehouse: query, missing, publish, rollback, retract, vacuum, quarantine, labels, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from genrepipe.cli import completion, rendering
from genrepipe.cli.options import (
    BUNDLES,
    JOB,
    LOGGING,
    OUTPUT,
    READING,
    SOURCE,
    WAIT,
    WAREHOUSE,
    Group,
    recipe_of,
    waited,
)
from genrepipe.cli.output import show
from genrepipe.core.errors import UsageError

QUERY = "Write one as words, as -f FILE or @FILE, or as - for stdin"
MAX_QUERY = 1_000_000  # characters


@click.command()
@click.argument("sql", required=False, shell_complete=completion.files)
@click.option(
    "--file", "-f", type=click.Path(readable=False, path_type=Path),
    help="Read the query from this file; @FILE in place of the query does too, and - reads stdin.",
)  # fmt: skip
@WAREHOUSE
@click.option(
    "--output", type=click.Choice(["table", "csv", "json", "parquet"]), default="table", show_default=True,
    help="How to print the rows.",
)  # fmt: skip
def query(sql: str | None, file: Path | None, warehouse: Path, output: str) -> None:
    """Run one read-only SQL query on a warehouse: SELECT, PIVOT, UNPIVOT, SUMMARIZE, DESCRIBE or SHOW.

    A table shows the first 50 rows, and as many columns as the terminal has room for; the other forms of output hold all.

    \b
    Example:
        genrepipe query "SELECT * FROM run_history" --warehouse warehouse.duckdb
    """
    from genrepipe.cli.tables import print_frame
    from genrepipe.core import resources
    from genrepipe.warehouse import queries

    print_frame(queries.query(warehouse, _statement(sql, file), resources.plan()), output)


def _statement(sql: str | None, file: Path | None) -> str:
    """Return the query that was given as words, in a file, or on stdin."""
    if (sql is None) == (file is None):
        raise UsageError("The query is missing" if sql is None else "A query and a file of one", QUERY)
    if sql is not None and sql.startswith("@"):
        file = Path(sql[1:])
    if file is None and sql != "-":
        return str(sql)
    try:
        if file is None or file == Path("-"):
            text = sys.stdin.read(MAX_QUERY + 1)
        elif not file.is_file() and file.exists() and file != Path("/dev/stdin"):
            raise UsageError(f"{file} is not a regular file", QUERY)
        else:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(MAX_QUERY + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", QUERY) from error
    except ValueError as error:
        raise UsageError(f"{file or 'stdin'} is not UTF-8 text", "Write the query in UTF-8") from error
    if len(text) > MAX_QUERY:
        raise UsageError(
            f"{file or 'stdin'} holds more than {MAX_QUERY:,} characters", "Name a file that holds a query"
        )
    return text


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
    from genrepipe.pipeline.backfill import missing as list_missing

    show(list_missing(warehouse, first, last, job), output, rendering.missing_text)


@click.command()
@click.option("--to", required=True, help="A folder, an address such as s3://bucket/prefix, or of a copy the file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "delta", "iceberg", "duckdb"]),
    help="parquet, delta or iceberg tables by run date, or duckdb, a copy; without it, as before, or parquet.",
)
@click.option("--run-date", help="This run date alone, YYYY-MM-DD.")
@click.option(
    "--missing", is_flag=True, help="Every run date that is lacking there, or was published in an old version."
)
@click.option("--from-date", "first", help="With --missing, from this run date, YYYY-MM-DD.")
@click.option("--to-date", "last", help="With --missing, to this run date.")
@JOB
@WAREHOUSE
@OUTPUT
def publish(
    to: str, form: str | None, run_date: str | None, missing: bool, first: str | None, last: str | None, job: str | None,
    warehouse: Path, output: str,
) -> None:  # fmt: skip
    """Publish predictions, flips, checks and runs by run date: the new ones, and those that changed.

    \b
    Example:
        genrepipe publish --to published --warehouse warehouse.duckdb
    """
    from genrepipe.core.errors import UsageError
    from genrepipe.observers import watching
    from genrepipe.pipeline.publish import publish as write_out

    if (first is None) != (last is None):
        raise UsageError("--from-date and --to-date belong together", "Name both dates, or neither")
    between = (first, last) if first and last else None
    with watching() as reporter:
        result = write_out(
            warehouse, to, form, run_date=run_date, missing=missing, between=between, job=job, reporter=reporter
        )
    show(result, output, rendering.publish_text)


@click.command()
@WAREHOUSE
@WAIT
@LOGGING
@OUTPUT
def rollback(warehouse: Path, wait: int, output: str) -> None:
    """Go back to the generation before the last run. Once more goes forward again.

    \b
    Example:
        genrepipe rollback --warehouse warehouse.duckdb
    """
    from genrepipe.pipeline.rollback import rollback as go_back

    show(waited(lambda _: go_back(warehouse), wait), output, rendering.rollback_text)


@click.command()
@WAREHOUSE
@click.option("--lake", type=click.Path(path_type=Path), help="The lake, where no run was published in it yet.")
@WAIT
@LOGGING
@OUTPUT
def vacuum(warehouse: Path, lake: Path | None, wait: int, output: str) -> None:
    """Remove the files of a lake that neither this generation of the warehouse nor the one before it lists.

    \b
    Example:
        genrepipe vacuum --warehouse warehouse.duckdb
    """
    from genrepipe.pipeline.vacuum import vacuum as remove_unlisted

    show(waited(lambda _: remove_unlisted(warehouse, lake), wait), output, rendering.vacuum_text)


@click.command()
@click.option(
    "--run-date",
    shell_complete=completion.run_dates,
    required=True,
    help="The run date, YYYY-MM-DD; one in the future too.",
)
@JOB
@WAREHOUSE
@WAIT
@LOGGING
@OUTPUT
def retract(run_date: str, job: str | None, warehouse: Path, wait: int, output: str) -> None:
    """Take back what a job delivered for a run date, as if it had never come.

    \b
    Example:
        genrepipe retract --run-date 2026-11-22 --job score --warehouse warehouse.duckdb
    """
    from genrepipe.pipeline.retract import retract as take_back

    show(waited(lambda _: take_back(warehouse, run_date, job), wait), output, rendering.retracted_text)


@click.group(cls=Group)
def quarantine() -> None:
    """Look at the rows that were kept out, correct them, and bring them back.

    \b
    Example:
        genrepipe quarantine list --warehouse warehouse.duckdb
    """


@quarantine.command("list")
@click.option("--run-date", shell_complete=completion.run_dates, help="Of this date alone, YYYY-MM-DD.")
@WAREHOUSE
@OUTPUT
def quarantine_list(run_date: str | None, warehouse: Path, output: str) -> None:
    """Count the open rows by run date, job and rule, with five examples of each.

    \b
    Example:
        genrepipe quarantine list --warehouse warehouse.duckdb --output json
    """
    from genrepipe.pipeline.quarantine import list_open

    show(list_open(warehouse, run_date), output, rendering.quarantine_text)


@quarantine.command("show")
@click.argument("row_id", shell_complete=completion.quarantined)
@WAREHOUSE
@OUTPUT
def quarantine_show(row_id: str, warehouse: Path, output: str) -> None:
    """Show one row whole: file, row number, every reason, every cell.

    \b
    Example:
        genrepipe quarantine show 0123456789abcdef --warehouse warehouse.duckdb
    """
    from genrepipe.pipeline.quarantine import show as one_row

    show(one_row(warehouse, row_id), output, rendering.quarantined_row_text)


@quarantine.command("export")
@click.option("--run-date", shell_complete=completion.run_dates, required=True, help="The run date, YYYY-MM-DD.")
@click.option("--out", type=click.Path(readable=False, path_type=Path), required=True, help="The CSV file to correct.")
@JOB
@WAREHOUSE
@OUTPUT
def quarantine_export(run_date: str, out: Path, job: str | None, warehouse: Path, output: str) -> None:
    """Write the open rows of a run date as CSV, to be corrected.

    \b
    Example:
        genrepipe quarantine export --run-date 2026-11-22 --out fixes.csv --warehouse warehouse.duckdb
    """
    from genrepipe.pipeline.quarantine import export

    show(export(warehouse, run_date, out, job), output, rendering.exported_text)


@quarantine.command("replay")
@click.argument("corrected", type=click.Path(readable=False, path_type=Path))
@click.option(
    "--run-date",
    shell_complete=completion.run_dates,
    required=True,
    help="The run date that the rows belong to, YYYY-MM-DD.",
)
@WAREHOUSE
@BUNDLES
@WAIT
@LOGGING
@OUTPUT
def quarantine_replay(
    corrected: Path, run_date: str, warehouse: Path, bundles: Path | None, wait: int, output: str
) -> None:
    """Score corrected rows with that date's bundle, and merge them into its predictions.

    \b
    Example:
        genrepipe quarantine replay fixes.csv --run-date 2026-11-22 --warehouse warehouse.duckdb
    """
    from genrepipe.pipeline.replay import replay

    result = waited(lambda reporter: replay(warehouse, corrected, run_date, bundles, reporter), wait)
    show(result, output, rendering.replay_text)


@click.command()
@SOURCE
@WAREHOUSE
@READING
@WAIT
@LOGGING
@OUTPUT
def labels(source: tuple[str, ...], warehouse: Path, encoding: str, wait: int, output: str, **keys: Any) -> None:
    """Take genre labels that come later, from SOURCE with instance_id and music_genre, and measure the runs by them.

    \b
    Example:
        genrepipe labels labels.csv --warehouse warehouse.duckdb
    """
    from genrepipe.pipeline.labels import take_labels

    read_by = recipe_of(keys)
    result = waited(lambda reporter: take_labels(warehouse, source, encoding, read_by, reporter), wait)
    show(result, output, rendering.labels_text)


@click.command()
@click.option(
    "--run", "run_id", required=True, shell_complete=completion.run_ids, help="The run's id, from run_history."
)
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
    from genrepipe.core.errors import OutputBroken
    from genrepipe.pipeline.verify import verify as score_again

    result = score_again(warehouse, run_id, bundles)
    show(result, output, rendering.verify_text)
    if not result.explained:
        raise OutputBroken(
            f"Run {run_id} is not answered as it was: {result.genres_differ:,} genres differ",
            "Compare the versions in bundle.json with those installed, or report a bug",
        )
