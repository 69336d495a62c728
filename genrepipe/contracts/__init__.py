"""Data contracts: ODCS v3.1 documents, the rules in them, and what SQL and pandera make of those.

Hands out the documents (``load``, ``genres``, ``versions``) and the rules of a column (``rules_of``). The rules say
which rows are quarantined (as SQL, where the rows are) and how the warehouse's tables are declared and described.
``contracts.schemas`` proves frames with pandera; it is imported where it is needed, since pandera takes half a second.
"""

from genrepipe.contracts.documents import Column, Contract, Quality, Table, genres, load, read, versions
from genrepipe.contracts.rules import Rule, rules_of

__all__ = ["Column", "Contract", "Quality", "Rule", "Table", "genres", "load", "read", "rules_of", "versions"]
