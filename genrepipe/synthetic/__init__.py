"""Made-up catalogues to try things on: ``tracks.make`` and ``tracks.write``.

Invented artists and titles, with the distributions and the mess of the real table, as measured in ``facts.json``.
"""
