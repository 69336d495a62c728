-- Rows of the job's history that no run date after the settled ones needs: newer rows of the job, or a snapshot, ended them.
-- reads: standing_rows, track_history, run, as_of
-- makes: settled_rows (table)
-- scope: track
SELECT history.*
FROM track_history AS history
SEMI JOIN run USING (job)
CROSS JOIN as_of
ANTI JOIN (
    SELECT job, track_id, from_run_date
    FROM standing_rows
    SEMI JOIN run USING (job)
    WHERE from_run_date <= (SELECT run_date FROM as_of)
    QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY from_run_date DESC) = 1
) AS standing USING (job, track_id, from_run_date)
WHERE history.to_run_date <= as_of.run_date
