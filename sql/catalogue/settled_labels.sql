-- Labels that settled rows alone would still tell, with the run that delivered them.
-- reads: settled_rows, track_history, labels, standing_deliveries, run, as_of
-- makes: settled_labels (table)
-- feeds: labels
-- scope: track
-- A newer label counts only where no delivery can take it back: of a settled date of the job, or of genrepipe labels.
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
    SELECT
        history.track_id,
        CASE WHEN run.job IS NOT NULL AND history.from_run_date <= as_of.run_date THEN least(history.to_run_date, as_of.run_date) END AS stays_from,
        history.to_run_date AS run_date
    FROM track_history AS history
    CROSS JOIN as_of
    LEFT JOIN run USING (job)
    ANTI JOIN settled_rows USING (job, track_id, from_run_date)
    WHERE history.music_genre IS NOT NULL
    UNION ALL
    SELECT track_id, run_date AS stays_from, run_date
    FROM labels
)

SELECT told.track_id, told.music_genre, told.run_date, standing.run_id
FROM told
ANTI JOIN newer
    ON newer.track_id = told.track_id
    AND (newer.run_date = told.run_date OR newer.stays_from >= told.run_date)
LEFT JOIN standing_deliveries AS standing USING (job, run_date)
