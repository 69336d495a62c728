-- What was checked in one run.
-- reads: checks
SELECT name, sentence, observed, allowed, verdict, severity
FROM checks
WHERE run_id = {run_id}
ORDER BY name
