-- What was checked, on each of those run dates.
-- reads: checks, runs
SELECT run_id, run_date, name, observed, allowed, verdict, severity
FROM checks
INNER JOIN (SELECT run_id FROM runs WHERE job = {job} AND action = 'score') USING (run_id)
WHERE run_date BETWEEN {since} AND {run_date}
ORDER BY run_date, name
