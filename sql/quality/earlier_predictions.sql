-- The job's newest earlier prediction of each accepted track, among its recent run dates.
-- reads: predictions, accepted, runs, recent_dates, run
-- makes: earlier_predictions (table)
-- scope: track
SELECT
    track_id,
    max(predictions.run_date) AS date_before,
    max_by(genre, predictions.run_date) AS genre_before,
    max_by(probability, predictions.run_date) AS probability_before,
    max_by(predictions.model || ' ' || predictions.model_version, predictions.run_date) AS model_before,
    max_by(runs.model_sha256, predictions.run_date) AS model_sha256_before
FROM predictions
SEMI JOIN accepted USING (track_id)
SEMI JOIN run USING (job)
SEMI JOIN recent_dates USING (run_date)
LEFT JOIN runs USING (run_id)
GROUP BY track_id
