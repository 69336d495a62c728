-- The genres on each of those run dates.
-- reads: genre_daily
SELECT run_date, genre, tracks, share
FROM genre_daily
WHERE job = {job} AND run_date BETWEEN {since} AND {run_date}
ORDER BY run_date, genre
