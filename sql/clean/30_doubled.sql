-- Rows that another row of the same track replaces: the last in source order stands.
-- A row that says the same is a duplicate; one that says something else contradicts, and is quarantined.
WITH doubled AS (
    SELECT track_id
    FROM landed
    WHERE NOT is_empty AND broken_rules IS NULL
    GROUP BY track_id
    HAVING count(*) > 1
),

candidates AS (
    SELECT
        landed.rowid AS row_id,
        landed.track_id,
        row(
            artist_name, track_name, popularity, acousticness, danceability, duration_ms, energy, instrumentalness, "key",
            liveness, loudness, "mode", speechiness, tempo, valence, obtained_date, music_genre
        ) AS content
    FROM landed
    SEMI JOIN doubled USING (track_id)
    WHERE NOT is_empty AND broken_rules IS NULL
),

beside_the_last AS (
    SELECT
        row_id,
        content,
        last(row_id) OVER same_track AS last_row_id,
        last(content) OVER same_track AS last_content
    FROM candidates
    WINDOW same_track AS (
        PARTITION BY track_id ORDER BY row_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
)

SELECT
    row_id,
    content IS DISTINCT FROM last_content AS contradicts
FROM beside_the_last
WHERE row_id <> last_row_id
