-- The newest prediction of every track.
SELECT *
FROM predictions
QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY run_date DESC) = 1
