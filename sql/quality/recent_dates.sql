-- The newest run dates, at most seven, that the job published before this one.
-- reads: runs, run
-- makes: recent_dates (table)
-- scope: run
SELECT DISTINCT runs.run_date
FROM runs
INNER JOIN run USING (job)
WHERE runs.status = 'published' AND runs.action = 'score' AND runs.run_date < run.run_date
ORDER BY runs.run_date DESC
LIMIT 7
