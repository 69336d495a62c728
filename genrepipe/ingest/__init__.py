"""Anything that holds tracks becomes typed, judged rows: files, object stores, tables of DuckDB files.

``sources.open_source`` finds the parts of a source; ``landing.land`` reads them into the relation ``landed`` and counts
what became of every row.
"""
