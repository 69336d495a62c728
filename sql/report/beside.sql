-- What stands beside the run: another run that published its date, the job's newest date, and what was published last of all.
-- reads: runs, quarantine
SELECT
    arg_max(run_id, finished_at) FILTER (WHERE of_job AND run_date = {run_date} AND run_id <> {run_id}) AS other_run_id,
    max(finished_at) FILTER (WHERE of_job AND run_date = {run_date} AND run_id <> {run_id}) AS other_finished_at,
    max(run_date) FILTER (WHERE of_job) AS newest_date,
    (SELECT arg_max(run_id, finished_at) FROM runs WHERE status = 'published') AS last_run_id,
    (SELECT count(*) FROM quarantine WHERE run_id = {run_id} AND resolved_by IS NULL) AS open_rows
FROM (SELECT *, job = {job} AS of_job FROM runs WHERE status = 'published' AND action = 'score')
