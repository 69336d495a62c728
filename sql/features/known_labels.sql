-- The label that is known of an accepted track, where it is another one than came with it.
-- reads: cleaned, known_rows, affected_tracks, same_rows, track_history, tracks
-- makes: known_labels (table)
-- scope: track
SELECT
    affected.row_id,
    tracks.music_genre
FROM (
    SELECT row_id, track_id FROM cleaned SEMI JOIN affected_tracks USING (track_id)
    UNION ALL
    SELECT known_rows.row_id, history.track_id
    FROM (SELECT rowid AS history_row, track_id FROM track_history SEMI JOIN affected_tracks USING (track_id)) AS history
    INNER JOIN known_rows USING (history_row)
) AS affected
LEFT JOIN (SELECT track_id, music_genre FROM tracks SEMI JOIN affected_tracks USING (track_id)) AS tracks USING (track_id)
UNION ALL
SELECT
    row_id,
    known_genre AS music_genre
FROM same_rows
ANTI JOIN affected_tracks USING (track_id)
WHERE stays_current AND known_genre IS DISTINCT FROM music_genre
