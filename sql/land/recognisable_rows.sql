-- Rows of the history that a delivery may hold again as they were: those of the job's run date before.
-- reads: track_history, delivery_dates, run
-- makes: recognisable_rows (table)
-- scope: track
SELECT
    history.rowid AS history_row,
    history.received_hash
FROM track_history AS history
SEMI JOIN (FROM run CROSS JOIN delivery_dates) AS asked
    ON asked.job = history.job
    AND asked.before_date BETWEEN history.from_run_date AND history.to_run_date
WHERE history.received_hash IS NOT NULL
