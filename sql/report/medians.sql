-- The median of each feature among the tracks of the night, and among those of the seven before.
-- reads: track_history
SELECT name, tonight, median(value) AS median
FROM (
    UNPIVOT (
        SELECT
            {run_date} BETWEEN from_run_date AND to_run_date AS tonight,
            popularity, acousticness, danceability, duration_ms, energy, instrumentalness, liveness, loudness, speechiness, tempo,
            valence
        FROM track_history
        WHERE job = {job} AND from_run_date <= {run_date} AND to_run_date >= {week}
    )
    ON * EXCLUDE (tonight)
    INTO NAME name VALUE value
)
GROUP BY ALL
ORDER BY ALL
