-- Tracks of this run whose genre is another one than before.
SELECT
    track_id,
    date_before,
    genre_before,
    genre,
    probability_before,
    probability,
    model_before,
    model || ' ' || model_version AS model,
    model_sha256_before
FROM tonight
INNER JOIN before USING (track_id)
WHERE genre <> genre_before
