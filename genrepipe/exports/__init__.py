"""Data that leaves the warehouse: tables by run date, in a folder or an object store, for whatever reads Parquet.

``targets`` is where they go (a folder, or a prefix of a store), ``manifest`` what a target holds, ``tables`` what a
generation of the warehouse holds, and ``formats`` how a run date of a table is replaced: as one Parquet file, or in one
commit of a Delta or an Iceberg table. ``publishing`` brings one up to the other, date by date.
"""
