-- How many of the night's tracks are new, how many were predicted on the seven run dates before, and how many the catalogue holds.
-- reads: predictions, prediction_history, tracks
SELECT
    count(*) AS tracks,
    count(*) FILTER (WHERE first_run_date >= {run_date}) AS new_tracks,
    count(*) FILTER (WHERE lately.track_id IS NOT NULL) AS predicted_lately,
    (SELECT count(*) FROM tracks) AS catalogue
FROM predictions
INNER JOIN tracks USING (track_id)
LEFT JOIN (
    SELECT DISTINCT track_id
    FROM prediction_history
    WHERE job = {job} AND from_run_date < {run_date} AND to_run_date >= {week}
) AS lately USING (track_id)
WHERE run_date = {run_date} AND job = {job}
