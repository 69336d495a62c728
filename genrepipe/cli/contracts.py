"""contracts: what the tables promise, and what changed of it."""

from __future__ import annotations

from pathlib import Path

import click

from genrepipe.cli import rendering
from genrepipe.cli.options import OUTPUT, Group
from genrepipe.cli.output import show
from genrepipe.core.errors import ContractBroken, UsageError, nearest

DOCUMENT = click.Path(readable=False, path_type=Path)


@click.group(cls=Group)
def contracts() -> None:
    """Contracts: ODCS documents of what is read and what is published.

    \b
    Example:
        genrepipe contracts list
    """


@contracts.command("list")
@OUTPUT
def list_(output: str) -> None:
    """List the contracts that ship, with their versions and tables.

    \b
    Example:
        genrepipe contracts list
    """
    from genrepipe.pipeline import documents

    found = [each.to_dict() for each in documents.shipped()]
    show({"status": "listed", "contracts": found}, output, rendering.contracts_text)


@contracts.command("show")
@click.argument("name")
def show_(name: str) -> None:
    """Print a contract, with which other tools can test a warehouse or a source.

    \b
    Example:
        genrepipe contracts show predictions > predictions.odcs.yaml
    """
    from genrepipe.core import assets

    known = {path.name.partition(".")[0]: path for path in sorted(assets.shipped("contracts").glob("*.odcs.yaml"))}
    if name not in known:
        close = nearest(name, list(known))
        raise UsageError(
            f"There is no contract {name!r}", f"Did you mean {close}?" if close else f"Contracts: {', '.join(known)}"
        )
    click.echo(known[name].read_text(encoding="utf-8"), nl=False)


@contracts.command("diff")
@click.argument("old", type=DOCUMENT)
@click.argument("new", type=DOCUMENT)
@OUTPUT
def diff(old: Path, new: Path, output: str) -> None:
    """Name what changed from OLD to NEW, two documents or two folders. Exits with 65 where a change is breaking.

    \b
    Example:
        genrepipe contracts diff released/contracts contracts
    """
    from genrepipe.pipeline import documents

    result = documents.diff(old, new)
    show(result, output, rendering.contract_diff_text)
    if result.status == "breaking":
        first = next(change for change in result.changes if change.kind == "breaking")
        raise ContractBroken(
            f"{new} breaks what {old} said, first at {first.where}: {first.what}",
            "Take it back, or raise the major version",
        )
