-- How the genres that a job predicted are distributed on each run date.
-- reads: predictions
-- tracks: Number of tracks with that genre.
-- share: Their share of the tracks that the job predicted on that date.
-- mean_probability: Mean of the probability of that genre over them.
SELECT
    run_date,
    job,
    genre,
    count(*) AS tracks,
    count(*) / sum(count(*)) OVER (PARTITION BY run_date, job) AS share,
    avg(probability) AS mean_probability
FROM predictions
GROUP BY run_date, job, genre
ORDER BY run_date DESC, job, tracks DESC
