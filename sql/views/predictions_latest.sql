-- The newest prediction of every track in the catalogue; of several jobs on one run date, that of the later run. Run dates that lie in the future do not count.
-- reads: prediction_history, runs, tracks
-- As view predictions, of which only the newest run date of each row of the history is looked at.
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
ASOF INNER JOIN published
    ON published.job = history.job
    AND least(history.to_run_date, today() + 2) >= published.run_date
INNER JOIN runs ON runs.run_id = CASE
    WHEN history.replay_id IS NOT NULL AND published.run_date = history.from_run_date THEN history.replay_id
    ELSE published.run_id
END
SEMI JOIN tracks USING (track_id)
WHERE published.run_date >= history.from_run_date
QUALIFY row_number() OVER (PARTITION BY history.track_id ORDER BY published.run_date DESC, runs.started_at DESC) = 1
