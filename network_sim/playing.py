"""A network inside another Trio program: for certification, for tests, for `turnout network`.

    async with play(network, dialect, tls=context, journal=path, script=script) as playing:
        ... connect an acquirer to playing.port ...
        playing.script.add(Rule(match=Match(mti="0420"), nth="1..5", action=Withhold()))
        [reversal] = await playing.record.wait_for("0421", "in", de37=rrn)
        answer = await playing.host.initiative.ask("echo")

It is a whole network: real TLS, its own record on disk, books that a next one on the same file goes
on with. Its wall clock is an argument, and one factor scales all its timers.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import attrs
import trio

from chassis.clock import now_us
from chassis.secrets import Key
from chassis.settings.tree import Network, Simulator
from network_sim.accounts import AccountKey, Balance, balances
from network_sim.answering import Direction
from network_sim.codec import choose_codec
from network_sim.faults import FaultScript
from network_sim.host import Admission, Host
from network_sim.issuer import Issuer
from network_sim.journal import Entry, Journal, read_journal
from network_sim.keys import KeyServer
from network_sim.packing import Packer
from network_sim.record import Record
from network_sim.service import date_of, make_issuer
from switch.iso8583 import Dialect

RECORDED_MAX: Final = 100_000


@attrs.frozen(kw_only=True)
class Playing:
    """A network that serves.

    Attributes:
        host: whoever is connected; `host.initiative` acts, `host.accepting` lets in.
        port: where it listens, on 127.0.0.1.
        script: what goes wrong; may be changed at any time.
        record: of every message.
        issuer: decides; has holds, totals and the settlement date.
        keys: MAC keys; None = messages carry no MAC.
        journal: the network's own record on disk.
    """

    host: Host
    port: int
    script: FaultScript
    record: Record
    issuer: Issuer
    keys: KeyServer | None
    journal: Path

    def entries(self) -> list[Entry]:
        """Everything decided so far, oldest first."""
        return list(read_journal(self.journal))

    def balances(self) -> Mapping[AccountKey, Balance]:
        """What is held and posted, by masked PAN and numeric currency."""
        return balances(read_journal(self.journal))


@asynccontextmanager
async def play(
    network: Network,
    dialect: Dialect,
    *,
    tls: ssl.SSLContext,
    journal: Path,
    script: FaultScript | None = None,
    limits: Simulator | None = None,
    listener: socket.socket | None = None,
    mac: Literal["none", "cmac"] | None = None,
    kek: Key | None = None,
    admission: Admission | None = None,
    time_factor: float = 1.0,
    now_us: Callable[[], int] = now_us,
    keep_clear: bool = False,
) -> AsyncIterator[Playing]:
    """Play a network until the block ends.

    Args:
        network: names, timers, codec, card prefixes.
        dialect: what it speaks.
        tls: the server's context, such as of `chassis.tls.server_context`.
        journal: file of the network's record; one that is there is gone on with.
        script: what goes wrong; None = nothing, until rules are added.
        limits: what a peer may cost.
        listener: a listening socket, which is closed in the end; None = any free port.
        mac: whether messages carry MACs; None = as the dialect says.
        kek: the key-exchange key, which MACs need.
        admission: whom it lets in.
        time_factor: what all times are multiplied by.
        now_us: the wall clock, microseconds since 1970.
        keep_clear: whether the record keeps clear fields.

    Raises:
        ValueError: MACs without a key-exchange key.
        JournalError: the record cannot be read or written.
    """
    limits = limits or Simulator()
    keys = _keys(mac or dialect.policy.mac, kek)
    codec = choose_codec(network, dialect)
    record = Record(dialect, count_max=RECORDED_MAX, keep_clear=keep_clear)
    direction = Direction(
        dialect=dialect,
        packer=Packer(codec, dialect, keys),
        script=script or FaultScript(),
        record=record,
        keys=keys,
        keys_changed=lambda: None,
        time_factor=time_factor,
    )
    issuer = make_issuer(
        network, limits, dialect, opens_on=date_of(now_us()), time_factor=time_factor
    )
    book = Journal(journal)
    try:
        issuer.restore(book.entries(), since_us=now_us() - limits.remembered_s * 1_000_000)
        host = Host(
            network=network,
            limits=limits,
            tls=tls,
            codec=codec,
            dialect=dialect,
            issuer=issuer,
            journal=book,
            now_us=now_us,
            direction=direction,
            admission=admission or Admission(),
        )
        accepting = listener or socket.create_server(("127.0.0.1", 0))
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.serve, accepting, stop)
            yield Playing(
                host=host,
                port=accepting.getsockname()[1],
                script=direction.script,
                record=record,
                issuer=issuer,
                keys=keys,
                journal=journal,
            )
            stop.set()
    finally:
        book.close()


def _keys(mac: Literal["none", "cmac"], kek: Key | None) -> KeyServer | None:
    if mac == "none":
        return None
    if kek is None:
        raise ValueError("MACs need a key-exchange key")
    return KeyServer(kek, random=os.urandom)
