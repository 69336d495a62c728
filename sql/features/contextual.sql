-- Scorable tracks beside the aggregates of their artist's visible tracks; 0 where there are none.
-- reads: scorable, profiles
-- makes: contextual (view)
-- feeds: predictions
-- scope: artist
SELECT
    scorable.*,
    coalesce(COLUMNS('(.+_(?:count|mean|variance))'), 0) AS '\1'
FROM scorable
LEFT JOIN profiles USING (artist_key)
