"""Links under a lease: nothing financial leaves without one, whatever was queued before."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from switch.link.events import NotSent
from tests.support.link import Clock, SignedOn, answer


async def test_what_waits_at_the_end_of_the_lease_becomes_too_old(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """Messages handed over in the lease's last instant are refused, and their slots come back."""
    host, peer = signed_on
    host.send(1)
    host.send(2)
    host.leased = False  # before the writer had its turn
    await trio.sleep(1.9)
    assert host.events == []
    await trio.sleep(0.7)
    assert host.events == [NotSent(1, "too_old"), NotSent(2, "too_old")]
    assert (host.group.in_flight, host.group.sent_total) == (0, 0)
    await peer.stream.send_all(b"\x00\x00")  # the connection is well, and nothing had been sent
    with pytest.raises(trio.TooSlowError), trio.fail_after(20):
        await peer.receive()


async def test_what_is_still_young_leaves_when_the_lease_is_renewed(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """Nobody needs to tell the links."""
    host, peer = signed_on
    host.send(1)
    host.leased = False
    await trio.sleep(1)
    host.leased = True
    with trio.fail_after(0.6):
        assert (await peer.receive())[11] == "000001"


async def test_without_a_lease_no_slot_is_given(signed_on: SignedOn) -> None:
    """A payment that could not be sent is refused before it is recorded."""
    host, _ = signed_on
    host.leased = False
    assert host.group.reserve() is None
    host.leased = True
    assert host.group.reserve() is not None


async def test_network_management_needs_no_lease(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """The links stay up while the ledger is away: echoes are answered, and sent."""
    host, peer = signed_on
    host.send(1)
    host.leased = False
    echo = await peer.receive()
    assert (echo[0], echo[70]) == ("0800", "301")
    await peer.send(answer(echo))
    assert host.events == [NotSent(1, "too_old")]
    assert host.group.up_count == 1
