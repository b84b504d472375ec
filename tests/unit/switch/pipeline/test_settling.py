"""Events to outcomes: what is recorded, answered, adopted late, sent again, and told of."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio.testing
from structlog.testing import capture_logs

from chassis.stage import Inbox
from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from ledger.leases import LeaseLostError
from ledger.records import Lost, Replay
from switch.core.admission import Admission
from switch.core.decide import not_sent
from switch.core.messages import drop_card, sale_request
from switch.core.response_codes import load_response_codes
from switch.link.events import (
    Answered,
    Duplicate,
    Elsewhere,
    Late,
    NotSent,
    Unknown,
    Unmatched,
)
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.orphans import ORPHANS_MAX, Orphan
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies, state_of_row
from switch.pipeline.settling import Settlement, Settling
from switch.wire import Done, Refused
from tests.support.pipeline import (
    ACCEPTOR,
    NOW_US,
    PAN,
    Admit,
    Outcomes,
    Peer,
    Replays,
    recorded,
    transaction_row,
)

KEY = "0200|000017|0115080000|400001|0ABCDEFGHIJK"


@attrs.define
class Scene:
    """The stage with all its neighbors."""

    stage: Settling
    committer: Outcomes
    replays: Replays
    inbox: Inbox[Settlement]
    orphans: Inbox[Orphan]
    resent: list[Payment]
    admit: Admit
    peer: Peer
    doubted: list[tuple[str, dict[int, str], Payment]]
    can_resend: bool = False

    def sent(self, number: int) -> Payment:
        """A payment whose message is on its way."""
        payment = recorded(self.admit(number))
        record = payment.record
        assert record is not None
        payment.request = sale_request(
            pan=PAN,
            expiry="3012",
            cvc="123",
            amount_minor=2499,
            currency="usd",
            stan=record.stan,
            de7=record.de7,
            rrn=record.rrn,
            acquirer_id=record.acquirer_id,
            acceptor=ACCEPTOR,
        )
        drop_card(payment.request)
        payment.network = ""  # the share of the network is not this stage's
        return payment

    async def settle(self, *events: Any) -> None:
        """Deliver events, then run the stage over all they brought."""
        self.stage.on_events("vsim", list(events))
        while len(self.inbox):
            await self.stage.handle(await self.inbox.take(8))

    @property
    def statuses(self) -> dict[int, str]:
        """What the api was told of each payment's transaction."""
        return {number: reply.transaction.status for number, reply in self.peer.replies.items()}

    def results(self) -> list[tuple[int, int, str]]:
        """Intent number, phase and result of every outcome, in order."""
        return [
            (int.from_bytes(row.intent_id), row.phase, row.result) for row in self.committer.rows
        ]


@pytest.fixture
def scene(
    replies: Replies, counts: PipelineCounts, anomalies: Anomalies, admit: Admit, peer: Peer
) -> Scene:
    """Nothing can be sent again unless the test says so."""
    committer, replays = Outcomes(), Replays()
    inbox: Inbox[Settlement] = Inbox(16, name="settling")
    orphans: Inbox[Orphan] = Inbox(ORPHANS_MAX, name="orphans")

    def resend(payment: Payment) -> bool:
        made.resent.append(payment)
        return made.can_resend

    stage = Settling(
        committer=committer,  # type: ignore[arg-type]
        held_committer=committer,  # type: ignore[arg-type]
        find_replays=replays.find,
        codes=load_response_codes(),
        replies=replies,
        counts=counts,
        anomalies=anomalies,
        inbox=inbox,
        orphans=orphans,
        resend=resend,
        doubt=lambda network, fields, payment: doubted.append((network, fields, payment)),
        now_us=lambda: NOW_US + 700,
    )
    doubted: list[tuple[str, dict[int, str], Payment]] = []
    made = Scene(stage, committer, replays, inbox, orphans, [], admit, peer, doubted)
    return made


def answer(payment: Payment, code: str = "00", **changes: Any) -> dict[int, str]:
    """The network's answer to a payment, an exact echo, with changes by `de_N`."""
    assert payment.request is not None
    fields = {de: payment.request[de] for de in (3, 4, 7, 11, 32, 37, 41, 42, 49)}
    fields |= {0: "0210", 2: PAN, 39: code}
    if code == "00":
        fields[38] = "A1B2C3"
    return fields | {int(name[3:]): value for name, value in changes.items()}


async def test_an_approval_is_recorded_then_told(
    scene: Scene, counts: PipelineCounts, admission: Admission
) -> None:
    """One row in one commit; the reply says what the row says; the credit is back."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment), 0))
    (row,) = scene.committer.rows
    record = payment.record
    assert record is not None
    assert (row.attempt_id, row.transaction_id) == (record.attempt_id, record.transaction_id)
    assert (row.phase, row.result, row.from_status) == (1, "approved", "pending")
    assert (row.to_status, row.intent_to) == ("succeeded", "succeeded")
    assert (row.response_code, row.approval_code) == ("00", "A1B2C3")
    assert (row.actor, row.at_us) == ("network:vsim", NOW_US + 700)
    reply = scene.peer.replies[1]
    assert isinstance(reply, Done)
    assert (reply.transaction.status, reply.transaction.approval_code) == ("succeeded", "A1B2C3")
    assert (reply.transaction.updated_at, reply.replayed) == (NOW_US + 700, False)
    assert (admission.inside, counts.approved_total) == (0, 1)


async def test_nothing_is_told_before_the_commit_returns(scene: Scene) -> None:
    """With commit 2 failing, no answer leaves and the failure goes up."""
    payment = scene.sent(1)
    scene.committer.error = LeaseLostError("a newer epoch")
    with pytest.raises(LeaseLostError):
        await scene.settle(Answered(payment, answer(payment), 0))
    assert scene.peer.replies == {}


async def test_a_decline_tells_its_reason(scene: Scene, counts: PipelineCounts) -> None:
    """The merchant hears code and advice of the table."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, "51"), 0))
    told = scene.peer.replies[1].transaction
    assert (told.status, told.decline_code, told.advice) == (
        "failed",
        "insufficient_funds",
        "retry_later",
    )
    assert counts.declined_total == 1


@pytest.mark.parametrize("reason", ["timeout", "link_lost"])
async def test_silence_is_pending_and_never_failed(
    reason: str, scene: Scene, counts: PipelineCounts, admission: Admission
) -> None:
    """The outcome is unknown, by the switch's own word, and the merchant hears pending."""
    await scene.settle(Unknown(scene.sent(1), reason))
    (row,) = scene.committer.rows
    assert (row.result, row.to_status, row.intent_to) == (
        "unknown",
        "pending_verification",
        "pending_verification",
    )
    assert row.actor == "switch"
    assert scene.statuses == {1: "pending_verification"}
    assert (counts.unknown_total, admission.inside) == (1, 0)


async def test_the_card_goes_with_the_event_and_not_with_the_commit(scene: Scene) -> None:
    """Answered, unknown and unsent alike: before anything is durable the card is gone."""
    payments = [scene.sent(number) for number in range(4)]
    scene.stage.on_events(
        "vsim",
        [
            Answered(payments[0], answer(payments[0]), 0),
            Unknown(payments[1], "timeout"),
            NotSent(payments[2], "too_old"),
        ],
    )
    scene.stage.settle(payments[3], not_sent("encode_failed"))
    assert [payment.card for payment in payments] == [None] * 4
    assert scene.committer.batches == []


async def test_an_answer_with_another_card_s_number_is_in_doubt(scene: Scene) -> None:
    """While the card is in memory the echoed PAN counts."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, de_2="4000000000000002"), 0))
    assert scene.results() == [(1, 1, "unknown")]


@pytest.mark.parametrize("late", [False, True])
async def test_an_answer_that_decides_nothing_is_given_back_to_the_links(
    late: bool,  # noqa: FBT001
    scene: Scene,
) -> None:
    """They listen on: the good answer behind a bad one is still told of, and adopted."""
    payment = scene.sent(1)
    bad = answer(payment, de_42="SOMEBODY ELSE  ")
    if late:
        await scene.settle(Unknown(payment, "timeout"), Late(payment, KEY, bad, 1))
    else:
        await scene.settle(Answered(payment, bad, 0))
    assert scene.doubted == [("vsim", bad, payment)]
    await scene.settle(Late(payment, KEY, answer(payment), 1))
    assert scene.results() == [(1, 1, "unknown"), (1, 2, "approved")]
    assert len(scene.doubted) == 1


async def test_an_answer_by_another_link_is_told_of_and_settles_nothing(scene: Scene) -> None:
    """Where the dialect does not allow it, the message waits on."""
    payment = scene.sent(1)
    with capture_logs() as lines:
        await scene.settle(Elsewhere(KEY, answer(payment), 1, 0))
    assert scene.results() == []
    assert payment.card is not None
    (line,) = lines
    assert (line["event"], line["link"], line["sent_on"]) == ("answer_on_another_link", 1, 0)


async def test_answers_that_decide_are_not_given_back(scene: Scene) -> None:
    """Approved or declined, in time or late: nothing is listened for any more."""
    payments = [scene.sent(number) for number in range(1, 4)]
    await scene.settle(
        Answered(payments[0], answer(payments[0]), 0),
        Answered(payments[1], answer(payments[1], "51"), 0),
        Unknown(payments[2], "timeout"),
        Late(payments[2], KEY, answer(payments[2]), 0),
    )
    assert scene.doubted == []


@pytest.mark.parametrize(
    ("reason", "goes_again"),
    [
        ("link_lost", True),
        ("signed_off", True),
        ("no_link", True),
        ("outbox_full", True),
        ("too_old", False),
        ("frame_too_large", False),
        ("duplicate_key", False),
    ],
)
async def test_an_unsent_message_goes_to_another_link_where_that_may_help(
    reason: str,
    goes_again: bool,  # noqa: FBT001
    scene: Scene,
) -> None:
    """What is too old, too large or has a known key would be refused by every link."""
    scene.can_resend = True
    payment = scene.sent(1)
    await scene.settle(NotSent(payment, reason))
    if goes_again:
        assert (scene.resent, scene.results()) == ([payment], [])
        assert payment.card is not None
    else:
        assert (scene.resent, scene.results()) == ([], [(1, 1, "not_sent")])


async def test_an_unsent_message_that_no_link_takes_has_failed(
    scene: Scene, counts: PipelineCounts
) -> None:
    """No byte has left: that is a known outcome, and the merchant may try again."""
    payment = scene.sent(1)
    await scene.settle(NotSent(payment, "link_lost"))
    assert scene.resent == [payment]
    told = scene.peer.replies[1].transaction
    assert (told.status, told.decline_code) == ("failed", "network_unavailable")
    assert counts.not_sent_total == 1


@pytest.mark.parametrize("together", [True, False])
async def test_a_late_answer_resolves_the_unknown_before_it(
    together: bool,  # noqa: FBT001
    scene: Scene,
    counts: PipelineCounts,
) -> None:
    """Phase 1 is always committed first, even when both come in one batch; one reply is sent."""
    payment = scene.sent(1)
    late = Late(payment, KEY, answer(payment), 1)
    if together:
        await scene.settle(Unknown(payment, "timeout"), late)
    else:
        await scene.settle(Unknown(payment, "timeout"))
        await scene.settle(late)
    assert [len(batch) for batch in scene.committer.batches] == [1, 1]
    assert scene.results() == [(1, 1, "unknown"), (1, 2, "approved")]
    row = scene.committer.rows[1]
    assert (row.from_status, row.to_status, row.actor) == (
        "pending_verification",
        "succeeded",
        "network:vsim",
    )
    assert scene.statuses == {1: "pending_verification"}
    assert (counts.late_adopted_total, counts.approved_total) == (1, 0)


@pytest.mark.parametrize("changes", [{"code": "09"}, {"de_4": "000000002498"}, {"code": "68"}])
async def test_a_late_answer_that_decides_nothing_changes_nothing(
    changes: dict[str, str], scene: Scene, counts: PipelineCounts
) -> None:
    """In progress, a wrong amount, or in doubt itself: the payment stays pending."""
    payment = scene.sent(1)
    await scene.settle(Unknown(payment, "timeout"))
    with capture_logs() as lines:
        await scene.settle(Late(payment, KEY, answer(payment, **changes), 1))
    assert scene.results() == [(1, 1, "unknown")]
    assert counts.late_undecided_total == 1
    assert [line["event"] for line in lines] == ["answer_in_doubt"]


@pytest.mark.parametrize("broken", ["fields", "request"])
async def test_a_fault_in_judging_leaves_that_payment_in_doubt(
    broken: str, scene: Scene, counts: PipelineCounts
) -> None:
    """`on_events` never raises: the faulty one is unknown, the next one approved."""
    first, second = scene.sent(1), scene.sent(2)
    fields: Any = answer(first)
    if broken == "fields":
        fields[38] = None
    else:
        first.request = None
    await scene.settle(Answered(first, fields, 0), Answered(second, answer(second), 0))
    assert scene.results() == [(1, 1, "unknown"), (2, 1, "approved")]
    assert counts.errors_total == (1 if broken == "fields" else 0)


@pytest.mark.parametrize(
    ("code", "events"),
    [
        ("00", []),
        ("05", []),
        ("51", []),
        ("30", ["alarming_response_code"]),
        ("58", ["alarming_response_code"]),
        ("ZZ", ["alarming_response_code"]),
        ("94", ["answer_in_doubt"]),
        ("09", ["answer_in_doubt"]),
    ],
)
async def test_answers_that_a_person_should_see_are_told_of(
    code: str, events: list[str], scene: Scene, counts: PipelineCounts
) -> None:
    """A network that blames us, says what nobody knows, or decides nothing."""
    payment = scene.sent(1)
    with capture_logs() as lines:
        await scene.settle(Answered(payment, answer(payment, code), 0))
    assert [line["event"] for line in lines] == events
    assert counts.alarming_codes_total == events.count("alarming_response_code")
    assert all((line["code"], line["log_level"]) for line in lines)


async def test_a_payment_that_somebody_else_has_decided_is_answered_from_the_ledger(
    scene: Scene, counts: PipelineCounts, admission: Admission
) -> None:
    """What stands is what the merchant hears, with one look-up for all of them."""
    payments = [scene.sent(number) for number in range(3)]
    scene.committer.moved_on = {0, 2}
    for number in (0, 2):
        row = transaction_row(number, "pending_verification")
        scene.replays.known[number.to_bytes(16)] = Replay(row)
    await scene.settle(*[Answered(payment, answer(payment), 0) for payment in payments])
    assert scene.statuses == {
        0: "pending_verification",
        1: "succeeded",
        2: "pending_verification",
    }
    assert scene.peer.replies[0] == Done(state_of_row(transaction_row(0, "pending_verification")))
    assert (scene.replays.asked, counts.not_advanced_total) == (1, 2)
    assert (admission.inside, counts.approved_total) == (0, 1)


async def test_a_recorded_payment_waits_for_a_ledger_that_is_away(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """It may have been charged, so it is never told that nothing was recorded."""
    scene.committer.moved_on = {1}
    scene.replays.known[(1).to_bytes(16)] = Replay(transaction_row(1, "failed"))
    scene.replays.errors = [
        ConnectionLostError("gone"),
        RetryableError("starting up", sqlstate="57P03"),
        PoolOverloadError("full"),
    ]
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment), 0))
    assert scene.statuses == {1: "failed"}
    assert scene.replays.asked == 4


@pytest.mark.parametrize("known", [None, Lost("idempotency_key_reused")])
async def test_a_recorded_payment_that_the_ledger_does_not_know_is_an_error_of_ours(
    known: Lost | None, scene: Scene, counts: PipelineCounts
) -> None:
    """It cannot be, and is told as an internal error rather than as somebody else's key."""
    scene.committer.moved_on = {1}
    if known is not None:
        scene.replays.known[(1).to_bytes(16)] = known
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment), 0))
    assert scene.peer.replies == {1: Refused("internal_error")}
    assert counts.errors_total == 1


async def test_a_late_answer_that_comes_too_late_is_told_of_and_no_more(
    scene: Scene, counts: PipelineCounts
) -> None:
    """Phase 2 that does not advance answers nobody and looks nothing up."""
    payment = scene.sent(1)
    await scene.settle(Unknown(payment, "timeout"))
    scene.committer.moved_on = {1}
    with capture_logs() as lines:
        await scene.settle(Late(payment, KEY, answer(payment), 1))
    assert (scene.replays.asked, counts.late_adopted_total, counts.not_advanced_total) == (0, 0, 1)
    ((event, phase),) = [(line["event"], line["phase"]) for line in lines]
    assert (event, phase) == ("outcome_not_advanced", 2)


async def test_a_held_intent_delays_only_itself(scene: Scene) -> None:
    """Its outcome waits in a queue of its own; the others are recorded and answered."""
    payments = [scene.sent(number) for number in (1, 2, 3)]
    scene.committer.held = {2}
    await scene.settle(*[Answered(payment, answer(payment), 0) for payment in payments])
    assert set(scene.statuses) == {1, 3}
    assert len(scene.stage.held) == scene.stage.held.peak == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.stage.settle_held)
        await trio.testing.wait_all_tasks_blocked()
        assert set(scene.statuses) == {1, 3}
        scene.committer.held = set()
        scene.stage.held.close()
    assert scene.statuses[2] == "succeeded"
    assert len(scene.stage.held) == 0


async def test_outcomes_of_a_held_intent_keep_their_order(scene: Scene) -> None:
    """A late answer queues up behind the unknown that it resolves, even when that was freed."""
    payment, other = scene.sent(1), scene.sent(2)
    scene.committer.held = {1}
    await scene.settle(Unknown(payment, "timeout"))
    scene.committer.held = set()
    await scene.settle(Late(payment, KEY, answer(payment), 0), Answered(other, answer(other), 0))
    assert scene.results() == [(2, 1, "approved")]
    scene.stage.held.close()
    await scene.stage.settle_held()
    assert scene.results()[1:] == [(1, 1, "unknown"), (1, 2, "approved")]


async def test_held_intents_do_not_wait_for_each_other(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """Whichever lock is free first lets its outcome go first; a row is the same on every try."""
    payments = [scene.sent(number) for number in (1, 2)]
    scene.committer.held = {1, 2}
    await scene.settle(*[Answered(payment, answer(payment), 0) for payment in payments])
    scene.stage.held.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.stage.settle_held)
        await trio.sleep(1)
        scene.committer.held = {1}
        await trio.sleep(1)
        assert list(scene.statuses) == [2]
        scene.committer.held = set()
    assert list(scene.statuses) == [2, 1]


async def test_outcomes_of_one_intent_never_share_a_commit(scene: Scene) -> None:
    """The second waits for the next commit, behind the first of the others."""
    first, second, third = scene.sent(1), scene.sent(2), scene.sent(3)
    third.charge = first.charge
    third.record = first.record
    await scene.settle(
        Unknown(first, "timeout"), Unknown(third, "timeout"), Unknown(second, "timeout")
    )
    assert [len(batch) for batch in scene.committer.batches] == [2, 1]


@pytest.mark.parametrize(("code", "told"), [("00", False), ("05", True), ("", True)])
async def test_a_second_answer_is_an_anomaly_only_where_it_differs(
    code: str,
    told: bool,  # noqa: FBT001
    scene: Scene,
    counts: PipelineCounts,
) -> None:
    """The first stands either way; a contradiction is counted and told with its RRN."""
    payment = scene.sent(1)
    fields = answer(payment, code)
    if not code:
        del fields[39]
    with capture_logs() as lines:
        await scene.settle(Duplicate(KEY, fields, "00", 0))
    assert [line["event"] for line in lines] == ["second_answer_differs"] * told
    assert counts.contradictions_total == told
    assert scene.committer.batches == []
    assert PAN not in repr(lines)


@pytest.mark.parametrize(
    ("mti", "looked_up"),
    [("0210", True), ("0430", True), ("0200", False), ("0420", False), ("0800", False)],
)
async def test_only_responses_that_match_nothing_are_looked_up(
    mti: str,
    looked_up: bool,  # noqa: FBT001
    scene: Scene,
    counts: PipelineCounts,
) -> None:
    """A request, our own sent back for instance, answers nothing; it is counted."""
    fields = answer(scene.sent(1)) | {0: mti}
    await scene.settle(Unmatched(KEY, fields, 0))
    assert counts.unmatched_total == 1
    assert len(scene.orphans) == looked_up
    if looked_up:
        assert await scene.orphans.take(1) == [Orphan("vsim", KEY, fields)]


async def test_a_flood_of_unmatched_answers_is_counted_beyond_what_may_wait(
    scene: Scene, counts: PipelineCounts
) -> None:
    """The inbox is never overfilled, which would end the link that delivers."""
    fields = answer(scene.sent(1))
    await scene.settle(*[Unmatched(KEY, fields, 0)] * (ORPHANS_MAX + 3))
    assert len(scene.orphans) == ORPHANS_MAX
    assert (counts.unmatched_total, counts.orphans_dropped_total) == (ORPHANS_MAX + 3, 3)


async def test_each_result_has_its_counter(scene: Scene, counts: PipelineCounts) -> None:
    """Approved, declined, not sent, unknown: one each."""
    payments = [scene.sent(number) for number in range(4)]
    await scene.settle(
        Answered(payments[0], answer(payments[0]), 0),
        Answered(payments[1], answer(payments[1], "05"), 0),
        NotSent(payments[2], "too_old"),
        Unknown(payments[3], "timeout"),
    )
    found = (
        counts.approved_total,
        counts.declined_total,
        counts.not_sent_total,
        counts.unknown_total,
    )
    assert found == (1, 1, 1, 1)
    assert (counts.commit2_batches_total, counts.commit2_rows_total) == (1, 4)
