-- One row for each job, run date, track and genre.
-- reads: predictions
-- genre: One of the ten genres.
-- probability: The track's probability of it.
SELECT *
FROM (
    UNPIVOT (SELECT job, run_date, track_id, artist_name, track_name, unnest(probabilities) FROM predictions)
    ON COLUMNS(* EXCLUDE (job, run_date, track_id, artist_name, track_name))
    INTO NAME genre VALUE probability
)
