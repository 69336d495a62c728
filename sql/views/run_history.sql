-- One line for each run, the newest first.
-- reads: runs
SELECT
    run_date,
    job,
    action,
    status,
    model,
    model_version,
    received,
    predicted,
    quarantined,
    duplicates,
    empty,
    round(seconds, 2) AS seconds,
    finished_at,
    run_id
FROM runs
ORDER BY started_at DESC
