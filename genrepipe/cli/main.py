"""The group of all commands."""

from __future__ import annotations

import click

from genrepipe.cli.completion import completion
from genrepipe.cli.contracts import contracts
from genrepipe.cli.models import models
from genrepipe.cli.options import LOGGING, Group
from genrepipe.cli.pages import report
from genrepipe.cli.recipes import recipe
from genrepipe.cli.score import config, run, sample, score, validate
from genrepipe.cli.setup import doctor, init
from genrepipe.cli.train import audit, explore, train
from genrepipe.cli.warehouse import labels, missing, publish, quarantine, query, retract, rollback, vacuum, verify
from genrepipe.core.version import VERSION

SECTIONS = {
    "Begin": {
        init: "Begin a nightly job in a folder of its own.",
        sample: "Make up a messy catalogue of tracks to try things on.",
        doctor: "Look whether a job can run, and what to do where it cannot.",
        completion: "Print what makes a shell complete commands and names.",
    },
    "Score": {
        score: "Score a source into a warehouse.",
        run: "Run a job file, or a job that ships, by its name.",
        validate: "Check a source against its contract, and write nothing.",
        recipe: "Read another catalogue: its columns, values and units.",
        config: "Show the settings in force, and what a job file can hold.",
    },
    "Look": {
        query: "Run one read-only SQL query on a warehouse.",
        report: "Write the page of a night, or a front page over the nights.",
        publish: "Publish tables as Parquet, Delta or Iceberg, or a copy.",
        contracts: "List, show and compare data contracts.",
        missing: "List the run dates without a published run.",
        verify: "Score a run's input again, and compare the answers.",
    },
    "Correct": {
        quarantine: "Look at the rows that were kept out, and bring them back.",
        labels: "Take genre labels that come later, and measure the runs.",
        retract: "Take back what a job delivered for a run date.",
        rollback: "Go back to the generation before the last run.",
        vacuum: "Remove the files of a lake that no generation lists.",
    },
    "Models": {
        models: "List, show, verify, sign, promote and compare bundles.",
        train: "Train bundles on labelled tracks, and measure them.",
        audit: "Look for leaks in how a bundle is trained and measured.",
        explore: "Draw labelled tracks, and a bundle's answers, on one page.",
    },
}


@click.group(
    cls=Group,
    sections={
        heading: {str(command.name): line for command, line in commands.items()}
        for heading, commands in SECTIONS.items()
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, prog_name="genrepipe")
@LOGGING
def cli() -> None:
    """Predict the music genre of every track in a track table, into a DuckDB file that people query.

    \b
    A first minute:
        genrepipe sample --rows 5000 --out sample.csv
        genrepipe score sample.csv --warehouse sample.duckdb
        genrepipe query "SELECT genre, count(*) FROM predictions_latest GROUP BY ALL" --warehouse sample.duckdb
    """


for commands in SECTIONS.values():
    for command in commands:
        cli.add_command(command)
