"""More messages than there are STANs, in a process of their own.

    python -m certification.wrapping HEX SEED

HEX is a sale, packed, whose numbers are replaced. Two tries, both with the switch's own allocator
and correlation:

on the core    1.2 million messages in injected time, each in flight for half an hour; the STANs
               wrap, and each message is answered when its window is over
over the link  20,000 messages in flight at once over mutual TLS to a network on the public codec;
               every STAN is used twice, and the network keeps all answers back and mixes them

Prints one JSON document: clashes of keys, and answers that were taken for another message's.
"""

from __future__ import annotations

import json
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Final

import trio
import trio.lowlevel

from certification.network import Certificates, Exchange, Handler, PlayedNetwork, listen
from certification.profile import CLIENT_NAME, SERVER_NAME
from chassis.log import configure_logging
from chassis.pki import development_pki
from chassis.settings import Log, Network, Simulator
from chassis.tls import client_context, connect_tls
from switch.core.numbers import StanAllocator, StanBlock
from switch.iso8583 import Dialect, load_dialect
from switch.link.correlation import Correlation, DuplicateKeyError, Slot, Window, correlation_key
from switch.link.events import Answered, LinkEvent
from switch.link.group import LinkGroup

CORE_COUNT: Final = 1_200_000
CORE_PENDING_S: Final = 1_800.0
CORE_PER_S: Final = 1_000.0
BLOCK: Final = 10_000
LINK_COUNT: Final = 20_000
CONNECTIONS: Final = 2
LINK_BLOCK: Final = LINK_COUNT // 4
LINK_FIRSTS: Final = (1_000_000 - LINK_BLOCK, 1)  # the last STANs, then the first again
LINK_WITHIN_S: Final = 60.0
SLICE: Final = 500  # sent before the link gets its turn
BEGAN_S: Final = 1_800_000_000
NO_HELP: Final = "0" * 12  # one RRN for all: STAN and DE 7 must tell messages apart by themselves


def on_the_core(total: int, pending_s: float, per_s: float) -> tuple[int, int]:
    """Drive allocator and correlation with injected time; (keys that clashed, wrong answers).

    Every message stays in flight for the whole window and is then answered; the STAN wraps
    meanwhile.
    """
    allocator = StanAllocator()
    correlation = Correlation(pending_s + 1.0, answered_max=65_536)
    window = Window(0, total + 1)
    blocks = count()
    in_flight: list[tuple[dict[int, str], Slot]] = []
    clashes = wrong = 0
    answered = 0
    for number in range(total):
        now = number / per_s
        second = BEGAN_S + int(now)
        if allocator.usable(second) == 0:
            first = next(blocks) * BLOCK % 990_000 + 1
            allocator.add(
                StanBlock(first=first, count=BLOCK, floor_s=second, ceiling_s=second + 3_600)
            )
        stan, de7 = allocator.next(second)
        fields = {0: "0200", 11: stan, 7: de7, 32: "400001", 37: NO_HELP}
        window.in_flight += 1
        slot = Slot(window, correlation_key(fields), number)
        try:
            correlation.sent(slot, now)
        except DuplicateKeyError:
            clashes += 1
            continue
        in_flight.append((fields, slot))
        while answered < len(in_flight) and answered / per_s <= now - pending_s:
            wrong += not _answers(correlation, in_flight[answered][0], answered, now)
            in_flight[answered] = ({}, slot)
            answered += 1
    last = total / per_s
    for index in range(answered, len(in_flight)):
        wrong += not _answers(correlation, in_flight[index][0], index, last)
    return clashes, wrong


def _answers(correlation: Correlation, fields: dict[int, str], token: int, now: float) -> bool:
    event = correlation.answer({**fields, 0: "0210", 39: "00"}, now, 0)
    return isinstance(event, Answered) and event.token == token


class OverTheLink:
    """Messages through a link group, each with its RRN for a token.

    Args:
        dialect: of the messages.
        network: the switch's view of it.
        connect: makes a connection.

    Attributes:
        wrong: messages that ended otherwise than by their own answer.
        in_flight_max: the most that were under way at once.
    """

    def __init__(
        self,
        dialect: Dialect,
        network: Network,
        connect: Callable[[int, Callable[[], None]], Awaitable[trio.abc.Stream]],
    ) -> None:
        self._dialect = dialect
        self._ended = 0
        self._management = count(1)
        self.wrong = 0
        self.in_flight_max = 0
        self.group = LinkGroup(
            "wrapping",
            network,
            dialect,
            connect,
            on_events=self._on_events,
            next_stan=lambda: (f"{next(self._management):06d}", "0101000000"),
            lease_holds=lambda: True,
        )

    async def send(self, sale: dict[int, str], total: int) -> None:
        """Send so many, and wait until each has ended."""
        allocator = StanAllocator()
        for second in (BEGAN_S, BEGAN_S + 1):
            for first in LINK_FIRSTS:
                allocator.add(
                    StanBlock(first=first, count=LINK_BLOCK, floor_s=second, ceiling_s=second)
                )
        for number in range(total):
            stan, de7 = allocator.next(BEGAN_S)
            fields = {**sale, 7: de7, 11: stan, 37: f"{number:012d}"}
            slot = self.group.reserve()
            if slot is None:
                self.wrong += 1
                continue
            frame, now = self._dialect.encode(fields), trio.current_time()
            self.group.send(slot, correlation_key(fields), frame, fields[37], now)
            self.in_flight_max = max(self.in_flight_max, self.group.in_flight)
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        while self._ended + self.wrong < total:
            await trio.sleep(0.01)

    def _on_events(self, events: list[LinkEvent]) -> None:
        for event in events:
            if isinstance(event, Answered) and event.fields[37] == event.token:
                self._ended += 1
            else:
                self.wrong += 1


async def over_the_link(
    folder: Path, dialect: Dialect, sale: dict[int, str], seed: int, total: int = LINK_COUNT
) -> tuple[int, int]:
    """Have so many in flight at once; (the most that were, messages without their own answer).

    Args:
        folder: for certificates.
        dialect: of both ends.
        sale: whose numbers are replaced.
        seed: of the order of the answers.
        total: of messages.

    Raises:
        trio.TooSlowError: some have not ended.
    """
    network = Network(
        server_name=SERVER_NAME,
        client_name=CLIENT_NAME,
        bins=("4",),
        connections=CONNECTIONS,
        window_per_connection=total,
        window_max=total,
        outbox_frames_max=total,
        response_deadline_s=LINK_WITHIN_S,
        max_send_age_s=LINK_WITHIN_S,
        breaker_failures_max=total,
    )
    pki = folder / "pki"
    development_pki(pki, {"network": (SERVER_NAME, "server"), "switch": (CLIENT_NAME, "client")})
    files = Certificates(pki / "ca.pem", pki / "network.pem", pki / "network.key")
    far_end = PlayedNetwork("wrapping", network, Simulator(), dialect, files)
    far_end.on(sale[0], mixed(total, Random(seed)), times=total)
    far_end.accepting.set()
    ours = client_context(ca=pki / "ca.pem", certificate=pki / "switch.pem", key=pki / "switch.key")
    with trio.fail_after(LINK_WITHIN_S):
        async with trio.open_nursery() as nursery:
            listeners = await listen()
            nursery.start_soon(far_end.serve, listeners)
            port = listeners[0].socket.getsockname()[1]
            link = OverTheLink(dialect, network, partial(_connect, port, ours))
            await nursery.start(link.group.run)
            await link.group.wait_up(CONNECTIONS)
            await link.send(sale, total)
            await link.group.drain()
            nursery.cancel_scope.cancel()
    return link.in_flight_max, link.wrong


def mixed(total: int, random: Random) -> Handler:
    """Keep so many answers back, then send them in another order."""
    waiting: list[Exchange] = []

    async def keep_back(exchange: Exchange) -> None:
        waiting.append(exchange)
        if len(waiting) == total:
            random.shuffle(waiting)
            for each in waiting:
                each.answer()

    return keep_back


async def _connect(
    port: int, context: ssl.SSLContext, _turn: int, reached: Callable[[], None]
) -> trio.abc.Stream:
    return await connect_tls("127.0.0.1", port, context, server_name=SERVER_NAME, reached=reached)


def main(sale: str, seed: str) -> None:
    """Try both, and say what happened."""
    configure_logging(Log(level="error"), process="certify")
    dialect = load_dialect("net87b")
    fields = dialect.decode(bytes.fromhex(sale))
    began = time.monotonic()
    clashes, wrong = on_the_core(CORE_COUNT, CORE_PENDING_S, CORE_PER_S)
    core_s = time.monotonic() - began
    with tempfile.TemporaryDirectory(prefix="turnout-wrapping-") as folder:
        in_flight, astray = trio.run(over_the_link, Path(folder), dialect, fields, int(seed))
    found = {
        "core_clashes": clashes,
        "core_wrong": wrong,
        "core_s": core_s,
        "link_in_flight_max": in_flight,
        "link_wrong": astray,
        "link_s": time.monotonic() - began - core_s,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
