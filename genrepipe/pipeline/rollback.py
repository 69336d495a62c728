"""Publish the generation before again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrepipe.core import resources, signals
from genrepipe.core.errors import WarehouseUnusable
from genrepipe.pipeline.results import PublishedRun, RollbackResult
from genrepipe.warehouse import ledger, schema
from genrepipe.warehouse.ledger import Run
from genrepipe.warehouse.session import write_session

if TYPE_CHECKING:
    from pathlib import Path

    from genrepipe.warehouse.connection import Database


def rollback(warehouse: Path) -> RollbackResult:
    """Publish the generation before again; the one that is left becomes the generation before.

    Lines of the ledger that published nothing stay, with their evidence: a run that was refused was refused all the same.

    Raises
    ------
    WarehouseUnusable
        There is no generation before, no run was published in it, or it has the same runs.
    """
    plan = resources.plan()
    run = Run("rollback", ledger.parse_date(None), "rollback")
    with signals.deferred(), write_session(warehouse, run, plan) as session:
        current = session.require_current()
        if not session.previous.exists():
            raise WarehouseUnusable(f"{warehouse} has no generation before", "Only a published run leaves one")
        left = _published(current)
        with schema.open_reading(session.previous, plan) as previous:
            back = _published(previous)
        if not back:
            raise WarehouseUnusable(
                f"No run was published in the generation before of {warehouse}", "There is nothing to go back to"
            )
        undone = [each for each in left if each not in back]
        if not undone:
            raise WarehouseUnusable(
                f"The generation before of {warehouse} has the same runs", "There is nothing to go back to"
            )
        database = session.begin()
        existing = schema.attach(database, session.previous, plan)
        with session.publishing():
            schema.restore(database, existing)
            note = f"Rolled back to run {back[-1].run_id}; undone: {', '.join(each.run_id for each in undone)}."
            ledger.append(database, ledger.line(run, "published", error=note))
    return RollbackResult(run.run_id, str(warehouse), back[-1], undone)


def _published(database: Database) -> list[PublishedRun]:
    """Return what was published, the oldest first."""
    rows = database.rows(
        "SELECT run_id, run_date, action, job FROM runs WHERE status = 'published' ORDER BY finished_at"
    )
    return [PublishedRun(run_id, day.isoformat(), action, job) for run_id, day, action, job in rows]
