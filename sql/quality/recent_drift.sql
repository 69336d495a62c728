-- How features and genres were distributed on the job's recent run dates.
-- reads: drift, runs, run, recent_dates
-- makes: recent_drift (view)
-- scope: run
SELECT
    drift.run_date,
    drift.subject,
    drift.edges,
    drift.shares
FROM drift
SEMI JOIN (FROM runs SEMI JOIN run USING (job) WHERE status = 'published') AS published USING (run_id)
SEMI JOIN recent_dates USING (run_date)
WHERE drift.against = 'bundle'
