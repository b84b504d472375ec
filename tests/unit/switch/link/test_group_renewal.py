"""New connections behind which the old ones go, without a message lost."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from switch.link.events import Answered
from switch.link.states import State
from tests.support.link import Clock, MakeHost, Peer, SignedOn, answer


async def _settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_the_new_link_is_up_before_the_old_one_stops(signed_on: SignedOn) -> None:
    """At every moment there is a link to send on; the old one signs off when it has all answers."""
    host, old = signed_on
    host.send(1)
    waiting = await old.receive()
    host.group.renew()
    new = await host.peer(1)
    assert (await new.receive())[70] == "001"
    assert host.group.up_count == 1  # not yet: the old one
    host.send(2)
    assert (await old.receive())[11] == "000002"
    await new.send(answer({7: "0102030405", 11: "900001", 70: "001", 0: "0800"}))
    await _settled()
    assert [link.session.state for link in host.group.links] == [State.DRAINING, State.UP]
    host.send(3)
    sent = await new.receive()
    await new.send(answer(sent))
    for fields in (waiting, answer(waiting) | {0: "0200", 11: "000002", 37: f"R{2:011d}"}):
        await old.send(answer(fields))
    sign_off = await old.receive()
    assert sign_off[70] == "002"
    await old.send(answer(sign_off))
    assert await old.eof()
    await _settled()
    assert [link.session.state for link in host.group.links] == [State.UP]
    assert [link.index for link in host.group.links] == [1]
    assert [type(event) for event in host.events] == [Answered] * 3
    assert host.group.in_flight == 0


async def test_links_are_renewed_one_after_the_other(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """Never more than one connection above what the settings say."""
    host = make_host(connections=3)

    async def play(peer: Peer) -> None:
        try:
            while True:
                await peer.send(answer(await peer.receive()))
        except (EOFError, trio.BrokenResourceError):
            return

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(play, await host.peer(number))
        await host.group.wait_up(3)
        most = 3
        host.group.renew()
        host.group.renew()  # asked twice before it has begun is asked once
        for number in range(3, 6):
            nursery.start_soon(play, await host.peer(number))
            most = max(most, len(host.group.links))
        await trio.sleep(1.0)
        assert most == 4
        assert [link.index for link in host.group.links] == [3, 4, 5]
        assert sorted(link.place for link in host.group.links) == [0, 1, 2]
        assert host.group.up_count == 3
        await host.group.drain()


@pytest.mark.parametrize("refused", ["by silence", "by a code"])
async def test_a_link_that_the_network_does_not_take_leaves_the_old_one(
    autojump_clock: Clock, signed_on: SignedOn, refused: str
) -> None:
    """The alarm is raised, and payments go on where they went."""
    host, old = signed_on
    with capture_logs() as lines:
        host.group.renew()
        new = await host.peer(1)
        if refused == "by a code":
            await new.accept_sign_on("05")
        await trio.sleep(30)
    assert "links_not_renewed" in [line["event"] for line in lines]
    assert [link.index for link in host.group.links] == [0]
    host.send(1)
    fields = await old.receive()
    while fields[0] == "0800":
        fields = await old.receive()
    await old.send(answer(fields))
    await _settled()
    assert isinstance(host.events[-1], Answered)


async def test_a_link_that_is_down_needs_no_other(make_host: MakeHost) -> None:
    """It makes its next connection with whatever is new."""
    host = make_host()
    host.failures += [OSError()] * 3
    await trio.sleep(0.01)
    host.group.renew()
    await (await host.peer()).accept_sign_on()
    await _settled()
    assert len(host.group.links) == 1
    assert host.group.up_count == 1


async def test_a_drain_in_the_middle_of_it_ends_everything(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """Old and new links sign off; what the old one still waits for is waited for."""
    host, old = signed_on
    host.send(1)
    fields = await old.receive()
    host.group.renew()
    new = await host.peer(1)
    await new.accept_sign_on()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.group.drain)
        await trio.sleep(0.5)
        states = {link.session.state for link in host.group.links}
        assert states == {State.DRAINING}  # nobody has said good-bye before the last answer
        await old.send(answer(fields))
        for peer in (old, new):
            sign_off = await peer.receive()
            assert sign_off[70] == "002"
            await peer.send(answer(sign_off))
    assert [type(event) for event in host.events] == [Answered]


async def test_the_turn_passes_to_another_host_after_a_failure(
    autojump_clock: Clock, make_host: MakeHost
) -> None:
    """Links begin at their places; one that proved itself comes back to the host it had."""
    host = make_host(connections=2, backoff_reset_s=1.0)
    for number in range(2):
        await (await host.peer(number)).accept_sign_on()
    assert sorted(host.turns) == [0, 1]
    await trio.sleep(2.0)
    await host.peers[0].stream.aclose()
    back = await host.peer(2)
    assert host.turns[2] == host.turns[0]
    await back.stream.aclose()  # before it has signed on
    await host.peer(3)
    assert host.turns[3] == host.turns[0] + 1
