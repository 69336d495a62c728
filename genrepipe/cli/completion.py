"""Completion in shells: of commands and flags, and of what the installation, the folder and the warehouse hold."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from genrepipe.core import assets
from genrepipe.core.errors import GenrepipeError

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAM, VARIABLE = "genrepipe", "_GENREPIPE_COMPLETE"  # the names that click's scripts go by
NEWEST = 50  # rows of the warehouse among which is completed


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, models, checks, jobs, run ids and files.

    \b
    Where it goes:
        bash 4.4, in ~/.bashrc:  eval "$(genrepipe completion bash)"
        zsh, in ~/.zshrc:        eval "$(genrepipe completion zsh)"
        fish, once:              genrepipe completion fish > ~/.config/fish/completions/genrepipe.fish
    \b
    Example:
        genrepipe completion bash >> ~/.bashrc
    """
    from genrepipe.cli.main import cli

    if kind := get_completion_class(shell):
        script = kind(cli, {}, PROGRAM, VARIABLE)
        click.echo(script.source_template % script.source_vars())


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Let the shell complete paths."""
    return [CompletionItem(incomplete, type="file")]


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete the names of bundles, your own and those that ship, or the folder of another."""
    own = ctx.params.get("bundles") or os.environ.get("GENREPIPE_BUNDLES")
    folders = [*([Path(own)] if own else []), assets.pretrained()]
    with suppress(OSError):
        names = [path.parent.name for folder in folders for path in folder.glob("*/bundle.json")]
        return _among(names, incomplete) or [CompletionItem(incomplete, type="dir")]
    return []


def limits(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete the name of a check whose limit can be set."""
    from genrepipe import contracts

    tables = [contracts.load(name).table for name in ("source_tracks", "predictions")]
    return [
        CompletionItem(f"{name}=", help=f"{check.limit:g}") for table in tables for name, check in table.checks.items()
        if name.startswith(incomplete)
    ]  # fmt: skip


def recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a recipe that ships, or the file of another."""
    shipped = [path.stem for path in (assets.shipped("jobs") / "recipes").glob("*.yaml")]
    return _among(shipped, incomplete) or files(ctx, param, incomplete)


def job_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a job that ships, or the file of another."""
    from genrepipe.pipeline.requests import shipped_jobs

    local = [path.name for path in Path().glob("*.yaml")]
    return _among([*local, *shipped_jobs()], incomplete) or files(ctx, param, incomplete)


def run_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete the id of one of the newest runs."""
    return _asked(ctx, "SELECT run_id FROM runs ORDER BY started_at DESC", incomplete)


def run_dates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete a run date that was published."""
    return _asked(ctx, "SELECT DISTINCT run_date FROM runs WHERE status = 'published' ORDER BY 1 DESC", incomplete)


def jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete the name of a job that has published something."""
    return _asked(ctx, "SELECT DISTINCT job FROM runs WHERE action = 'score' ORDER BY 1", incomplete)


def quarantined(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete the id of a row that is quarantined."""
    return _asked(
        ctx, "SELECT quarantine_id FROM quarantine WHERE resolved_by IS NULL ORDER BY run_date DESC", incomplete
    )


# Of a job's keys that are no path.
OF_KEYS = {
    "model": models, "shadow": models, "models": models, "limits": limits, "recipe": recipes, "source": files,
    "run_date": run_dates, "lake": files,
}  # fmt: skip


def _among(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in sorted(set(words)) if word.startswith(incomplete)]


def _asked(ctx: click.Context, sql: str, incomplete: str) -> list[CompletionItem]:
    """Return the answers of a query on the warehouse that begin so, in their order; none where it cannot be asked."""
    from genrepipe.core import resources
    from genrepipe.warehouse import queries

    named = ctx.params.get("warehouse") or os.environ.get("GENREPIPE_WAREHOUSE") or "warehouse.duckdb"
    with suppress(GenrepipeError, OSError):
        answer = queries.query(Path(named), f"{sql} LIMIT {NEWEST}", resources.plan())
        return [CompletionItem(str(word)) for (word,) in answer.iter_rows() if str(word).startswith(incomplete)]
    return []
