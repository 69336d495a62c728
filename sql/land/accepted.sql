-- The rows that keep the contract, one for each track.
-- reads: landed, superseded
-- makes: accepted (view)
-- scope: track
SELECT
    landed.* EXCLUDE (is_empty, broken_rules, received),
    artist_key_of(artist_name) AS artist_key
FROM landed
ANTI JOIN superseded USING (row_id)
WHERE NOT is_empty AND broken_rules IS NULL
