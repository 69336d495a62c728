-- How good the predictions of those run dates were, where labels are known, as it was measured last.
-- reads: performance
SELECT run_date, model, tracks, accuracy, macro_auroc
FROM performance
WHERE job = {job} AND role = 'served' AND run_date BETWEEN {since} AND {run_date}
QUALIFY row_number() OVER (PARTITION BY run_date ORDER BY measured_at DESC) = 1
ORDER BY run_date
