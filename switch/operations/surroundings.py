"""What operations are given, and how each network is treated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import attrs

from chassis.mux import MuxClient
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.deciding.records import SafRow, VerificationRow
from ledger.taking_up import Reach
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.doubt import DoubtPolicy
from switch.core.forwarding import RepeatSchedule
from switch.core.numbers import RRNSource
from switch.core.operations.records import NetworkRules
from switch.core.response_codes import ResponseCodes
from switch.operations.acceptors import LoadAcceptors
from switch.operations.cards import SealedCards
from switch.operations.desk import Committer
from switch.operations.equipping import ReadViews
from switch.operations.forwarder import ForwardingTerms
from switch.pipeline.lookup import FindReplays
from switch.responsibility import Responsibility


class DueSaf(Protocol):
    """`ledger.saf.due_saf` on a pool."""

    def __call__(
        self, owner: str, *, now_us: int, limit: int, networks: Sequence[str]
    ) -> Awaitable[list[SafRow]]:
        """What is due."""


class DueVerifications(Protocol):
    """`ledger.verifications.due_verifications` on a pool."""

    def __call__(
        self, owner: str, *, now_us: int, limit: int, networks: Sequence[str]
    ) -> Awaitable[list[VerificationRow]]:
        """What is due."""


TakeUp = Callable[[str, Reach], Awaitable[int]]  # owner, reach: as in `ledger.taking_up`
CountSafSends = Callable[
    [str, int, Sequence[tuple[bytes, int]]], Awaitable[dict[bytes, int]]
]  # owner, epoch, sends


@attrs.frozen(kw_only=True)
class LookUps:
    """What operations ask the ledger; decisions are another matter."""

    find_replays: FindReplays
    sealed_cards: SealedCards
    read_views: ReadViews
    load_acceptors: LoadAcceptors
    due_saf: DueSaf
    count_saf_sends: CountSafSends
    due_verifications: DueVerifications
    reopen_doubts: TakeUp
    free_advices: TakeUp


@attrs.frozen(kw_only=True)
class Surroundings:
    """What operations are given: everything that does I/O, reads a clock or draws a number."""

    own: Responsibility
    committer_of: Callable[[Responsibility], Committer]
    let_go: Callable[[Responsibility], None]  # when a commit finds that it is lost
    workers: Sequence[MuxClient[HSMRequest, HSMReply]]
    carriers: Mapping[str, Carrier]
    admission: Admission
    codes: ResponseCodes
    rrns: RRNSource
    ledger: LookUps
    now_us: Callable[[], int]  # the time of day, microseconds since 1970
    steady_us: Callable[[], int]  # the clock of waits, likewise
    uniform: Callable[[float, float], float]


def reach_of(network: str, rules: NetworkRules, terms: ForwardingTerms, now_us: int) -> Reach:
    """How far ahead anything of a network can lie in the queues, at an instant of their clock."""
    return Reach(
        network=network,
        now_us=now_us,
        doubts_us=rules.doubt.latest_us(now_us),
        questions=rules.doubt.questions,
        advices_us=terms.schedule.latest_us(now_us),
    )


def rules_of(carrier: Carrier) -> NetworkRules:
    """What deciders need to know about a network."""
    settings, policy = carrier.settings, carrier.dialect.policy
    return NetworkRules(
        reversal_mti=policy.reversal_mti,
        doubt=DoubtPolicy(
            settings.unknown_policy or policy.unknown_outcome,
            inquiry_times_s=settings.inquiry_times_s,
            window_s=settings.inquiry_window_s,
        ),
        authorization_us=int(settings.authorization_s * 1_000_000),
    )


def terms_of(carrier: Carrier) -> ForwardingTerms:
    """How store-and-forward treats a network."""
    settings = carrier.settings
    return ForwardingTerms(
        schedule=RepeatSchedule(
            answered_within_s=settings.response_deadline_s,
            min_s=settings.saf_repeat_min_s,
            max_s=settings.saf_repeat_max_s,
            alarm_after=settings.saf_alarm_sends,
            slow_s=settings.saf_slow_s,
        ),
        drain_per_s=settings.saf_drain_per_s,
    )
