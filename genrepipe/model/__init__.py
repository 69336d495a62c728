"""Pure functions on frames: features, a bundle's graph, probabilities, predictions.

Hands out ``Bundle`` (a verified folder with a trained model), ``Scorer`` (its graph in onnxruntime), the feature blocks
of ``features`` and the rows of ``predictions``. Nothing here knows a database, a file of tracks, or a run.
"""
