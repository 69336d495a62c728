"""Training: from labelled tracks to bundles, and the audit of how they were made.

Hands out ``train.train`` (read, fit, measure, audit, export), ``audit.audit`` (the gates for leakage, on any labelled
source), ``trained.load`` (a bundle beside labelled tracks) and the results of ``results``. Recipes say how each model
is trained; torch, scikit-learn and the ONNX exporters are imported here alone. Importing the room imports none of them.
"""
