"""What the network's tests share."""

from __future__ import annotations

import pytest

from switch.iso8583 import Dialect, load_dialect


@pytest.fixture(scope="session")
def dialect() -> Dialect:
    """NET87B."""
    return load_dialect("net87b")
