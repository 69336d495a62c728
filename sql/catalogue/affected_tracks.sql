-- Tracks of whose rows another one may be current after this delivery.
-- reads: replaced_rows, added_tracks, same_rows, track_history, labels, delivery_dates, accepted, run
-- makes: affected_tracks (table)
-- scope: track
SELECT track_id FROM replaced_rows
UNION
SELECT track_id FROM added_tracks SEMI JOIN track_history USING (track_id)
UNION
SELECT track_id FROM added_tracks SEMI JOIN labels USING (track_id)
UNION
SELECT track_id FROM added_tracks SEMI JOIN (FROM delivery_dates WHERE after_date IS NOT NULL) AS later ON true
UNION
SELECT track_id FROM same_rows WHERE NOT stays_current
UNION
SELECT track_id
FROM track_history AS held
SEMI JOIN (FROM run SEMI JOIN (FROM delivery_dates WHERE redraws) AS redrawn ON true) AS drawn
    ON held.job = drawn.job AND held.to_run_date < drawn.run_date
ANTI JOIN accepted USING (track_id)
