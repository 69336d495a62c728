-- The accepted rows as the catalogue keeps them.
-- reads: accepted, run, tracks
-- makes: catalogue_changes (table)
-- feeds: tracks
-- scope: track
-- An older run date does not overwrite newer rows, and a source without labels does not remove labels that are known.
SELECT
    accepted.* EXCLUDE (row_id, artist_key, quarantine_id, music_genre),
    coalesce(accepted.music_genre, tracks.music_genre) AS music_genre,
    least(tracks.first_run_date, run.run_date) AS first_run_date,
    run.run_date AS last_run_date
FROM accepted
CROSS JOIN run
LEFT JOIN tracks USING (track_id)
WHERE tracks.last_run_date IS NULL OR tracks.last_run_date <= run.run_date
