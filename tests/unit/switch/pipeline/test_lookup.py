"""Known keys are answered without the HSM; acceptor data is loaded once."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
import trio
from msgspec.structs import replace
from structlog.testing import capture_logs

from chassis.stage import Inbox
from ledger.errors import ConnectionLostError, LedgerError, PoolOverloadError
from ledger.records import Lost, Replay
from switch.core.admission import Admission
from switch.core.messages import Acceptor
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.lookup import Lookup
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies, state_of_row
from switch.wire import Done, Refused
from tests.support.pipeline import ACCEPTOR, Admit, Peer, Replays, transaction_row

MERCHANT = b"m" * 16
UNAVAILABLE = Refused("ledger_unavailable", 1)


@attrs.define
class Merchants:
    """The merchants that the ledger knows."""

    known: dict[bytes, Acceptor] = attrs.field(factory=lambda: {MERCHANT: ACCEPTOR})
    asked: list[list[bytes]] = attrs.field(factory=list)
    error: LedgerError | None = None

    async def load(self, ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
        """Load those that exist."""
        await trio.lowlevel.checkpoint()
        self.asked.append(list(ids))
        if self.error is not None:
            raise self.error
        return {id_: self.known[id_] for id_ in ids if id_ in self.known}


@pytest.fixture
def replays() -> Replays:
    """No key known."""
    return Replays()


@pytest.fixture
def merchants() -> Merchants:
    """One merchant."""
    return Merchants()


@pytest.fixture
def opening() -> Inbox[Payment]:
    """Where new payments go."""
    return Inbox(8, name="opening")


@pytest.fixture
def lookup(
    replays: Replays,
    merchants: Merchants,
    opening: Inbox[Payment],
    replies: Replies,
    counts: PipelineCounts,
    anomalies: Anomalies,
) -> Lookup:
    """The stage with its neighbors."""
    return Lookup(
        find_replays=replays.find,
        load_acceptors=merchants.load,
        opening=opening,
        replies=replies,
        counts=counts,
        anomalies=anomalies,
    )


async def test_new_payments_go_on_with_their_acceptor(
    lookup: Lookup, opening: Inbox[Payment], admit: Admit, peer: Peer
) -> None:
    """In their order, with nothing answered yet."""
    payments = [admit(1), admit(2)]
    await lookup.handle(payments)
    assert await opening.take(8) == payments
    assert [payment.acceptor for payment in payments] == [ACCEPTOR, ACCEPTOR]
    assert peer.replies == {}


async def test_known_keys_are_answered_and_go_no_further(
    lookup: Lookup,
    replays: Replays,
    opening: Inbox[Payment],
    admit: Admit,
    peer: Peer,
    counts: PipelineCounts,
    admission: Admission,
) -> None:
    """A replay hears the transaction as it is now; a stolen key hears so; the third is new."""
    row = transaction_row(1, "pending_verification")
    replays.known = {
        (1).to_bytes(16): Replay(row),
        (2).to_bytes(16): Lost("idempotency_key_reused"),
    }
    await lookup.handle([admit(1), admit(2), admit(3)])
    assert peer.replies == {
        1: Done(state_of_row(row), replayed=True),
        2: Refused("idempotency_key_reused"),
    }
    (new,) = await opening.take(8)
    assert new.charge.intent_id == (3).to_bytes(16)
    assert (counts.replayed_total, counts.refused_total, admission.inside) == (1, 1, 1)


async def test_an_unknown_or_inactive_merchant_is_refused(
    lookup: Lookup, merchants: Merchants, opening: Inbox[Payment], admit: Admit, peer: Peer
) -> None:
    """A merchant without acceptor data is charged nothing, and is asked for again next time."""
    merchants.known = {}
    await lookup.handle([admit(1)])
    merchants.known = {MERCHANT: ACCEPTOR}
    await lookup.handle([admit(2)])
    assert peer.replies == {1: Refused("not_found")}
    assert len(opening) == 1


async def test_acceptors_are_loaded_once_until_forgotten(
    lookup: Lookup, merchants: Merchants, admit: Admit
) -> None:
    """One query for all that are missing; none for those at hand."""
    other = admit(2)
    merchants.known[b"o" * 16] = ACCEPTOR
    first = admit(1)
    other.charge = replace(other.charge, merchant_id=b"o" * 16)
    await lookup.handle([first, other])
    await lookup.handle([admit(3)])
    assert merchants.asked == [[MERCHANT, b"o" * 16]]
    lookup.forget_acceptors()
    await lookup.handle([admit(4)])
    assert merchants.asked[1:] == [[MERCHANT]]


@pytest.mark.parametrize("error", [ConnectionLostError("gone"), PoolOverloadError("full")])
@pytest.mark.parametrize("step", ["replays", "merchants"])
async def test_a_ledger_that_is_away_refuses_the_batch_with_nothing_recorded(
    error: LedgerError,
    step: str,
    lookup: Lookup,
    replays: Replays,
    merchants: Merchants,
    opening: Inbox[Payment],
    admit: Admit,
    peer: Peer,
    admission: Admission,
) -> None:
    """Whichever query fails: 503, credits back, and the stage goes on with the next batch."""
    if step == "replays":
        replays.errors = [error]
    else:
        merchants.error = error
    with capture_logs() as lines:
        await lookup.handle([admit(1), admit(2)])
    assert peer.replies == {1: UNAVAILABLE, 2: UNAVAILABLE}
    assert [(line["event"], line["payments"]) for line in lines] == [("lookup_failed", 2)]
    assert (len(opening), admission.inside) == (0, 0)
    merchants.error = None
    await lookup.handle([admit(3)])
    assert len(opening) == 1


async def test_a_long_outage_of_the_ledger_is_few_lines(
    lookup: Lookup, replays: Replays, admit: Admit
) -> None:
    """Hundreds of failed batches a second are not hundreds of lines."""
    replays.errors = [ConnectionLostError("gone")] * 300
    with capture_logs() as lines:
        for number in range(300):
            await lookup.handle([admit(number)])
    assert len(lines) == 10
