-- The cleaned current state of every track that the standing deliveries hold.
-- reads: track_history
SELECT
    track_id,
    artist_name,
    track_name,
    popularity,
    acousticness,
    danceability,
    duration_ms,
    energy,
    instrumentalness,
    "key",
    liveness,
    loudness,
    "mode",
    speechiness,
    tempo,
    valence,
    obtained_date,
    known_genre AS music_genre,
    first_run_date,
    to_run_date AS last_run_date
FROM track_history
WHERE is_current
