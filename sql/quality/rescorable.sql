-- The inputs of flipped tracks, as a generation of the catalogue has them.
-- reads: accepted, contextual, wanted
-- makes: rescorable (view)
-- scope: artist
WITH asked AS MATERIALIZED (
    FROM accepted
    SEMI JOIN wanted USING (track_id)
)

SELECT
    asked.* EXCLUDE (row_id, artist_key, duration_ms),
    asked.duration_ms AS own_duration_ms,
    contextual.*
FROM asked
INNER JOIN contextual USING (row_id)
ORDER BY track_id
