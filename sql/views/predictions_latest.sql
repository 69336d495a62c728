-- The newest prediction of every track in the catalogue; of several jobs on one run date, that of the later run. Run dates that lie in the future do not count.
-- reads: predictions, tracks
SELECT *
FROM predictions
SEMI JOIN tracks USING (track_id)
WHERE run_date <= today() + 2
QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY run_date DESC, scored_at DESC) = 1
