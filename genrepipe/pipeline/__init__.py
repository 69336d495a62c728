"""What genrepipe does, one module for each verb.

``score`` and ``replay`` are a ``ScoringRun`` each; ``validate``, ``backfill``, ``rollback``, ``verify``, ``labels``,
``compare`` and ``promote`` are functions. Every verb returns a result of ``results``; ``requests`` is the one schema of
what a job is asked to do, for flags, environment and job files alike.
"""
