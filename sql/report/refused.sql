-- The rows that were kept out by rule, with an example of each.
-- reads: quarantine
WITH broken AS (
    SELECT file, row_number, received, unnest(reasons) AS reason
    FROM quarantine
    WHERE run_id = {run_id}
)

SELECT
    split_part(reason, ': ', 1) AS rule,
    any_value(reason) AS reason,
    count(*) AS "rows",
    min_by(file, row_number) AS file,
    min(row_number) AS row_number,
    min_by(try(json_extract_string(received, '$.artist_name')), row_number) AS artist_name,
    min_by(try(json_extract_string(received, '$.track_name')), row_number) AS track_name
FROM broken
GROUP BY rule
ORDER BY "rows" DESC, rule
