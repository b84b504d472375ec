"""Sessions of a group's links: signs of life, sign-ons, sign-offs and drains."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from switch.link.correlation import correlation_key
from switch.link.events import Answered, NotSent, Unknown
from switch.link.outbox import CONTROL_FRAMES_MAX
from switch.link.states import State
from tests.support.link import (
    DIALECT,
    Clock,
    MakeHost,
    SignedOn,
    answer,
    messages_per_chunk,
    request,
)


async def test_keep_alives_are_life_and_are_not_echoed(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """A peer that only sends empty frames is never asked for an echo, nor answered."""
    host, peer = signed_on
    for _ in range(10):
        await trio.sleep(20)
        await peer.send_raw(b"\x00\x00")
    await trio.testing.wait_all_tasks_blocked()
    assert host.group.up_count == 1
    assert host.group.counters.keep_alives_total == 10
    host.send(1)
    assert (await peer.receive())[0] == "0200"


async def test_a_silent_peer_is_asked_and_then_given_up(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """Three echoes without any answer close the connection within 105 s."""
    host, peer = signed_on
    echoes = [await peer.receive() for _ in range(3)]
    assert {fields[70] for fields in echoes} == {"301"}
    assert await peer.eof()
    assert trio.current_time() == pytest.approx(106, abs=2.0)
    await (await host.peer(1)).accept_sign_on()


async def test_an_answered_echo_keeps_the_link_up(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """Ten idle minutes with a living peer change nothing."""
    host, peer = signed_on
    with trio.move_on_after(600):
        while True:
            await peer.send(answer(await peer.receive()))
    assert host.group.up_count == 1
    assert len(host.peers) == 1


async def test_the_peers_echo_is_answered_ahead_of_traffic(signed_on: SignedOn) -> None:
    """Under load too, and on the connection it came by."""
    host, peer = signed_on
    await peer.send({0: "0800", 7: "0102030405", 11: "000007", 70: "301"})
    await trio.testing.wait_all_tasks_blocked()
    for number in range(300):
        host.send(number)
    assert await peer.receive() == {0: "0810", 7: "0102030405", 11: "000007", 39: "00", 70: "301"}


async def test_sign_ons_that_fail_raise_an_alarm(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """Refused, unanswered, or cut off under TLS 1.3: three in a row are said aloud."""
    host = make_host()
    await (await host.peer(0)).accept_sign_on("91")
    await (await host.peer(1)).stream.aclose()
    assert host.group.counters.alarms_total == 0
    await (await host.peer(2)).receive()
    await trio.sleep(6)
    assert host.group.counters.alarms_total == 1
    await (await host.peer(3)).accept_sign_on()
    assert host.group.up_count == 1


@pytest.mark.parametrize(
    "failure", [ConnectionRefusedError(), trio.BrokenResourceError(), trio.TooSlowError()]
)
async def test_a_host_that_cannot_be_reached_is_dialed_again(
    make_host: MakeHost, failure: Exception
) -> None:
    """No kind of failed connection stops the link."""
    host = make_host()
    host.failures.append(failure)
    await (await host.peer()).accept_sign_on()
    assert host.group.counters.lost_total == 1
    assert host.group.up_count == 1


async def test_the_peers_sign_off_stops_new_messages_and_lets_answers_in(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """What is in flight is still answered on the old connection; then a new one signs on."""
    host, peer = signed_on
    for number in range(2):
        host.send(number)
    sales = [await peer.receive() for _ in range(2)]
    await peer.send({0: "0800", 7: "0102030405", 11: "000007", 70: "002"})
    assert (await peer.receive())[39] == "00"
    assert host.group.reserve() is None
    await peer.send(answer(sales[0]))
    await trio.sleep(3)
    assert [type(event) for event in host.events] == [Answered, Unknown]
    assert host.events[1] == Unknown(1, "timeout")
    assert await peer.eof()
    await (await host.peer(1)).accept_sign_on()
    assert host.group.up_count == 1


async def test_messages_queued_at_the_peers_sign_off_are_not_sent(make_host: MakeHost) -> None:
    """They may go by another link: no byte of them has left."""
    host = make_host()
    host.pair = trio.testing.lockstep_stream_pair
    peer = await host.peer()
    await peer.accept_sign_on()
    for number in range(200):
        host.send(number)
    await trio.testing.wait_all_tasks_blocked()
    await peer.send({0: "0800", 7: "0102030405", 11: "000007", 70: "002"})
    await trio.testing.wait_all_tasks_blocked()
    waited = range(messages_per_chunk(1), 200)
    assert host.events == [NotSent(number, "signed_off") for number in waited]


async def test_drain_waits_for_answers_and_signs_off(
    autojump_clock: Clock, signed_on: SignedOn, nursery: trio.Nursery
) -> None:
    """No new slots, every answer taken, good-bye said, connection closed, no new dial."""
    host, peer = signed_on
    host.send(1)
    fields = await peer.receive()
    drained = trio.Event()

    async def drain() -> None:
        await host.group.drain()
        drained.set()

    nursery.start_soon(drain)
    await trio.testing.wait_all_tasks_blocked()
    assert host.group.reserve() is None
    assert host.group.links[0].session.state is State.DRAINING
    await peer.send(answer(fields))
    sign_off = await peer.receive()
    assert (sign_off[0], sign_off[70]) == ("0800", "002")
    assert [type(event) for event in host.events] == [Answered]
    await peer.send(answer(sign_off))
    assert await peer.eof()
    await drained.wait()
    assert len(host.peers) == 1


async def test_drain_does_not_wait_longer_than_the_deadlines(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """A silent network leaves unknowns behind and is left."""
    host, _ = signed_on
    host.send(1)
    before = trio.current_time()
    await host.group.drain()
    assert host.events == [Unknown(1, "timeout")]
    # The deadline of the message, then the time-out of the sign-off.
    assert trio.current_time() - before == pytest.approx(7.0, abs=1.0)


async def test_drain_sends_what_was_reserved_before_it(
    signed_on: SignedOn, nursery: trio.Nursery
) -> None:
    """A commit under way at the stop still gets its message out."""
    host, peer = signed_on
    slot = host.group.reserve()
    nursery.start_soon(host.group.drain)
    await trio.testing.wait_all_tasks_blocked()
    fields = request(1)
    host.group.send(
        slot, correlation_key(fields), DIALECT.encode(fields), "token", trio.current_time()
    )
    await peer.send(answer(await peer.receive()))
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance(host.events[0], Answered)
    await peer.send(answer(await peer.receive()))


async def test_drain_goes_on_when_a_slot_is_given_back(
    autojump_clock: Clock, signed_on: SignedOn, nursery: trio.Nursery
) -> None:
    """A payment that was refused after its reservation holds nothing up."""
    host, peer = signed_on
    slot = host.group.reserve()
    assert slot is not None
    before = trio.current_time()
    nursery.start_soon(host.group.drain)
    await trio.testing.wait_all_tasks_blocked()
    host.group.release(slot)
    assert (await peer.receive())[70] == "002"
    assert trio.current_time() == before


async def test_drain_of_a_group_that_never_came_up(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """An unreachable network does not hold up the stop."""
    host = make_host(reconnect_min_s=30.0, reconnect_max_s=30.0)
    host.failures += [ConnectionRefusedError()] * 100
    await trio.sleep(1)
    with trio.fail_after(5):
        await host.group.drain()


async def test_without_a_stan_a_link_does_not_sign_on(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """No number is made up: the link closes and tries again until there are numbers."""
    host = make_host()
    host.out_of_numbers = True
    assert await (await host.peer(1)).eof()
    assert host.group.up_count == 0
    host.out_of_numbers = False
    await (await host.peer(len(host.peers))).accept_sign_on()
    assert host.group.up_count == 1


async def test_a_peer_that_asks_without_reading_is_left(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """Answers owed to it are bounded."""
    host = make_host()
    host.pair = trio.testing.lockstep_stream_pair
    peer = await host.peer()
    await peer.accept_sign_on()
    echo = {0: "0800", 7: "0102030405", 11: "000007", 70: "301"}
    await peer.send(*[echo] * CONTROL_FRAMES_MAX)
    await trio.testing.wait_all_tasks_blocked()
    assert host.group.up_count == 1
    # The first answers are stuck in a send; there is room for as many again, and no more.
    await peer.send(*[echo] * CONTROL_FRAMES_MAX)
    await trio.testing.wait_all_tasks_blocked()
    assert host.group.up_count == 1
    await peer.send(echo)
    await trio.testing.wait_all_tasks_blocked()
    assert host.group.up_count == 0


async def test_an_answer_owed_to_a_dead_connection_is_not_sent_on_the_next(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """A new connection begins with its own sign-on and nothing else."""
    host = make_host()
    host.pair = trio.testing.lockstep_stream_pair
    peer = await host.peer()
    await peer.accept_sign_on()
    echo = {0: "0800", 7: "0102030405", 11: "000007", 70: "301"}
    for _ in range(3):
        await peer.send(echo)
        await trio.testing.wait_all_tasks_blocked()
    host.pair = trio.testing.memory_stream_pair
    await peer.stream.aclose()
    again = await host.peer(1)
    await trio.testing.wait_all_tasks_blocked()
    assert (await again.receive())[0] == "0800"
    await trio.testing.wait_all_tasks_blocked()
    assert host.group.counters.bytes_sent_total == 2 * (2 + len(DIALECT.encode(echo)))


async def test_a_link_that_proved_itself_is_dialed_again_quickly(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """A minute of session makes up for any number of failures before it."""
    host = make_host(reconnect_min_s=0.001, reconnect_max_s=1e6, echo_idle_s=1e9)
    host.failures += [ConnectionRefusedError()] * 25
    with trio.fail_after(1e9):
        while not host.peers:
            await trio.sleep(1)
    await host.peers[0].accept_sign_on()
    await trio.sleep(60)
    before = trio.current_time()
    await host.peers[0].stream.aclose()
    await host.peer(1)
    assert trio.current_time() - before < 0.1
