"""The stages behind the networks, hearing and commit 2, with all their neighbors."""

from __future__ import annotations

from typing import Any

import attrs
from msgspec.structs import replace

from chassis.settings import Network
from chassis.stage import Inbox
from ledger.completions import Acknowledgment
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.decline_memory import DeclineMemory
from switch.core.findings import Finding
from switch.core.messages import card_request, drop_card
from switch.core.numbers import StanAllocator
from switch.core.response_codes import load_response_codes
from switch.core.routing import RoutingTable
from switch.core.settlements import CAPTURED, HELD, VERIFIED, Settlements
from switch.iso8583 import load_dialect
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.completing import ACKNOWLEDGMENTS_MAX, Completing
from switch.pipeline.hearing import Hearing
from switch.pipeline.orphans import ORPHANS_MAX, Orphan
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies
from switch.pipeline.retrying import Retrying
from switch.pipeline.settling import Settlement, Settling
from tests.support.pipeline import (
    ACCEPTOR,
    NOW_US,
    PAN,
    Admit,
    Completions,
    Group,
    Handovers,
    Outcomes,
    Peer,
    Replays,
    recorded,
)

KEY = "0200|000017|0115080000|400001|0ABCDEFGHIJK"
DIALECT = load_dialect("net87b")
NETWORKS = {
    "vsim": Network(bins=("4",), acquirer_id="400001"),
    "backup": Network(bins=("4",), acquirer_id="600001", priority=2),
    "msim": Network(bins=("5",), acquirer_id="500001", messages="dual"),
}


@attrs.define
class Scene:
    """Both stages. Nothing can be sent again on another link unless the test says so."""

    hearing: Hearing
    stage: Settling
    completing: Completing
    carriers: dict[str, Carrier]
    groups: dict[str, Group]
    committer: Outcomes
    completions: Completions
    replays: Replays
    declines: DeclineMemory
    inbox: Inbox[Settlement]
    orphans: Inbox[Orphan]
    acknowledgments: Inbox[Acknowledgment]
    aftermath: Handovers
    admission: Admission
    admit: Admit
    peer: Peer
    resent: list[Payment] = attrs.field(factory=list)
    sent_again: list[Payment] = attrs.field(factory=list)
    can_resend: bool = False

    def sent(
        self,
        number: int,
        *,
        network: str = "vsim",
        settlements: Settlements = CAPTURED,
        age_s: float = 0.0,
    ) -> Payment:
        """A payment whose message is on its way."""
        payment = recorded(self.admit(number, age_s=age_s), network=network)
        assert self.admission.enter_network(network)
        carrier = self.carriers[network]
        shape = carrier.verifying if settlements is VERIFIED else carrier.charging
        assert payment.record is not None
        record = payment.record = replace(payment.record, mti=shape.mti)
        payment.request = card_request(
            shape=shape,
            pan=PAN,
            expiry="3012",
            cvc="123",
            amount_minor=0 if settlements is VERIFIED else 2499,
            currency="usd",
            stan=record.stan,
            de7=record.de7,
            rrn=record.rrn,
            acquirer_id=record.acquirer_id,
            acceptor=ACCEPTOR,
        )
        drop_card(payment.request)
        payment.settlements = settlements
        payment.completed = carrier.dual and settlements is CAPTURED
        return payment

    def hear(self, *events: Any, network: str = "vsim") -> None:
        """Deliver events."""
        self.hearing.on_events(network, list(events))

    async def settle(self, *events: Any, network: str = "vsim") -> None:
        """Deliver events, then run commit 2 over all they brought."""
        self.hear(*events, network=network)
        while len(self.inbox):
            await self.stage.handle(await self.inbox.take(8))

    async def acknowledge(self) -> None:
        """Record what completions were acknowledged with."""
        if len(self.acknowledgments):
            await self.completing.handle(await self.acknowledgments.take(64))

    @property
    def statuses(self) -> dict[int, str]:
        """What the api was told of each payment's transaction."""
        return {number: reply.transaction.status for number, reply in self.peer.replies.items()}

    def results(self) -> list[tuple[int, str]]:
        """Intent number and result of every outcome, in order."""
        return [(int.from_bytes(row.intent_id), row.result) for row in self.committer.rows]


def answer(payment: Payment, code: str = "00", **changes: Any) -> dict[int, str]:
    """The network's answer to a payment, an exact echo, with changes by `de_N`."""
    assert payment.request is not None
    fields = {de: payment.request[de] for de in (3, 4, 7, 11, 32, 37, 41, 42, 49)}
    fields |= {0: payment.request[0][:2] + "10", 2: PAN, 39: code}
    if code == "00":
        fields[38] = "A1B2C3"
    return fields | {int(name[3:]): value for name, value in changes.items()}


def make_scene(
    *,
    replies: Replies,
    counts: PipelineCounts,
    anomalies: Anomalies,
    admission: Admission,
    admit: Admit,
    peer: Peer,
) -> Scene:
    """Three networks with eight slots each; the last one is a dual-message network."""
    committer, replays, completions = Outcomes(), Replays(), Completions()
    inbox: Inbox[Settlement] = Inbox(16, name="settling")
    orphans: Inbox[Orphan] = Inbox(ORPHANS_MAX, name="orphans")
    acknowledgments: Inbox[Acknowledgment] = Inbox(ACKNOWLEDGMENTS_MAX, name="acknowledgments")
    groups = {name: Group() for name in NETWORKS}
    carriers = {
        name: Carrier(settings, DIALECT, groups[name], StanAllocator())  # type: ignore[arg-type]
        for name, settings in NETWORKS.items()
    }
    aftermath, declines, codes = Handovers(), DeclineMemory(16), load_response_codes()
    completing = Completing(
        carriers=carriers,
        codes=codes,
        committer=completions,  # type: ignore[arg-type]
        acknowledgments=acknowledgments,
        aftermath=aftermath,
        counts=counts,
        anomalies=anomalies,
        now_us=lambda: NOW_US + 700,
    )
    stage = Settling(
        committer=committer,  # type: ignore[arg-type]
        held_committer=committer,  # type: ignore[arg-type]
        find_replays=replays.find,
        rules=aftermath.rules,
        declines=declines,
        completing=completing,
        replies=replies,
        counts=counts,
        anomalies=anomalies,
        now_us=lambda: NOW_US + 700,
        steady_us=lambda: NOW_US + 700,
    )

    def resend(payment: Payment) -> bool:
        made.resent.append(payment)
        return made.can_resend

    def send(payment: Payment) -> None:
        made.sent_again.append(payment)

    def settle(payment: Payment, finding: Finding) -> None:
        made.hearing.settle(payment, finding)

    retrying = Retrying(
        carriers=carriers,
        routing=RoutingTable(NETWORKS, "vsim"),
        admission=admission,
        aftermath=aftermath,
        send=send,
        settle=settle,
        counts=counts,
    )
    hearing = Hearing(
        carriers=carriers,
        codes=codes,
        replies=replies,
        settling=inbox,
        orphans=orphans,
        completing=completing,
        retrying=retrying,
        resend=resend,
        aftermath=aftermath,
        counts=counts,
        anomalies=anomalies,
        now_us=lambda: NOW_US + 700,
    )
    made = Scene(
        hearing,
        stage,
        completing,
        carriers,
        groups,
        committer,
        completions,
        replays,
        declines,
        inbox,
        orphans,
        acknowledgments,
        aftermath,
        admission,
        admit,
        peer,
    )
    return made


def holds(scene: Scene, number: int) -> Payment:
    """A payment that is to be captured later, on its way over the dual-message network."""
    return scene.sent(number, network="msim", settlements=HELD)
