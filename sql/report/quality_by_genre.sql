-- The same by label, on the night and on the seven before, and what the label is most often taken for.
-- reads: predictions, tracks
SELECT
    run_date = {run_date} AS tonight,
    music_genre AS label,
    count(*) AS tracks,
    count(*) FILTER (WHERE genre = music_genre) AS correct,
    mode(genre) FILTER (WHERE genre <> music_genre) AS taken_for
FROM predictions
INNER JOIN tracks USING (track_id)
WHERE job = {job} AND run_date BETWEEN {week} AND {run_date} AND music_genre IS NOT NULL
GROUP BY ALL
ORDER BY ALL
