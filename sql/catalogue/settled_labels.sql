-- Labels that settled rows alone would still tell, with the run that delivered them.
-- reads: settled_rows, track_history, labels, standing_deliveries
-- makes: settled_labels (table)
-- feeds: labels
-- scope: track
WITH told AS (
    SELECT
        track_id,
        max(to_run_date) AS run_date,
        arg_max(music_genre, to_run_date) AS music_genre,
        arg_max(job, to_run_date) AS job
    FROM settled_rows
    WHERE music_genre IS NOT NULL
    GROUP BY track_id
),

newer AS (
    SELECT history.track_id, history.to_run_date AS run_date
    FROM track_history AS history
    ANTI JOIN settled_rows USING (job, track_id, from_run_date)
    WHERE history.music_genre IS NOT NULL
    UNION ALL
    SELECT track_id, run_date
    FROM labels
)

SELECT told.track_id, told.music_genre, told.run_date, standing.run_id
FROM told
ANTI JOIN newer ON newer.track_id = told.track_id AND newer.run_date >= told.run_date
LEFT JOIN standing_deliveries AS standing USING (job, run_date)
