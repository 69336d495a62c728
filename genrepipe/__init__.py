"""Predict the genre of every track in a music catalogue, nightly, with data contracts at both doors."""

__version__ = "0.1.0"
