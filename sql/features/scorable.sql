-- What the catalogue adds to each accepted row: the imputed duration, how many of the artist's tracks are visible, the known label.
-- reads: accepted, medians, artist_positions, known_labels
-- makes: scorable (table)
-- scope: artist
-- A missing duration is the artist's median, else the bundle's global median. Any other missing audio feature stays NULL: the
-- graph imputes it. The label is its position among {genres}; it is no feature, and measures the answers.
SELECT
    accepted.row_id,
    coalesce(artists.artist_position, 0) AS artist_position,
    coalesce(accepted.duration_ms, artists.duration_ms_median, medians.duration_ms) AS duration_ms,
    coalesce(artists.tracks, 0) AS artist_tracks,
    artists.version AS profile_version,
    list_position(
        [{genres}], CASE WHEN known_labels.row_id IS NULL THEN accepted.music_genre ELSE known_labels.music_genre END
    )::UTINYINT - 1 AS label,
    CASE
        WHEN accepted.popularity IS NOT NULL
            AND accepted.acousticness IS NOT NULL
            AND accepted.danceability IS NOT NULL
            AND accepted.duration_ms IS NOT NULL
            AND accepted.energy IS NOT NULL
            AND accepted.instrumentalness IS NOT NULL
            AND accepted."key" IS NOT NULL
            AND accepted.liveness IS NOT NULL
            AND accepted.loudness IS NOT NULL
            AND accepted."mode" IS NOT NULL
            AND accepted.speechiness IS NOT NULL
            AND accepted.tempo IS NOT NULL
            AND accepted.valence IS NOT NULL
            THEN []
        ELSE list_filter(
            [
                CASE WHEN accepted.popularity IS NULL THEN 'popularity' END,
                CASE WHEN accepted.acousticness IS NULL THEN 'acousticness' END,
                CASE WHEN accepted.danceability IS NULL THEN 'danceability' END,
                CASE WHEN accepted.duration_ms IS NULL THEN 'duration_ms' END,
                CASE WHEN accepted.energy IS NULL THEN 'energy' END,
                CASE WHEN accepted.instrumentalness IS NULL THEN 'instrumentalness' END,
                CASE WHEN accepted."key" IS NULL THEN 'key' END,
                CASE WHEN accepted.liveness IS NULL THEN 'liveness' END,
                CASE WHEN accepted.loudness IS NULL THEN 'loudness' END,
                CASE WHEN accepted."mode" IS NULL THEN 'mode' END,
                CASE WHEN accepted.speechiness IS NULL THEN 'speechiness' END,
                CASE WHEN accepted.tempo IS NULL THEN 'tempo' END,
                CASE WHEN accepted.valence IS NULL THEN 'valence' END
            ],
            lambda name: name IS NOT NULL
        )
    END AS imputed
FROM accepted
CROSS JOIN medians
LEFT JOIN artist_positions AS artists USING (artist_key)
LEFT JOIN known_labels USING (row_id)
