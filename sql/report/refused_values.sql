-- The values that broke a rule: the six most frequent of each, and the range of those that are numbers.
-- reads: quarantine
WITH broken AS (
    SELECT received, unnest(reasons) AS reason
    FROM quarantine
    WHERE run_id = {run_id} AND starts_with(received, '{')
),

found AS (
    SELECT
        split_part(reason, ': ', 1) AS rule,
        left(try(json_extract_string(received, '$.' || split_part(reason, '.', 1))), 40) AS value,
        count(*) AS "rows"
    FROM broken
    GROUP BY ALL
)

SELECT
    rule,
    value,
    "rows",
    count(*) OVER of_rule AS different,
    count(try_cast(value AS DOUBLE)) OVER of_rule AS numbers,
    min(try_cast(value AS DOUBLE)) OVER of_rule AS lowest,
    median(try_cast(value AS DOUBLE)) OVER of_rule AS middle,
    max(try_cast(value AS DOUBLE)) OVER of_rule AS highest
FROM found
WHERE value IS NOT NULL
WINDOW of_rule AS (PARTITION BY rule)
QUALIFY row_number() OVER (PARTITION BY rule ORDER BY "rows" DESC, value) <= 6
ORDER BY rule, "rows" DESC, value
