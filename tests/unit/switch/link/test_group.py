from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from chassis.framing import LengthFramer
from switch.link.correlation import SlotError, correlation_key
from switch.link.events import Answered, Duplicate, Late, NotSent, Unknown, Unmatched
from switch.link.group import RUN_MESSAGES
from switch.link.outbox import CHUNK_BYTES_MAX, CONTROL_FRAMES_MAX
from switch.link.states import State
from tests.support.link import DIALECT, Host, Peer, answer, request

# With `autojump_clock` time stands still unless everybody waits. The streams are in memory, so
# nothing real is jumped over.
Clock = trio.testing.MockClock
MakeHost = Callable[..., Host]
SignedOn = tuple[Host, Peer]


def _per_chunk(number: int) -> int:
    return CHUNK_BYTES_MAX // (2 + len(DIALECT.encode(request(number))))


async def test_no_message_leaves_before_the_sign_on_is_answered(make_host: MakeHost) -> None:
    """Until 0810/00 there is no slot to be had."""
    host = make_host()
    peer = await host.peer()
    sign_on = await peer.receive()
    assert (sign_on[0], sign_on[70]) == ("0800", "001")
    assert host.group.reserve() is None
    await peer.send(answer(sign_on))
    await host.group.wait_up()
    assert host.group.up_count == 1
    host.send(1)
    assert (await peer.receive())[0] == "0200"


async def test_messages_of_one_tick_leave_together_and_answers_come_back_in_one_batch(
    signed_on: SignedOn,
) -> None:
    """One chunk out, one list of events in, each with its token."""
    host, peer = signed_on
    for number in range(20):
        host.send(number)
    requests = [await peer.receive() for _ in range(20)]
    assert host.group.counters.chunks_total == 2  # the sign-on, and this
    await peer.send(*[answer(fields) for fields in reversed(requests)])
    await trio.testing.wait_all_tasks_blocked()
    assert len(host.batches) == 1
    assert [event.token for event in host.events] == list(range(19, -1, -1))
    assert {type(event) for event in host.events} == {Answered}
    assert host.group.in_flight == 0
    assert host.group.counters.events[Answered] == host.group.sent_total == 20


async def test_answers_survive_one_byte_at_a_time(signed_on: SignedOn) -> None:
    """How the bytes arrive makes no difference."""
    host, peer = signed_on
    host.send(1)
    fields = await peer.receive()
    for byte in LengthFramer(2, 4_096).wrap(DIALECT.encode(answer(fields))):
        await peer.send_raw(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked()
    assert [type(event) for event in host.events] == [Answered]


async def test_no_answer_is_unknown_after_the_deadline_and_then_late(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """The deadline runs from sending; the late answer still finds the token."""
    host, peer = signed_on
    host.send(1)
    fields = await peer.receive()
    await trio.sleep(1.95)
    assert host.events == []
    await trio.sleep(0.1)
    assert host.events == [Unknown(1, "timeout")]
    assert host.group.in_flight == 0
    await peer.send(answer(fields))
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance(host.events[1], Late)
    assert host.events[1].token == 1


async def test_strays_and_duplicates_are_told_apart(signed_on: SignedOn) -> None:
    """A wrong STAN, an unsolicited answer and a second answer each become their event."""
    host, peer = signed_on
    host.send(1)
    fields = await peer.receive()
    wrong = answer(fields | {11: "999999"})
    await peer.send(wrong, answer(fields), answer(fields, "05"), answer(request(77)))
    await trio.testing.wait_all_tasks_blocked()
    kinds = [type(event) for event in host.events]
    assert kinds == [Unmatched, Answered, Duplicate, Unmatched]
    assert host.events[2].first_code == "00"


async def test_a_lost_connection_makes_what_was_sent_unknown_and_comes_back(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """EOF settles everything at once, and the link signs on again."""
    host, peer = signed_on
    host.send(1)
    await peer.receive()
    await peer.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert host.events == [Unknown(1, "link_lost")]
    assert (host.group.reserve(), host.group.up_count) == (None, 0)
    await (await host.peer(1)).accept_sign_on()
    host.send(2)
    assert (await host.peers[1].receive())[11] == "000002"


async def test_a_late_answer_may_come_on_another_connection(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """The table is the group's: where the answer comes in does not matter."""
    host = make_host(connections=2)
    first, second = await host.peer(0), await host.peer(1)
    await first.accept_sign_on()
    host.send(1)
    fields = await first.receive()
    await second.accept_sign_on()
    await first.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    await second.send(answer(fields))
    await trio.testing.wait_all_tasks_blocked()
    assert [type(event) for event in host.events] == [Unknown, Late]


async def test_a_chunk_in_a_broken_send_is_unknown_and_what_waits_is_not_sent(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """A stalled peer is dropped in time; only the chunk handed over is in doubt."""
    host = make_host(send_timeout_s=0.5, max_send_age_s=60.0, response_deadline_s=60.0)
    # The far end of a lockstep stream buffers nothing: unread bytes stall the sender.
    host.pair = trio.testing.lockstep_stream_pair
    peer = await host.peer()
    await peer.accept_sign_on()
    for number in range(200):
        host.send(number)
    await trio.sleep(1.0)
    unknown = [event.token for event in host.events if event == Unknown(event.token, "link_lost")]
    not_sent = [event.token for event in host.events if event == NotSent(event.token, "link_lost")]
    assert len(unknown) == _per_chunk(1)
    assert unknown + not_sent == list(range(200))
    assert host.group.in_flight == 0


async def test_messages_stuck_behind_a_stalled_send_are_given_up_in_time(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """They need not wait for the link to be given up."""
    host = make_host(send_timeout_s=30.0, max_send_age_s=1.0, response_deadline_s=60.0)
    host.pair = trio.testing.lockstep_stream_pair
    peer = await host.peer()
    await peer.accept_sign_on()
    for number in range(200):
        host.send(number)
    await trio.sleep(2.0)
    assert {event.reason for event in host.events} == {"too_old"}
    assert len(host.events) == 200 - _per_chunk(1)


async def test_a_message_too_old_when_it_is_sent_is_refused(signed_on: SignedOn) -> None:
    """Nothing of it leaves."""
    host, peer = signed_on
    host.send(1, accepted_at=trio.current_time() - 2.1)
    host.send(2)
    assert (await peer.receive())[11] == "000002"
    assert host.events == [NotSent(1, "too_old")]


async def test_the_window_bounds_what_is_in_flight(make_host: MakeHost) -> None:
    """No slot, no queue; an answer makes room, and so does a release."""
    host = make_host(window_per_connection=3)
    peer = await host.peer()
    await peer.accept_sign_on()
    for number in range(2):
        host.send(number)
    spare = host.group.reserve()
    assert spare is not None
    assert host.group.reserve() is None
    host.group.release(spare)
    with pytest.raises(SlotError):
        host.group.release(spare)
    host.send(2)
    await peer.send(answer(await peer.receive()))
    await trio.testing.wait_all_tasks_blocked()
    assert host.group.reserve() is not None
    assert host.group.reserve() is None


async def test_the_least_loaded_link_is_chosen(make_host: MakeHost) -> None:
    """Two links share the load evenly, in runs of messages that leave together."""
    host = make_host(connections=2)
    for number in range(2):
        await (await host.peer(number)).accept_sign_on()
    for number in range(RUN_MESSAGES):
        host.send(number)
    assert sorted(link.window.in_flight for link in host.group.links) == [0, RUN_MESSAGES]
    for number in range(RUN_MESSAGES, 4 * RUN_MESSAGES):
        host.send(number)
    assert [link.window.in_flight for link in host.group.links] == [2 * RUN_MESSAGES] * 2


async def test_a_slot_of_a_lost_link_moves_to_another(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """Between reservation and sending a commit passes, and a link may go."""
    host = make_host(connections=2)
    first, second = await host.peer(0), await host.peer(1)
    await first.accept_sign_on()
    slot = host.group.reserve()
    await second.accept_sign_on()
    await first.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    fields = request(1)
    host.group.send(
        slot, correlation_key(fields), DIALECT.encode(fields), "token", trio.current_time()
    )
    assert (await second.receive())[11] == "000001"
    assert [(link.up, link.window.in_flight) for link in host.group.links if link.up] == [(True, 1)]
    assert host.group.in_flight == 1


async def test_without_any_link_a_message_is_not_sent(signed_on: SignedOn) -> None:
    """It is told of in the next tick, never from within the call."""
    host, peer = signed_on
    slot = host.group.reserve()
    await peer.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    fields = request(1)
    host.group.send(
        slot, correlation_key(fields), DIALECT.encode(fields), "token", trio.current_time()
    )
    assert host.events == []
    await trio.testing.wait_all_tasks_blocked()
    assert host.events == [NotSent("token", "no_link")]
    assert host.group.in_flight == 0


async def test_a_frame_the_network_would_refuse_is_not_sent(signed_on: SignedOn) -> None:
    """Our own oversized message costs itself alone, not the link."""
    host, _ = signed_on
    slot = host.group.reserve()
    host.group.send(slot, "key", b"x" * 5_000, "token", trio.current_time())
    await trio.testing.wait_all_tasks_blocked()
    assert host.events == [NotSent("token", "frame_too_large")]
    assert host.group.up_count == 1


async def test_a_slot_carries_one_message(signed_on: SignedOn) -> None:
    """Using it twice is a fault of ours that is said at once."""
    host, _ = signed_on
    slot = host.group.reserve()
    host.group.send(slot, "key", b"frame", "token", trio.current_time())
    with pytest.raises(SlotError):
        host.group.send(slot, "other", b"frame", "token", trio.current_time())


async def test_a_second_message_with_a_key_in_flight_is_refused(signed_on: SignedOn) -> None:
    """The typed refusal leaves the first message as it was."""
    host, peer = signed_on
    host.send(1)
    fields = await peer.receive()
    slot = host.group.reserve()
    host.group.send(slot, correlation_key(fields), b"frame", "second", trio.current_time())
    await trio.testing.wait_all_tasks_blocked()
    assert host.events == [NotSent("second", "duplicate_key")]
    await peer.send(answer(fields))
    await trio.testing.wait_all_tasks_blocked()
    assert host.events[1].token == 1


async def test_a_full_outbox_closes_its_link(make_host: MakeHost) -> None:
    """A link that takes more than it sends is worth nothing."""
    host = make_host(outbox_frames_max=10)
    await (await host.peer()).accept_sign_on()
    for number in range(11):
        host.send(number)
    await trio.testing.wait_all_tasks_blocked()
    reasons = {event.token: event.reason for event in host.events}
    assert reasons == dict.fromkeys(range(10), "link_lost") | {10: "outbox_full"}
    assert host.group.up_count == 0


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\xff", id="no message at all"),
        pytest.param(b"\x02\x10" + b"\x80" + b"\x00" * 7, id="truncated bitmap"),
        pytest.param(b"\x0a\x0f" + b"\x00" * 8, id="bad MTI"),
    ],
)
async def test_an_undecodable_message_is_counted_and_the_connection_kept(
    autojump_clock: Clock, signed_on: SignedOn, frame: bytes
) -> None:
    """The message it may have answered becomes unknown; the others go on."""
    host, peer = signed_on
    host.send(1)
    await peer.receive()
    await peer.send_raw(LengthFramer(2, 4_096).wrap(frame))
    await trio.sleep(3.0)
    assert host.events == [Unknown(1, "timeout")]
    assert host.group.counters.undecodable_total == 1
    host.send(2)
    await peer.send(answer(await peer.receive()))
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance(host.events[1], Answered)


@pytest.mark.parametrize(
    ("data", "wait_s"),
    [
        pytest.param(b"\xff\xff", 0.0, id="length over the limit"),
        pytest.param(b"0140ASCII length", 0.0, id="another framing"),
        pytest.param(b"\x00", 6.0, id="half a header"),
        pytest.param(b"\x00\x50half a body", 6.0, id="half a body"),
        pytest.param(b"\x00\x00" * 200, 0.0, id="flood of empty frames"),
    ],
)
async def test_a_peer_that_breaks_the_framing_loses_the_connection(
    autojump_clock: Clock, signed_on: SignedOn, data: bytes, wait_s: float
) -> None:
    """No resynchronization is guessed, no half frame waited for, no flood borne."""
    host, peer = signed_on
    host.send(1)
    await peer.receive()
    await peer.send_raw(data)
    await trio.sleep(wait_s)
    await trio.testing.wait_all_tasks_blocked()
    assert host.group.counters.lost_total == 1
    assert await peer.eof()
    await trio.testing.wait_all_tasks_blocked()
    assert host.events == [Unknown(1, "link_lost" if wait_s == 0 else "timeout")]


async def test_whole_answers_ahead_of_a_fault_count(signed_on: SignedOn) -> None:
    """What arrived whole before the stream broke is used."""
    host, peer = signed_on
    host.send(1)
    good = LengthFramer(2, 4_096).wrap(DIALECT.encode(answer(await peer.receive())))
    await peer.send_raw(good + b"\xff\xff")
    await trio.testing.wait_all_tasks_blocked()
    assert [type(event) for event in host.events] == [Answered]
    assert await peer.eof()


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
    waited = range(_per_chunk(1), 200)
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


async def test_an_unsent_message_may_be_sent_again_from_within_its_event(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """The pipeline resends by another link while it is being told."""
    host = make_host(connections=2)
    first, second = await host.peer(0), await host.peer(1)
    await first.accept_sign_on()
    host.pair = trio.testing.memory_stream_pair
    await second.accept_sign_on()
    told: list[Any] = []

    def on_events(events: list[Any]) -> None:
        told.extend(events)
        for event in events:
            if event == NotSent(1, "too_old"):
                host.send(1)

    host.group._on_events = on_events
    host.send(1, accepted_at=trio.current_time() - 10)
    await trio.testing.wait_all_tasks_blocked()
    assert told == [NotSent(1, "too_old")]
    assert host.group.sent_total == 1


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
