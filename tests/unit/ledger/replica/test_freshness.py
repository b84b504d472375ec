"""What a replica's answer is worth, by what both sides said."""

from __future__ import annotations

import pytest

from ledger.replica.freshness import ReadIndex, Replayed, Standing, judge, judge_ahead

INDEX = ReadIndex(flushed_lsn=1_000, system_identifier=7, timeline=2)


@pytest.mark.parametrize(
    ("replayed", "standing"),
    [
        (Replayed(1_000, 7, 2, 2), Standing.CURRENT),
        (Replayed(1_001, 7, 2, 2), Standing.AHEAD),
        (Replayed(1_000, 7, 2, 0), Standing.CURRENT),  # it has written no place to recover to yet
        (Replayed(999, 7, 2, 2), Standing.BEHIND),
        (Replayed(None, 7, 2, 2), Standing.BEHIND),
        (Replayed(1_000, 8, 2, 2), Standing.STRANGER),
        (Replayed(1_000, 7, 1, 2), Standing.STRANGER),
        (Replayed(1_000, 7, 2, 3), Standing.STRANGER),
        (Replayed(1_000, 7, 1, 1), Standing.STRANGER),
        (Replayed(999, 8, 2, 2), Standing.STRANGER),
    ],
)
def test_an_answer_counts_that_is_as_far_in_the_same_history(
    replayed: Replayed, standing: Standing
) -> None:
    """A position says something only beside the cluster and the timeline that it is of."""
    assert judge(INDEX, replayed, in_recovery=True) is standing


def test_a_server_that_was_promoted_counts_for_nothing() -> None:
    """However far it is: it takes writes of its own."""
    assert judge(INDEX, Replayed(1_000, 7, 2, 2), in_recovery=False) is Standing.PROMOTED


@pytest.mark.parametrize(
    ("later", "standing"),
    [
        (ReadIndex(1_001, 7, 2), Standing.CURRENT),
        (ReadIndex(1_500, 7, 2), Standing.CURRENT),  # the primary has gone on meanwhile
        (ReadIndex(1_000, 7, 2), Standing.STRANGER),
        (ReadIndex(1_500, 7, 3), Standing.STRANGER),
        (ReadIndex(1_500, 8, 2), Standing.STRANGER),
    ],
)
def test_a_primary_has_what_its_replica_has_replayed(later: ReadIndex, standing: Standing) -> None:
    """Asked once more it says so; one that was set back does not, and has lost those rows."""
    assert judge_ahead(later, Replayed(1_001, 7, 2, 2)) is standing
