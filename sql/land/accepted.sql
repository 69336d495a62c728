-- The rows that keep the contract, one for each track. A label that is none of the genres is as good as none.
-- reads: landed, superseded
-- makes: accepted (view)
-- scope: track
-- {genres} are those of contracts/predictions.odcs.yaml.
SELECT
    landed.* EXCLUDE (is_empty, broken_rules, received)
    REPLACE (CASE WHEN music_genre IN ({genres}) THEN music_genre END AS music_genre)
FROM landed
ANTI JOIN superseded USING (row_id)
WHERE NOT is_empty AND broken_rules IS NULL
