-- The same by how many tracks of the artist were visible.
-- reads: predictions, tracks
SELECT
    run_date = {run_date} AS tonight,
    CASE WHEN artist_tracks < 2 THEN 0 WHEN artist_tracks < 5 THEN 2 WHEN artist_tracks < 20 THEN 5 ELSE 20 END AS visible_from,
    count(*) AS tracks,
    count(*) FILTER (WHERE genre = music_genre) AS correct
FROM predictions
INNER JOIN tracks USING (track_id)
WHERE job = {job} AND run_date BETWEEN {week} AND {run_date} AND music_genre IS NOT NULL
GROUP BY ALL
ORDER BY ALL
