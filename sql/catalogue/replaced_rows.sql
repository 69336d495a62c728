-- Rows of the history that this delivery takes back on its run date: it lacks the track, or says something else.
-- reads: track_history, run, delivery_dates, same_rows, accepted
-- makes: replaced_rows (table)
-- feeds: track_history
-- scope: track
-- A replay adds to the delivery of its date, and so does a delivery of a date that keep_days has settled: they replace the
-- tracks that they have.
WITH held AS MATERIALIZED (
    SELECT
        held.*,
        held.rowid AS history_row
    FROM track_history AS held
    SEMI JOIN run ON held.job = run.job AND run.run_date BETWEEN held.from_run_date AND held.to_run_date
),

other AS MATERIALIZED (
    FROM held
    ANTI JOIN (FROM same_rows WHERE is_held) AS same USING (history_row)
)

FROM other
WHERE (SELECT takes_back FROM delivery_dates)
UNION ALL
FROM other
SEMI JOIN accepted USING (track_id)
WHERE NOT (SELECT takes_back FROM delivery_dates)
