-- Tracks that this run scored whose genre differs from their newest earlier prediction.
-- reads: run_predictions, earlier_predictions
-- makes: flipped (table)
-- feeds: flips
-- scope: track
SELECT
    track_id,
    date_before,
    genre_before,
    genre,
    probability_before,
    probability,
    model_before,
    model_sha256_before
FROM run_predictions
INNER JOIN earlier_predictions USING (track_id)
WHERE genre <> genre_before
