"""The record that travels through the pipeline, and what the stages count."""

from __future__ import annotations

from typing import Any

import attrs
from msgspec import Struct

from chassis.mux import MuxPeer
from hsm_sim.wire import OpenedCard
from ledger.records import ChargeToRecord
from switch.core.findings import Finding
from switch.core.messages import Acceptor
from switch.core.settlements import CAPTURED, Settlements
from switch.wire import Charge, SwitchReply

APIPeer = MuxPeer[SwitchReply]
Waiter = tuple[APIPeer, int]  # where a reply goes: the connection and its request id


class Payment(Struct, gc=False):
    """One charge in flight; fields fill in as it moves.

    Card data is in `card` and nowhere else. It goes with the first result of the charge's last
    attempt, with the answer, or when the message has become too old to be sent, whichever is first.
    """

    charge: Charge
    waiter: Waiter
    accepted_at: float  # monotonic seconds
    joined: list[Waiter] | None = None  # duplicates in flight that get the same answer
    acceptor: Acceptor | None = None
    card: OpenedCard | None = None
    network: str = ""
    slot: Any = None  # the link group's window slot
    record: ChargeToRecord | None = None
    request: dict[int, str] | None = None  # what was sent without the card, for the echo check
    amount_minor: int = 0
    currency: str = ""
    created_at_us: int = 0
    settlements: Settlements = CAPTURED  # where its results lead
    allow_partial: bool = False
    completed: bool = False  # captured by a message of its own, as soon as it is approved
    finding: Finding | None = None
    resent: bool = False  # an unsent message goes to another link once
    retried: bool = False  # another attempt was made in its place, once
    waited: bool = False  # for an answer in progress, once

    @property
    def transaction_hex(self) -> str:
        """The transaction's id for log lines; empty before it has one."""
        return self.record.transaction_id.hex() if self.record is not None else ""

    def __repr__(self) -> str:
        """Ids only."""
        return f"Payment(intent={self.charge.intent_id.hex()}, network={self.network!r})"


@attrs.define
class PipelineCounts:
    """Plain integers, counted by the stages and read by the metrics collector."""

    accepted_total: int = 0  # charges admitted
    refused_total: int = 0  # answered with nothing recorded
    joined_total: int = 0  # duplicates that joined a charge in flight
    replayed_total: int = 0  # answered from an earlier charge under the same key
    approved_total: int = 0  # partial approvals that were taken included
    declined_total: int = 0
    not_sent_total: int = 0  # outcomes of which no byte left
    unknown_total: int = 0
    taken_back_total: int = 0  # approved in part, which nobody wanted: reversed
    late_adopted_total: int = 0  # unknown outcomes resolved by a late answer
    late_undecided_total: int = 0  # late answers that decide nothing
    not_advanced_total: int = 0  # outcomes that found their intent moved on
    resent_total: int = 0  # unsent messages put on another link
    retried_total: int = 0  # charges given another attempt
    waited_total: int = 0  # answers in progress, whose time was started over
    alarming_codes_total: int = 0  # declines that blame us, or by a code that nobody knows
    contradictions_total: int = 0  # second answers that differ from the first
    unmatched_total: int = 0  # answers to nothing in flight
    unexplained_total: int = 0  # approvals among them that recovery does not explain either
    orphans_dropped_total: int = 0  # unmatched answers beyond what may wait
    slow_lane_total: int = 0  # charges that waited for a locked intent
    held_total: int = 0  # outcomes that waited for a locked intent
    completions_total: int = 0  # charges captured by a message of its own
    completions_deferred_total: int = 0  # of those, that had no window slot: forwarded later
    commit1_batches_total: int = 0
    commit1_rows_total: int = 0
    commit2_batches_total: int = 0
    commit2_rows_total: int = 0
    hsm_timeouts_total: int = 0  # batches of cards that no worker opened in time
    errors_total: int = 0  # faults of ours on one payment

    def count_outcome(self, result: str) -> None:
        """Count one first result: approved, partial, declined, not_sent or unknown."""
        match result:
            case "approved" | "partial":
                self.approved_total += 1
            case "declined":
                self.declined_total += 1
            case "not_sent":
                self.not_sent_total += 1
            case "unknown":
                self.unknown_total += 1
            case _:
                raise ValueError(f"no first result is called {result!r}")
