"""The catalogue: what the standing deliveries say of each track.

Table ``track_history`` has a row for each job, track and stretch of the job's run dates on which the track was delivered with
the same values. A delivery continues rows, adds some, and takes back what an earlier delivery of its date had brought. View
``tracks`` shows the current row of each track: that of the newest run date, and of one date that of the later run. What was
known on an earlier date follows from the same rows.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genrepipe.warehouse.connection import Database
    from genrepipe.warehouse.steps import Steps

ARTISTS_IN_A_MB = 300  # of DuckDB's memory: their aggregates take about 1 KB each, and are not alone in it
ROW = "history.job = {0}.job AND history.track_id = {0}.track_id AND history.from_run_date = {0}.from_run_date"


def deliver(steps: Steps) -> None:
    """Write the accepted rows into the history, as what the job delivers on the run date."""
    database = steps.database
    steps.make(
        "same_rows",
        "added_tracks",
        "added_rows",
        "replaced_rows",
        "affected_tracks",
        "remaining_rows",
        "continued_rows",
    )
    if database.value("SELECT count(*) FROM replaced_rows"):
        database.execute("DELETE FROM track_history WHERE rowid IN (SELECT history_row FROM replaced_rows)")
        if database.value("SELECT count(*) FROM remaining_rows"):  # as for ``history.cut``
            database.execute("INSERT INTO track_history BY NAME SELECT *, false AS is_current FROM remaining_rows")
    database.execute(
        "UPDATE track_history SET to_run_date = (SELECT run_date FROM run) WHERE rowid IN (FROM continued_rows)"
    )
    # The same values may come in another text than before, or be cleaned by another version.
    database.execute(
        "UPDATE track_history AS history SET received_hash = renewed.received_hash FROM ("
        "SELECT same.history_row, cleaned.received_hash FROM same_rows AS same JOIN cleaned USING (row_id)) AS renewed "
        "WHERE history.rowid = renewed.history_row AND history.received_hash IS DISTINCT FROM renewed.received_hash"
    )
    # A track that nobody knew is current at once; of the others, all of their rows are looked at.
    database.execute(
        "INSERT INTO track_history BY NAME SELECT added_rows.*, affected.track_id IS NULL AS is_current, "
        "CASE WHEN is_current THEN from_run_date END AS first_run_date, CASE WHEN is_current THEN music_genre END AS known_genre "
        "FROM added_rows LEFT JOIN affected_tracks AS affected USING (track_id)"
    )
    choose_current(steps)


def choose_current(steps: Steps) -> None:
    """Choose the current row of each of the relation ``affected_tracks``, its first run date and its label."""
    database = steps.database
    if not database.value("SELECT count(*) FROM affected_tracks"):
        return
    database.execute(
        "UPDATE track_history SET is_current = false, first_run_date = NULL, known_genre = NULL "
        "WHERE is_current AND track_id IN (FROM affected_tracks)"
    )
    _as_of(steps, date.max)
    steps.make("current_rows")
    database.execute(
        "UPDATE track_history AS history SET is_current = true, first_run_date = chosen.first_run_date, known_genre = chosen.known_genre "
        f"FROM current_rows AS chosen WHERE {ROW.format('chosen')}"
    )
    steps.release("as_of")


def _as_of(steps: Steps, day: date) -> None:
    """Bind the date of which ``standing_rows``, and all that is made of them, tell."""
    steps.release("as_of")
    steps.bind_row("as_of", run_date=day)


def see(steps: Steps) -> None:
    """Renew table ``artist_profiles``, and bind ``profiles`` to what is known of artists on the run date."""
    steps.make("touched_artists")
    renew_profiles(steps)
    if not is_earlier(steps):
        steps.bind("profiles", "FROM artist_profiles")
        return
    see_then(steps)
    make_profiles_then(steps)


def is_earlier(steps: Steps) -> bool:
    """Return whether tracks were delivered for a later date than that of the run."""
    return bool(
        steps.database.value("SELECT count(*) FROM track_history CROSS JOIN run WHERE to_run_date > run.run_date")
    )


def see_then(steps: Steps) -> None:
    """Make the relation ``tracks_then``, what was known of tracks on the run date."""
    _as_of(steps, steps.database.value("SELECT run_date FROM run"))
    steps.make("tracks_then")


def make_profiles_then(steps: Steps) -> None:
    """Bind ``profiles`` to those of the artists of relation ``tracks_then``."""
    database = steps.database
    database.execute("CREATE TEMP TABLE profiles_then AS FROM artist_profiles LIMIT 0")
    artists = database.value("SELECT approx_count_distinct(artist_key) FROM tracks_then")
    for some in _buckets(database, artists):
        with steps.bound("visible_tracks", f"FROM tracks_then WHERE {some}"):
            steps.make("profiles")
            database.execute("INSERT INTO profiles_then BY NAME FROM profiles")
    steps.bind("profiles", "FROM profiles_then")


def renew_profiles(steps: Steps) -> None:
    """Make the rows of table ``artist_profiles`` anew of the relation ``touched_artists``."""
    database = steps.database
    artists, known = database.rows(
        "SELECT (SELECT count(*) FROM touched_artists), (SELECT count(*) FROM artist_profiles)"
    )[0]
    of_them = "SEMI JOIN touched_artists USING (artist_key)" if known else ""
    for some in _buckets(database, artists):
        with (
            steps.bound("visible_tracks", f"FROM track_history {of_them} WHERE is_current AND {some}"),
            steps.bound("former_profiles", f"FROM artist_profiles WHERE {some}"),
        ):
            steps.make("renewed_profiles")
            database.execute(
                f"DELETE FROM artist_profiles WHERE {some} AND artist_key IN (FROM touched_artists) "
                "AND artist_key NOT IN (SELECT artist_key FROM renewed_profiles WHERE is_as_before)"
            )
            database.execute(
                "INSERT INTO artist_profiles BY NAME SELECT * EXCLUDE (is_as_before) FROM renewed_profiles WHERE NOT is_as_before"
            )


def _buckets(database: Database, artists: int) -> list[str]:
    """Return predicates that part artists into buckets, whose aggregates fit into DuckDB's memory at once: medians are not spilled."""
    count = max(1, -(-artists // (database.memory_mb * ARTISTS_IN_A_MB)))
    return [f"hash(artist_key) % {count} = {bucket}" for bucket in range(count)] if count > 1 else ["true"]


def withdrawn(steps: Steps) -> tuple[int, int]:
    """Return how many tracks the job had on its run date before, and how many of them this snapshot lacks; zeros for an increment."""
    steps.make("delivery_dates")
    before, is_snapshot = steps.database.rows(
        "SELECT before_date, coalesce(delivery = 'snapshot', false) FROM delivery_dates CROSS JOIN run"
    )[0]
    if before is None or not is_snapshot:
        return 0, 0
    _as_of(steps, before)
    steps.make("withdrawn_tracks")
    known = steps.database.value("SELECT count(DISTINCT track_id) FROM standing_rows SEMI JOIN run USING (job)")
    lacking = steps.database.value("SELECT count(DISTINCT track_id) FROM withdrawn_tracks")
    steps.release("as_of")
    return int(known), int(lacking)


def label(steps: Steps) -> None:
    """Take the relation ``new_labels`` as the newest labels that are known, also of tracks that are still to come."""
    keep_labels(steps)
    steps.bind("affected_tracks", "SELECT track_id FROM new_labels", kind="table")
    choose_current(steps)
    steps.release("affected_tracks")


def keep_labels(steps: Steps) -> None:
    """Write the relation ``new_labels`` into table ``labels``."""
    database = steps.database
    database.execute("DELETE FROM labels USING new_labels AS taken WHERE labels.track_id = taken.track_id")
    database.execute(
        "INSERT INTO labels SELECT track_id, genre, "
        "greatest(run.run_date, (SELECT max(run_date) FROM runs WHERE status = 'published' AND action = 'score')), run.run_id "
        "FROM new_labels CROSS JOIN run"
    )


def settle(steps: Steps, horizon: date) -> None:
    """Remove rows of the job that only its run dates up to ``horizon`` need, and renew the profiles of their artists.

    What they say of labels and first dates stays. From then on nothing that was delivered for these dates can be taken back.
    """
    settle_tracks(steps, horizon)
    renew_profiles(steps)
    steps.release("affected_tracks")


def settle_tracks(steps: Steps, horizon: date) -> None:
    """Remove these rows, and bind ``touched_artists`` to those of whose tracks another row may be visible now."""
    database = steps.database
    steps.release("delivery_dates", "affected_tracks")  # those of the delivery
    _as_of(steps, horizon)
    steps.make("settled_rows", "settled_labels")
    if database.value("SELECT count(*) FROM settled_rows"):
        database.execute("DELETE FROM labels USING settled_labels AS kept WHERE labels.track_id = kept.track_id")
        database.execute("INSERT INTO labels BY NAME FROM settled_labels")
        database.execute(f"DELETE FROM track_history AS history USING settled_rows AS old WHERE {ROW.format('old')}")
        database.execute(
            "UPDATE track_history AS history SET since = least(history.since, old.since) "
            "FROM (SELECT job, track_id, min(since) AS since FROM settled_rows GROUP BY ALL) AS old, as_of "
            "WHERE history.job = old.job AND history.track_id = old.track_id AND history.from_run_date <= as_of.run_date"
        )
    # The quarantine of these dates goes too: what it held back counts as delivered.
    database.execute(
        "UPDATE track_history AS history SET to_run_date = snapshots.run_date FROM (SELECT job, max(run_date) AS run_date "
        "FROM standing_deliveries SEMI JOIN run USING (job) WHERE delivery = 'snapshot' AND run_date <= ? GROUP BY job) AS snapshots "
        "WHERE history.job = snapshots.job AND history.to_run_date < snapshots.run_date",
        [horizon],
    )
    steps.bind("affected_tracks", "SELECT DISTINCT track_id FROM settled_rows", kind="table")
    steps.release("profiles", "touched_artists")
    steps.bind(
        "touched_artists",
        "SELECT artist_key FROM settled_rows WHERE artist_key IS NOT NULL UNION "
        "SELECT artist_key FROM track_history SEMI JOIN affected_tracks USING (track_id) WHERE artist_key IS NOT NULL",
        kind="table",
    )
    steps.release("as_of")
    choose_current(steps)
