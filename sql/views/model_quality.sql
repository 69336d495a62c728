-- How good each model was on each run date where labels are known, beside what its card promises of new artists.
-- reads: performance, bundles
-- card_accuracy: Accuracy for new artists, as the bundle's card has it.
-- card_macro_auroc: Macro AUROC for new artists, as the bundle's card has it.
SELECT
    performance.run_date,
    performance.job,
    performance.role,
    performance.model,
    performance.model_version,
    performance.tracks,
    performance.accuracy,
    CAST(json_extract_string(bundles.metrics, '$.artist_disjoint.accuracy.mean') AS DOUBLE) AS card_accuracy,
    performance.macro_auroc,
    CAST(json_extract_string(bundles.metrics, '$.artist_disjoint.macro_auroc.mean') AS DOUBLE) AS card_macro_auroc,
    performance.measured_at
FROM performance
LEFT JOIN (
    SELECT model, model_version, arg_max(metrics, first_used_at) AS metrics FROM bundles GROUP BY model, model_version
) AS bundles ON bundles.model = performance.model AND bundles.model_version = performance.model_version
ORDER BY performance.run_date DESC, performance.job, performance.role
