-- What arrived on the job's recent run dates.
-- reads: runs, run, recent_dates
-- makes: recent_deliveries (table)
-- scope: run
SELECT
    runs.run_date,
    runs.received,
    runs.source_sha256
FROM runs
SEMI JOIN run USING (job)
SEMI JOIN recent_dates USING (run_date)
WHERE runs.status = 'published' AND runs.action = 'score'
QUALIFY row_number() OVER (PARTITION BY runs.run_date ORDER BY runs.finished_at DESC) = 1
ORDER BY runs.run_date DESC
