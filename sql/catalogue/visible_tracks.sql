-- The tracks of which profiles are made: those that were known on a date, or where others are bound to this name, those.
-- reads: tracks_then
-- makes: visible_tracks (view)
-- scope: track
FROM tracks_then
