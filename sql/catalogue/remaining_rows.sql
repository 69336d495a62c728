-- What stays of rows that are taken back: their stretch of run dates before this one, and that after it.
-- reads: replaced_rows, delivery_dates, run
-- makes: remaining_rows (view)
-- feeds: track_history
-- scope: track
SELECT
    replaced.* EXCLUDE (to_run_date, history_row, is_current, first_run_date, known_genre),
    delivery_dates.before_date AS to_run_date
FROM replaced_rows AS replaced
CROSS JOIN delivery_dates
CROSS JOIN run
WHERE replaced.from_run_date < run.run_date
UNION ALL BY NAME
SELECT
    replaced.* EXCLUDE (from_run_date, since, history_row, is_current, first_run_date, known_genre),
    delivery_dates.after_date AS from_run_date,
    CASE WHEN replaced.since < replaced.from_run_date AND replaced.from_run_date = run.run_date THEN replaced.since ELSE delivery_dates.after_date END AS since
FROM replaced_rows AS replaced
CROSS JOIN delivery_dates
CROSS JOIN run
WHERE replaced.to_run_date > run.run_date
