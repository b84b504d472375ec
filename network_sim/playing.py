"""A network inside another Trio program: for certification, for tests, for `turnout network`.

    options = Options(script=script, time_factor=0.1)
    async with play(network, dialect, tls=context, journal=path, options=options) as playing:
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
        port: where it listens.
        direction: script, record and keys.
        issuer: decides; has holds, totals and the settlement date.
        journal: the network's own record on disk.
    """

    host: Host
    port: int
    direction: Direction
    issuer: Issuer
    journal: Path

    @property
    def script(self) -> FaultScript:
        """What goes wrong; may be changed at any time."""
        return self.direction.script

    @property
    def record(self) -> Record:
        """Every message; of a network that is recorded."""
        assert self.direction.record is not None
        return self.direction.record

    @property
    def keys(self) -> KeyServer | None:
        """The MAC keys; None = messages carry no MAC."""
        return self.direction.keys

    def entries(self) -> list[Entry]:
        """Everything decided so far, oldest first."""
        return list(read_journal(self.journal))

    def balances(self) -> Mapping[AccountKey, Balance]:
        """What is held and posted, by masked PAN and numeric currency."""
        return balances(read_journal(self.journal))


@attrs.frozen(kw_only=True)
class Options:
    """How a network is played.

    Attributes:
        script: what goes wrong; None = nothing, until rules are added.
        limits: what a peer may cost.
        mac: whether messages carry MACs; None = as the dialect says.
        kek: the key-exchange key, which MACs need.
        admission: whom it lets in.
        time_factor: what all times are multiplied by.
        now_us: the wall clock, microseconds since 1970.
        keep_clear: whether the record keeps clear fields.
        explained: whether the record explains messages element by element.
        recorded: whether there is a record; without one a network with MACs and no rules is as fast
            as one left to itself, and follows no rules that are added while it is connected.
    """

    script: FaultScript | None = None
    limits: Simulator = attrs.field(factory=Simulator)
    mac: Literal["none", "cmac"] | None = None
    kek: Key | None = None
    admission: Admission = attrs.field(factory=Admission)
    time_factor: float = 1.0
    now_us: Callable[[], int] = now_us
    keep_clear: bool = False
    explained: bool = False
    recorded: bool = True


@asynccontextmanager
async def play(
    network: Network,
    dialect: Dialect,
    *,
    tls: ssl.SSLContext,
    journal: Path,
    listener: socket.socket | None = None,
    options: Options = Options(),
) -> AsyncIterator[Playing]:
    """Play a network until the block ends.

    Args:
        network: names, timers, codec, card prefixes.
        dialect: what it speaks.
        tls: the server's context, such as of `chassis.tls.server_context`.
        journal: file of the network's record; one that is there is gone on with.
        listener: a listening socket, which is closed in the end; None = any free port.
        options: how it is played.

    Raises:
        ValueError: MACs without a key-exchange key.
        JournalError: the record cannot be read or written.
    """
    direction = _direction(network, dialect, options)
    now_us, limits = options.now_us, options.limits
    issuer = make_issuer(
        network,
        limits,
        dialect,
        opens_on=date_of(now_us()),
        time_factor=options.time_factor,
    )
    book = Journal(journal)
    try:
        issuer.restore(book.entries(), since_us=now_us() - limits.remembered_s * 1_000_000)
        host = Host(
            network=network,
            limits=limits,
            tls=tls,
            codec=choose_codec(network, dialect),
            dialect=dialect,
            issuer=issuer,
            journal=book,
            now_us=now_us,
            direction=direction,
            admission=options.admission,
        )
        accepting = listener or socket.create_server(("127.0.0.1", 0))
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.serve, accepting, stop)
            yield Playing(
                host=host,
                port=accepting.getsockname()[1],
                direction=direction,
                issuer=issuer,
                journal=journal,
            )
            stop.set()
    finally:
        book.close()


def _direction(network: Network, dialect: Dialect, options: Options) -> Direction:
    keys = None
    if (options.mac or dialect.policy.mac) != "none":
        if options.kek is None:
            raise ValueError("MACs need a key-exchange key")
        keys = KeyServer(options.kek, random=os.urandom)
    record = Record(
        dialect,
        count_max=RECORDED_MAX,
        keep_clear=options.keep_clear,
        explained=options.explained,
    )
    return Direction(
        dialect=dialect,
        packer=Packer(choose_codec(network, dialect), dialect, keys),
        script=FaultScript() if options.script is None else options.script,
        record=record if options.recorded else None,
        keys=keys,
        keys_changed=lambda: None,
        time_factor=options.time_factor,
    )
