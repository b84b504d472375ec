"""What the pipeline is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from chassis.mux import MuxClient
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.charges import ChargeCommitter
from ledger.completions import CompletionCommitter
from ledger.outcomes import OutcomeCommitter
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.decline_memory import DeclineMemory
from switch.core.numbers import RRNSource
from switch.core.response_codes import ResponseCodes
from switch.pipeline.aftermath import Aftermath
from switch.pipeline.lookup import FindReplays, LoadAcceptors
from switch.pipeline.orphans import FindAttempts, OpenExceptions


@attrs.frozen(kw_only=True)
class Outside:
    """What the pipeline is given: everything that does I/O, reads a clock or draws a number."""

    workers: Sequence[MuxClient[HSMRequest, HSMReply]]
    carriers: Mapping[str, Carrier]
    find_replays: FindReplays
    load_acceptors: LoadAcceptors
    charges: ChargeCommitter
    outcomes: OutcomeCommitter
    held_outcomes: OutcomeCommitter  # of those whose intents somebody sits on
    completions: CompletionCommitter
    aftermath: Aftermath
    admission: Admission
    declines: DeclineMemory
    find_attempts: FindAttempts
    open_exceptions: OpenExceptions
    codes: ResponseCodes
    rrns: RRNSource
    take_ids: Callable[[int], list[bytes]]
    now_us: Callable[[], int]  # the time of day, microseconds since 1970
    steady_us: Callable[[], int]  # the clock of waits, likewise
