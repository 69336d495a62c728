"""A bundle's graph in onnxruntime: matrices of features become probabilities.

onnxruntime promises no bit-identical output across thread counts and batch sizes. Every call has one thread, at most
``BLOCK`` rows, and a multiple of ``ROWS_ALIGNED`` rows, since kernels answer the last few rows of a call by another
path: with that, a row has the same answer in any batch. Blocks run in parallel on the plan's threads.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

# Read when onnxruntime is imported; a program that uses the API has not set it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

from genrepipe.core import signals
from genrepipe.core.errors import BundleBroken, of_limit
from genrepipe.model import features
from genrepipe.model.bundle import MODEL, RESTORE
from genrepipe.model.features import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from genrepipe.model.bundle import Bundle

    Matrix = npt.NDArray[np.float32]

BLOCK = 4096  # of which the layers of a graph stay in the cache
ROWS_ALIGNED = 16
VERIFY_SECONDS = 10.0  # for a graph to load and to score its golden rows; the largest that ships takes 0.1 s


class Scorer:
    """Scores with a bundle's graph.

    Raises
    ------
    BundleBroken
        onnxruntime cannot load the graph, or the golden rows do not reproduce.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._bundle = bundle
        self._pool = ThreadPoolExecutor(threads)
        self.width = len(bundle.manifest.input_columns)
        try:
            # A graph may loop without end: in a thread, so that a signal is heard, and for a limited time.
            self.golden_difference = signals.call_interruptibly(lambda: self._load(options), VERIFY_SECONDS)
        except TimeoutError as error:
            raise BundleBroken(
                f"{bundle.folder}: its golden rows are not scored within {VERIFY_SECONDS:g} s", RESTORE
            ) from error

    def _load(self, options: onnxruntime.SessionOptions) -> float:
        """Load the graph, and return the largest difference of its golden rows."""
        bundle = self._bundle
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.contents[MODEL], options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            if (limit := of_limit(error)) or "alloc" in str(error).lower():
                raise limit or MemoryError(str(error)) from error
            raise BundleBroken(
                f"{bundle.model} is not a graph that onnxruntime can run: {str(error).splitlines()[0]}",
                RESTORE,
            ) from error
        return self._check_golden()

    def probabilities(self, inputs: Matrix | Sequence[Part], rows: int | None = None) -> Matrix:
        """Return probabilities, float32 of shape (rows, labels).

        Parameters
        ----------
        inputs
            float32 of shape (rows, input columns), or the parts of such a matrix, which are put together block by block.
        rows
            How many rows parts have.
        """
        parts = [Part(slice(None), inputs)] if isinstance(inputs, np.ndarray) else inputs
        rows = len(inputs) if rows is None else rows
        width = sum(len(range(self.width)[part.columns]) for part in parts)
        if width != self.width:
            msg = f"the parts have {width} columns, the graph reads {self.width}"
            raise ValueError(msg)
        answers = np.empty((rows, len(self._bundle.manifest.labels)), np.float32)

        def score(start: int) -> None:
            block = answers[start : start + BLOCK]
            block[:] = self._run(parts, start, len(block))

        list(self._pool.map(score, range(0, rows, BLOCK)))
        return answers

    def _run(self, parts: Sequence[Part], start: int, rows: int) -> Matrix:
        # Frames lie column by column and graphs read row by row: turned here, where other blocks are turned in parallel.
        matrix = np.zeros((-(-rows // ROWS_ALIGNED) * ROWS_ALIGNED, self.width), np.float32)
        for part in parts:
            part.fill(matrix[:rows], start)
        outputs: list[Matrix] = self._session.run(["probabilities"], {"features": matrix})
        return outputs[0][:rows]

    def _check_golden(self) -> float:
        """Score the golden rows and return the largest difference from their recorded answers.

        Raises
        ------
        BundleBroken
            It is above the bundle's tolerance.
        """
        golden, manifest = self._bundle.golden, self._bundle.manifest
        try:
            inputs = features.matrix([golden.select(manifest.input_columns)])
            recorded = golden.select(f"p_{label}" for label in manifest.labels).to_numpy()
            difference = float(np.abs(self.probabilities(inputs) - recorded).max())
        except Exception as error:
            if limit := of_limit(error):
                raise limit from error
            raise BundleBroken(
                f"{self._bundle.folder}: its golden rows cannot be scored: {str(error).splitlines()[0]}",
                RESTORE,
            ) from error
        if not difference <= manifest.tolerance:
            raise BundleBroken(
                f"{self._bundle.folder}: golden rows differ by {difference:.2g}, the tolerance is {manifest.tolerance:.2g}",
                "Restore the bundle, or check the onnxruntime version against the one in bundle.json",
            )
        return difference
