"""The contracts: which there are, and what changed between two versions of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe import contracts
from genrepipe.contracts import changes
from genrepipe.core import assets
from genrepipe.core.errors import UsageError
from genrepipe.pipeline.results import ContractChange, ContractDiff, ContractSummary

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".odcs.yaml"


def shipped() -> list[ContractSummary]:
    """Return the contracts that ship."""
    found = {path.name.removesuffix(SUFFIX): path for path in sorted(assets.shipped("contracts").glob(f"*{SUFFIX}"))}
    read = {name: contracts.read(path) for name, path in found.items()}
    return [
        ContractSummary(name, each.version, [table.name for table in each.tables], each.description.get("purpose", ""))
        for name, each in read.items()
    ]


def diff(old: Path, new: Path) -> ContractDiff:
    """Compare two documents, or those of two folders by their names.

    Raises
    ------
    UsageError
        One is a folder and the other one is not, or a folder has no documents.
    ConfigurationError
        A document cannot be read.
    """
    found: list[ContractChange] = []
    versions: dict[str, list[str | None]] = {}
    for name, before, after in _pairs(old, new):
        one, other = (contracts.read(path) if path else None for path in (before, after))
        versions[name] = [one.version if one else None, other.version if other else None]
        if one and other:
            found += [ContractChange(name, c.kind, c.where, c.what) for c in changes.between(one, other)]
        else:
            kind, what = ("breaking", "the document is gone") if one else ("addition", "a new document")
            found.append(ContractChange(name, kind, name, what))
    breaking = sum(change.kind == "breaking" for change in found)
    status = "breaking" if breaking else "compatible" if found else "same"
    return ContractDiff(status, str(old), str(new), versions, found)


def _pairs(old: Path, new: Path) -> list[tuple[str, Path | None, Path | None]]:
    if old.is_dir() != new.is_dir():
        raise UsageError(f"{old} and {new} are not two documents, or two folders", "Name two of a kind")
    if not old.is_dir():
        return [(new.name.removesuffix(SUFFIX), old, new)]
    of = [{path.name: path for path in sorted(folder.glob(f"*{SUFFIX}"))} for folder in (old, new)]
    for folder, there in zip((old, new), of, strict=True):
        if not there:
            raise UsageError(f"{folder} holds no *{SUFFIX}", "Name a folder of contracts")
    names = dict.fromkeys([*of[0], *of[1]])
    return [(name.removesuffix(SUFFIX), of[0].get(name), of[1].get(name)) for name in names]
