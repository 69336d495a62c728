-- The accepted rows that this run scores, whole.
-- reads: cleaned, known_rows, track_history, scored
-- makes: delivered (table)
-- scope: track
FROM cleaned
SEMI JOIN scored USING (row_id)
UNION ALL BY NAME
SELECT
    known.row_id,
    history.* EXCLUDE (job, from_run_date, to_run_date, since, is_current, first_run_date, known_genre)
FROM (FROM known_rows SEMI JOIN scored USING (row_id)) AS known
INNER JOIN track_history AS history ON history.rowid = known.history_row
