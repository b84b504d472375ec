"""The process of one simulated network: `turnout serve vsim`."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import trio

from chassis.clock import now_us
from chassis.development_keks import network_kek_path, read_development_kek
from chassis.log import get_logger
from chassis.service import Service
from chassis.settings.tree import Network, Simulator
from chassis.tls import server_context
from network_sim import metrics
from network_sim.acceptor import Codec
from network_sim.answering import Direction
from network_sim.books import Books
from network_sim.cards import CardBook, load_card_file
from network_sim.codec import choose_codec
from network_sim.faults import FaultScript, read_script
from network_sim.host import Host
from network_sim.issuer import Issuer, Sales
from network_sim.journal import Journal
from network_sim.key_file import load_keys, save_keys
from network_sim.keys import KeyServer
from network_sim.packing import Packer
from switch.iso8583 import Dialect, load_dialect

log = get_logger(__name__)


async def serve(service: Service) -> None:
    """Play the network that `service` is named after until it drains.

    Raises:
        JournalError: the record cannot be read or written.
        DialectError: there is no such dialect.
        ScriptError: the fault script cannot be used.
        DevelopmentKekError: the dialect wants MACs and there is no key-exchange key.
    """
    network = service.settings.networks[service.name]
    limits = service.settings.simulator
    pki = service.data_dir / "pki"
    dialect = load_dialect(network.dialect)
    codec = choose_codec(network, dialect)
    issuer = make_issuer(
        network, limits, dialect, opens_on=date_of(now_us()), sales=network.messages
    )
    path = journal_path(service.data_dir, service.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(path)
    try:
        since_us = now_us() - limits.remembered_s * 1_000_000
        issuer.restore(journal.entries(), since_us=since_us)
        host = Host(
            network=network,
            limits=limits,
            tls=server_context(
                ca=pki / "ca.pem",
                certificate=pki / f"{service.name}.pem",
                key=pki / f"{service.name}.key",
            ),
            codec=codec,
            dialect=dialect,
            issuer=issuer,
            journal=journal,
            direction=_direction(service, network, dialect, codec),
        )
        metrics.register(service.metrics, host, issuer, limits)
        log.info("network up", codec=network.codec, remembered=issuer.remembered)
        service.ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow_calendar, host, issuer, limits)
            await host.serve(service.listeners["network"], service.draining)
            nursery.cancel_scope.cancel()
    finally:
        journal.close()


async def follow_calendar(
    host: Host, issuer: Issuer, limits: Simulator, now_us: Callable[[], int] = now_us
) -> None:
    """Cut over when the date changes in UTC, as often as the clock is looked at."""
    while True:
        today = date_of(now_us())
        if today.isoformat() > issuer.settlement_date:
            log.info("cutover", settlement_date=today.isoformat())
            with trio.move_on_after(limits.cutover_answer_timeout_s):
                await host.initiative.cut_over(today)
        await trio.sleep(limits.cutover_check_s)


def _direction(
    service: Service, network: Network, dialect: Dialect, codec: Codec
) -> Direction | None:
    """Script and keys, where there are any; a network without is left to itself."""
    macs = dialect.policy.mac != "none"
    if not (network.script or macs):
        return None
    script = read_script(Path(network.script)) if network.script else FaultScript()
    if network.script:
        log.warning("a fault script is in use", file=network.script, seed=script.seed)
    folder, keys = service.data_dir / "networks", None
    file = folder / f"{service.name}.keys"
    if macs:
        kek = read_development_kek(network_kek_path(folder, service.name), service.name)
        keys = KeyServer(kek, random=os.urandom)
        load_keys(keys, file)
    return Direction(
        dialect=dialect,
        packer=Packer(codec, dialect, keys),
        script=script,
        record=None,
        keys=keys,
        keys_changed=lambda: save_keys(keys, file) if keys is not None else None,
        time_factor=1.0,
    )


def journal_path(data_dir: Path, name: str) -> Path:
    """Where the network called `name` keeps its record."""
    return data_dir / "networks" / f"{name}.log"


def make_issuer(
    network: Network,
    limits: Simulator,
    dialect: Dialect,
    *,
    opens_on: date,
    time_factor: float = 1.0,
    sales: Sales = "both",
) -> Issuer:
    """The issuers of a network, remembering nothing yet.

    Args:
        network: names its card prefixes and its response deadline.
        limits: what they remember.
        dialect: of the messages.
        opens_on: their settlement date until the first cutover.
        time_factor: what all delays are multiplied by.
        sales: by which messages they are made.
    """
    late_s = (network.response_deadline_s + limits.late_margin_s) * time_factor
    books = Books(
        opens_on=opens_on,
        de7_identifies=not dialect.policy.repeat_refreshes_de7,
        remembered_max=limits.remembered_max,
        holds_max=limits.holds_max,
    )
    return Issuer(
        CardBook(load_card_file(), network.bins),
        dialect,
        books,
        late_ms=round(late_s * 1000),
        time_factor=time_factor,
        sales=sales,
    )


def date_of(at_us: int) -> date:
    """The UTC date of an instant in microseconds since 1970."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).date()
