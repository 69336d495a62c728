"""All that knows DuckDB: connections, steps, the write session, generations, the schema, the ledger, users' queries.

``write_session`` is the one way to write a warehouse. ``Steps`` runs the SQL files of ``sql/`` on a connection.
``schema`` declares the tables and views that people query; ``ledger`` is the table ``runs``.
"""
