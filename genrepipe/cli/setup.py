"""init and doctor: a job's folder, and whether its night can come."""

from __future__ import annotations

from pathlib import Path

import click

from genrepipe.cli import completion, rendering
from genrepipe.cli.options import OUTPUT
from genrepipe.cli.output import show


@click.command()
@click.argument("folder", type=click.Path(readable=False, path_type=Path))
@OUTPUT
def init(folder: Path, output: str) -> None:
    """Begin a nightly job in FOLDER: a commented job file, its JSON Schema, an inbox, a warehouse of its own.

    Nothing that is there is overwritten.

    \b
    Example:
        genrepipe init nightly
    """
    from genrepipe.pipeline.init import init as begin

    show(begin(folder), output, rendering.init_text)


@click.command()
@click.argument(
    "job_file", type=click.Path(readable=False, path_type=Path), required=False, shell_complete=completion.job_files
)
@click.option(
    "--warehouse", type=click.Path(readable=False, path_type=Path),
    help="The warehouse; without it, that of the job file, of GENREPIPE_WAREHOUSE, or warehouse.duckdb.",
)  # fmt: skip
@click.option("--bundles", type=click.Path(readable=False, path_type=Path), help="Your own folder of bundles.")
@OUTPUT
def doctor(job_file: Path | None, warehouse: Path | None, bundles: Path | None, output: str) -> None:
    """Look whether JOB_FILE can run: source, warehouse, locks, clock, disk, permissions, bundles, versions of DuckDB.

    Exits with 0, also where there are warnings, or with the code with which a run would end.

    \b
    Example:
        genrepipe doctor score_nightly
    """
    from genrepipe.cli.options import flags
    from genrepipe.pipeline.doctor import examine

    result = examine(job_file, flags({"warehouse": warehouse, "bundles": bundles}))
    show(result, output, rendering.doctor_text)
    click.get_current_context().exit(result.exit_code)
