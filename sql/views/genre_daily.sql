-- How the predicted genres are distributed on each run date.
-- reads: predictions
-- tracks: Number of tracks with that genre.
-- share: Their share of the run date's tracks.
-- mean_probability: Mean of the probability of that genre over them.
SELECT
    run_date,
    genre,
    count(*) AS tracks,
    count(*) / sum(count(*)) OVER (PARTITION BY run_date) AS share,
    avg(probability) AS mean_probability
FROM predictions
GROUP BY run_date, genre
ORDER BY run_date DESC, tracks DESC
