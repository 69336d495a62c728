-- What an artist's tracks in the catalogue say together. No label enters.
SELECT
    artist_key_of(artist_name) AS artist_key,
    count(*)::INTEGER AS tracks,
    median(duration_ms)::FLOAT AS duration_ms_median
FROM tracks
WHERE artist_name IS NOT NULL
GROUP BY ALL
