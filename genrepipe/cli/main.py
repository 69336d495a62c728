"""The group of all commands."""

from __future__ import annotations

import click

from genrepipe.cli.contracts import contracts
from genrepipe.cli.models import models
from genrepipe.cli.options import Group
from genrepipe.cli.pages import report
from genrepipe.cli.recipes import recipe
from genrepipe.cli.score import config, run, sample, score, validate
from genrepipe.cli.train import audit, explore, train
from genrepipe.cli.warehouse import labels, missing, publish, quarantine, query, retract, rollback, vacuum, verify
from genrepipe.core.version import VERSION


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="genrepipe")
def cli() -> None:
    """Predict the music genre of every track in a track table, into a DuckDB file that people query.

    \b
    A first minute:
        genrepipe sample --rows 5000 --out sample.csv
        genrepipe score sample.csv --warehouse warehouse.duckdb
        genrepipe query "SELECT genre, count(*) FROM predictions_latest GROUP BY ALL" --warehouse warehouse.duckdb
    """


for command in (
    score, validate, recipe, train, audit, explore, sample, models, query, report, run, config, missing, publish, rollback, retract, vacuum, quarantine, labels, verify, contracts,
):  # fmt: skip
    cli.add_command(command)
