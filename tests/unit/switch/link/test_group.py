from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from chassis.framing import LengthFramer
from switch.link.correlation import SlotError, correlation_key
from switch.link.events import Answered, Duplicate, Late, NotSent, Unknown, Unmatched
from switch.link.group import RUN_MESSAGES
from tests.support.link import (
    DIALECT,
    Clock,
    MakeHost,
    SignedOn,
    answer,
    messages_per_chunk,
    request,
)


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
    assert len(unknown) == messages_per_chunk(1)
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
    assert len(host.events) == 200 - messages_per_chunk(1)


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
