"""What an able hand would write instead: scripts that read the same CSV and write predictions, and do nothing else.

They have no contracts, ledger, quarantine, flips, generations or flags of names. ``prepare.py`` trains the network that they score with.
"""
