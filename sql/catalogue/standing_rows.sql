-- What the standing deliveries say of each track as of a date: for each job, its row, and the run date that the row is of.
-- reads: track_history, standing_deliveries, held_back, as_of
-- makes: standing_rows (view)
-- scope: track
-- A snapshot ends every older row of its job, other than those of tracks that were held back in it.
WITH deliveries AS (
    SELECT standing.job, standing.run_date, standing.delivery = 'snapshot' AS is_snapshot
    FROM standing_deliveries AS standing
    CROSS JOIN as_of
    WHERE standing.run_date <= as_of.run_date
),

newest AS (
    SELECT
        job,
        max(run_date) AS run_date,
        max(run_date) FILTER (is_snapshot) AS snapshot_date
    FROM deliveries
    GROUP BY job
),

held AS (SELECT DISTINCT job, track_id FROM held_back),

newest_without AS (
    SELECT held.job, held.track_id, max(deliveries.run_date) AS snapshot_date
    FROM held
    LEFT JOIN deliveries
        ON deliveries.job = held.job
        AND deliveries.is_snapshot
        AND (deliveries.job, deliveries.run_date, held.track_id) NOT IN (SELECT (job, run_date, track_id) FROM held_back)
    GROUP BY held.job, held.track_id
),

dated AS (
    SELECT
        history.*,
        CASE
            WHEN history.from_run_date > as_of.run_date THEN history.since
            ELSE least(history.to_run_date, coalesce(newest.run_date, history.to_run_date))
        END AS run_date,
        CASE
            WHEN history.from_run_date > as_of.run_date THEN NULL
            WHEN newest_without.track_id IS NOT NULL THEN newest_without.snapshot_date
            ELSE newest.snapshot_date
        END AS snapshot_date
    FROM track_history AS history
    CROSS JOIN as_of
    LEFT JOIN newest USING (job)
    LEFT JOIN newest_without USING (job, track_id)
    WHERE history.since <= as_of.run_date
)

SELECT
    dated.* EXCLUDE (snapshot_date),
    standing.delivered_at
FROM dated
LEFT JOIN standing_deliveries AS standing USING (job, run_date)
WHERE dated.run_date >= coalesce(dated.snapshot_date, dated.run_date)
