-- The median margin of the night, and of the seven before.
-- reads: predictions
SELECT run_date = {run_date} AS tonight, median(margin) AS margin
FROM predictions
WHERE job = {job} AND run_date BETWEEN {week} AND {run_date}
GROUP BY ALL
ORDER BY ALL
