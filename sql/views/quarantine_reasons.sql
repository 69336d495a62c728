-- Why rows are kept out, those apart that came back: one row for each run date and rule, with an example.
-- reads: quarantine
-- rule: The contract's rule, as column.rule.
-- reason: The same as a sentence.
-- rows: How many rows break it.
-- example_file: File of the first of them.
-- example_row: Row number of it there.
SELECT
    run_date,
    split_part(reason, ': ', 1) AS rule,
    any_value(reason) AS reason,
    count(*) AS "rows",
    min_by(file, (file, row_number)) AS example_file,
    min_by(row_number, (file, row_number)) AS example_row
FROM (SELECT run_date, file, row_number, unnest(reasons) AS reason FROM quarantine WHERE resolved_by IS NULL)
GROUP BY run_date, rule
ORDER BY run_date DESC, "rows" DESC, rule
