-- Scorable tracks beside the aggregates of their artist's visible tracks; 0 where there are none.
-- reads: scorable, artist_positions
-- makes: contextual (view)
-- scope: artist
SELECT
    scorable.*,
    artist_positions.artist_key,
    coalesce(COLUMNS('(.+_(?:count|mean|variance))'), 0) AS '\1'
FROM scorable
LEFT JOIN artist_positions USING (artist_position)
