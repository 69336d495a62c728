"""Pages for a browser: one HTML file each, which opens offline.

Hands out ``explore.explore``, which draws a labelled source and a model's answers for it. ``charts`` makes charts of
frames, and a document of charts, tables and text. Altair, vl-convert and Jinja are imported here alone; numbers and
fits come from ``training``.
"""
