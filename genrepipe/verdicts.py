"""Contracts as a breaker: each promise of a table as a whole is a query with a limit, and gets a verdict.

An error stops the run; a warning is written down and publishes. Both are kept in table ``checks``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genrepipe import assets, contracts
from genrepipe.errors import ConfigurationError, OutputBroken, TooManyRejected, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genrepipe.database import Database


@dataclass(frozen=True)
class Verdict:
    """What one check found."""

    name: str
    sentence: str
    observed: float
    allowed: float
    severity: str

    @property
    def word(self) -> str:
        """``passed``, ``warning`` or ``failed``."""
        if self.observed <= self.allowed:
            return "passed"
        return "warning" if self.severity == "warning" else "failed"


def names() -> list[str]:
    """Return the names of the checks whose limits can be set."""
    return [name for contract in ("source_tracks", "predictions") for name in contracts.load(contract).table.limits]


def known(limits: Mapping[str, float]) -> None:
    """Refuse limits of checks that do not exist, and limits that are none.

    Raises
    ------
    ConfigurationError
        A limit has the name of no check, or is negative or not a number.
    """
    for name, limit in limits.items():
        if not limit >= 0:
            raise ConfigurationError(f"limits: {name} is {limit:g}", "Name a number from 0")
        if name not in names():
            close = nearest(name, names())
            raise ConfigurationError(
                f"limits: there is no check {name!r}",
                f"Did you mean {close}?" if close else f"Checks: {', '.join(names())}",
            )


def of_contract(database: Database, contract: str, limits: Mapping[str, float]) -> list[Verdict]:
    """Ask every query of a contract's table; ``limits`` stand in for the contract's own, by name."""
    return [
        Verdict(name, f"{rule.description} At most {limits.get(name, rule.limit):g} {rule.unit}.", float(database.value(rule.query or "") or 0),
                limits.get(name, rule.limit), rule.severity)
        for name, rule in contracts.load(contract).table.limits.items()
    ]  # fmt: skip


def of_audits(database: Database) -> list[Verdict]:
    """Run every audit in ``sql/audits``: a SELECT that returns the rows which offend, under a sentence of what must hold."""
    found = []
    for path in sorted((assets.shipped("sql") / "audits").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        sentence = text.splitlines()[0].removeprefix("--").strip()
        found.append(
            Verdict(path.stem, sentence, float(database.value(f"SELECT count(*) FROM ({text})")), 0.0, "error")
        )
    return found


def refuse_input(found: list[Verdict], where: str) -> None:
    """Stop where a check of the source failed.

    Raises
    ------
    TooManyRejected
        The message names the first check that failed.
    """
    for verdict in found:
        if verdict.word == "failed":
            raise TooManyRejected(
                f"{where}: check {verdict.name} failed with {verdict.observed:,.4g}: {verdict.sentence.rstrip('.')}",
                f"Look at the source; if it is right, set limits.{verdict.name} in the job file, or --limit {verdict.name}=NUMBER",
            )


def refuse_output(found: list[Verdict]) -> None:
    """Stop where a check of the predictions failed.

    Raises
    ------
    OutputBroken
        The message names the first check that failed.
    """
    for verdict in found:
        if verdict.word == "failed":
            rows = " rows" if verdict.allowed == 0 else ""
            raise OutputBroken(
                f"Check {verdict.name} failed with {verdict.observed:,.4g}{rows}: {verdict.sentence.rstrip('.')}",
                "No prediction was published; look at tables checks and flips, or score with another --model",
            )
