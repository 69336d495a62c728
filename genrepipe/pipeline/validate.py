"""Check a source against its contract, and write nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe import contracts
from genrepipe.core import signals
from genrepipe.ingest import sources
from genrepipe.pipeline import prepare
from genrepipe.pipeline.results import CheckSummary, ValidateResult
from genrepipe.quality import checks, quarantine
from genrepipe.warehouse import ledger
from genrepipe.warehouse.ledger import Run

if TYPE_CHECKING:
    from collections.abc import Mapping


def validate(
    source: tuple[str, ...], encoding: str = "utf-8", mapping: Mapping[str, str] | None = None
) -> ValidateResult:
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
        sources.open_source(arguments, encoding=encoding, mapping=mapping) as opened,
        prepare.landed_in_memory(opened, run) as (steps, landed),
    ):
        counts = landed.counts
        steps.bind_row(
            "delivery", received=counts.received, accepted=counts.accepted, quarantined=counts.quarantined,
            duplicates=counts.duplicates, empty=counts.empty, source_sha256="", source_age_hours=sources.age_hours(opened),
            known=0, withdrawn=0, files_not_read=len(opened.not_read), absent=[],
        )  # fmt: skip
        reasons = quarantine.reasons(steps)
        results = checks.of_contract(steps, "source_tracks", {})
    rejected = any(result.status == "failed" for result in results) or counts.received == counts.empty
    return ValidateResult(
        status="rejected" if rejected else "accepted", received=counts.received, accepted=counts.accepted,
        quarantined=counts.quarantined, duplicates=counts.duplicates, empty=counts.empty,
        quarantined_percent=round(counts.quarantined_percent, 4),
        max_quarantined_percent=contracts.load("source_tracks").table.check("quarantined_percent").limit,
        reasons=reasons,
        checks=[CheckSummary(r.name, r.status, round(r.observed, 4), r.allowed, r.sentence) for r in results],
        notes=[*landed.notes, *(f"not read: {name}" for name in opened.not_read)], seconds=round(run.seconds, 3),
    )  # fmt: skip
