-- Tracks of the job's run date before that are not in this snapshot, neither accepted nor quarantined.
-- reads: standing_rows, accepted, quarantined, run
-- makes: withdrawn_tracks (view)
-- scope: track
SELECT standing_rows.track_id
FROM standing_rows
SEMI JOIN run USING (job)
ANTI JOIN accepted USING (track_id)
ANTI JOIN quarantined USING (track_id)
