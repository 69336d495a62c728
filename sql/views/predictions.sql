-- One prediction for each job, run date and track.
-- reads: prediction_history, runs
-- A row of the history is a prediction of each run date that the job published between its first and its last. Where a replay
-- scored it, it is the replay's on the first of them.
WITH published AS (
    SELECT job, run_date, arg_max(run_id, finished_at) AS run_id
    FROM runs
    WHERE status = 'published' AND action = 'score'
    GROUP BY job, run_date
)

SELECT
    published.run_date,
    history.* EXCLUDE (job, from_run_date, to_run_date, profile_version, replay_id),
    runs.model,
    runs.model_version,
    runs.run_id,
    runs.started_at AS scored_at,
    history.job
FROM prediction_history AS history
INNER JOIN published
    ON published.job = history.job
    AND published.run_date BETWEEN history.from_run_date AND history.to_run_date
INNER JOIN runs ON runs.run_id = CASE
    WHEN history.replay_id IS NOT NULL AND published.run_date = history.from_run_date THEN history.replay_id
    ELSE published.run_id
END
