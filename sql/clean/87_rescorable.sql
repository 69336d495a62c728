-- Tracks that are wanted again, with all that their features are made of, on either side of the run.
SELECT
    accepted.* EXCLUDE (row_id, artist_key, duration_ms),
    accepted.duration_ms AS own_duration_ms,
    contextual.*
FROM accepted
INNER JOIN contextual USING (row_id)
SEMI JOIN wanted USING (track_id)
ORDER BY track_id
