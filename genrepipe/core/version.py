"""The version of the package, in one place for the package, the ledger, bundles and lineage."""

VERSION = "0.1.0"
