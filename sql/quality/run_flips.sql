-- The flips of this run.
-- reads: flips, run
-- makes: run_flips (view)
-- scope: run
SELECT flips.*
FROM flips
SEMI JOIN run USING (run_id)
