"""A network driven by hand, at the other end of a link group's connections in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

import trio
import trio.testing

from chassis.framing import LengthFramer
from chassis.settings.tree import Network
from switch.core.numbers import NumbersExhaustedError
from switch.iso8583 import Dialect, load_dialect
from switch.link.correlation import correlation_key
from switch.link.events import Fields, LinkEvent
from switch.link.group import LinkGroup
from switch.link.outbox import CHUNK_BYTES_MAX

DIALECT: Dialect = load_dialect("net87b")
SETTINGS = Network(connections=1, reconnect_min_s=0.1, reconnect_max_s=0.2)


def request(number: int) -> Fields:
    """A sale that the dialect can encode."""
    return {
        0: "0200",
        2: "4242424242424242",
        3: "000000",
        4: "000000002499",
        7: "0102030405",
        11: f"{number:06d}",
        12: "030405",
        13: "0102",
        14: "3012",
        18: "5999",
        19: "840",
        22: "810",
        25: "59",
        32: "400001",
        37: f"R{number:011d}",
        41: "TERM0001",
        42: "MERCHANT0000001",
        43: "DEMO SHOP".ljust(40),
        49: "840",
    }


def answer(fields: Fields, code: str = "00") -> Fields:
    """The 0210 or 0810 to a message."""
    echoed = {de: value for de, value in fields.items() if de in (7, 11, 32, 37, 70)}
    return echoed | {0: fields[0][:2] + "10", 39: code}


class Peer:
    """One connection as the network sees it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._framer = LengthFramer(2, 4_096)
        self._frames: deque[bytes] = deque()

    async def receive(self) -> Fields:
        """The next message of the switch."""
        with trio.fail_after(60):
            while not self._frames:
                data = await self.stream.receive_some()
                if not data:
                    raise EOFError
                self._frames += self._framer.feed(bytes(data))
        return DIALECT.decode(self._frames.popleft())

    async def send(self, *messages: Fields) -> None:
        """Send messages in one piece."""
        await self.send_raw(self._framer.wrap_many([DIALECT.encode(each) for each in messages]))

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self.stream.send_all(data)

    async def accept_sign_on(self, code: str = "00") -> Fields:
        """Answer the 0800 that every connection begins with."""
        sign_on = await self.receive()
        await self.send(answer(sign_on, code))
        await trio.testing.wait_all_tasks_blocked()
        return sign_on

    async def eof(self) -> bool:
        """Whether the switch has closed, after what it still had to say."""
        try:
            while True:
                await self.receive()
        except (EOFError, trio.BrokenResourceError):
            return True


class Host:
    """The network: hands out connections and keeps the group's events."""

    def __init__(self, settings: Network, dialect: Dialect = DIALECT) -> None:
        self.events: list[LinkEvent] = []
        self.batches: list[list[LinkEvent]] = []
        self.peers: list[Peer] = []
        self.failures: deque[Exception] = deque()
        self.turns: list[int] = []  # whose turn it was, connection by connection
        self.cutovers: list[str] = []
        self.pair: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]] = (
            trio.testing.memory_stream_pair
        )
        self.out_of_numbers = False
        self.leased = True
        self._numbers = count(900_000)
        self.group = LinkGroup(
            "vsim",
            settings,
            dialect,
            self._connect,
            on_events=self._on_events,
            next_stan=self._next_stan,
            on_cutover=self.cutovers.append,
            lease_holds=lambda: self.leased,
        )

    def _next_stan(self) -> tuple[str, str]:
        if self.out_of_numbers:
            raise NumbersExhaustedError
        return f"{next(self._numbers):06d}", "0102030405"

    def _on_events(self, events: list[LinkEvent]) -> None:
        self.batches.append(events)
        self.events += events

    async def _connect(self, turn: int, reached: Callable[[], None]) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.turns.append(turn)
        if self.failures:
            raise self.failures.popleft()
        reached()
        near, far = self.pair()
        self.peers.append(Peer(far))
        return near

    async def peer(self, number: int = 0) -> Peer:
        """The connection of that number, once it was dialed."""
        with trio.fail_after(60):
            while len(self.peers) <= number:
                await trio.sleep(0.01)
        return self.peers[number]

    def send(self, number: int, *, accepted_at: float | None = None) -> None:
        """Send one sale through the group, its number as token."""
        slot = self.group.reserve()
        assert slot is not None
        fields = request(number)
        now = trio.current_time() if accepted_at is None else accepted_at
        self.group.send(slot, correlation_key(fields), DIALECT.encode(fields), number, now)


# With `autojump_clock` time stands still unless everybody waits. The streams are in memory, so
# nothing real is jumped over.
Clock = trio.testing.MockClock
MakeHost = Callable[..., Host]
SignedOn = tuple[Host, Peer]


def messages_per_chunk(number: int) -> int:
    """How many messages like this one leave in one call."""
    return CHUNK_BYTES_MAX // (2 + len(DIALECT.encode(request(number))))
