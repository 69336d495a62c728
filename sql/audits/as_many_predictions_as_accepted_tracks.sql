-- There are as many predictions as accepted tracks.
-- reads: run_predictions, scorable
SELECT
    predicted.n AS predictions,
    accepted.n AS accepted_tracks
FROM (SELECT count(*) AS n FROM run_predictions) AS predicted
CROSS JOIN (SELECT count(*) AS n FROM scorable) AS accepted
WHERE predicted.n <> accepted.n
