-- The prediction of a track and what it rests on: FROM explain_track('42').
-- parameters: id
-- reads: predictions_latest, tracks
-- Its genres by probability, then its features beside the mean of the artist's tracks and the median of those with the
-- same answer. A feature without a value was imputed. A table macro is stored as it was parsed, and DuckDB 1.4.0 reads none with
-- WITH, 1.5.0 none with UNPIVOT.
SELECT what, name, probability, value, artist_mean, genre_median
FROM (
    SELECT
        'genre' AS what,
        key AS name,
        round(value, 3) AS probability,
        NULL::DOUBLE AS value,
        NULL::DOUBLE AS artist_mean,
        NULL::DOUBLE AS genre_median
    FROM (
        SELECT unnest(map_entries(CAST(to_json(probabilities) AS MAP(VARCHAR, DOUBLE))), recursive := true)
        FROM predictions_latest
        WHERE track_id = id
    )
    UNION ALL
    SELECT
        'feature' AS what,
        name,
        NULL::DOUBLE AS probability,
        round(max(value) FILTER (WHERE itself), 3) AS value,
        round(avg(value) FILTER (WHERE same_artist), 3) AS artist_mean,
        round(median(value) FILTER (WHERE same_answer), 3) AS genre_median
    FROM (
        SELECT
            tracks.track_id = answer.track_id AS itself,
            coalesce(artist_key_of(tracks.artist_name) = artist_key_of(answer.artist_name), false) AS same_artist,
            latest.genre = answer.genre AS same_answer,
            unnest([
                'popularity', 'acousticness', 'danceability', 'duration_s', 'energy', 'instrumentalness', 'liveness', 'loudness_db',
                'speechiness', 'tempo_bpm', 'valence'
            ]) AS name,
            unnest([
                popularity::DOUBLE, acousticness, danceability, duration_ms / 1000, energy, instrumentalness, liveness, loudness,
                speechiness, tempo, valence
            ]) AS value
        FROM tracks
        INNER JOIN predictions_latest AS latest USING (track_id)
        CROSS JOIN (FROM predictions_latest WHERE track_id = id) AS answer
        WHERE itself OR same_artist OR same_answer
    )
    GROUP BY name
)
ORDER BY what DESC, probability DESC, name
