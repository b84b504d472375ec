"""Orders: what they take before they are recorded, and what the api hears of them."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from hsm_sim.wire import CardsReleased, ReleaseRefused
from ledger.errors import ConnectionLostError
from ledger.records import Lost, Replay
from switch.link.events import Answered
from switch.wire import Done, Refused
from tests.support.cold_path import Scene, answer_to
from tests.support.operations import AMOUNT, SILENCE, Book, authorized
from tests.support.pipeline import transaction_row


async def test_a_capture_goes_the_whole_way(scene: Scene, held: Book) -> None:
    """Card by purpose, attempt before the message, answer before the reply, everything back."""
    number = scene.order(held, "capture", 400)
    await scene.settle_down()
    assert scene.vault.purposes == ["capture"]
    assert held.view.status == "processing"
    (sent,) = scene.messages()
    assert (sent[0], sent[4], sent[37]) == ("0220", f"{400:012d}", held.view.attempts[0].rrn)
    assert scene.peer.replies == {}
    await scene.answer("00")
    assert scene.status(number) == "succeeded"
    assert held.view.captured_minor == 400
    assert scene.admission.inside == 0
    counts = scene.operations.counts
    assert (counts.orders_total, counts.captures_total) == (1, 1)


async def test_the_rest_of_a_final_capture_is_released_at_once(scene: Scene, held: Book) -> None:
    """The 0420 with DE 95 leaves from its queue without waiting for the next round."""
    scene.order(held, "capture", 400)
    await scene.settle_down()
    before = trio.current_time()
    await scene.answer("00")
    (release,) = scene.messages()
    assert (release[0], release[95][:12]) == ("0420", f"{400:012d}")
    assert trio.current_time() == before
    await scene.answer("00")
    assert held.view.saf == []


async def test_a_cancel_goes_the_whole_way(scene: Scene, held: Book) -> None:
    """0400, 0410."""
    number = scene.order(held, "cancel")
    await scene.settle_down()
    assert scene.vault.purposes == ["reversal"]
    sent = await scene.answer("00")
    assert (sent[0], scene.status(number), held.view.status) == ("0400", "succeeded", "canceled")
    counts = scene.operations.counts
    assert (counts.captures_total, counts.cancels_total, counts.refunds_total) == (0, 1, 0)


async def test_a_refund_goes_the_whole_way(scene: Scene, paid: Book) -> None:
    """0200 the other way."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    assert scene.vault.purposes == ["refund"]
    sent = await scene.answer("00")
    assert (sent[0], sent[3]) == ("0200", "200000")
    assert (scene.status(number), paid.view.refunded_minor) == ("succeeded", 300)
    counts = scene.operations.counts
    assert (counts.captures_total, counts.cancels_total, counts.refunds_total) == (0, 0, 1)


async def test_concurrent_refunds_share_what_was_captured(scene: Scene, paid: Book) -> None:
    """CP05: the third finds too little left; nothing of it is sent, and its slot is free."""
    numbers = [scene.order(paid, "refund", 400, number=extra) for extra in (0, 10, 20)]
    await scene.settle_down()
    assert [message[4] for message in scene.messages()] == [f"{400:012d}"] * 2
    assert scene.peer.replies == {numbers[2]: Refused("amount_exceeds_refundable")}
    assert scene.groups["msim"].window.in_flight == 2
    await scene.answer("00")
    await scene.answer("05")
    assert [scene.status(number) for number in numbers[:2]] == ["succeeded", "failed"]
    assert (paid.view.refunded_minor, paid.view.refund_pending_minor) == (400, 0)


async def test_a_cancel_without_a_message_takes_nothing(scene: Scene) -> None:
    """No slot, no card: one decision."""
    book = scene.ledger.add(Book())
    number = scene.order(book, "cancel")
    await scene.settle_down()
    assert (scene.status(number), book.view.status) == ("succeeded", "canceled")
    assert (scene.vault.purposes, scene.messages()) == ([], [])


async def test_an_unanswered_capture_is_pending_and_is_repeated(scene: Scene, held: Book) -> None:
    """CP02: the merchant hears it at the deadline; the 0221 follows and ends it."""
    number = scene.order(held, "capture")
    await scene.settle_down()
    await scene.silence()
    assert scene.status(number) == "pending_verification"
    await trio.sleep(60)
    repeat = await scene.answer("00")
    assert repeat[0] == "0221"
    assert held.view.status == "succeeded"


async def test_an_unanswered_cancel_is_pending_and_a_0420_follows_at_once(
    scene: Scene, held: Book
) -> None:
    """RV06."""
    number = scene.order(held, "cancel")
    await scene.settle_down()
    await scene.silence()
    assert scene.status(number) == "pending_verification"
    sent = await scene.answer("00")
    assert (sent[0], held.view.status) == ("0420", "canceled")


async def test_an_unanswered_refund_is_pending_and_is_inquired_about(
    scene: Scene, paid: Book
) -> None:
    """IQ08: its amount stays reserved meanwhile."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    refund, _ = await scene.silence()
    assert (scene.status(number), paid.view.refund_pending_minor) == ("pending_verification", 300)
    await trio.sleep(1.3)
    held = f"00A1B2C3{300:012d}0"
    sent = await scene.answer("00", de_62=held)
    assert (sent[0], sent[37], sent[90][4:10]) == ("0600", refund[37], refund[11])
    assert paid.view.refunded_minor == 300


async def test_an_answer_in_progress_starts_the_time_over_once(scene: Scene, paid: Book) -> None:
    """AU20 for a refund."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    sent, token = scene.take()
    waiting = answer_to(sent, "09")
    for _ in range(2):
        scene.operations.on_event(Answered(token, waiting, 0))
        await scene.settle_down()
    assert scene.groups["msim"].kept_waiting == [(waiting, token)]
    assert scene.status(number) == "pending_verification"


async def test_an_answer_that_echoes_something_else_decides_nothing(
    scene: Scene, paid: Book
) -> None:
    """The links listen on, and the better answer is adopted."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    _, _, token = scene.groups["msim"].sent[0]
    sent = await scene.answer("00", de_4=f"{301:012d}")
    assert scene.status(number) == "pending_verification"
    assert len(scene.groups["msim"].doubted) == 1
    await scene.late(token, sent)
    assert (paid.view.refunded_minor, paid.view.verification) == (300, [])
    assert scene.operations.counts.late_adopted_total == 1
    await scene.late(token, sent)
    assert scene.operations.counts.late_adopted_total == 1


async def test_a_message_that_could_not_leave_goes_to_another_link_once(
    scene: Scene, paid: Book
) -> None:
    """The same bytes; the second time it has failed."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    (first,) = scene.messages()
    await scene.not_sent("link_lost")
    (second,) = scene.messages()
    assert (first, scene.peer.replies) == (second, {})
    await scene.not_sent("link_lost")
    assert scene.status(number) == "failed"
    assert (paid.view.refund_pending_minor, scene.groups["msim"].window.in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("break_", "code"),
    [
        (lambda scene: setattr(scene.groups["msim"].window, "size", 0), "network_unavailable"),
        (lambda scene: setattr(scene.vault, "connected", False), "hsm_unavailable"),
        (
            lambda scene: scene.carriers["msim"].stans.forget_expired(10**11),
            "overloaded",
        ),
        (
            lambda scene: setattr(scene.ledger, "error", ConnectionLostError("gone")),
            "ledger_unavailable",
        ),
    ],
    ids=["slot", "hsm", "numbers", "ledger"],
)
async def test_what_cannot_be_sent_is_not_recorded(
    break_: Any, code: str, scene: Scene, held: Book
) -> None:
    """Refused with nothing recorded, and with everything given back: it may be tried again."""
    before = held.view
    break_(scene)
    number = scene.order(held, "capture")
    await scene.settle_down()
    assert scene.peer.replies[number] == Refused(code, 1)
    assert (held.view, scene.messages()) == (before, [])
    assert (scene.admission.inside, scene.groups["msim"].window.in_flight) == (0, 0)
    assert scene.operations.counts.orders_refused_total == 1


async def test_an_order_that_got_no_card_is_not_decided_behind_its_refusal(
    scene: Scene, held: Book
) -> None:
    """Not even where the intent has meanwhile come to a state that needs no message."""

    def come_to_an_end(_request: Any) -> Any:
        held.view = replace(held.view, status="failed", live_transaction_id=None)
        return "nonsense"

    scene.vault.reply = come_to_an_end
    number = scene.order(held, "cancel")
    await scene.settle_down()
    assert scene.peer.replies == {number: Refused("hsm_unavailable", 1)}
    assert (scene.ledger.batches, held.view.status) == ([], "failed")
    assert scene.operations.counts.orders_refused_total == 1


async def test_an_hsm_that_says_nothing_is_waited_for_so_long(scene: Scene, held: Book) -> None:
    """Then the order is refused."""
    scene.vault.reply = lambda _: None
    number = scene.order(held, "capture")
    await trio.sleep(2.1)
    assert scene.peer.replies[number] == Refused("hsm_unavailable", 1)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [("card_shredded", "card_key_expired"), ("card_undecryptable", "internal_error")],
)
async def test_a_card_that_is_not_released_ends_the_order(
    refusal: Any, code: str, scene: Scene, paid: Book
) -> None:
    """Its key is destroyed after the refund window; anything else is a fault of ours."""
    scene.vault.reply = lambda request: CardsReleased(
        [ReleaseRefused(refusal) for _ in request.cards]
    )
    number = scene.order(paid, "refund")
    await scene.settle_down()
    assert scene.peer.replies[number] == Refused(code)
    assert scene.groups["msim"].window.in_flight == 0
    assert scene.operations.counts.cards_not_released_total == 1


@pytest.mark.parametrize("change", [{"merchant_id": b"x" * 16}, {"live": True}])
async def test_anothers_intent_is_not_found(
    change: dict[str, Any], scene: Scene, held: Book
) -> None:
    """Nor is one that does not exist."""
    absent = Book(intent_id=b"?" * 16)
    numbers = [scene.order(held, "capture", **change), scene.order(absent, "capture", number=9)]
    await scene.settle_down()
    assert scene.peer.replies == dict.fromkeys(numbers, Refused("not_found"))
    assert (scene.vault.purposes, scene.groups["msim"].window.in_flight) == ([], 0)


def no_approval(book: Book) -> None:
    """Nothing says over which network it was authorized."""
    book.view = replace(book.view, attempts=[])


def no_merchant(book: Book) -> None:
    """The networks cannot be told whose it is."""
    book.view = replace(book.view, merchant_id=b"x" * 16)


@pytest.mark.parametrize("lose", [no_approval, no_merchant])
async def test_what_no_message_can_be_made_of_is_not_recorded(
    lose: Any, scene: Scene, held: Book
) -> None:
    """Refused before a slot or a card is taken for it."""
    lose(held)
    before = held.view
    number = scene.order(held, "capture", merchant_id=before.merchant_id)
    await scene.settle_down()
    assert scene.peer.replies == {number: Refused("not_found")}
    assert (held.view, scene.vault.purposes) == (before, [])
    assert scene.groups["msim"].window.in_flight == 0


async def test_a_decision_s_refusal_is_the_reply(scene: Scene, paid: Book) -> None:
    """With the code of the contract."""
    number = scene.order(paid, "cancel")
    await scene.settle_down()
    assert scene.peer.replies[number] == Refused("use_refund")
    counts = scene.operations.counts
    assert (counts.orders_refused_total, counts.cancels_total, counts.errors_total) == (1, 0, 0)


async def test_an_order_keeps_neither_card_nor_slot(scene: Scene, paid: Book) -> None:
    """Not after its message has left, and not when its decision refuses it."""
    scene.order(paid, "refund", AMOUNT)
    scene.order(paid, "refund", AMOUNT, number=10)
    errands = list(scene.operations.intake.in_flight.values())
    await scene.settle_down()
    assert scene.vault.purposes == ["refund"] * 2
    assert [(errand.card, errand.slot) for errand in errands] == [(None, None)] * 2
    assert scene.groups["msim"].window.in_flight == 1


async def test_a_key_that_was_used_since_the_look_up_is_a_replay(scene: Scene, paid: Book) -> None:
    """Another process was faster: its transaction is the answer, and what was held goes back."""
    key = b"same" * 4
    first = scene.order(paid, "refund", 300, key_digest=key)
    await scene.settle_down()
    await scene.answer("00")
    again = scene.order(paid, "refund", 300, key_digest=key)
    await scene.settle_down()
    assert scene.vault.purposes == ["refund"] * 2
    replies = scene.peer.replies
    assert (replies[again].replayed, replies[first].replayed) == (True, False)
    one, other = (replies[number].transaction.transaction_id for number in (first, again))
    assert one == other
    assert (scene.messages(), scene.groups["msim"].window.in_flight) == ([], 0)
    counts = scene.operations.counts
    assert (counts.refunds_total, counts.orders_replayed_total, counts.errors_total) == (1, 1, 0)


async def test_a_decision_knows_who_asked_and_how_the_network_is_treated(
    scene: Scene, held: Book
) -> None:
    """The outcome says it later; the rules are those of the network of the authorization."""
    decide, steps = scene.ledger.run, []

    async def run(batch: Any, *, lane: str) -> list[Any]:
        steps.extend(batch)
        return await decide(batch, lane=lane)

    scene.ledger.run = run  # type: ignore[method-assign]
    forgotten = scene.ledger.add(authorized(intent_id=b"f" * 16))
    scene.order(held, "capture", 400)
    await scene.operations.expire([forgotten.view.intent_id])
    await scene.settle_down()
    contexts = [step.context for step in steps]
    assert [context.actor for context in contexts] == ["api", "expiry"]
    assert all(context.rules is scene.operations.rules["msim"] for context in contexts)


async def test_a_duplicate_in_flight_joins_and_hears_the_same(scene: Scene, paid: Book) -> None:
    """MT09: one message; the joined ones are told that it is a replay."""
    key = b"same" * 4
    scene.order(paid, "refund", 300, key_digest=key, number=0)
    scene.order(paid, "refund", 300, key_digest=key, number=10)
    scene.order(paid, "refund", 999, key_digest=key, request_hash=b"o" * 16, number=20)
    await scene.settle_down()
    assert len(scene.messages()) == 1
    (other,) = scene.peer.replies.values()
    assert other == Refused("idempotency_key_reused")
    await scene.answer("00")
    replies = [reply for reply in scene.peer.replies.values() if isinstance(reply, Done)]
    assert [reply.replayed for reply in replies] == [False, True]
    assert replies[0].transaction == replies[1].transaction
    assert scene.operations.counts.orders_joined_total == 1


async def test_a_known_key_is_answered_with_hsm_and_network_down(scene: Scene, paid: Book) -> None:
    """The look-up comes first."""
    scene.vault.connected = False
    scene.groups["msim"].window.size = 0
    scene.ledger.known[b"K" * 8 + (1).to_bytes(8)] = Replay(transaction_row(1))
    scene.ledger.known[b"K" * 8 + (12).to_bytes(8)] = Lost("idempotency_key_reused")
    replayed = scene.order(paid, "refund")
    refused = scene.order(paid, "refund", number=10)
    await scene.settle_down()
    assert scene.peer.replies[replayed].replayed
    assert scene.peer.replies[refused] == Refused("idempotency_key_reused")
    counts = scene.operations.counts
    assert (counts.orders_replayed_total, counts.orders_refused_total) == (1, 1)


async def test_an_order_that_the_switch_has_no_room_for_is_refused_at_the_door(
    scene: Scene, paid: Book
) -> None:
    """Credits are shared with the charges."""
    scene.admission.closed = True
    number = scene.order(paid, "refund")
    assert scene.peer.replies[number] == Refused("overloaded", 1)


async def test_a_locked_intent_delays_no_order_but_its_own(scene: Scene, paid: Book) -> None:
    """It waits in the slow lane; the other is decided at once."""
    other = scene.ledger.add(Book(intent_id=b"o" * 16))
    scene.ledger.held = {paid.view.intent_id}
    scene.order(paid, "refund")
    free = scene.order(other, "cancel")
    await scene.settle_down()
    assert list(scene.peer.replies) == [free]
    scene.ledger.held = set()
    await trio.sleep(0.1)
    assert len(scene.messages()) == 1


async def test_an_authorization_past_its_time_is_canceled(scene: Scene, held: Book) -> None:
    """The sweeper names it; nobody waits, and no key is taken."""
    await scene.operations.expire([held.view.intent_id, b"?" * 16])
    await scene.settle_down()
    sent = await scene.answer("00")
    assert sent[0] == "0400"
    assert (held.view.status, held.view.canceled_by) == ("canceled", "expiry")
    assert (held.keys, scene.peer.replies, scene.admission.inside) == ({}, {}, 0)


async def test_a_sweep_that_finds_no_link_is_made_again(scene: Scene, held: Book) -> None:
    """Nothing is recorded: the sweeper names the intent once more."""
    scene.groups["msim"].window.size = 0
    await scene.operations.expire([held.view.intent_id])
    await scene.settle_down()
    assert held.view.status == "authorized"


async def test_no_slot_is_taken_for_what_cannot_be(scene: Scene) -> None:
    """A capture in doubt: refused by the decision, without card or slot."""
    book = scene.ledger.add(Book(capture_method="manual"))
    book.settle(book.charge().attempt_id, SILENCE)
    number = scene.order(book, "capture", AMOUNT)
    await scene.settle_down()
    assert scene.peer.replies[number] == Refused("operation_in_doubt")
    assert scene.vault.purposes == []
