-- The job's last thirty run dates up to that of the report: of each, the run that stands, or else the last that was stopped.
-- reads: runs, checks
WITH counted AS (
    SELECT
        run_id,
        count(*) FILTER (WHERE verdict = 'warning') AS warnings,
        count(*) FILTER (WHERE verdict = 'failed') AS failed
    FROM checks
    GROUP BY run_id
)

SELECT
    run_date,
    run_id,
    status,
    exit_code,
    received,
    predicted,
    quarantined,
    duplicates,
    empty,
    coalesce(withdrawn, 0) AS withdrawn,
    model,
    model_version,
    seconds,
    stages,
    coalesce(warnings, 0) AS warnings
FROM runs
LEFT JOIN counted USING (run_id)
WHERE job = {job} AND run_date <= {run_date} AND action = 'score' AND status IN ('published', 'refused', 'failed', 'interrupted', 'killed')
QUALIFY row_number() OVER (PARTITION BY run_date ORDER BY run_id = {run_id} DESC, status = 'published' DESC, started_at DESC) = 1
ORDER BY run_date DESC
LIMIT 30
