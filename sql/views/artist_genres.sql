-- The genres of each artist: how many of the artist's tracks have which, by their newest predictions.
-- reads: predictions_latest
-- genre: A genre of the artist's tracks.
-- tracks: How many of the artist's tracks have it.
-- share: Their share of the artist's tracks.
-- artist_tracks: How many tracks of the artist the catalogue holds.
-- mean_probability: Mean of the probability of that genre over them.
SELECT
    min(artist_name) AS artist_name,
    genre,
    count(*) AS tracks,
    count(*) / sum(count(*)) OVER (PARTITION BY artist_key_of(artist_name)) AS share,
    CAST(sum(count(*)) OVER (PARTITION BY artist_key_of(artist_name)) AS BIGINT) AS artist_tracks,
    avg(probability) AS mean_probability
FROM predictions_latest
WHERE artist_name IS NOT NULL
GROUP BY artist_key_of(artist_name), genre
ORDER BY artist_name, tracks DESC, genre
