-- Accepted rows that the history does not hold yet.
-- reads: accepted, same_rows, run
-- makes: added_rows (view)
-- feeds: track_history
-- scope: track
SELECT
    run.job,
    run.run_date AS from_run_date,
    run.run_date AS to_run_date,
    run.run_date AS since,
    accepted.* EXCLUDE (row_id, quarantine_id)
FROM accepted
ANTI JOIN same_rows USING (row_id)
CROSS JOIN run
