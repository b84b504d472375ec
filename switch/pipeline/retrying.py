"""Second attempts of charges: when the issuer is away, and over another network.

A charge gets one more attempt where its first moved nothing: the issuer, or a switch before it, was
away (91, 96), or no byte left and another network takes the card. It is recorded in the commit that
ends the first (`switch.core.operations.retrying`), and only while the message is young enough to be
sent. The CVC goes along from memory, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from msgspec.structs import replace

from chassis.log import get_logger
from ledger.records import Lost
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.findings import Finding
from switch.core.numbers import NumbersExhaustedError
from switch.core.operations.retrying import Again, may_retry
from switch.core.routing import RoutingTable
from switch.core.settlements import CAPTURED, HELD, VERIFIED
from switch.link.correlation import Slot
from switch.pipeline.aftermath import Aftermath
from switch.pipeline.payment import Payment, PipelineCounts

log = get_logger(__name__)


class Retrying:
    """Makes second attempts.

    Args:
        carriers: by network name.
        routing: networks for a card.
        admission: shares of networks.
        aftermath: records the new attempt.
        send: hands a recorded payment to its network's links.
        settle: records a first result that gets no second chance after all.
        counts: the pipeline's.
    """

    def __init__(
        self,
        *,
        carriers: Mapping[str, Carrier],
        routing: RoutingTable,
        admission: Admission,
        aftermath: Aftermath,
        send: Callable[[Payment], None],
        settle: Callable[[Payment, Finding], None],
        counts: PipelineCounts,
    ) -> None:
        self._carriers = carriers
        self._routing = routing
        self._admission = admission
        self._aftermath = aftermath
        self._send = send
        self._settle = settle
        self._counts = counts

    def consider(self, payment: Payment, finding: Finding) -> bool:
        """Begin a second attempt, if the finding and the time admit one; False if not."""
        record, card = payment.record, payment.card
        if record is None or card is None or payment.retried or not may_retry(finding):
            return False
        found = self._reserve(payment, finding, card.pan)
        if found is None:
            return False
        network, slot = found
        carrier = self._carriers[network]
        try:
            spare = self._aftermath.spare(network)
        except NumbersExhaustedError:
            self._give_back(payment, network, slot)
            return False
        payment.retried = True
        verifying = payment.settlements is VERIFIED
        mti = (carrier.verifying if verifying else carrier.charging).mti
        self._aftermath.try_again(
            record.intent_id,
            record.attempt_id,
            mti,
            finding,
            spare,
            lambda answer: self._decided(payment, finding, network, slot, answer),
        )
        return True

    def _reserve(self, payment: Payment, finding: Finding, pan: str) -> tuple[str, Slot] | None:
        """A slot where the second attempt may go: elsewhere, if the first could not leave."""
        age_s = trio.current_time() - payment.accepted_at
        for network in self._routing.candidates(pan):
            carrier, here = self._carriers[network], network == payment.network
            if here == (finding.result == "not_sent") or age_s > carrier.settings.max_send_age_s:
                continue
            if payment.settlements is HELD and not carrier.dual:
                continue  # it would capture at once what is to be captured later
            if not here and not self._admission.enter_network(network):
                continue
            slot = carrier.group.reserve()
            if slot is not None:
                return network, slot
            if not here:
                self._admission.leave_network(network)
        return None

    def _give_back(self, payment: Payment, network: str, slot: Slot) -> None:
        self._carriers[network].group.release(slot)
        if network != payment.network:
            self._admission.leave_network(network)

    def _decided(
        self,
        payment: Payment,
        finding: Finding,
        network: str,
        slot: Slot,
        answer: Again | Lost,
    ) -> None:
        record = payment.record
        if isinstance(answer, Lost) or record is None:
            self._give_back(payment, network, slot)
            self._settle(payment, finding)
            return
        self._counts.retried_total += 1
        if network != payment.network:
            self._admission.leave_network(payment.network)
        new = answer.attempt
        payment.network, payment.slot, payment.resent = network, slot, False
        payment.completed = payment.settlements is CAPTURED and self._carriers[network].dual
        payment.record = replace(
            record,
            attempt_id=new.attempt_id,
            network=new.network,
            acquirer_id=new.acquirer_id,
            mti=new.mti,
            stan=new.stan,
            rrn=new.rrn,
            de7=new.de7,
            deadline_at_us=new.deadline_at_us,
        )
        self._send(payment)
