"""A network that does not answer is tried by single messages only, and has a bounded window."""

from __future__ import annotations

import trio
import trio.testing
from structlog.testing import capture_logs

from switch.core.breaker import BreakerState
from switch.link.correlation import Slot
from switch.link.events import Answered, NotSent, Unknown
from tests.support.link import Clock, MakeHost, answer


async def test_a_silent_network_is_given_up_and_found_again(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """Failures that last open the breaker; one message a second looks; an answer closes it."""
    host = make_host(breaker_failures_max=10, breaker_window_s=3.0, breaker_pause_s=1.0)
    peer = await host.peer()
    await peer.accept_sign_on()
    group, sent = host.group, 0
    with capture_logs() as lines:
        for _ in range(8):
            for _ in range(3):
                sent += 1
                host.send(sent)
            await trio.sleep(0.7)
        assert group.breaker.state is BreakerState.OPEN
        assert group.reserve() is None
        await trio.sleep(1.0)
        for _ in range(24):
            await peer.receive()
        host.send(1_000)  # the one of this pause
        assert group.reserve() is None
        fields = await peer.receive()
        await peer.send(answer(fields))
        await trio.testing.wait_all_tasks_blocked()
        assert group.breaker.state is BreakerState.CLOSED
        for number in range(2_000, 2_100):
            host.send(number)
    assert {type(event) for event in host.events} == {Unknown, Answered}
    told = [line["event"] for line in lines if line["event"].startswith("breaker")]
    assert told == ["breaker_open", "breaker_closed"]


async def test_one_lost_link_does_not_close_the_network(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """All that was on it is unknown at one instant; the other link serves on."""
    host = make_host(connections=2, breaker_failures_max=10)
    peers = [await host.peer(0), await host.peer(1)]
    for peer in peers:
        await peer.accept_sign_on()
    for number in range(64):
        host.send(number)
    await trio.testing.wait_all_tasks_blocked()
    await peers[0].stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert sum(isinstance(event, Unknown) for event in host.events) == 32
    assert host.group.breaker.state is BreakerState.CLOSED
    slot = host.group.reserve()
    assert slot is not None
    host.group.release(slot)


async def test_faults_of_ours_are_not_the_networks(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """A key used twice says nothing about the far end."""
    host = make_host(breaker_failures_max=1, breaker_window_s=0.0)
    peer = await host.peer()
    await peer.accept_sign_on()
    for _ in range(3):
        host.send(1)
    await trio.testing.wait_all_tasks_blocked()
    assert [event for event in host.events if isinstance(event, NotSent)] == [
        NotSent(1, "duplicate_key")
    ] * 2
    assert host.group.breaker.failures == 0


async def test_the_window_of_all_links_together_is_bounded(make_host: MakeHost) -> None:
    """A network may allow less than its connections could carry."""
    host = make_host(connections=2, window_per_connection=100, window_max=70)
    for number in range(2):
        await (await host.peer(number)).accept_sign_on()
    slots: list[Slot] = []
    while (slot := host.group.reserve()) is not None:
        slots.append(slot)
    assert len(slots) == 70
    host.group.release(slots.pop())
    assert host.group.reserve() is not None
    assert host.group.reserve() is None
