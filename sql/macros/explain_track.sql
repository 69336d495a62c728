-- The prediction of a track and what it rests on: FROM explain_track('42').
-- parameters: id
-- reads: predictions_latest, tracks
-- Its genres by probability, then its features beside the mean of the artist's tracks and the median of those with the
-- same answer. A feature without a value was imputed.
WITH answer AS (
    SELECT * FROM predictions_latest WHERE track_id = id
),

near AS (
    SELECT
        tracks.*,
        tracks.track_id = id AS itself,
        coalesce(artist_key_of(tracks.artist_name) = artist_key_of((SELECT artist_name FROM answer)), false) AS same_artist,
        latest.genre = (SELECT genre FROM answer) AS same_answer
    FROM tracks
    INNER JOIN predictions_latest AS latest USING (track_id)
),

features AS (
    SELECT itself, same_artist, same_answer, name, value
    FROM near
    UNPIVOT INCLUDE NULLS (
        value FOR name IN (
            popularity, acousticness, danceability, duration_ms, energy, instrumentalness, liveness, loudness, speechiness, tempo,
            valence
        )
    )
    WHERE itself OR same_artist OR same_answer
)

SELECT 'genre' AS what, name, value::DOUBLE AS value, NULL::DOUBLE AS artist_mean, NULL::DOUBLE AS genre_median
FROM (UNPIVOT (SELECT unnest(probabilities) FROM answer) ON COLUMNS(*) INTO NAME name VALUE value)
UNION ALL
SELECT
    'feature' AS what,
    name,
    max(value) FILTER (WHERE itself) AS value,
    avg(value) FILTER (WHERE same_artist) AS artist_mean,
    median(value) FILTER (WHERE same_answer) AS genre_median
FROM features
WHERE EXISTS (FROM answer)
GROUP BY name
ORDER BY what DESC, value DESC
