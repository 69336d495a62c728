-- The job's newest earlier prediction of each accepted track, among its recent run dates.
-- reads: predictions, accepted, runs, recent_dates, run
-- makes: earlier_predictions (table)
-- scope: track
WITH newest AS (
    SELECT
        track_id,
        max(run_date) AS run_date
    FROM predictions
    SEMI JOIN run USING (job)
    SEMI JOIN recent_dates USING (run_date)
    GROUP BY track_id
)

SELECT
    predictions.track_id,
    predictions.run_date AS date_before,
    predictions.genre AS genre_before,
    predictions.probability AS probability_before,
    predictions.model || ' ' || predictions.model_version AS model_before,
    runs.model_sha256 AS model_sha256_before
FROM predictions
SEMI JOIN run USING (job)
INNER JOIN newest USING (track_id, run_date)
SEMI JOIN accepted USING (track_id)
LEFT JOIN runs USING (run_id)
