-- Cleaned rows that the history does not hold yet, by their ids.
-- reads: cleaned, same_rows
-- makes: added_tracks (table)
-- scope: track
SELECT
    row_id,
    track_id,
    artist_key
FROM cleaned
ANTI JOIN same_rows USING (row_id)
