"""The pipeline's fakes have the interface of what they stand for."""

from __future__ import annotations

import pytest

from chassis.mux import MuxClient, MuxPeer
from ledger.charges import ChargeCommitter
from ledger.completions import CompletionCommitter
from ledger.outcomes import OutcomeCommitter
from ledger.recovery import find_attempts, open_attempts
from ledger.replays import find_replays
from switch.link.group import LinkGroup
from switch.operations.assembly import Operations
from tests.support import pipeline as fakes
from tests.support.protocols import assert_same_methods, same_parameters


@pytest.mark.parametrize(
    ("fake", "real", "methods"),
    [
        (fakes.Peer, MuxPeer, ("reply",)),
        (fakes.Worker, MuxClient, ("submit", "forget")),
        (fakes.Group, LinkGroup, ("reserve", "release", "send", "doubt", "keep_waiting")),
        (fakes.Charges, ChargeCommitter, ("record",)),
        (fakes.Outcomes, OutcomeCommitter, ("settle", "settle_free")),
        (fakes.Completions, CompletionCommitter, ("acknowledge",)),
        (fakes.Handovers, Operations, ("order", "on_event", "spare", "tell", "try_again")),
    ],
)
def test_methods_agree(fake: type, real: type, methods: tuple[str, ...]) -> None:
    """Same names, same parameters, same kind of call."""
    assert_same_methods(fake, real, *methods)


def test_functions_agree() -> None:
    """Look-ups are handed to the pipeline with their runner, and their owner, bound."""
    assert same_parameters(find_replays, ("runner", "batch"))
    assert same_parameters(fakes.Replays().find, ("batch",))
    assert same_parameters(find_attempts, ("runner", "owner", "answers"))
    assert same_parameters(fakes.Attempts().find, ("answers",))
    assert same_parameters(open_attempts, ("runner", "owner", "above", "limit"))
