-- Rows that a later row of the same track replaces: the last in source order stands.
-- reads: landed
-- makes: superseded (table)
-- scope: track
-- A row that says the same is a duplicate; one that says something else contradicts, and is quarantined. A label that
-- differs contradicts nothing: some catalogues list a track once for each of its genres.
WITH repeated AS (
    SELECT track_id
    FROM landed
    WHERE NOT is_empty AND broken_rules IS NULL
    GROUP BY track_id
    HAVING count(*) > 1
),

candidates AS (
    SELECT
        row_id,
        track_id,
        music_genre,
        row(*COLUMNS(* EXCLUDE (row_id, quarantine_id, music_genre, is_empty, broken_rules, received, artist_key, received_hash))) AS content
    FROM landed
    SEMI JOIN repeated USING (track_id)
    WHERE NOT is_empty AND broken_rules IS NULL
),

beside_the_last AS (
    SELECT
        row_id,
        content,
        music_genre,
        last(music_genre) OVER same_track AS last_music_genre,
        last(row_id) OVER same_track AS last_row_id,
        last(content) OVER same_track AS last_content
    FROM candidates
    WINDOW same_track AS (
        PARTITION BY track_id ORDER BY row_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
)

SELECT
    row_id,
    content IS DISTINCT FROM last_content AS contradicts,
    coalesce(music_genre <> last_music_genre, false) AS relabels
FROM beside_the_last
WHERE row_id <> last_row_id
