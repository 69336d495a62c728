"""The history of predictions: each holds from one run date to another.

A run date is cut out of it before the date is scored again or taken back. A night continues the predictions of the date
before that it would score the same, and scores the others; view ``predictions`` shows each on every run date.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from genrepipe import contracts
from genrepipe.core.version import VERSION
from genrepipe.engines import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import polars as pl

    from genrepipe.model.bundle import Bundle
    from genrepipe.warehouse.ledger import Run
    from genrepipe.warehouse.steps import Steps

OF_DATE = "job = $job AND from_run_date <= $day AND to_run_date >= $day"
OF_ACCEPTED = f"{OF_DATE} AND track_id IN (SELECT track_id FROM accepted)"


def cut(steps: Steps, run: Run, rows: str = OF_DATE) -> None:
    """Take the run date out of the stretches of rows that hold it; what they say of other dates stays."""
    database, asked = steps.database, of_run(run)
    if not database.value(f"SELECT count(*) FROM (FROM prediction_history WHERE {rows} LIMIT 1)", asked):
        return
    steps.make("delivery_dates")
    # DuckDB does not see whole row groups that a transaction inserts after an insert of no row.
    if database.value(
        f"SELECT count(*) FROM (FROM prediction_history WHERE {rows} AND to_run_date > $day LIMIT 1)", asked
    ):
        database.execute(
            "INSERT INTO prediction_history BY NAME SELECT * REPLACE ((SELECT after_date FROM delivery_dates) AS from_run_date, NULL AS replay_id) "
            f"FROM prediction_history WHERE {rows} AND to_run_date > $day",
            asked,
        )
    database.execute(f"DELETE FROM prediction_history WHERE {rows} AND from_run_date = $day", asked)
    database.execute(
        f"UPDATE prediction_history SET to_run_date = (SELECT before_date FROM delivery_dates) WHERE {rows}", asked
    )


def of_run(run: Run) -> dict[str, Any]:
    """Return the parameters of ``OF_DATE``."""
    return {"job": run.job, "day": run.run_date}


def continue_predictions(steps: Steps, bundle: Bundle) -> int:
    """Make the relation ``continued_predictions``, let them hold for the run date too, and return how many they are."""
    database = steps.database
    if not _may_continue(steps, bundle):
        none_continue(steps)
        return 0
    steps.make("continued_predictions")
    database.execute(
        "UPDATE prediction_history SET to_run_date = (SELECT run_date FROM run) "
        "WHERE rowid IN (SELECT history_row FROM continued_predictions)"
    )
    return int(database.value("SELECT count(*) FROM continued_predictions"))


def none_continue(steps: Steps) -> None:
    """Bind ``continued_predictions`` to nothing, and ``scored`` to every scorable track."""
    steps.bind(
        "continued_predictions",
        "SELECT NULL::BIGINT AS row_id, NULL::UTINYINT AS label, NULL::BIGINT AS history_row LIMIT 0",
        kind="table",
    )
    steps.bind("scored", "FROM scorable")


def continued(steps: Steps, rows: int) -> Iterator[pl.DataFrame]:
    """Yield the predictions that continue, ``rows`` at a time: ``label``, ``genre``, and ``probabilities`` where there are labels."""
    database = steps.database
    columns = ["label", "genre"]
    if database.value("SELECT count(label) FROM continued_predictions"):
        columns.append("probabilities")
    for between in prepare.ranges(database, "continued_predictions", rows, "history_row"):
        yield database.frame(
            f"SELECT {', '.join(columns)} FROM prediction_history AS history "
            "JOIN (FROM continued_predictions WHERE history_row >= $first AND history_row < $last) AS continued "
            "ON continued.history_row = history.rowid WHERE history.rowid >= $first AND history.rowid < $last",
            between,
        )


def _may_continue(steps: Steps, bundle: Bundle) -> bool:
    """Return whether the run date is the newest, and was predicted on the date before by the same bundle, contracts and version."""
    steps.make("standing_deliveries", "delivery_dates")
    lines = steps.database.rows(
        "SELECT runs.model_sha256, runs.contract_versions, runs.genrepipe_version FROM delivery_dates "
        "JOIN (FROM standing_deliveries SEMI JOIN run USING (job)) AS standing ON standing.run_date = delivery_dates.before_date "
        "JOIN runs USING (run_id) WHERE delivery_dates.after_date IS NULL"
    )
    return lines == [(bundle.sha256, json.dumps(contracts.versions()), VERSION)]


def trim(steps: Steps, horizon: date) -> None:
    """Remove the job's predictions of its run dates up to ``horizon``."""
    ours = "job = (SELECT job FROM run)"
    steps.database.execute(f"DELETE FROM prediction_history WHERE {ours} AND to_run_date <= ?", [horizon])
    steps.database.execute(
        "UPDATE prediction_history SET replay_id = NULL, from_run_date = (SELECT min(run_date) FROM ("
        "SELECT run_date FROM run UNION ALL SELECT run_date FROM runs SEMI JOIN run USING (job) "
        f"WHERE status = 'published' AND action = 'score') WHERE run_date > $day) WHERE {ours} AND from_run_date <= $day",
        {"day": horizon},
    )
