-- The tracks of the catalogue that were known on the run date.
-- reads: tracks, run
-- makes: visible_tracks (view)
-- scope: track
SELECT tracks.*
FROM tracks
CROSS JOIN run
WHERE tracks.first_run_date <= run.run_date
