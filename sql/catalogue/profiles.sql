-- Aggregates of each artist's visible tracks. No label enters.
-- reads: visible_tracks
-- makes: profiles (view)
-- feeds: artist_profiles
-- scope: artist
-- Every mean and variance is over the known values, which the count beside it counts.
WITH unskewed AS (
    SELECT
        artist_key,
        duration_ms AS known_duration_ms,
        popularity,
        unskewed_share(acousticness) AS acousticness,
        danceability,
        ln(at_least(duration_ms, 1)) AS duration_ms,
        unskewed_share(energy) AS energy,
        ln(instrumentalness + 0.0001) AS instrumentalness,
        ln(liveness + 0.02) AS liveness,
        unskewed_loudness(loudness) AS loudness,
        ("mode" = 'Minor')::INTEGER AS "mode",
        ln(at_least(speechiness, 0.001)) AS speechiness,
        tempo,
        valence
    FROM visible_tracks
    WHERE artist_key IS NOT NULL
)

SELECT
    artist_key,
    count(*)::INTEGER AS tracks,
    median(known_duration_ms)::FLOAT AS duration_ms_median,
    count(popularity)::INTEGER AS popularity_count,
    avg(popularity)::FLOAT AS popularity_mean,
    var_pop(popularity)::FLOAT AS popularity_variance,
    count(acousticness)::INTEGER AS acousticness_count,
    avg(acousticness)::FLOAT AS acousticness_mean,
    var_pop(acousticness)::FLOAT AS acousticness_variance,
    count(danceability)::INTEGER AS danceability_count,
    avg(danceability)::FLOAT AS danceability_mean,
    var_pop(danceability)::FLOAT AS danceability_variance,
    count(duration_ms)::INTEGER AS duration_ms_count,
    avg(duration_ms)::FLOAT AS duration_ms_mean,
    var_pop(duration_ms)::FLOAT AS duration_ms_variance,
    count(energy)::INTEGER AS energy_count,
    avg(energy)::FLOAT AS energy_mean,
    var_pop(energy)::FLOAT AS energy_variance,
    count(instrumentalness)::INTEGER AS instrumentalness_count,
    avg(instrumentalness)::FLOAT AS instrumentalness_mean,
    var_pop(instrumentalness)::FLOAT AS instrumentalness_variance,
    count(liveness)::INTEGER AS liveness_count,
    avg(liveness)::FLOAT AS liveness_mean,
    var_pop(liveness)::FLOAT AS liveness_variance,
    count(loudness)::INTEGER AS loudness_count,
    avg(loudness)::FLOAT AS loudness_mean,
    var_pop(loudness)::FLOAT AS loudness_variance,
    count("mode")::INTEGER AS mode_count,
    avg("mode")::FLOAT AS mode_mean,
    var_pop("mode")::FLOAT AS mode_variance,
    count(speechiness)::INTEGER AS speechiness_count,
    avg(speechiness)::FLOAT AS speechiness_mean,
    var_pop(speechiness)::FLOAT AS speechiness_variance,
    count(tempo)::INTEGER AS tempo_count,
    avg(tempo)::FLOAT AS tempo_mean,
    var_pop(tempo)::FLOAT AS tempo_variance,
    count(valence)::INTEGER AS valence_count,
    avg(valence)::FLOAT AS valence_mean,
    var_pop(valence)::FLOAT AS valence_variance,
    NULL::INTEGER AS version
FROM unskewed
GROUP BY ALL
