"""Rows that a delivery has in common with the one before: they are known by a hash of their text, and not cleaned again.

A row is recognised where the job's run date before had one of the same hash, the delivery has it once, and no other row of
the delivery is of the same track: of several, the last in source order stands, which all of them together decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genrepipe.ingest.sources import Part
    from genrepipe.warehouse.steps import Steps

WORTH_IT = 0.5  # the share of known rows from which to read a part twice takes less than to clean it whole


def recognise(steps: Steps, received: str, part: Part) -> int:
    """Make the tables ``lines`` and ``recognised`` of a part, and return how many of its rows are known; 0 where it is too few."""
    database = steps.database
    database.execute(
        "CREATE OR REPLACE TEMP TABLE lines AS "
        f"SELECT NULL::BIGINT AS row_id, row_hash(part) AS received_hash FROM ({received}) AS part",
        reading=part,
    )
    database.execute(
        "CREATE OR REPLACE TEMP TABLE recognised AS SELECT any_value(lines.rowid) AS line, history_row FROM lines "
        "JOIN (FROM recognisable_rows ANTI JOIN known_rows USING (history_row)) AS known USING (received_hash) "
        "GROUP BY history_row HAVING count(*) = 1"
    )
    rows, known = database.rows("SELECT (SELECT count(*) FROM lines), (SELECT count(*) FROM recognised)")[0]
    if known <= WORTH_IT * rows:
        database.execute("DROP TABLE lines; DROP TABLE recognised")
        return 0
    return int(known)


def unknown(received: str) -> str:
    """Return the SELECT of the rows of a part that are not recognised, in any order."""
    hashes = "SELECT received_hash FROM lines WHERE rowid NOT IN (SELECT line FROM recognised)"
    return f"SELECT * FROM ({received}) AS part WHERE row_hash(part) IN ({hashes})"


def take(steps: Steps, before: int) -> None:
    """Give the rows of a part that landed from position ``before`` on the ids of their lines, and keep those that are known."""
    database = steps.database
    database.execute(
        "INSERT INTO known_rows SELECT lines.row_id, history_row FROM recognised JOIN lines ON lines.rowid = line"
    )
    # Rows of one hash are the same row: which of them has which number is no matter.
    database.execute(
        f"""
        UPDATE landed SET row_id = numbered.row_id
        FROM (
            SELECT cleaned.id, unknown.row_id
            FROM (
                SELECT rowid AS id, received_hash, row_number() OVER (PARTITION BY received_hash) AS rank
                FROM landed WHERE rowid >= {before}
            ) AS cleaned
            JOIN (
                SELECT row_id, received_hash, row_number() OVER (PARTITION BY received_hash ORDER BY row_id) AS rank
                FROM lines WHERE rowid NOT IN (SELECT line FROM recognised)
            ) AS unknown USING (received_hash, rank)
        ) AS numbered
        WHERE landed.rowid = numbered.id;
        DROP TABLE lines;
        DROP TABLE recognised
        """
    )


def dispute(steps: Steps) -> None:
    """Let known rows land after all whose track another row of the delivery is of."""
    steps.database.execute(
        """
        CREATE TEMP TABLE disputed AS
        SELECT known_rows.row_id, known_rows.history_row
        FROM known_rows
        JOIN track_history AS history ON history.rowid = known_rows.history_row
        SEMI JOIN (FROM landed WHERE NOT is_empty AND broken_rules IS NULL) AS other USING (track_id);
        INSERT INTO landed BY NAME
        SELECT
            disputed.row_id,
            history.* EXCLUDE (job, from_run_date, to_run_date, since, is_current, first_run_date, known_genre),
            false AS is_empty
        FROM disputed
        JOIN track_history AS history ON history.rowid = disputed.history_row;
        DELETE FROM known_rows WHERE history_row IN (SELECT history_row FROM disputed);
        DROP TABLE disputed
        """
    )
