-- How far the two best genres are apart, in tenths, and how many genres the set holds; on the night, and on the seven before.
-- reads: predictions
SELECT
    run_date = {run_date} AS tonight,
    least(floor(margin * 10), 9)::INTEGER AS tenth,
    len(genre_set) AS genres,
    count(*) AS tracks
FROM predictions
WHERE job = {job} AND run_date BETWEEN {week} AND {run_date}
GROUP BY ALL
ORDER BY ALL
