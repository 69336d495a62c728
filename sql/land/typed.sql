-- What each received cell means: numbers, words, names and ids; sentinels become NULL.
-- reads: received
-- makes: typed (view)
-- scope: row
-- A duration of -1 and a tempo of 0 (no beat found) are not known.
SELECT
    r AS received,
    track_id_of(instance_id) AS track_id,
    artist_of(artist_name) AS artist_name,
    title_of(track_name) AS track_name,
    number(popularity) AS popularity,
    number(acousticness) AS acousticness,
    number(danceability) AS danceability,
    nullif(number(duration_ms), -1) AS duration_ms,
    number(energy) AS energy,
    number(instrumentalness) AS instrumentalness,
    key_of("key") AS "key",
    number(liveness) AS liveness,
    number(loudness) AS loudness,
    mode_of("mode") AS "mode",
    number(speechiness) AS speechiness,
    nullif(number(tempo), 0) AS tempo,
    trimmed(obtained_date) AS obtained_date,
    number(valence) AS valence,
    CASE WHEN NOT is_missing(music_genre) THEN trimmed(music_genre) END AS music_genre,
    trimmed(quarantine_id) AS quarantine_id,
    CASE WHEN track_id_of(instance_id) IS NOT NULL THEN false ELSE filled(r) = filled({'id': quarantine_id}) END AS is_empty
FROM received AS r
