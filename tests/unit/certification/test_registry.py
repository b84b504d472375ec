"""The functions that play cases."""

from __future__ import annotations

import pytest

from certification.catalog import load_table
from certification.registry import case, peer_plays, scripts


def test_every_function_has_a_row() -> None:
    """No function is registered for an id that the table does not list."""
    ids = {row.id for row in load_table()}
    assert scripts().keys() <= ids
    assert peer_plays().keys() <= ids


def test_two_functions_for_an_id_are_refused() -> None:
    """An id cannot quietly be played by another function than the one that is read."""
    scripts()
    with pytest.raises(ValueError, match="AU01 has two functions"):

        @case("AU01")
        async def again(_desk: object) -> None:
            """Never played."""
