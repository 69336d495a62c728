-- Every track has one prediction on a run date, not more.
-- reads: predictions, run
SELECT track_id
FROM predictions
WHERE run_date = (SELECT run_date FROM run)
GROUP BY track_id
HAVING count(*) > 1
