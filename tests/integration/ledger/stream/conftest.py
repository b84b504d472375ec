"""Every back end that the tests of the stream's interface run over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stream import Backend, SegmentsBackend


@pytest.fixture(params=["segments"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """An empty stream of one back end."""
    assert request.param == "segments"
    return SegmentsBackend(tmp_path)
