-- The newest predictions whose two best genres are less than 0.1 apart, the least sure first; predictions_latest has the rest of them.
-- reads: predictions_latest
SELECT
    track_id,
    artist_name,
    track_name,
    genre,
    runner_up,
    margin
FROM predictions_latest
WHERE margin < 0.1
ORDER BY margin, track_id
