-- Rows of the history that this delivery continues by one run date.
-- reads: same_rows
-- makes: continued_rows (view)
-- feeds: track_history
-- scope: track
SELECT history_row
FROM same_rows
WHERE NOT is_held AND row_id NOT IN (SELECT row_id FROM same_rows WHERE is_held)
