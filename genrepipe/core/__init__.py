"""What every room stands on: the error tree and exit codes, signals, the container's resources, files that ship, events.

Imports nothing of the package, and nothing heavy.
"""
