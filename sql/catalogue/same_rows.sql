-- Rows of the history that say of an accepted track what this delivery says: on this run date, or on the job's one before.
-- reads: accepted, track_history, run, delivery_dates
-- makes: same_rows (table)
-- scope: track
SELECT
    accepted.row_id,
    accepted.track_id,
    held.from_run_date,
    held.to_run_date >= run.run_date AS is_held,
    held.is_current AND (held.music_genre IS NULL OR held.music_genre IS NOT DISTINCT FROM held.known_genre) AS stays_current
FROM accepted
CROSS JOIN run
CROSS JOIN delivery_dates
INNER JOIN track_history AS held
    ON held.track_id = accepted.track_id
    AND held.job = run.job
    AND (held.to_run_date = delivery_dates.before_date OR run.run_date BETWEEN held.from_run_date AND held.to_run_date)
    AND held.artist_name IS NOT DISTINCT FROM accepted.artist_name
    AND held.track_name IS NOT DISTINCT FROM accepted.track_name
    AND held.popularity IS NOT DISTINCT FROM accepted.popularity
    AND held.acousticness IS NOT DISTINCT FROM accepted.acousticness
    AND held.danceability IS NOT DISTINCT FROM accepted.danceability
    AND held.duration_ms IS NOT DISTINCT FROM accepted.duration_ms
    AND held.energy IS NOT DISTINCT FROM accepted.energy
    AND held.instrumentalness IS NOT DISTINCT FROM accepted.instrumentalness
    AND held."key" IS NOT DISTINCT FROM accepted."key"
    AND held.liveness IS NOT DISTINCT FROM accepted.liveness
    AND held.loudness IS NOT DISTINCT FROM accepted.loudness
    AND held."mode" IS NOT DISTINCT FROM accepted."mode"
    AND held.speechiness IS NOT DISTINCT FROM accepted.speechiness
    AND held.tempo IS NOT DISTINCT FROM accepted.tempo
    AND held.obtained_date IS NOT DISTINCT FROM accepted.obtained_date
    AND held.valence IS NOT DISTINCT FROM accepted.valence
    AND held.music_genre IS NOT DISTINCT FROM accepted.music_genre
