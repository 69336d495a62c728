-- Every track has one prediction of a job on a run date, not more.
-- reads: predictions, run
SELECT track_id
FROM predictions
SEMI JOIN run USING (job, run_date)
GROUP BY track_id
HAVING count(*) > 1
