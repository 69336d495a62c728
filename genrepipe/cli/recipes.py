"""recipe: how another catalogue becomes ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from genrepipe.cli import completion, rendering
from genrepipe.cli.options import ENCODING, OUTPUT, SOURCE, Group
from genrepipe.cli.output import show
from genrepipe.cli.score import refuse

if TYPE_CHECKING:
    from genrepipe.pipeline.results import ValidateResult


@click.group(cls=Group)
def recipe() -> None:
    """Recipes: how the columns, values and units of another catalogue become ours.

    \b
    Example:
        genrepipe recipe propose theirs.csv --out theirs.yaml
    """


@recipe.command("list")
@OUTPUT
def list_(output: str) -> None:
    """List the recipes that ship.

    \b
    Example:
        genrepipe recipe list
    """
    from genrepipe.ingest import recipes

    found = [{"recipe": name, "description": recipes.load(name).description} for name in recipes.shipped()]
    show({"status": "listed", "recipes": found}, output, rendering.recipes_text)


@recipe.command("show")
@click.argument("name", shell_complete=completion.recipes)
def show_(name: str) -> None:
    """Print a recipe, to begin one of your own from.

    \b
    Example:
        genrepipe recipe show kaggle-spotify-tracks > mine.yaml
    """
    from genrepipe.ingest import recipes

    recipes.load(name)
    click.echo(recipes.path_of(name).read_text(encoding="utf-8"), nl=False)


@recipe.command("propose")
@SOURCE
@click.option("--out", type=click.Path(readable=False, path_type=Path), required=True, help="The recipe to write.")
@ENCODING
@OUTPUT
def propose_(source: tuple[str, ...], out: Path, encoding: str, output: str) -> None:
    """Write a recipe for SOURCE. It has its reasons as comments; what cannot be told is a line to fill in.

    \b
    Example:
        genrepipe recipe propose theirs.csv --out theirs.yaml
    """
    from genrepipe.pipeline.propose import propose

    show(propose(source, out, encoding), output, rendering.proposed_text)


@recipe.command("check")
@click.argument("name", shell_complete=completion.recipes)
@SOURCE
@ENCODING
@OUTPUT
def check(name: str, source: tuple[str, ...], encoding: str, output: str) -> None:
    """Show what SOURCE holds as a recipe reads it. Names the values that break the contract; exits with 65 where a run would be stopped.

    \b
    Example:
        genrepipe recipe check theirs.yaml theirs.csv
    """
    from genrepipe.ingest import recipes
    from genrepipe.pipeline.validate import validate

    result: ValidateResult = validate(source, encoding, recipes.load(name))
    show(result, output, rendering.checked_text)
    refuse(result, source)
