"""Commit 1 and sending: what is refused, recorded, sent, sent again, and what is given back."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import attrs
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from chassis.settings import Network
from chassis.stage import Inbox
from ledger.ids import UUID7Source
from ledger.leases import LeaseLostError
from ledger.records import Lost, Replay, Won
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.decline_memory import DeclineMemory
from switch.core.findings import Finding
from switch.core.numbers import RRNSource, StanAllocator, StanBlock, format_de7
from switch.core.routing import RoutingTable
from switch.core.settlements import CAPTURED, HELD, VERIFIED, Settlements
from switch.iso8583 import load_dialect
from switch.iso8583.private import decode as decode_private
from switch.link.correlation import SlotError, correlation_key
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.recording import Recording
from switch.pipeline.replying import Replies, state_of_row
from switch.wire import Done, Refused
from tests.support.pipeline import (
    ACCEPTOR,
    NOW_US,
    PAN,
    Admit,
    Charges,
    Group,
    Peer,
    opened_card,
    transaction_row,
)

NOW_S = NOW_US // 1_000_000
DIALECT = load_dialect("net87b")
OVERLOADED = Refused("overloaded", 1)
NETWORKS = {
    "vsim": Network(bins=("4",), acquirer_id="400001"),
    "backup": Network(bins=("4",), acquirer_id="600001", priority=2),
    "msim": Network(bins=("5",), acquirer_id="500001", messages="dual"),
}


@attrs.define
class Scene:
    """The stage with all its neighbors."""

    stage: Recording
    groups: dict[str, Group]
    committer: Charges
    slow: Inbox[Payment]
    settled: list[tuple[Payment, Finding]]
    declines: DeclineMemory
    admit: Admit

    def opened(self, number: int, *, pan: str = PAN, age_s: float = 0.0) -> Payment:
        """A payment whose card has just been opened."""
        payment = self.admit(number, age_s=age_s)
        payment.card = opened_card(pan)
        payment.acceptor = ACCEPTOR
        return payment

    def sent(self, network: str = "vsim") -> list[int]:
        """Intent numbers of what was sent on a network."""
        return [
            int.from_bytes(payment.charge.intent_id) for _, _, payment in self.groups[network].sent
        ]

    @property
    def in_flight(self) -> int:
        """Window slots taken on all networks."""
        return sum(group.window.in_flight for group in self.groups.values())


@pytest.fixture
def scene(
    admission: Admission,
    replies: Replies,
    counts: PipelineCounts,
    anomalies: Anomalies,
    admit: Admit,
) -> Scene:
    """Three networks with four slots each; the second backs the first up."""
    groups = {name: Group(slots=4) for name in NETWORKS}
    carriers: dict[str, Carrier] = {}
    for name, settings in NETWORKS.items():
        stans = StanAllocator()
        stans.add(StanBlock(first=1, count=50, floor_s=NOW_S, ceiling_s=NOW_S + 60))
        carriers[name] = Carrier(settings, DIALECT, groups[name], stans)  # type: ignore[arg-type]
    committer = Charges()
    slow: Inbox[Payment] = Inbox(8, name="slow")
    settled: list[tuple[Payment, Finding]] = []
    declines = DeclineMemory(8)
    stage = Recording(
        carriers=carriers,
        routing=RoutingTable(NETWORKS, "vsim"),
        admission=admission,
        committer=committer,  # type: ignore[arg-type]
        replies=replies,
        counts=counts,
        rrns=RRNSource(0, lambda: NOW_US),
        take_ids=UUID7Source(lambda: NOW_US, bytes).take,
        now_us=lambda: NOW_US,
        anomalies=anomalies,
        declines=declines,
        slow=slow,
        settle=lambda payment, decision: settled.append((payment, decision)),
    )
    return Scene(stage, groups, committer, slow, settled, declines, admit)


async def test_a_row_holds_what_the_ledger_needs(scene: Scene) -> None:
    """Ids, digests, card data fit to keep, numbers and deadline, in one row."""
    payment = scene.opened(7)
    await scene.stage.handle([payment])
    ((lane, (row,)),) = scene.committer.batches
    assert (lane, row.intent_id, row.merchant_id) == ("fast", (7).to_bytes(16), b"m" * 16)
    assert row.card_digest == blake2b(b"v1.kid.text", digest_size=16).digest()
    assert (row.sealed_card, row.card_brand, row.card_last4) == (b"sealed", "visa", "4242")
    assert (row.card_exp_month, row.card_exp_year) == (12, 2030)
    assert (row.network, row.acquirer_id, row.mti) == ("vsim", "400001", "0200")
    assert (row.stan, row.de7, len(row.rrn)) == ("000001", format_de7(NOW_S), 12)
    assert row.deadline_at_us == NOW_US + 4_000_000
    assert row.transaction_id < row.attempt_id
    assert PAN not in repr(row)


async def test_no_byte_leaves_before_the_commit_has_returned(scene: Scene) -> None:
    """While commit 1 runs, slots are reserved and nothing is sent."""
    seen: list[tuple[int, list[int]]] = []
    scene.committer.while_running = lambda: seen.append((scene.in_flight, scene.sent()))
    await scene.stage.handle([scene.opened(1), scene.opened(2)])
    assert seen == [(2, [])]
    assert scene.sent() == [1, 2]


async def test_a_message_is_what_was_recorded_with_the_ledger_s_amount(scene: Scene) -> None:
    """Amount and currency are those that commit 1 returned; PAN and CVC are in the frame alone."""
    scene.committer.verdicts[1] = Won(4_200, "eur", NOW_US + 9, 2)
    payment = scene.opened(1)
    await scene.stage.handle([payment])
    ((key, frame, token),) = scene.groups["vsim"].sent
    fields = DIALECT.decode(frame)
    record = payment.record
    assert record is not None
    assert token is payment
    assert key == correlation_key(fields)
    assert (fields[0], fields[2], fields[4], fields[49]) == ("0200", PAN, "000000004200", "978")
    assert (fields[11], fields[7], fields[37]) == (record.stan, record.de7, record.rrn)
    assert decode_private(fields[48]) == {"92": "123"}
    assert (payment.amount_minor, payment.currency) == (4_200, "eur")
    assert payment.created_at_us == NOW_US + 9
    assert payment.request == {de: text for de, text in fields.items() if de not in {2, 14, 48}}


@pytest.mark.parametrize(
    ("verdict", "reply"),
    [
        (Lost("operation_in_progress"), Refused("operation_in_progress")),
        (
            Replay(transaction_row(1)),
            Done(state_of_row(transaction_row(1)), replayed=True),
        ),
    ],
)
async def test_what_did_not_win_is_answered_and_never_sent(
    verdict: Lost | Replay, reply: object, scene: Scene, peer: Peer, admission: Admission
) -> None:
    """A lost or replayed charge gives back its slot, its credit and the network's share."""
    scene.committer.verdicts[1] = verdict
    await scene.stage.handle([scene.opened(1), scene.opened(2)])
    assert peer.replies == {1: reply}
    assert scene.sent() == [2]
    assert (scene.in_flight, admission.inside) == (1, 1)
    assert [admission.enter_network("vsim") for _ in range(4)] == [True, True, True, False]


async def test_an_undecided_charge_goes_to_the_slow_lane_with_its_ids(scene: Scene) -> None:
    """The slow lane repeats the very row, keeps the slot, and sends what wins there."""
    scene.committer.verdicts[1] = None
    payment = scene.opened(1)
    await scene.stage.handle([payment])
    assert (scene.sent(), scene.in_flight) == ([], 1)
    await scene.stage.handle_slow(await scene.slow.take(8))
    (_, (first,)), (lane, (second,)) = scene.committer.batches
    assert (lane, second) == ("slow", first)
    assert (scene.sent(), scene.in_flight) == ([1], 1)


async def test_no_commit_holds_two_charges_of_one_intent(scene: Scene) -> None:
    """A second charge of an intent, under another key, waits for the next commit."""
    payments = [scene.opened(1), scene.opened(2), scene.opened(3)]
    payments[2].charge = replace(payments[2].charge, intent_id=(1).to_bytes(16))
    await scene.stage.handle(payments)
    assert scene.committer.lanes == [("fast", [1, 2]), ("fast", [1])]
    for payment in payments:
        scene.slow.put(payment)
    await scene.stage.handle_slow(await scene.slow.take(8))
    assert scene.committer.lanes[2:] == [("slow", [1, 2]), ("slow", [1])]


async def test_a_full_network_s_payments_go_to_the_next(scene: Scene) -> None:
    """The fifth finds no slot on the first network and takes the second; nothing is held twice."""
    payments = [scene.opened(number) for number in range(5)]
    scene.groups["vsim"].window.size = 2
    await scene.stage.handle(payments)
    assert (scene.sent("vsim"), scene.sent("backup")) == ([0, 1], [2, 3, 4])
    assert [payment.network for payment in payments] == ["vsim"] * 2 + ["backup"] * 3
    row = scene.committer.batches[0][1][2]
    assert (row.network, row.acquirer_id, row.stan) == ("backup", "600001", "000001")


async def test_without_any_slot_nothing_is_recorded(
    scene: Scene, peer: Peer, admission: Admission
) -> None:
    """No link up: refused at once, and the network's share is as it was."""
    for group in scene.groups.values():
        group.window.size = 0
    await scene.stage.handle([scene.opened(1)])
    assert peer.replies == {1: Refused("network_unavailable", 1)}
    assert scene.committer.batches == []
    assert [admission.enter_network("vsim") for _ in range(4)] == [True] * 4


async def test_a_network_that_holds_its_share_is_passed_over(
    scene: Scene, peer: Peer, admission: Admission
) -> None:
    """Four of eight credits are the most for one network, whatever room its window has."""
    for _ in range(4):
        admission.enter_network("vsim")
        admission.enter_network("msim")
    await scene.stage.handle([scene.opened(1), scene.opened(2, pan="5555555555554444")])
    assert peer.replies == {2: OVERLOADED}
    assert (scene.sent("vsim"), scene.sent("backup"), scene.sent("msim")) == ([], [1], [])


async def test_without_numbers_a_payment_is_refused_and_its_slot_free(
    scene: Scene, peer: Peer, admission: Admission
) -> None:
    """STANs that have run out are a refusal, not a failure of the stage."""
    scene.stage._carriers["vsim"].stans.forget_expired(NOW_S + 61)
    await scene.stage.handle([scene.opened(1)])
    assert peer.replies == {1: OVERLOADED}
    assert (scene.in_flight, admission.inside, scene.committer.batches) == (0, 0, [])


@pytest.mark.parametrize(
    "card",
    [
        replace(opened_card(), pan=""),
        replace(opened_card(), expiry="30"),
        replace(opened_card(), expiry="3O12"),
    ],
)
async def test_a_card_that_is_none_harms_only_its_own_payment(
    card: object, scene: Scene, peer: Peer, counts: PipelineCounts, admission: Admission
) -> None:
    """A fault before commit 1 is an internal error of one payment, with everything given back."""
    broken = scene.opened(1)
    broken.card = card  # type: ignore[assignment]
    with capture_logs() as lines:
        await scene.stage.handle([broken, scene.opened(2)])
    assert [(line["event"], line["detail"]) for line in lines] == [("charge_not_prepared", "")]
    assert peer.replies == {1: Refused("internal_error")}
    assert (scene.sent(), scene.committer.lanes) == ([2], [("fast", [2])])
    assert (scene.in_flight, admission.inside, counts.errors_total) == (1, 1, 1)


async def test_what_is_too_old_to_be_sent_is_not_recorded(scene: Scene, peer: Peer) -> None:
    """After two seconds the links would refuse it; the merchant may try again with the same key."""
    await scene.stage.handle([scene.opened(1, age_s=2.1), scene.opened(2, age_s=1.8)])
    assert peer.replies == {1: OVERLOADED}
    assert (scene.sent(), scene.committer.lanes) == ([2], [("fast", [2])])
    assert scene.in_flight == 1


async def test_a_card_dropped_while_waiting_is_not_recorded(scene: Scene, peer: Peer) -> None:
    """The deadline took the card before this stage had its turn."""
    payment = scene.opened(1)
    payment.card = None
    await scene.stage.handle([payment])
    assert (peer.replies, scene.committer.batches) == ({1: OVERLOADED}, [])


async def test_a_card_dropped_during_the_commit_is_not_sent(scene: Scene) -> None:
    """Recorded, and no byte has left: the outcome is known, the slot free."""
    scene.committer.verdicts[1] = None
    payment = scene.opened(1)
    await scene.stage.handle([payment])
    payment.card = None
    await scene.stage.handle_slow(await scene.slow.take(8))
    ((settled, decision),) = scene.settled
    assert settled is payment
    assert (decision.result, decision.reason) == ("not_sent", "too_old")
    assert (scene.sent(), scene.in_flight) == ([], 0)


async def test_a_message_that_cannot_be_encoded_is_not_sent(
    scene: Scene, counts: PipelineCounts, peer: Peer
) -> None:
    """A merchant's data too long for the dialect fails its own payment after commit 1."""
    broken = scene.opened(1)
    broken.acceptor = replace(ACCEPTOR, name_location="x" * 41)
    with capture_logs() as lines:
        await scene.stage.handle([broken, scene.opened(2)])
    (line,) = lines
    assert (line["event"], line["transaction"]) == (
        "message_not_encodable",
        broken.transaction_hex,
    )
    assert line["detail"].startswith("DE 43")
    assert PAN not in repr(line)
    ((settled, decision),) = scene.settled
    assert settled is broken
    assert (decision.result, decision.reason) == ("not_sent", "encode_failed")
    assert (scene.sent(), scene.in_flight, counts.errors_total) == ([2], 1, 1)
    assert peer.replies == {}


async def test_a_message_that_a_link_fails_at_is_unknown(
    scene: Scene, counts: PipelineCounts
) -> None:
    """Nobody knows how far it came, so its outcome is in doubt and not a decline."""
    payment = scene.opened(1)
    group = scene.groups["vsim"]

    def fail(*_: object, **__: object) -> None:
        raise SlotError("a fault of ours")

    group.send = fail  # type: ignore[assignment]
    await scene.stage.handle([payment])
    ((settled, decision),) = scene.settled
    assert settled is payment
    assert (decision.result, counts.errors_total) == ("unknown", 1)


async def test_an_unsent_message_goes_again_once_as_it_was(
    scene: Scene, counts: PipelineCounts
) -> None:
    """Same attempt, same key, same bytes, a slot of its own; a second time is refused."""
    payment = scene.opened(1)
    await scene.stage.handle([payment])
    group = scene.groups["vsim"]
    group.settle(payment)
    assert scene.stage.resend(payment)
    first, second = group.sent
    assert first == second
    assert (scene.in_flight, counts.resent_total) == (1, 1)
    group.settle(payment)
    assert not scene.stage.resend(payment)
    assert (len(group.sent), scene.in_flight) == (2, 0)


@pytest.mark.parametrize("obstacle", ["no slot", "no card"])
async def test_what_cannot_go_again_says_so_and_holds_nothing(obstacle: str, scene: Scene) -> None:
    """Without a slot, or without a card to build the message from, it stays unsent."""
    payment = scene.opened(1)
    await scene.stage.handle([payment])
    group = scene.groups["vsim"]
    group.settle(payment)
    if obstacle == "no slot":
        group.window.size = 0
    else:
        payment.card = None
    assert not scene.stage.resend(payment)
    assert (len(group.sent), scene.in_flight, scene.settled) == (1, 0, [])


async def test_a_lost_lease_ends_the_stage_and_sends_nothing(scene: Scene) -> None:
    """Failure of I/O is no payment's fault: it goes up, and takes the process with it."""
    scene.committer.error = LeaseLostError("a newer epoch")
    with pytest.raises(LeaseLostError):
        await scene.stage.handle([scene.opened(1)])
    assert scene.sent() == []


@pytest.mark.parametrize(
    ("pan", "operation", "mti", "type_"),
    [
        (PAN, "charge", "0200", "charge"),
        (PAN, "verification", "0100", "verification"),
        ("5555555555554444", "charge", "0100", "charge"),
        ("5555555555554444", "verification", "0100", "verification"),
    ],
)
async def test_a_message_is_of_the_kind_that_its_network_takes(
    pan: str, operation: Literal["charge", "verification"], mti: str, type_: str, scene: Scene
) -> None:
    """Single-message networks are charged by 0200; verifications are 0100 for no amount."""
    payment = scene.opened(1, pan=pan)
    payment.charge = replace(payment.charge, operation=operation)
    amount_minor = 0 if operation == "verification" else 2499
    scene.committer.verdicts[1] = Won(amount_minor, "usd", NOW_US, 2)
    await scene.stage.handle([payment])
    ((_, (row,)),) = scene.committer.batches
    assert (row.mti, row.type) == (mti, type_)
    [(_, frame, _)] = [sent for group in scene.groups.values() for sent in group.sent]
    fields = DIALECT.decode(frame)
    assert (fields[0], fields[4]) == (mti, f"{amount_minor:012d}")
    assert fields[3] == ("380000" if operation == "verification" else "000000")


@pytest.mark.parametrize(
    ("pan", "operation", "manual", "settlements", "completed"),
    [
        (PAN, "charge", False, CAPTURED, False),
        ("5555555555554444", "charge", False, CAPTURED, True),
        ("5555555555554444", "charge", True, HELD, False),
        ("5555555555554444", "verification", False, VERIFIED, False),
    ],
)
async def test_a_won_charge_knows_where_its_results_lead(
    pan: str,
    operation: Literal["charge", "verification"],
    manual: bool,  # noqa: FBT001
    settlements: Settlements,
    completed: bool,  # noqa: FBT001
    scene: Scene,
) -> None:
    """The intent says how it is captured, the network by which message."""
    payment = scene.opened(1, pan=pan)
    payment.charge = replace(payment.charge, operation=operation)
    scene.committer.verdicts[1] = Won(2499, "usd", NOW_US, 2, manual=manual, allow_partial=True)
    await scene.stage.handle([payment])
    assert payment.settlements is settlements
    assert (payment.completed, payment.allow_partial) == (completed, True)


async def test_a_card_that_was_declined_for_good_is_not_tried_again(
    scene: Scene, peer: Peer, admission: Admission
) -> None:
    """Refused before anything is recorded, for this merchant."""
    scene.declines.note(b"m" * 16, b"f" * 16, "hard", NOW_US - 1, b"a" * 16)
    await scene.stage.handle([scene.opened(1)])
    assert peer.replies == {1: Refused("card_declined_before")}
    assert (scene.committer.batches, scene.in_flight, admission.inside) == ([], 0, 0)


async def test_a_card_that_reached_its_scheme_s_cap_is_not_tried_again(
    scene: Scene, peer: Peer
) -> None:
    """Fifteen soft declines of a Visa card within thirty days."""
    for number in range(15):
        scene.declines.note(b"o" * 16, b"f" * 16, "soft", NOW_US - number, bytes([number]) * 16)
    await scene.stage.handle([scene.opened(1)])
    assert peer.replies == {1: Refused("retry_limit_reached")}
