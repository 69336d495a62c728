-- Why tracks changed their genre.
-- reads: flips
SELECT cause, array_to_string(changed, ', ') AS changed, count(*) AS tracks
FROM flips
WHERE run_id = {run_id}
GROUP BY ALL
ORDER BY tracks DESC, cause, changed
