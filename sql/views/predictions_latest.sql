-- The newest prediction of every track.
-- reads: predictions
SELECT *
FROM predictions
QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY run_date DESC) = 1
