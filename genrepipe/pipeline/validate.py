"""Check a source against its contract, and write nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe import contracts
from genrepipe.core import signals
from genrepipe.engines import prepare
from genrepipe.ingest import columns, sources
from genrepipe.pipeline.results import CheckSummary, ValidateResult
from genrepipe.quality import checks, quarantine
from genrepipe.warehouse import ledger
from genrepipe.warehouse.ledger import Run

if TYPE_CHECKING:
    from genrepipe.ingest.recipes import SourceRecipe


def validate(source: tuple[str, ...], encoding: str = "utf-8", recipe: SourceRecipe | None = None) -> ValidateResult:
    """Check a source against its contract, and write nothing.

    Checks that compare with earlier runs pass, since no warehouse is read.

    Raises
    ------
    GenrepipeError
        The source is not there, or cannot be read as a track table.
    """
    run = Run("validate", ledger.parse_date(None), "validate")
    arguments = [argument.replace("{run_date}", run.run_date.isoformat()) for argument in source]
    with (
        signals.deferred(),
        sources.open_source(arguments, encoding=encoding, recipe=recipe) as opened,
        prepare.landed_in_memory(opened, run) as (steps, landed),
    ):
        counts = landed.counts
        prepare.bind_delivery(steps, landed, opened)
        reasons = quarantine.reasons(steps)
        results = [
            CheckSummary(
                result.name, result.status, round(result.observed, 4), result.allowed, result.sentence,
                checks.offending(steps, result.name) if result.status != "passed" else [],
            )
            for result in checks.of_contract(steps, "source_tracks", {})
        ]  # fmt: skip
        summaries, doubts = columns.summarise(steps.database), columns.doubts(steps.database)
    rejected = any(result.verdict == "failed" for result in results) or counts.received == counts.empty
    return ValidateResult(
        status="rejected" if rejected else "accepted", received=counts.received, accepted=counts.accepted,
        quarantined=counts.quarantined, duplicates=counts.duplicates, empty=counts.empty, filtered=counts.filtered,
        quarantined_percent=round(counts.quarantined_percent, 4),
        max_quarantined_percent=contracts.load("source_tracks").table.check("quarantined_percent").limit,
        reasons=reasons,
        checks=results, notes=[*landed.notes, *(f"not read: {name}" for name in opened.not_read)], doubts=doubts, columns=summaries,
        seconds=round(run.seconds, 3),
    )  # fmt: skip
