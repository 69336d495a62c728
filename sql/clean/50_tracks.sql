-- The accepted rows as the catalogue keeps them. A backfilled older date does not overwrite what is newer, and a source
-- without labels does not take away those that came later.
SELECT
    accepted.track_id,
    accepted.artist_name,
    accepted.track_name,
    accepted.popularity,
    accepted.acousticness,
    accepted.danceability,
    accepted.duration_ms,
    accepted.energy,
    accepted.instrumentalness,
    accepted."key",
    accepted.liveness,
    accepted.loudness,
    accepted."mode",
    accepted.speechiness,
    accepted.tempo,
    accepted.valence,
    accepted.obtained_date,
    coalesce(accepted.music_genre, tracks.music_genre) AS music_genre,
    least(tracks.first_run_date, run.run_date) AS first_run_date,
    run.run_date AS last_run_date
FROM accepted
CROSS JOIN run
LEFT JOIN tracks USING (track_id)
WHERE tracks.last_run_date IS NULL OR tracks.last_run_date <= run.run_date
