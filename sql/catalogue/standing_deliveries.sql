-- The delivery that counts of each job and run date: the last one published, or this run's.
-- reads: runs, run
-- makes: standing_deliveries (view)
-- scope: run
SELECT
    job,
    run_date,
    run_id,
    delivery,
    delivered_at
FROM (
    SELECT job, run_date, run_id, delivery, finished_at AS delivered_at
    FROM runs
    WHERE status = 'published' AND action = 'score'
    UNION ALL
    SELECT job, run_date, run_id, delivery, 'infinity'::TIMESTAMP AS delivered_at
    FROM run
    WHERE action = 'score'
)
QUALIFY row_number() OVER (PARTITION BY job, run_date ORDER BY delivered_at DESC) = 1
