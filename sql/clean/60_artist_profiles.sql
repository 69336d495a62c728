-- What an artist's tracks in the catalogue say together. No label enters.
SELECT
    artist_key,
    count(*)::INTEGER AS tracks,
    median(duration_ms)::FLOAT AS duration_ms_median
FROM tracks
WHERE artist_key IS NOT NULL
GROUP BY artist_key
