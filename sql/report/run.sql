-- The run of the report, as the ledger has it.
-- reads: runs
SELECT * EXCLUDE (read_as, profile)
FROM runs
WHERE run_id = {run_id}
