-- Rows that are kept out, whole, with every reason: parse failures, broken rules, contradictions.
-- reads: landed, superseded, unparsed, parts, run
-- makes: quarantined (view)
-- feeds: quarantine
-- scope: track
WITH kept_out AS (
    SELECT
        row_id,
        track_id,
        broken_rules AS reasons,
        received
    FROM landed
    WHERE broken_rules IS NOT NULL
    UNION ALL
    SELECT
        row_id,
        track_id,
        ['instance_id.unique: a later row of the same track says something else'] AS reasons,
        to_json(struct_pack(
            instance_id := track_id, *COLUMNS(* EXCLUDE (row_id, track_id, quarantine_id, is_empty, broken_rules, received, artist_key, received_hash))
        ))::VARCHAR AS received
    FROM landed
    SEMI JOIN (FROM superseded WHERE contradicts) AS contradicting USING (row_id)
    UNION ALL
    SELECT
        row_id,
        NULL AS track_id,
        ['row.' || reason] AS reasons,
        received
    FROM unparsed
)

SELECT
    run.run_id,
    run.run_date,
    parts.file,
    row_number_of(kept_out.row_id) AS row_number,
    kept_out.track_id,
    kept_out.reasons,
    kept_out.received,
    'q' || left(md5(concat_ws('|', run.job, parts.file, row_number_of(kept_out.row_id), kept_out.received)), 15) AS quarantine_id
FROM kept_out
CROSS JOIN run
INNER JOIN parts ON parts.ordinal = part_of(kept_out.row_id)
