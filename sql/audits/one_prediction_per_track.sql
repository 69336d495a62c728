-- Every track has one prediction of a job on a run date, not more.
-- reads: prediction_history, run
-- In four parts, so that the hash table of each fits into little memory.
WITH today AS NOT MATERIALIZED (
    SELECT
        track_id,
        hash(track_id) % 4 AS part
    FROM prediction_history AS history
    SEMI JOIN run
        ON run.job = history.job
        AND run.run_date BETWEEN history.from_run_date AND history.to_run_date
)

SELECT track_id FROM today WHERE part = 0 GROUP BY track_id HAVING count(*) > 1
UNION ALL
SELECT track_id FROM today WHERE part = 1 GROUP BY track_id HAVING count(*) > 1
UNION ALL
SELECT track_id FROM today WHERE part = 2 GROUP BY track_id HAVING count(*) > 1
UNION ALL
SELECT track_id FROM today WHERE part = 3 GROUP BY track_id HAVING count(*) > 1
