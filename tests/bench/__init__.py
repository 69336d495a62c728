"""How fast a run is, beside what cannot be avoided and what others would write: ``make bench``.

Every command is a process of its own, and those that are compared run in turn: on a noisy machine the ratio of their medians
counts, not the seconds. The rows are those of the real table, where it is present, else of the sample, repeated with new ids
and artists.
"""
