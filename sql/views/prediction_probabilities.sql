-- One row for each job, run date, track and genre.
-- reads: predictions
-- genre: One of the ten genres.
-- probability: The track's probability of it.
SELECT *
FROM (
    UNPIVOT (SELECT run_date, job, track_id, artist_name, track_name, unnest(probabilities) FROM predictions)
    ON COLUMNS(* EXCLUDE (run_date, job, track_id, artist_name, track_name))
    INTO NAME genre VALUE probability
)
