"""Where the steps run: ``local``, one DuckDB in this process; ``spark``, a DuckDB in each of Spark's tasks.

``engine`` says what a run asks of either. ``catalogue``, ``history``, ``prepare`` and ``predict`` run the steps of
``sql/`` on one connection, whoever opened it: the whole warehouse, or one bucket of its tracks.
"""
