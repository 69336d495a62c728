-- From which genre to which they went.
-- reads: flips
SELECT genre_before, genre, count(*) AS tracks
FROM flips
WHERE run_id = {run_id}
GROUP BY ALL
ORDER BY tracks DESC, genre_before, genre
