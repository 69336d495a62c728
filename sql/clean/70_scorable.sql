-- Accepted rows, ready for features: the duration is imputed here, by the artist's median, else by the bundle's
-- global median; the tempo is left NULL, since the bundle's own graph imputes it.
SELECT
    accepted.row_id,
    accepted.track_id,
    accepted.artist_name,
    accepted.track_name,
    accepted.popularity,
    accepted.acousticness,
    accepted.danceability,
    coalesce(accepted.duration_ms, artist_profiles.duration_ms_median, medians.duration_ms) AS duration_ms,
    accepted.energy,
    accepted.instrumentalness,
    accepted."key",
    accepted.liveness,
    accepted.loudness,
    accepted."mode",
    accepted.speechiness,
    accepted.tempo,
    accepted.valence,
    coalesce(artist_profiles.tracks, 0) AS artist_tracks,
    CASE
        WHEN accepted.duration_ms IS NULL AND accepted.tempo IS NULL THEN ['duration_ms', 'tempo']
        WHEN accepted.duration_ms IS NULL THEN ['duration_ms']
        WHEN accepted.tempo IS NULL THEN ['tempo']
        ELSE []
    END AS imputed
FROM accepted
CROSS JOIN medians
LEFT JOIN artist_profiles USING (artist_key)
