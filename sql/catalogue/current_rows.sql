-- For affected tracks: the row that is current, the first run date, and the newest label; none where the track is withdrawn.
-- reads: standing_rows, affected_tracks, track_history, labels, standing_deliveries
-- makes: current_rows (table)
-- feeds: track_history
-- scope: track
-- A label of genrepipe labels is newer than one that was delivered for the same run date.
WITH current_row AS (
    SELECT job, track_id, from_run_date
    FROM standing_rows
    SEMI JOIN affected_tracks USING (track_id)
    QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY run_date DESC, delivered_at DESC NULLS LAST, from_run_date) = 1
),

first_dates AS (
    SELECT track_id, min(since) AS first_run_date
    FROM track_history
    SEMI JOIN affected_tracks USING (track_id)
    GROUP BY track_id
),

known_labels AS (
    SELECT track_id, music_genre, to_run_date AS run_date, standing.delivered_at
    FROM track_history
    SEMI JOIN affected_tracks USING (track_id)
    LEFT JOIN standing_deliveries AS standing
        ON standing.job = track_history.job AND standing.run_date = track_history.to_run_date
    WHERE music_genre IS NOT NULL
    UNION ALL
    SELECT track_id, music_genre, run_date, 'infinity'::TIMESTAMP AS delivered_at
    FROM labels
    SEMI JOIN affected_tracks USING (track_id)
),

newest_label AS (
    SELECT track_id, arg_max(music_genre, (run_date, coalesce(delivered_at, '-infinity'::TIMESTAMP))) AS known_genre
    FROM known_labels
    GROUP BY track_id
)

SELECT
    current_row.*,
    first_dates.first_run_date,
    newest_label.known_genre
FROM current_row
INNER JOIN first_dates USING (track_id)
LEFT JOIN newest_label USING (track_id)
