-- Every predicted track stands in the catalogue.
SELECT predictions.track_id
FROM predictions
ANTI JOIN tracks USING (track_id)
WHERE predictions.run_date = (SELECT run_date FROM run)
