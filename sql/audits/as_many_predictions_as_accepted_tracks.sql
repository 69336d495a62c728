-- There are as many predictions as accepted tracks.
SELECT predicted.n AS predictions, accepted.n AS accepted_tracks
FROM (SELECT count(*) AS n FROM tonight) AS predicted
CROSS JOIN (SELECT count(*) AS n FROM scorable) AS accepted
WHERE predicted.n <> accepted.n
