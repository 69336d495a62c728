-- The changed tracks that were surest, before and now, with their values on both dates.
-- reads: flips, track_history
WITH surest AS (
    SELECT *
    FROM flips
    WHERE run_id = {run_id}
    ORDER BY probability_before + probability DESC, track_id
    LIMIT 24
),

rows_then AS (
    SELECT *
    FROM track_history
    WHERE track_id IN (SELECT track_id FROM surest) AND job = {job}
)

SELECT
    surest.track_id,
    coalesce(now.artist_name, earlier.artist_name) AS artist_name,
    coalesce(now.track_name, earlier.track_name) AS track_name,
    surest.genre_before,
    surest.genre,
    surest.probability_before,
    surest.probability,
    surest.cause,
    surest.changed,
    surest.date_before,
    to_json(earlier) AS row_before,
    to_json(now) AS row_now
FROM surest
LEFT JOIN rows_then AS earlier
    ON surest.track_id = earlier.track_id AND surest.date_before BETWEEN earlier.from_run_date AND earlier.to_run_date
LEFT JOIN rows_then AS now
    ON surest.track_id = now.track_id AND surest.run_date BETWEEN now.from_run_date AND now.to_run_date
ORDER BY surest.probability_before + surest.probability DESC, surest.track_id
