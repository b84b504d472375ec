"""A carrier: one network with its dialect, its links and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from chassis.service import Service
from chassis.settings import Network
from switch.core.echoes import Echoes
from switch.core.messages import charge_shape, verification_shape
from switch.core.numbers import StanAllocator
from switch.credentials import Credentials
from switch.dialing import Dialer
from switch.hsm import AskHSM
from switch.iso8583 import Dialect, load_dialect
from switch.link.authentication import Authentication
from switch.link.events import LinkEvent
from switch.link.group import LinkGroup
from switch.link.mac_keys import MacKeys
from switch.link.mac_stage import MacStage


class Carrier:
    """One network as the pipeline needs it.

    Attributes:
        answered_within_us: the longest a message may take from intake to its deadline.
        credentials: what its links connect with; None where something else makes connections.
        charging: the shape of a charge's request.
        dual: a charge is authorized by one message and captured by another.
        echoes: compares answers with what they answer.
        encode: packs a message for the group; as `dialect.encode`, but for the MAC.
        verifying: the shape of an account verification's request.
    """

    __slots__ = (
        "answered_within_us",
        "charging",
        "credentials",
        "dialect",
        "dual",
        "echoes",
        "encode",
        "group",
        "settings",
        "stans",
        "verifying",
    )

    def __init__(
        self,
        settings: Network,
        dialect: Dialect,
        group: LinkGroup,
        stans: StanAllocator,
        credentials: Credentials | None = None,
        encode: Callable[[Mapping[int, str]], bytes] | None = None,
    ) -> None:
        self.credentials = credentials
        self.encode = encode or dialect.encode
        self.settings = settings
        self.dialect = dialect
        self.group = group
        self.stans = stans
        self.dual = settings.messages == "dual"
        self.charging = charge_shape(dialect.policy, dual=self.dual)
        self.verifying = verification_shape(dialect.policy)
        self.echoes = Echoes(dialect.echo)
        self.answered_within_us = int(
            (settings.max_send_age_s + settings.response_deadline_s) * 1_000_000
        )


def make_carriers(
    service: Service,
    on_events: Callable[[str], Callable[[list[LinkEvent]], None]],
    now_us: Callable[[], int],
    lease_holds: Callable[[], bool],
    *,
    settlement_dates: Mapping[str, str],
    on_cutover: Callable[[str, str], None],
    ask_hsm: AskHSM,
) -> dict[str, Carrier]:
    """One carrier per network of the settings; their links are not yet run.

    Args:
        service: this process.
        on_events: where a network's events go.
        now_us: microseconds since 1970.
        lease_holds: whether anything may be sent.
        settlement_dates: DE 15 by network, of those that have told one.
        on_cutover: gets a network and its new DE 15.
        ask_hsm: for MACs.

    Raises:
        DialectError: a dialect is unusable.
        DialingError: addresses or pinned keys of a network are.
        TLSFilesError: certificate, key or CA for a network are.
    """
    limits, networks = service.settings.switch, len(service.settings.networks)
    carriers = {}
    for name, settings in service.settings.networks.items():
        dialect = load_dialect(settings.dialect)
        stans = StanAllocator()
        credentials = Credentials(service.stack_dir / "pki", name)
        authenticate = None
        if dialect.policy.mac == "cmac":
            batch_max = service.settings.hsm.macs_max
            authenticate = partial(
                _authentication, name, settings, dialect, ask_hsm, batch_max, now_us
            )
        group = LinkGroup(
            name,
            settings,
            dialect,
            Dialer(name, settings, service.endpoints[name], credentials).connect,
            on_events=on_events(name),
            next_stan=partial(_next_stan, stans, now_us),
            answered_max=limits.answered_keys_max // networks,
            kept_s=limits.answered_keys_s,
            lease_holds=lease_holds,
            settlement_date=settlement_dates.get(name, ""),
            on_cutover=partial(on_cutover, name),
            authenticate=authenticate,
        )
        macs = group.authentication
        encode = macs.encode if macs is not None else None
        carriers[name] = Carrier(settings, dialect, group, stans, credentials, encode)
    return carriers


def _authentication(
    name: str,
    settings: Network,
    dialect: Dialect,
    ask: AskHSM,
    batch_max: int,
    now_us: Callable[[], int],
    alarm: Callable[[str], None],
) -> Authentication:
    return Authentication(
        name,
        settings,
        dialect,
        keys=MacKeys(name, ask, now_us),
        stage=MacStage(name, ask, batch_max=batch_max),
        alarm=alarm,
    )


def _next_stan(stans: StanAllocator, now_us: Callable[[], int]) -> tuple[str, str]:
    return stans.next(now_us() // 1_000_000)
