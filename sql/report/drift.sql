-- How the night is distributed, by feature, against the training data and the last seven run dates.
-- reads: drift
SELECT subject, against, psi, verdict, edges, shares, expected
FROM drift
WHERE run_id = {run_id}
ORDER BY psi DESC, subject
