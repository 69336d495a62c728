-- The cleaned current state of every track that the standing deliveries hold.
-- reads: track_history
SELECT
    * EXCLUDE (job, from_run_date, to_run_date, since, is_current, first_run_date, music_genre, known_genre, artist_key, received_hash),
    known_genre AS music_genre,
    first_run_date,
    to_run_date AS last_run_date
FROM track_history
WHERE is_current
