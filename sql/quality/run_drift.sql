-- The drift of this run.
-- reads: drift, run
-- makes: run_drift (view)
-- scope: run
SELECT drift.*
FROM drift
SEMI JOIN run USING (run_id)
