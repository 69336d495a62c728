-- Accepted tracks whose prediction of the run date before this run continues: it would score them the same.
-- reads: scorable, same_rows, prediction_history, delivery_dates, run
-- makes: continued_predictions (table)
-- feeds: prediction_history
-- scope: artist
-- The track was delivered then as it is now, and its artist's profile is the one that it was scored with. That bundle and contracts
-- are the same is asked of the run as a whole. A profile of an older state has no version, and is like no other.
SELECT
    scorable.row_id,
    scorable.label,
    history.rowid AS history_row
FROM scorable
INNER JOIN same_rows USING (row_id)
INNER JOIN delivery_dates ON same_rows.from_run_date <= delivery_dates.before_date
INNER JOIN run ON true
INNER JOIN prediction_history AS history
    ON history.job = run.job
    AND history.track_id = same_rows.track_id
    AND history.to_run_date = delivery_dates.before_date
WHERE scorable.artist_position = 0 OR scorable.profile_version = history.profile_version
