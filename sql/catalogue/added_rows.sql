-- The same, as rows of the history.
-- reads: cleaned, added_tracks, run
-- makes: added_rows (view)
-- feeds: track_history
-- scope: track
SELECT
    run.job,
    run.run_date AS from_run_date,
    run.run_date AS to_run_date,
    run.run_date AS since,
    cleaned.* EXCLUDE (row_id, quarantine_id)
FROM cleaned
SEMI JOIN added_tracks USING (row_id)
CROSS JOIN run
