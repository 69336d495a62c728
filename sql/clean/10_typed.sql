-- What each cell of the received text means. One row in, one row out, in source order.
-- Sentinels become NULL: '?' anywhere a number is due, -1 durations, tempo 0 (no beat found), 'empty_field' artists.
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
    word("key") AS "key",
    number(liveness) AS liveness,
    number(loudness) AS loudness,
    word("mode") AS "mode",
    number(speechiness) AS speechiness,
    nullif(number(tempo), 0) AS tempo,
    number(valence) AS valence,
    word(obtained_date) AS obtained_date,
    word(music_genre) AS music_genre,
    word(quarantine_id) AS quarantine_id,
    CASE
        WHEN word(instance_id) IS NOT NULL THEN false
        ELSE coalesce(
            word(instance_id), word(artist_name), word(track_name), word(popularity), word(acousticness), word(danceability),
            word(duration_ms), word(energy), word(instrumentalness), word("key"), word(liveness), word(loudness), word("mode"),
            word(speechiness), word(tempo), word(valence), word(obtained_date), word(music_genre)
        ) IS NULL
    END AS is_empty
FROM received AS r
