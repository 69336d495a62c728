-- Aggregates of each artist's visible tracks. No label enters.
-- reads: visible_tracks
-- makes: profiles (table)
-- feeds: artist_profiles
-- scope: artist
WITH unskewed AS (
    SELECT
        artist_key_of(artist_name) AS artist_key,
        duration_ms AS known_duration_ms,
        popularity,
        unskewed_share(acousticness) AS acousticness,
        danceability,
        CASE WHEN duration_ms IS NOT NULL THEN ln(greatest(duration_ms, 1)) END AS duration_ms,
        unskewed_share(energy) AS energy,
        ln(instrumentalness + 0.0001) AS instrumentalness,
        ln(liveness + 0.02) AS liveness,
        unskewed_loudness(loudness) AS loudness,
        CASE WHEN "mode" = 'Minor' THEN 1 ELSE 0 END AS "mode",
        ln(greatest(speechiness, 0.001)) AS speechiness,
        tempo,
        valence
    FROM visible_tracks
    WHERE artist_name IS NOT NULL
)

SELECT
    artist_key,
    count(*)::INTEGER AS tracks,
    median(known_duration_ms)::FLOAT AS duration_ms_median,
    count(duration_ms)::INTEGER AS durations,
    count(tempo)::INTEGER AS tempos,
    avg(popularity)::FLOAT AS popularity_mean,
    var_pop(popularity)::FLOAT AS popularity_variance,
    avg(acousticness)::FLOAT AS acousticness_mean,
    var_pop(acousticness)::FLOAT AS acousticness_variance,
    avg(danceability)::FLOAT AS danceability_mean,
    var_pop(danceability)::FLOAT AS danceability_variance,
    avg(duration_ms)::FLOAT AS duration_ms_mean,
    var_pop(duration_ms)::FLOAT AS duration_ms_variance,
    avg(energy)::FLOAT AS energy_mean,
    var_pop(energy)::FLOAT AS energy_variance,
    avg(instrumentalness)::FLOAT AS instrumentalness_mean,
    var_pop(instrumentalness)::FLOAT AS instrumentalness_variance,
    avg(liveness)::FLOAT AS liveness_mean,
    var_pop(liveness)::FLOAT AS liveness_variance,
    avg(loudness)::FLOAT AS loudness_mean,
    var_pop(loudness)::FLOAT AS loudness_variance,
    avg("mode")::FLOAT AS mode_mean,
    var_pop("mode")::FLOAT AS mode_variance,
    avg(speechiness)::FLOAT AS speechiness_mean,
    var_pop(speechiness)::FLOAT AS speechiness_variance,
    avg(tempo)::FLOAT AS tempo_mean,
    var_pop(tempo)::FLOAT AS tempo_variance,
    avg(valence)::FLOAT AS valence_mean,
    var_pop(valence)::FLOAT AS valence_variance
FROM unskewed
GROUP BY ALL
