-- Artists of whose tracks another row may be visible after this delivery.
-- reads: added_tracks, affected_tracks, replaced_rows, track_history
-- makes: touched_artists (table)
-- scope: artist
SELECT artist_key FROM added_tracks WHERE artist_key IS NOT NULL
UNION
SELECT artist_key FROM replaced_rows WHERE artist_key IS NOT NULL
UNION
SELECT artist_key FROM track_history SEMI JOIN affected_tracks USING (track_id) WHERE artist_key IS NOT NULL
