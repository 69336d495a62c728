-- Tracks that this run scored whose genre differs from their newest earlier prediction.
-- reads: prediction_history, earlier_predictions, run
-- makes: flipped (table)
-- feeds: flips
-- scope: track
SELECT
    track_id,
    earlier.date_before,
    earlier.genre_before,
    history.genre,
    earlier.probability_before,
    history.probability,
    earlier.model_before,
    earlier.model_sha256_before
FROM prediction_history AS history
SEMI JOIN run ON run.job = history.job AND run.run_date = history.from_run_date
INNER JOIN earlier_predictions AS earlier USING (track_id)
WHERE history.genre <> earlier.genre_before
