-- Each job's last ninety run dates: of each, the run that stands, or else the last that was stopped.
-- reads: runs, checks
WITH counted AS (
    SELECT run_id, count(*) FILTER (WHERE verdict = 'warning') AS warnings
    FROM checks
    GROUP BY run_id
),

standing AS (
    SELECT *
    FROM runs
    WHERE action = 'score' AND status IN ('published', 'refused', 'failed', 'interrupted', 'killed')
    QUALIFY row_number() OVER (PARTITION BY job, run_date ORDER BY status = 'published' DESC, started_at DESC) = 1
)

SELECT
    job,
    run_date,
    run_id,
    status,
    received,
    predicted,
    quarantined,
    seconds,
    coalesce(warnings, 0) AS warnings
FROM standing
LEFT JOIN counted USING (run_id)
QUALIFY row_number() OVER (PARTITION BY job ORDER BY run_date DESC) <= 90
ORDER BY run_date DESC, job
