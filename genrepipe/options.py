"""What commands share: options, arguments, and how a mistyped word is met."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genrepipe.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

OUTPUT = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the result.",
)
SOURCE = click.argument("source", nargs=-1, required=True)
ENCODING = click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    envvar="GENREPIPE_ENCODING",
    help="Encoding of CSV files: utf-8, latin-1 or utf-16.",
)
MAP = click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="OURS=THEIRS",
    help='Read a contract column from another one: --map artist_name="Artist Name".',
)
WAREHOUSE = click.option(
    "--warehouse",
    type=click.Path(path_type=Path),
    default=Path("warehouse.duckdb"),
    show_default=True,
    envvar="GENREPIPE_WAREHOUSE",
    show_envvar=True,
    help="The DuckDB file that people query.",
)


BUNDLES = click.option(
    "--bundles",
    type=click.Path(path_type=Path),
    envvar="GENREPIPE_BUNDLES",
    help="Your own shelf of bundles, which comes before those that ship.",
)
FROM = click.option("--from", "first", help="Fill in every run date from this one, YYYY-MM-DD.")
TO = click.option("--to", "last", help="The last run date to fill in.")
FORCE = click.option("--force", is_flag=True, help="Score again what is already published from the same input.")
RESULT_FILE = click.option(
    "--result-file",
    type=click.Path(),
    envvar="GENREPIPE_RESULT_FILE",
    help="Leave the JSON result there, whatever the end.",
)

shown: list[dict[str, Any]] = []  # what was printed, for the result file


class Words(click.Group):
    """Names the nearest command where one is mistyped, and lists commands in the order of a first hour."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the signature is click's
        """Return the names in the order of their definition."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command, or say which one was meant."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            close = nearest(args[0], list(self.commands))
            raise UsageError(
                f"There is no command {args[0]!r}",
                f"Did you mean {close}?" if close else f"See {ctx.command_path} --help",
            )
        return super().resolve_command(ctx, args)


def pairs(texts: tuple[str, ...], flag: str) -> dict[str, str]:
    """Return KEY=VALUE texts as a mapping, or say which is none."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{flag} {text}: not a pair", f"Write it as {flag} key=value")
        found[key.strip()] = value
    return found


def numbers(texts: tuple[str, ...], flag: str) -> dict[str, float]:
    """Return KEY=NUMBER texts as a mapping, or say which is none."""
    found = {}
    for key, text in pairs(texts, flag).items():
        try:
            found[key] = float(text)
        except ValueError:
            raise UsageError(f"{flag} {key}={text}: {text!r} is not a number", f"Write it as {flag} {key}=10") from None
    return found


def show(result: dict[str, Any], output: str, render: Callable[[dict[str, Any]], str]) -> None:
    """Print a result as JSON, or as its renderer words it, and keep it for the result file."""
    shown.append(result)
    with suppress(BrokenPipeError):  # nobody reads it; what was done is done
        click.echo(json.dumps(result, ensure_ascii=False, default=str) if output == "json" else render(result))
