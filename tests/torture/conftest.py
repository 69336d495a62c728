"""The bench that the tests of this folder share."""

from __future__ import annotations

import shutil

import pytest

from tests.torture.torture import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    if shutil.which("cc") is None:
        pytest.skip("the library that injects faults needs a C compiler")
    return Bench(tmp_path_factory.mktemp("torture"))
