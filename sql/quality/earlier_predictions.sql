-- The job's newest earlier prediction of each track that this run scored, among its recent run dates.
-- reads: prediction_history, standing_deliveries, runs, recent_dates, run
-- makes: earlier_predictions (table)
-- scope: track
-- A row of the history that ends before this run date ends on a run date, and has the bundle of that date.
WITH earlier AS (
    SELECT history.*
    FROM prediction_history AS history
    SEMI JOIN (FROM run CROSS JOIN (SELECT min(run_date) AS oldest FROM recent_dates)) AS asked
        ON asked.job = history.job
        AND history.to_run_date >= asked.oldest
        AND history.to_run_date < asked.run_date
    SEMI JOIN (
        SELECT history.track_id
        FROM prediction_history AS history
        SEMI JOIN run ON run.job = history.job AND run.run_date = history.from_run_date
        WHERE EXISTS (FROM recent_dates)
    ) AS scored USING (track_id)
    QUALIFY row_number() OVER (PARTITION BY history.track_id ORDER BY history.to_run_date DESC) = 1
)

SELECT
    earlier.track_id,
    earlier.to_run_date AS date_before,
    earlier.genre AS genre_before,
    earlier.probability AS probability_before,
    runs.model || ' ' || runs.model_version AS model_before,
    runs.model_sha256 AS model_sha256_before
FROM earlier
LEFT JOIN standing_deliveries AS standing
    ON standing.job = earlier.job
    AND standing.run_date = earlier.to_run_date
LEFT JOIN runs USING (run_id)
