-- What the catalogue adds to each accepted row: the duration is imputed by the artist's median, else by the bundle's
-- global median; the tempo is left NULL, since the bundle's own graph imputes it. In source order.
SELECT
    accepted.row_id,
    accepted.artist_key,
    coalesce(accepted.duration_ms, profiles.duration_ms_median, medians.duration_ms) AS duration_ms,
    coalesce(profiles.tracks, 0) AS artist_tracks,
    CASE
        WHEN accepted.duration_ms IS NULL AND accepted.tempo IS NULL THEN ['duration_ms', 'tempo']
        WHEN accepted.duration_ms IS NULL THEN ['duration_ms']
        WHEN accepted.tempo IS NULL THEN ['tempo']
        ELSE []
    END AS imputed
FROM accepted
CROSS JOIN medians
LEFT JOIN profiles USING (artist_key)
