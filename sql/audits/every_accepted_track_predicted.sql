-- Every accepted track has a prediction, and no other track has one.
SELECT coalesce(scorable.track_id, predictions.track_id) AS track_id
FROM scorable
FULL JOIN (FROM predictions WHERE run_date = (SELECT run_date FROM run)) AS predictions USING (track_id)
WHERE scorable.track_id IS NULL OR predictions.track_id IS NULL
