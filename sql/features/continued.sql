-- Scorable tracks whose prediction continues, with that prediction.
-- reads: scorable, continued_predictions, prediction_history
-- makes: continued (view)
-- scope: track
SELECT
    scorable.row_id,
    scorable.duration_ms,
    scorable.label,
    history.genre,
    history.probabilities
FROM scorable
INNER JOIN continued_predictions USING (row_id)
INNER JOIN prediction_history AS history ON history.rowid = continued_predictions.history_row
