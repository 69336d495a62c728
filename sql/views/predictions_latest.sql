-- The newest prediction of every track; of several jobs on one run date, that of the later run.
-- reads: predictions
SELECT *
FROM predictions
QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY run_date DESC, scored_at DESC) = 1
