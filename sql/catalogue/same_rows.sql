-- Rows of the history that say of an accepted track what this delivery says: on this run date, or on the job's one before.
-- reads: cleaned, known_rows, track_history, run, delivery_dates
-- makes: same_rows (table)
-- scope: track
-- {values} are the columns of the history that a delivery has. Their hash, of 64 bits, stands in for them: to compare each would
-- take three times as long and spill, and that a track's changed values have its old hash is one chance in 10^19.
WITH delivered AS (
    SELECT row_id, track_id, hash({values}) AS content
    FROM cleaned
    WHERE EXISTS (FROM track_history)
),

same AS (
    SELECT
        delivered.row_id,
        held.history_row
    FROM delivered
    CROSS JOIN run
    CROSS JOIN delivery_dates
    INNER JOIN (
        SELECT job, track_id, from_run_date, to_run_date, rowid AS history_row, hash({values}) AS content
        FROM track_history
        SEMI JOIN delivered USING (track_id)
    ) AS held
        ON held.track_id = delivered.track_id
        AND held.content = delivered.content
        AND held.job = run.job
        AND (held.to_run_date = delivery_dates.before_date OR run.run_date BETWEEN held.from_run_date AND held.to_run_date)
    UNION ALL
    FROM known_rows
)

SELECT
    same.row_id,
    held.track_id,
    same.history_row,
    held.from_run_date,
    held.to_run_date >= run.run_date AS is_held,
    held.music_genre,
    held.known_genre,
    held.is_current AND (held.music_genre IS NULL OR held.music_genre IS NOT DISTINCT FROM held.known_genre) AS stays_current
FROM same
INNER JOIN track_history AS held ON held.rowid = same.history_row
CROSS JOIN run
