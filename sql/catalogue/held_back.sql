-- Tracks of a snapshot whose row was quarantined: they are in it, so what is known of them stands.
-- reads: quarantine, standing_deliveries
-- makes: held_back (view)
-- scope: track
SELECT DISTINCT
    standing.job,
    standing.run_date,
    quarantine.track_id
FROM quarantine
INNER JOIN standing_deliveries AS standing USING (run_id)
WHERE standing.delivery = 'snapshot' AND quarantine.track_id IS NOT NULL
