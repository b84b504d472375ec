"""The pipeline as a whole, with every neighbor faked: the way of a charge, and the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from chassis.settings import Settings
from hsm_sim.wire import CardsOpened
from ledger.deciding.records import NewException
from ledger.ids import UUID7Source
from ledger.leases import LeaseLostError
from ledger.records import Replay
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.decline_memory import DeclineMemory
from switch.core.messages import Acceptor
from switch.core.numbers import RRNSource, StanAllocator, StanBlock
from switch.core.response_codes import load_response_codes
from switch.iso8583 import load_dialect
from switch.link.events import Answered, Late, Unknown, Unmatched
from switch.pipeline.assembly import Pipeline
from switch.pipeline.outside import Outside
from switch.pipeline.payment import Payment
from switch.wire import Done, Refused
from tests.support.pipeline import (
    ACCEPTOR,
    NOW_US,
    Attempts,
    Charges,
    Completions,
    Group,
    Handovers,
    Outcomes,
    Peer,
    Replays,
    Worker,
    charge,
    opened_card,
    transaction_row,
)

NOW_S = NOW_US // 1_000_000


@attrs.define
class Scene:
    """A pipeline and its neighbors; `answer_cards` and `answer_messages` play the outside."""

    pipeline: Pipeline
    worker: Worker
    group: Group
    charges: Charges
    outcomes: Outcomes
    replays: Replays
    attempts: Attempts
    aftermath: Handovers
    peer: Peer
    drained: trio.Event

    async def accept(self, *numbers: int) -> None:
        """Hand charges in as the mux would and let every stage do what it can."""
        self.pipeline.intake.accept(self.peer, [(n, charge(n)) for n in numbers])  # type: ignore[arg-type,list-item]
        await trio.testing.wait_all_tasks_blocked()

    async def answer_cards(self) -> None:
        """Open every card that the HSM was asked for."""
        asked, self.worker.asked = self.worker.asked, []
        for request, deliver in asked:
            deliver(CardsOpened([opened_card() for _ in request.cards]))
        await trio.testing.wait_all_tasks_blocked()

    def in_flight(self) -> list[Payment]:
        """The payments whose messages were sent; their slots are free from here on."""
        payments = [payment for _, _, payment in self.group.sent]
        self.group.sent.clear()
        for payment in payments:
            self.group.settle(payment)
        return payments

    async def approve(self) -> None:
        """Answer everything that was sent."""
        self.pipeline.hearing.on_events(
            "vsim", [Answered(p, approval(p), 0) for p in self.in_flight()]
        )
        await trio.testing.wait_all_tasks_blocked()

    async def drain_links(self) -> None:
        """As `LinkGroup.drain`: returns when nothing is in flight."""
        while self.group.window.in_flight:
            await trio.sleep(0.1)
        self.drained.set()

    @property
    def statuses(self) -> dict[int, str]:
        """What the api was told."""
        return {n: reply.transaction.status for n, reply in self.peer.replies.items()}


def approval(payment: Payment) -> dict[int, str]:
    """An exact echo with 00."""
    assert payment.request is not None
    return payment.request | {0: "0210", 39: "00", 38: "A1B2C3"}


async def load_acceptors(ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
    """Every merchant exists."""
    await trio.lowlevel.checkpoint()
    return dict.fromkeys(ids, ACCEPTOR)


async def ignore_exceptions(batch: Sequence[NewException]) -> None:
    """Nobody looks into them here."""
    await trio.lowlevel.checkpoint()


def make_scene() -> Scene:
    """One network, one worker, a ledger that says yes."""
    settings = Settings()
    worker, group, charges, outcomes = Worker(), Group(slots=64), Charges(), Outcomes()
    replays, attempts, aftermath = Replays(), Attempts(), Handovers()
    stans = StanAllocator()
    stans.add(StanBlock(first=1, count=500, floor_s=NOW_S, ceiling_s=NOW_S + 60))
    carrier = Carrier(settings.networks["vsim"], load_dialect("net87b"), group, stans)  # type: ignore[arg-type]
    pipeline = Pipeline(
        settings,
        Outside(
            workers=[worker],  # type: ignore[list-item]
            carriers={"vsim": carrier},
            find_replays=replays.find,
            load_acceptors=load_acceptors,
            charges=charges,  # type: ignore[arg-type]
            outcomes=outcomes,  # type: ignore[arg-type]
            held_outcomes=outcomes,  # type: ignore[arg-type]
            completions=Completions(),  # type: ignore[arg-type]
            aftermath=aftermath,
            admission=Admission(settings.switch),
            declines=DeclineMemory(64),
            find_attempts=attempts.find,
            open_exceptions=ignore_exceptions,
            codes=load_response_codes(),
            rrns=RRNSource(0, lambda: NOW_US),
            take_ids=UUID7Source(lambda: NOW_US, bytes).take,
            now_us=lambda: NOW_US,
            steady_us=lambda: NOW_US,
        ),
    )
    return Scene(
        pipeline,
        worker,
        group,
        charges,
        outcomes,
        replays,
        attempts,
        aftermath,
        Peer(),
        trio.Event(),
    )


@asynccontextmanager
async def running() -> AsyncIterator[Scene]:
    """A scene whose pipeline runs, and ends with the block."""
    scene = make_scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.pipeline.run, scene.drain_links)
        yield scene
        nursery.cancel_scope.cancel()


async def test_a_charge_goes_the_whole_way() -> None:
    """Intake, look-up, card, commit 1, network, commit 2, answer; then nothing is left inside."""
    async with running() as scene:
        await scene.accept(1, 2, 3)
        assert len(scene.worker.asked) == 1
        assert scene.charges.batches == []
        await scene.answer_cards()
        assert scene.charges.lanes == [("fast", [1, 2, 3])]
        assert scene.peer.replies == {}
        await scene.approve()
        assert scene.statuses == dict.fromkeys((1, 2, 3), "succeeded")
        pipeline = scene.pipeline
        assert (pipeline.admission.inside, pipeline.replies.in_flight) == (0, {})
        assert (pipeline.counts.accepted_total, pipeline.counts.approved_total) == (3, 3)


async def test_a_locked_intent_goes_by_the_slow_lane() -> None:
    """The fast lane leaves it undecided; the slow lane decides, and it is sent once."""
    async with running() as scene:
        scene.charges.verdicts[2] = None
        await scene.accept(1, 2)
        await scene.answer_cards()
        assert scene.charges.lanes == [("fast", [1, 2]), ("slow", [2])]
        assert len(scene.group.sent) == 2


async def test_a_known_key_is_answered_with_the_hsm_down() -> None:
    """The look-up comes before the card."""
    async with running() as scene:
        scene.worker.connected = False
        scene.replays.known[(1).to_bytes(16)] = Replay(transaction_row(1))
        await scene.accept(1, 2)
        assert isinstance(scene.peer.replies[1], Done)
        assert scene.peer.replies[2] == Refused("hsm_unavailable", 1)


async def test_draining_answers_everything_inside_and_then_ends() -> None:
    """In every stage there is a payment when the intake closes; each is answered."""
    scene = make_scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.pipeline.run, scene.drain_links)
        await trio.testing.wait_all_tasks_blocked()
        await scene.accept(1)
        await scene.answer_cards()  # 1 is at the network
        await scene.accept(2)  # 2 waits for the HSM
        scene.pipeline.intake.accept(scene.peer, [(3, charge(3))])  # type: ignore[arg-type,list-item]
        scene.pipeline.close()
        await scene.accept(4)
        assert scene.peer.replies == {4: Refused("overloaded", 1)}
        await scene.answer_cards()
        assert len(scene.group.sent) == 3
        assert not scene.drained.is_set()
        await scene.approve()
    assert scene.drained.is_set()
    assert [scene.peer.replies[n].transaction.status for n in (1, 2, 3)] == ["succeeded"] * 3
    assert scene.pipeline.admission.inside == 0


async def test_an_answer_during_the_drain_of_links_is_still_recorded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The inboxes behind the network close only after the links have ended."""
    scene = make_scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.pipeline.run, scene.drain_links)
        await trio.testing.wait_all_tasks_blocked()
        await scene.accept(1)
        await scene.answer_cards()
        scene.pipeline.close()
        await trio.sleep(1.0)
        payment, hear = scene.group.sent[0][2], scene.pipeline.hearing.on_events
        hear("vsim", [Unknown(payment, "timeout")])
        fields = approval(payment)
        hear("vsim", [Late(payment, "", fields, 0), Unmatched("", fields, 0)])
        scene.in_flight()
    assert [row.result for row in scene.outcomes.rows] == ["unknown"]
    assert [told.finding.result for told in scene.aftermath.told] == ["approved"]
    assert len(scene.attempts.asked) == 1


async def test_a_lost_lease_takes_the_pipeline_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A newer epoch ends every stage at once: nothing more is committed, sent or answered."""
    scene = make_scene()
    with pytest.RaisesGroup(LeaseLostError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.pipeline.run, scene.drain_links)
            await scene.accept(1, 2)
            scene.charges.error = LeaseLostError("a newer epoch")
            await scene.answer_cards()
    assert (scene.group.sent, scene.peer.replies) == ([], {})


async def test_no_card_outlives_its_deadline_while_the_ledger_is_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Commit 1 that hangs keeps the payment, not its CVC; what it then wins is not sent."""
    async with running() as scene:
        scene.charges.hung = trio.Event()
        await scene.accept(1)
        await scene.answer_cards()
        (payment,) = scene.pipeline.replies.in_flight.values()
        settings = Settings().networks["vsim"]
        life_s = settings.max_send_age_s + settings.response_deadline_s
        await trio.sleep(life_s - 0.6)
        assert payment.card is not None
        await trio.sleep(1.2)
        assert payment.card is None
        scene.charges.hung.set()
        await trio.testing.wait_all_tasks_blocked()
        assert scene.group.sent == []
        assert scene.statuses == {1: "failed"}
        assert [row.result for row in scene.outcomes.rows] == ["not_sent"]
