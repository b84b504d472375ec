"""Cards through the HSM: batches, deadlines, failures; nothing recorded when it fails."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from chassis.mux import MuxClosedError
from chassis.settings import HSM
from chassis.stage import Inbox
from hsm_sim.wire import CardRefused, CardsOpened, OpenedCard
from switch.core.sandbox_cards import refused_pans
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.opening import Opening
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies
from switch.wire import Refused
from tests.support.pipeline import Admit, Peer, Worker

CARD = OpenedCard("4242424242424242", "3012", "123", "", b"sealed", b"f" * 16)
UNAVAILABLE = Refused("hsm_unavailable", 1)


@pytest.fixture
def recording() -> Inbox[Payment]:
    """Where opened cards go."""
    return Inbox(8, name="recording")


@pytest.fixture
def workers() -> list[Worker]:
    """Two workers."""
    return [Worker(), Worker()]


@pytest.fixture
def opening(
    workers: list[Worker],
    recording: Inbox[Payment],
    replies: Replies,
    counts: PipelineCounts,
    anomalies: Anomalies,
) -> Opening:
    """The stage over both, one batch in flight each."""
    return Opening(
        workers=workers,
        settings=HSM(batches_in_flight_max=1, open_deadline_s=2.0),
        recording=recording,
        replies=replies,
        counts=counts,
        anomalies=anomalies,
        refused_pans=refused_pans("test"),
    )


async def test_opened_cards_go_on_and_refused_ones_are_answered(
    opening: Opening,
    workers: list[Worker],
    recording: Inbox[Payment],
    admit: Admit,
    peer: Peer,
) -> None:
    """One bad ciphertext harms only itself."""
    await opening.handle([admit(1), admit(2)])
    workers[0].asked[0][1](CardsOpened([CARD, CardRefused("card_undecryptable")]))
    (payment,) = await recording.take(8)
    assert payment.card is CARD
    assert peer.replies == {2: Refused("card_undecryptable")}
    assert opening.idle


async def test_live_mode_refuses_the_known_test_cards(
    workers: list[Worker],
    recording: Inbox[Payment],
    replies: Replies,
    counts: PipelineCounts,
    anomalies: Anomalies,
    admit: Admit,
    peer: Peer,
) -> None:
    """A number that everybody knows is not charged with real money; others are."""
    live = Opening(
        workers=workers,
        settings=HSM(),
        recording=recording,
        replies=replies,
        counts=counts,
        anomalies=anomalies,
        refused_pans=refused_pans("live"),
    )
    await live.handle([admit(1), admit(2)])
    other = OpenedCard("4242420000000000", "3012", "123", "", b"sealed", b"g" * 16)
    workers[0].asked[0][1](CardsOpened([CARD, other]))
    (payment,) = await recording.take(8)
    assert payment.card is other
    assert peer.replies == {1: Refused("card_refused")}


async def test_the_least_loaded_worker_is_asked_and_a_third_batch_waits(
    opening: Opening, workers: list[Worker], admit: Admit
) -> None:
    """With one batch at each worker the stage waits until one of them answers."""
    await opening.handle([admit(1)])
    await opening.handle([admit(2)])
    assert [len(worker.asked) for worker in workers] == [1, 1]
    third = admit(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opening.handle, [third])
        await trio.testing.wait_all_tasks_blocked()
        assert [len(worker.asked) for worker in workers] == [1, 1]
        workers[1].asked[0][1](CardsOpened([CARD]))
    assert len(workers[1].asked) == 2


async def test_a_stalled_hsm_costs_a_refusal_at_the_deadline(
    opening: Opening,
    workers: list[Worker],
    recording: Inbox[Payment],
    admit: Admit,
    peer: Peer,
    counts: PipelineCounts,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After two seconds the payment is refused, and the answer that comes later is ignored."""
    await opening.handle([admit(1)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opening.expire)
        await trio.sleep(1.9)
        assert peer.replies == {}
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    assert peer.replies == {1: UNAVAILABLE}
    assert workers[0].forgotten == [1]
    assert counts.hsm_timeouts_total == 1
    workers[0].asked[0][1](CardsOpened([CARD]))
    assert len(recording) == 0
    assert opening.idle


@pytest.mark.parametrize("reply", [MuxClosedError("gone"), CardsOpened([])])
async def test_a_failed_batch_is_refused_whole(
    reply: object,
    opening: Opening,
    workers: list[Worker],
    admit: Admit,
    peer: Peer,
) -> None:
    """A lost connection, or an answer of the wrong length, opens no card."""
    await opening.handle([admit(1), admit(2)])
    workers[0].asked[0][1](reply)
    assert peer.replies == {1: UNAVAILABLE, 2: UNAVAILABLE}


async def test_without_a_worker_payments_are_refused_at_once(
    opening: Opening, workers: list[Worker], admit: Admit, peer: Peer
) -> None:
    """No connection to any worker means no wait."""
    for worker in workers:
        worker.connected = False
    await opening.handle([admit(1)])
    assert peer.replies == {1: UNAVAILABLE}


async def test_the_deadline_runs_from_intake(
    opening: Opening,
    workers: list[Worker],
    admit: Admit,
    peer: Peer,
    counts: PipelineCounts,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Cards that wait behind a stalled worker are refused when theirs is over, not anew."""
    workers[1].connected = False
    start = trio.current_time()
    second = admit(2)
    await opening.handle([admit(1)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opening.expire)
        await opening.handle([second])
        nursery.cancel_scope.cancel()
    assert peer.replies == {1: UNAVAILABLE, 2: UNAVAILABLE}
    assert trio.current_time() - start < 2.2
    assert len(workers[0].asked) == 1


async def test_what_has_waited_past_the_deadline_is_refused_unopened(
    opening: Opening, workers: list[Worker], admit: Admit, peer: Peer
) -> None:
    """Behind workers that hang, payments wait for one deadline in all, not for one each."""
    await opening.handle([admit(1, age_s=2.1), admit(2, age_s=1.9), admit(3, age_s=2.1)])
    assert peer.replies == {1: UNAVAILABLE, 3: UNAVAILABLE}
    (asked,) = workers[0].asked
    assert [card.intent_id for card in asked[0].cards] == [(2).to_bytes(16)]
    await opening.handle([admit(4, age_s=5.0)])
    assert peer.replies[4] == UNAVAILABLE
    assert [len(worker.asked) for worker in workers] == [1, 0]


async def test_hung_workers_hold_no_payment_longer_than_the_deadline(
    opening: Opening,
    workers: list[Worker],
    admit: Admit,
    peer: Peer,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Eight batches behind two silent workers are all refused two seconds after they came in."""
    batches = [[admit(number)] for number in range(8)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opening.expire)
        with trio.fail_after(2.1):
            for batch in batches:
                await opening.handle(batch)
            await opening.wait_idle()
        nursery.cancel_scope.cancel()
    assert peer.replies == dict.fromkeys(range(8), UNAVAILABLE)


async def test_waiting_until_idle_ends_with_the_last_answer(
    opening: Opening, workers: list[Worker], admit: Admit
) -> None:
    """Draining waits for every batch in flight."""
    await opening.handle([admit(1)])
    await opening.handle([admit(2)])
    done: list[bool] = []

    async def wait() -> None:
        await opening.wait_idle()
        done.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        for worker in workers:
            await trio.testing.wait_all_tasks_blocked()
            assert not done
            worker.asked[0][1](CardsOpened([CARD]))
    assert done
    assert opening.idle
