-- All runs of this job and run date in the ledger: what they wrote is replaced by this run.
-- reads: runs, run
-- makes: earlier_runs (view)
-- scope: run
SELECT
    runs.run_id,
    runs.status,
    runs.action
FROM runs
SEMI JOIN run USING (job, run_date)
