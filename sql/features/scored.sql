-- Scorable tracks that this run scores: those whose prediction does not continue.
-- reads: scorable, continued_predictions
-- makes: scored (table)
-- feeds: prediction_history
-- scope: track
FROM scorable
ANTI JOIN continued_predictions USING (row_id)
