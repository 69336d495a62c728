-- The predictions of this run.
-- reads: predictions, run
-- makes: run_predictions (view)
-- scope: run
SELECT predictions.*
FROM predictions
SEMI JOIN run USING (run_id)
