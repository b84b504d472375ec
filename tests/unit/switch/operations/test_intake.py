"""The door of orders: who comes in, who joins, and that everybody is answered once."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from chassis.settings import Switch
from chassis.stage import Inbox, InboxFullError
from switch.core.admission import Admission
from switch.operations.errands import Errand, OperationCounts
from switch.operations.intake import JOINED_MAX, RETRY_AFTER_S, OrderIntake
from switch.pipeline.replying import state_of_row
from switch.wire import Done, Operate, Refused
from tests.support.operations import Book
from tests.support.pipeline import Peer, transaction_row

MERCHANT = b"m" * 16
DONE = Done(state_of_row(transaction_row(1)))


@attrs.define
class Door:
    """An intake, and everything that it hands things to."""

    intake: OrderIntake
    admission: Admission
    inbox: Inbox[Errand]
    counts: OperationCounts
    peer: Peer = attrs.field(factory=Peer)

    async def taken(self) -> Errand:
        """The one errand that was handed on."""
        [errand] = await self.inbox.take(2)
        return errand


class Desk:
    """Draws ids."""

    def take_ids(self, count: int) -> list[bytes]:
        """One transaction's."""
        assert count == 1
        return [b"t" * 16]


@pytest.fixture
def door() -> Door:
    """Two credits a merchant, three in all, and room for three errands."""
    admission = Admission(Switch(credits_max=3, merchant_credits_max=2))
    inbox: Inbox[Errand] = Inbox(3, name="orders")
    counts = OperationCounts()
    desk: Any = Desk()
    intake = OrderIntake(desk=desk, admission=admission, inbox=inbox, counts=counts)
    return Door(intake, admission, inbox, counts)


def refund(key: bytes = b"k" * 16, **changes: Any) -> Operate:
    """What the api asks for."""
    fields: dict[str, Any] = {
        "intent_id": b"i" * 16,
        "merchant_id": MERCHANT,
        "live": True,
        "type": "refund",
        "amount_minor": 300,
        "final_capture": False,
        "key_digest": key,
        "request_hash": b"h" * 16,
        "request_id": b"q" * 16,
    }
    return Operate(**fields | changes)


async def test_an_order_is_handed_on_as_it_was_asked_for(door: Door) -> None:
    """Every field of it, and a transaction id of this switch's."""
    door.intake.accept(door.peer, 1, refund())
    errand = await door.taken()
    asked = refund()
    for name in Operate.__struct_fields__:
        assert getattr(errand.order, name) == getattr(asked, name), name
    assert errand.order.transaction_id == b"t" * 16
    assert door.peer.replies == {}
    assert (door.counts.orders_total, door.admission.inside) == (1, 1)
    assert repr(errand) == f"Errand(refund, intent={(b'i' * 16).hex()})"


@pytest.mark.parametrize("code", ["overloaded", "insufficient_storage", "rate_limited"])
async def test_an_order_without_a_credit_is_refused_and_goes_no_further(
    code: str, door: Door
) -> None:
    """Answered at once, counted as refused, and a repeat of it joins nobody."""
    door.admission.closed = code == "overloaded"
    door.admission.heed_storage(code == "insufficient_storage")
    inside = 2 if code == "rate_limited" else 0
    for _ in range(inside):
        door.admission.enter(MERCHANT)
    door.intake.accept(door.peer, 1, refund())
    assert door.peer.replies == {1: Refused(code, RETRY_AFTER_S)}
    assert (len(door.inbox), door.intake.in_flight, door.admission.inside) == (0, {}, inside)
    assert (door.counts.orders_total, door.counts.orders_refused_total) == (0, 1)


async def test_duplicates_join_and_hear_that_they_are_replays(door: Door) -> None:
    """One order, one credit, three replies; the first one's says that it was the first."""
    for request_id in (1, 2, 3):
        door.intake.accept(door.peer, request_id, refund())
    assert (len(door.inbox), door.admission.inside) == (1, 1)
    assert (door.counts.orders_total, door.counts.orders_joined_total) == (1, 2)
    errand = await door.taken()
    door.intake.done(errand, DONE)
    replayed = Done(DONE.transaction, replayed=True)
    assert door.peer.replies == {1: DONE, 2: replayed, 3: replayed}
    assert door.admission.inside == 0


async def test_duplicates_hear_the_same_refusal(door: Door) -> None:
    """Nothing was recorded, for any of them."""
    for request_id in (1, 2):
        door.intake.accept(door.peer, request_id, refund())
    door.intake.done(await door.taken(), Refused("not_found"))
    assert door.peer.replies == dict.fromkeys((1, 2), Refused("not_found"))


async def test_a_key_that_names_another_request_is_refused(door: Door) -> None:
    """At once; the order under way goes on, and answers its own."""
    door.intake.accept(door.peer, 1, refund())
    door.intake.accept(door.peer, 2, refund(request_hash=b"o" * 16))
    assert door.peer.replies == {2: Refused("idempotency_key_reused")}
    door.intake.done(await door.taken(), DONE)
    assert door.peer.replies[1] == DONE
    assert door.counts.orders_joined_total == 0


async def test_so_many_join_one_order_and_no_more(door: Door) -> None:
    """The one too many is told to come again; the others are answered."""
    for request_id in range(JOINED_MAX + 2):
        door.intake.accept(door.peer, request_id, refund())
    assert door.peer.replies == {JOINED_MAX + 1: Refused("overloaded", RETRY_AFTER_S)}
    assert door.counts.orders_joined_total == JOINED_MAX
    door.intake.done(await door.taken(), DONE)
    assert len(door.peer.replies) == JOINED_MAX + 2


async def test_orders_under_other_keys_do_not_join(door: Door) -> None:
    """Each is an order of its own."""
    door.intake.accept(door.peer, 1, refund(b"a" * 16))
    door.intake.accept(door.peer, 2, refund(b"b" * 16))
    assert (len(door.inbox), set(door.intake.in_flight)) == (2, {b"a" * 16, b"b" * 16})


async def test_an_answered_order_is_over(door: Door) -> None:
    """A second answer reaches nobody, and the key may be used again: the ledger knows it now."""
    door.intake.accept(door.peer, 1, refund())
    errand = await door.taken()
    door.intake.done(errand, DONE)
    door.intake.done(errand, Refused("internal_error"))
    assert (door.peer.replies, door.intake.in_flight) == ({1: DONE}, {})
    door.intake.accept(door.peer, 2, refund())
    assert (len(door.inbox), door.admission.inside) == (1, 1)


async def test_an_order_of_our_own_takes_no_credit_and_is_answered_to_nobody(door: Door) -> None:
    """The sweeper's; while more of them wait than there is room for, it keeps the rest."""
    own = Book().order("cancel")
    for _ in range(3):
        door.intake.run_errand(own)
    with pytest.raises(InboxFullError):
        door.intake.run_errand(own)
    errand, *_ = await door.inbox.take(3)
    door.intake.done(errand, DONE)
    assert (errand.order, door.admission.inside, door.intake.in_flight) == (own, 0, {})
    assert door.counts.orders_total == 0
