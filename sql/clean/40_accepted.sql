-- The rows that keep the contract, one per track.
SELECT
    landed.rowid AS row_id,
    landed.* EXCLUDE (is_empty, broken_rules, received),
    artist_key_of(artist_name) AS artist_key
FROM landed
ANTI JOIN doubled ON doubled.row_id = landed.rowid
WHERE NOT is_empty AND broken_rules IS NULL
