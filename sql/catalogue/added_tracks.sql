-- Accepted rows that the history does not hold yet, by their ids.
-- reads: accepted, same_rows
-- makes: added_tracks (table)
-- scope: track
SELECT
    row_id,
    track_id,
    artist_key
FROM accepted
ANTI JOIN same_rows USING (row_id)
