-- Scorable tracks beside what their artist's visible tracks say together; 0 where there is nothing to say.
SELECT
    scorable.*,
    coalesce(profiles.durations, 0) AS artist_durations,
    coalesce(profiles.tempos, 0) AS artist_tempos,
    coalesce(COLUMNS('(.+_(?:mean|variance))'), 0) AS '\1'
FROM scorable
LEFT JOIN profiles USING (artist_key)
