-- Rows of the history that say of an accepted track what this delivery says: on this run date, or on the job's one before.
-- reads: accepted, track_history, run, delivery_dates
-- makes: same_rows (table)
-- scope: track
-- {same_values} compares every column of the history that a delivery has, missing values being alike.
SELECT
    accepted.row_id,
    accepted.track_id,
    held.from_run_date,
    held.to_run_date >= run.run_date AS is_held,
    held.music_genre,
    held.known_genre,
    held.is_current AND (held.music_genre IS NULL OR held.music_genre IS NOT DISTINCT FROM held.known_genre) AS stays_current
FROM accepted
CROSS JOIN run
CROSS JOIN delivery_dates
INNER JOIN track_history AS held
    ON held.track_id = accepted.track_id
    AND held.job = run.job
    AND (held.to_run_date = delivery_dates.before_date OR run.run_date BETWEEN held.from_run_date AND held.to_run_date)
    AND {same_values}
