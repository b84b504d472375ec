"""The record that travels through the pipeline, and what the stages count."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from chassis.mux import MuxPeer
from hsm_sim.wire import OpenedCard
from ledger.records import ChargeToRecord
from switch.core.decide import Decision
from switch.core.messages import Acceptor
from switch.wire import Charge

Waiter = tuple[MuxPeer, int]  # where a reply goes: the connection and its request id


class Payment(Struct, gc=False):
    """One charge in flight. Fields fill in as it moves; card data leaves with the first result."""

    charge: Charge
    waiter: Waiter
    accepted_at: float  # monotonic seconds
    joined: list[Waiter] | None = None  # duplicates in flight that get the same answer
    acceptor: Acceptor | None = None
    card: OpenedCard | None = None
    network: str = ""
    slot: Any = None  # the link group's window slot
    record: ChargeToRecord | None = None
    request: dict[int, str] | None = None  # the fields sent, for the echo check
    amount_minor: int = 0
    currency: str = ""
    created_at_us: int = 0
    decision: Decision | None = None
    resent: bool = False  # an unsent message goes to another link once

    def forget_card(self) -> None:
        """Drop the CVC and the PAN: after any result nothing here needs them."""
        self.card = None
        request = self.request
        if request is not None:
            for de in (2, 14, 48):
                request.pop(de, None)

    def __repr__(self) -> str:
        """Ids only."""
        return f"Payment(intent={self.charge.intent_id.hex()}, network={self.network!r})"


class PipelineCounts:
    """Plain integers, counted per batch and read by the metrics collector."""

    __slots__ = (
        "accepted",
        "approved",
        "commit1_batches",
        "commit1_rows",
        "commit2_batches",
        "commit2_rows",
        "declined",
        "errors",
        "joined",
        "late_adopted",
        "not_advanced",
        "not_sent",
        "refused",
        "replayed",
        "slow_lane",
        "unknown",
        "unmatched",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def as_dict(self) -> dict[str, int]:
        """Name to count."""
        return {name: getattr(self, name) for name in self.__slots__}
