-- The newest predictions whose two best genres are less than 0.1 apart, the least sure first.
-- reads: predictions_latest
SELECT
    track_id,
    artist_name,
    track_name,
    genre,
    runner_up,
    margin,
    probability,
    genre_set,
    imputed,
    artist_tracks,
    run_date
FROM predictions_latest
WHERE margin < 0.1
ORDER BY margin, track_id
