-- The inputs of flipped tracks, as a generation of the catalogue has them.
-- reads: accepted, contextual, wanted
-- makes: rescorable (view)
-- scope: artist
SELECT
    accepted.* EXCLUDE (row_id, artist_key, duration_ms),
    accepted.duration_ms AS own_duration_ms,
    contextual.*
FROM accepted
INNER JOIN contextual USING (row_id)
SEMI JOIN wanted USING (track_id)
ORDER BY track_id
