-- The job's published run dates beside this one, and what this delivery does to others.
-- reads: runs, run
-- makes: delivery_dates (table)
-- scope: run
-- takes_back: whether it replaces what was delivered for its date before. redraws: whether a snapshot comes or goes, which
-- decides about tracks that this delivery lacks.
SELECT
    max(published.run_date) FILTER (published.run_date < run.run_date) AS before_date,
    min(published.run_date) FILTER (published.run_date > run.run_date) AS after_date,
    run.action <> 'replay' AND run.run_date > coalesce(max(published.settled_to), DATE '0001-01-01') AS takes_back,
    run.action <> 'replay' AND (
        run.delivery = 'snapshot'
        OR coalesce(
            arg_max(published.delivery, published.finished_at) FILTER (published.run_date = run.run_date) = 'snapshot', false
        )
    ) AS redraws
FROM run
LEFT JOIN runs AS published ON published.job = run.job AND published.status = 'published' AND published.action = 'score'
GROUP BY run.run_date, run.action, run.delivery
