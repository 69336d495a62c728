-- The rows that keep the contract, one for each track: those that were cleaned, and those that the history has cleaned already.
-- reads: cleaned, known_rows, track_history
-- makes: accepted (view)
-- scope: track
FROM cleaned
UNION ALL BY NAME
SELECT
    known_rows.row_id,
    history.* EXCLUDE (job, from_run_date, to_run_date, since, is_current, first_run_date, known_genre)
FROM known_rows
INNER JOIN track_history AS history ON history.rowid = known_rows.history_row
