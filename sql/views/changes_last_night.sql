-- The tracks whose genre changed on the newest run date of each job, with artist, title and cause; the surest first.
-- reads: flips, runs, tracks
SELECT
    flips.run_date,
    runs.job,
    flips.track_id,
    tracks.artist_name,
    tracks.track_name,
    flips.genre_before,
    flips.genre,
    flips.probability_before,
    flips.probability,
    flips.cause,
    array_to_string(flips.changed, ', ') AS changed,
    flips.date_before
FROM flips
INNER JOIN runs USING (run_id)
LEFT JOIN tracks USING (track_id)
WHERE (runs.job, flips.run_date) IN (
    SELECT (job, max(run_date)) FROM runs WHERE status = 'published' AND action = 'score' AND run_date <= today() + 1 GROUP BY job
)
ORDER BY flips.probability_before + flips.probability DESC, flips.track_id
