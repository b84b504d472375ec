"""The process of one simulated network: `turnout serve vsim`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from chassis.clock import now_us
from chassis.log import get_logger
from chassis.service import Service
from chassis.settings.tree import Network, Simulator
from chassis.tls import server_context
from network_sim import metrics
from network_sim.books import Books
from network_sim.cards import CardBook, load_card_file
from network_sim.codec import choose_codec
from network_sim.host import Host
from network_sim.issuer import Issuer
from network_sim.journal import Journal
from switch.iso8583 import Dialect, load_dialect

log = get_logger(__name__)


async def serve(service: Service) -> None:
    """Play the network that `service` is named after until it drains.

    Raises:
        JournalError: the record cannot be read or written.
        DialectError: there is no such dialect.
    """
    network = service.settings.networks[service.name]
    limits = service.settings.simulator
    pki = service.data_dir / "pki"
    dialect = load_dialect(network.dialect)
    issuer = make_issuer(network, limits, dialect, opens_on=date_of(now_us()))
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
            codec=choose_codec(network, dialect),
            dialect=dialect,
            issuer=issuer,
            journal=journal,
        )
        metrics.register(service.metrics, host, issuer, limits)
        log.info("network up", codec=network.codec, remembered=issuer.remembered)
        service.ready()
        await host.serve(service.listeners["network"], service.draining)
    finally:
        journal.close()


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
) -> Issuer:
    """The issuers of a network, remembering nothing yet.

    Args:
        network: names its card prefixes and its response deadline.
        limits: what they remember.
        dialect: of the messages.
        opens_on: their settlement date until the first cutover.
        time_factor: what all delays are multiplied by.
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
    )


def date_of(at_us: int) -> date:
    """The UTC date of an instant in microseconds since 1970."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).date()
