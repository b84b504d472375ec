"""Asking the HSM: the least busy worker, within bounds, and one error for all that goes wrong."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from chassis.mux import MuxClosedError, MuxOverloadError
from hsm_sim.wire import HSMReply, HSMRequest, ListNetworkKeys, NetworkKeysListed, Refused
from switch.hsm import HSMUnavailableError, asker


class Worker:
    """A mux client that answers as the test says."""

    def __init__(self, in_flight: int = 0, *, connected: bool = True) -> None:
        self.in_flight = in_flight
        self.connected = connected
        self.asked = 0
        self.reply: HSMReply | Exception | None = NetworkKeysListed([])

    async def call(self, _request: HSMRequest) -> HSMReply:
        """As `MuxClient.call`; None never answers."""
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if isinstance(self.reply, Exception):
            raise self.reply
        if self.reply is None:
            await trio.sleep_forever()
        return self.reply


async def test_the_least_busy_worker_is_asked() -> None:
    """Of those that are connected."""
    workers = [Worker(5), Worker(3), Worker(0, connected=False)]
    ask = asker(workers, 1.0)  # type: ignore[arg-type]
    assert await ask(ListNetworkKeys()) == NetworkKeysListed([])
    assert [worker.asked for worker in workers] == [0, 1, 0]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (MuxClosedError("gone"), "MuxClosedError"),
        (MuxOverloadError("full"), "MuxOverloadError"),
        (Refused("rate_limited"), "rate_limited"),
        (None, "TooSlowError"),
    ],
)
async def test_whatever_goes_wrong_is_one_error(
    autojump_clock: trio.testing.MockClock, reply: HSMReply | Exception | None, told: str
) -> None:
    """Closed, full, refused or silent: nothing is known, and it may be asked again."""
    worker = Worker()
    worker.reply = reply
    with pytest.raises(HSMUnavailableError, match=told):
        await asker([worker], 1.0)(ListNetworkKeys())  # type: ignore[list-item]


async def test_without_a_worker_nobody_is_asked() -> None:
    """None, or none that is connected."""
    for workers in ([], [Worker(connected=False)]):
        with pytest.raises(HSMUnavailableError, match="no HSM worker"):
            await asker(workers, 1.0)(ListNetworkKeys())  # type: ignore[arg-type]
