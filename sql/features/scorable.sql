-- What the catalogue adds to each accepted row: the imputed duration and how many of the artist's tracks are visible.
-- reads: accepted, medians, profiles
-- makes: scorable (table)
-- scope: artist
-- A missing duration is the artist's median, else the bundle's global median. A missing tempo stays NULL: the graph imputes it.
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
