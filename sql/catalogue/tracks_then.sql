-- The tracks that were known on a date: of each, the newest row; of one run date, that of the later run.
-- reads: standing_rows
-- makes: tracks_then (table)
-- scope: track
FROM standing_rows
QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY run_date DESC, delivered_at DESC NULLS LAST, from_run_date) = 1
