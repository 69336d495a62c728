-- Every track has one prediction of a job on a run date, not more.
-- reads: prediction_history, run
SELECT track_id
FROM prediction_history AS history
SEMI JOIN run
    ON run.job = history.job
    AND run.run_date BETWEEN history.from_run_date AND history.to_run_date
GROUP BY track_id
HAVING count(*) > 1
