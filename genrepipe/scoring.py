"""All that knows onnxruntime: a verified bundle becomes a scorer; batches of features become probabilities.

onnxruntime promises no bit-identical output across thread counts and batch sizes, so both are fixed: one thread,
and blocks of one size. Blocks run side by side on the plan's threads (run() lets go of the interpreter).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from genrepipe import features
from genrepipe.bundles import MODEL, RESTORE
from genrepipe.errors import BundleBroken

if TYPE_CHECKING:
    import numpy.typing as npt

    from genrepipe.bundles import Bundle

    Matrix = npt.NDArray[np.float32]

BLOCK = 16_384


class Scorer:
    """Probabilities from a bundle's graph; made only if the bundle's golden rows reproduce."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.contents[MODEL], options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise BundleBroken(
                f"{bundle.model} is not a graph that onnxruntime can run: {str(error).splitlines()[0]}",
                RESTORE,
            ) from error
        self._bundle = bundle
        self._pool = ThreadPoolExecutor(threads)
        self.golden_difference = self._check_golden()

    def probabilities(self, matrix: Matrix) -> Matrix:
        """Return probabilities, float32 of shape (rows, labels), for a matrix of the bundle's inputs."""
        starts = range(0, len(matrix), BLOCK)
        blocks = list(self._pool.map(lambda start: self._run(matrix[start : start + BLOCK]), starts))
        return np.concatenate(blocks) if blocks else np.empty((0, len(self._bundle.manifest.labels)), np.float32)

    def _run(self, block: Matrix) -> Matrix:
        # Frames lie column by column, graphs read row by row: a block is turned here, where others are turned beside it.
        outputs: list[Matrix] = self._session.run(["probabilities"], {"features": np.ascontiguousarray(block)})
        return outputs[0]

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
