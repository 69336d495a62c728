"""report: the page of a night."""

from __future__ import annotations

from pathlib import Path

import click

from genrepipe.cli import completion, rendering
from genrepipe.cli.options import JOB, OUTPUT, WAREHOUSE
from genrepipe.cli.output import show

PAGE = click.Path(readable=False, path_type=Path)


@click.command()
@click.option(
    "--run",
    "run_id",
    shell_complete=completion.run_ids,
    help="The run's id, from run_history; without it, the last scoring run.",
)
@click.option("--run-date", shell_complete=completion.run_dates, help="The run of this date, YYYY-MM-DD.")
@click.option("--out", type=PAGE, help="The page: a file such as night.html.")
@click.option("--index", type=PAGE, help="A folder of such pages, whose front page is written anew.")
@click.option("--all", "every", is_flag=True, help="With --index: write the pages that the folder lacks, too.")
@JOB
@WAREHOUSE
@OUTPUT
def report(
    run_id: str | None, run_date: str | None, out: Path | None, index: Path | None, every: bool, job: str | None, warehouse: Path, output: str
) -> None:  # fmt: skip
    """Write the page of a night, which says whether it was good and what to do. It opens offline.

    \b
    Example:
        genrepipe report --out night.html --warehouse warehouse.duckdb
    """
    from genrepipe.core.errors import UsageError
    from genrepipe.pages.night import fill
    from genrepipe.pages.night import report as write_page

    if every:
        if index is None:
            raise UsageError("--all without a folder", "Name it: --index FOLDER")
        fill(warehouse, index, job)
    show(
        write_page(warehouse, out, index, run_id=run_id, run_date=run_date, job=job), output, rendering.report_text
    )  # fmt: skip
