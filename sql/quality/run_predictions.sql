-- The predictions of this run: those that it scored, and those that it continued.
-- reads: prediction_history, run
-- makes: run_predictions (view)
-- scope: track
SELECT
    run.run_date,
    history.*
FROM prediction_history AS history
INNER JOIN run
    ON run.job = history.job
    AND run.run_date BETWEEN history.from_run_date AND history.to_run_date
    AND (run.action <> 'replay' OR run.run_id = history.replay_id)
