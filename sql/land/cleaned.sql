-- The rows that were cleaned and keep the contract, one for each track. A label that is none of the genres is as good as none.
-- reads: landed, superseded
-- makes: cleaned (view)
-- scope: track
-- {genres} are those of contracts/predictions.odcs.yaml. A row whose text says more than the history keeps of it is not recognised
-- by its hash later.
SELECT
    landed.* EXCLUDE (is_empty, broken_rules, received)
    REPLACE (
        CASE WHEN music_genre IN ({genres}) THEN music_genre END AS music_genre,
        CASE WHEN quarantine_id IS NULL AND coalesce(music_genre IN ({genres}), true) THEN received_hash END AS received_hash
    )
FROM landed
ANTI JOIN superseded USING (row_id)
WHERE NOT is_empty AND broken_rules IS NULL
