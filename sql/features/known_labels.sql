-- The label that is known of an accepted track, where it is another one than came with it.
-- reads: accepted, affected_tracks, same_rows, tracks
-- makes: known_labels (table)
-- scope: track
SELECT
    accepted.row_id,
    tracks.music_genre
FROM accepted
SEMI JOIN affected_tracks USING (track_id)
LEFT JOIN tracks USING (track_id)
UNION ALL
SELECT
    row_id,
    known_genre AS music_genre
FROM same_rows
ANTI JOIN affected_tracks USING (track_id)
WHERE stays_current AND known_genre IS DISTINCT FROM music_genre
