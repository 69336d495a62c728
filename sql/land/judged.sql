-- The rules of the contract that each typed row breaks, and its artist's key. A row keeps its received text only where it breaks one.
-- reads: typed
-- makes: judged (view)
-- scope: row
-- {keeps_contract} and {reasons} are made of the row rules in contracts/source_tracks.odcs.yaml.
SELECT
    * EXCLUDE (received, keeps_contract),
    artist_key_of(artist_name) AS artist_key,
    row_hash(received) AS received_hash,
    CASE WHEN NOT keeps_contract THEN list_filter({reasons}, lambda reason: reason IS NOT NULL) END AS broken_rules,
    CASE WHEN NOT keeps_contract THEN to_json(received)::VARCHAR END AS received
FROM (SELECT *, is_empty OR coalesce({keeps_contract}, true) AS keeps_contract FROM typed)
