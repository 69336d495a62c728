-- How good the predictions of those run dates were, where labels are known.
-- reads: performance
SELECT run_date, run_id, model, tracks, accuracy, macro_auroc
FROM performance
WHERE job = {job} AND role = 'served' AND run_date BETWEEN {since} AND {run_date}
ORDER BY run_date
