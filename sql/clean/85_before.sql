-- The newest earlier prediction of each accepted track, among the job's last seven run dates.
SELECT
    track_id,
    max(predictions.run_date) AS date_before,
    max_by(genre, predictions.run_date) AS genre_before,
    max_by(probability, predictions.run_date) AS probability_before,
    max_by(predictions.model || ' ' || predictions.model_version, predictions.run_date) AS model_before,
    max_by(runs.model_sha256, predictions.run_date) AS model_sha256_before
FROM predictions
SEMI JOIN accepted USING (track_id)
LEFT JOIN runs USING (run_id)
WHERE predictions.run_date IN (
    SELECT DISTINCT ledger.run_date
    FROM runs AS ledger
    INNER JOIN run USING (job)
    WHERE ledger.status = 'published' AND ledger.action = 'score' AND ledger.run_date < run.run_date
    ORDER BY ledger.run_date DESC
    LIMIT 7
)
GROUP BY track_id
