-- What each received cell means: numbers, words, names and ids; sentinels become NULL.
-- reads: received
-- makes: typed (view)
-- scope: row
-- '?' stands for a missing number, -1 for a duration and 0 for a tempo (no beat found) that are not known, 'empty_field'
-- for a missing artist.
SELECT
    r AS received,
    track_id_of(instance_id) AS track_id,
    nullif(tidy(artist_name), 'empty_field') AS artist_name,
    tidy(track_name) AS track_name,
    number(popularity) AS popularity,
    number(acousticness) AS acousticness,
    number(danceability) AS danceability,
    nullif(number(duration_ms), -1) AS duration_ms,
    number(energy) AS energy,
    number(instrumentalness) AS instrumentalness,
    trimmed("key") AS "key",
    number(liveness) AS liveness,
    number(loudness) AS loudness,
    trimmed("mode") AS "mode",
    number(speechiness) AS speechiness,
    nullif(number(tempo), 0) AS tempo,
    trimmed(obtained_date) AS obtained_date,
    number(valence) AS valence,
    trimmed(music_genre) AS music_genre,
    trimmed(quarantine_id) AS quarantine_id,
    CASE WHEN trimmed(instance_id) IS NOT NULL THEN false ELSE filled(r) = filled({'id': quarantine_id}) END AS is_empty
FROM received AS r
