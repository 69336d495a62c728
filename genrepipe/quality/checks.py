"""Checks: what the contracts promise of a table as a whole, and the audits, measured and held against limits.

A check is a query with a limit and a severity in a contract, or an audit in ``sql/audits``: a SELECT that returns the
rows which offend. An error stops the run; a warning is recorded and publishes. All results are kept in table ``checks``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from genrepipe import contracts
from genrepipe.core import assets
from genrepipe.core.errors import ConfigurationError, OutputBroken, TooManyRejected, nearest
from genrepipe.core.quoting import identifier
from genrepipe.quality import quarantine
from genrepipe.warehouse.steps import header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.ledger import RowCounts, Run
    from genrepipe.warehouse.steps import Steps

# What a check of a table reads of a run; the table itself shows what is published.
OF_RUN = {"predictions": "run_predictions"}
EXAMPLES, VALUE = 5, 60  # values that are shown of a check, and characters of each
COUNTED = re.compile(r"SELECT count\(\*\) (?P<rows>FROM landed WHERE (?P<column>\w+) .+)", re.DOTALL)
PUBLISHED = {"predictions", "predictions_latest", "prediction_probabilities", "genre_daily"}


@dataclass(frozen=True)
class CheckResult:
    """What one check measured."""

    name: str
    sentence: str
    observed: float
    allowed: float
    severity: Literal["error", "warning"]

    @property
    def status(self) -> Literal["passed", "warning", "failed"]:
        """Whether the measure is within its limit, and what it means where it is not."""
        if self.observed <= self.allowed:
            return "passed"
        return "warning" if self.severity == "warning" else "failed"


def names() -> list[str]:
    """Return the names of the checks whose limits can be set."""
    return [name for contract in ("source_tracks", "predictions") for name in contracts.load(contract).table.checks]


def check_limits(limits: Mapping[str, float]) -> None:
    """Refuse limits that no check has.

    Raises
    ------
    ConfigurationError
        A name is not that of a check, or a limit is negative or not a number.
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


def of_contract(steps: Steps, contract: str, limits: Mapping[str, float]) -> list[CheckResult]:
    """Run the checks of a contract's table; ``limits``, by name, replace those of the contract."""
    results, table = [], contracts.load(contract).table
    for name, rule in table.checks.items():
        query, limit = rule.asked_of(OF_RUN.get(table.name, table.name)), limits.get(name, rule.limit)
        _make_for(steps, name, query)
        observed = float(steps.database.value(query) or 0)
        sentence = f"{rule.description} At most {limit:g} {rule.unit}."
        results.append(CheckResult(name, sentence, observed, limit, rule.severity))
    return results


def offending(steps: Steps, name: str) -> list[dict[str, Any]]:
    """Return the values that a check of the source counts and how many rows have each, the most frequent first.

    Only a check that counts the rows of one column has some.
    """
    table = contracts.load("source_tracks").table
    counted = COUNTED.fullmatch(table.check(name).asked_of(table.name))
    if counted is None or counted["column"] not in table.columns:
        return []
    column = identifier(counted["column"])
    return steps.database.dicts(
        f"SELECT left({column}, {VALUE}) AS value, count(*) AS rows {counted['rows']} GROUP BY ALL "
        f"ORDER BY rows DESC, value LIMIT {EXAMPLES}"
    )


def of_audits(steps: Steps) -> list[CheckResult]:
    """Run every audit and count the rows that offend."""
    results = []
    for path in sorted((assets.shipped("sql") / "audits").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        _make_for(steps, path.stem, text)
        observed = float(steps.database.value(f"SELECT count(*) FROM ({text})"))
        results.append(CheckResult(path.stem, header(text)["description"], observed, 0.0, "error"))
    return results


def _make_for(steps: Steps, name: str, query: str) -> None:
    """Make what a check reads.

    Raises
    ------
    ConfigurationError
        It reads what is published, in which the run is not yet.
    """
    if published := PUBLISHED & steps.make_for(query):
        raise ConfigurationError(
            f"The check {name} reads {min(published)}, which shows the runs before this one",
            "Read run_predictions, the predictions of the run",
        )


def refuse_rejected(steps: Steps, counts: RowCounts, where: str, limits: Mapping[str, float]) -> None:
    """Stop where too many rows are quarantined.

    Raises
    ------
    TooManyRejected
        The message names the most frequent reason.
    """
    limit = limits.get("quarantined_percent", contracts.load("source_tracks").table.check("quarantined_percent").limit)
    if counts.quarantined_percent <= limit:
        return
    most = quarantine.reasons(steps, examples=1)[0]
    remedy = "Look at all reasons: genrepipe validate, with the same source and flags"
    if "row.encoding" in most.reason:
        remedy = "If the file is Latin-1, add --encoding latin-1"
    raise TooManyRejected(
        f"{where}: {counts.quarantined:,} of {counts.received - counts.empty:,} rows ({counts.quarantined_percent:.1f} %) "
        f"break the contract, the limit is {limit:g} %; most often {most.reason} ({most.rows:,} rows)",
        remedy,
    )


def refuse_input(results: Iterable[CheckResult], where: str) -> None:
    """Stop where a check of the source failed.

    Raises
    ------
    TooManyRejected
        The message names the first check that failed.
    """
    for result in results:
        if result.status == "failed":
            raise TooManyRejected(
                f"{where}: check {result.name} failed with {result.observed:,.4g}: {result.sentence.rstrip('.')}",
                f"Look at the source; if it is right, set limits.{result.name} in the job file, or --limit {result.name}=NUMBER",
            )


def refuse_output(results: Iterable[CheckResult]) -> None:
    """Stop where a check of the predictions failed.

    Raises
    ------
    OutputBroken
        The message names the first check that failed.
    """
    for result in results:
        if result.status == "failed":
            rows = " rows" if result.allowed == 0 else ""
            raise OutputBroken(
                f"Check {result.name} failed with {result.observed:,.4g}{rows}: {result.sentence.rstrip('.')}",
                "No prediction was published; genrepipe report shows why, and so do tables checks, flips and drift",
            )


def save(database: Database, run: Run, results: Iterable[CheckResult]) -> None:
    """Write results into table ``checks``."""
    for result in results:
        row = {
            "run_id": run.run_id, "run_date": run.run_date, "name": result.name, "sentence": result.sentence,
            "observed": result.observed, "allowed": result.allowed, "verdict": result.status, "severity": result.severity,
        }  # fmt: skip
        database.insert_row("checks", row)
