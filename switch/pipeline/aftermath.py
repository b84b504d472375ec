"""What the pipeline hands over: everything that takes more than the two hot statements.

`switch.operations` implements it. The pipeline knows no more of what follows a charge than this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.operations.records import Conclusion, NetworkRules, Spare
from switch.core.operations.retrying import Again
from switch.link.events import LinkEvent
from switch.wire import Operate


class Aftermath(Protocol):
    """The cold path, as the hot one sees it."""

    @property
    def rules(self) -> Mapping[str, NetworkRules]:
        """How each network is treated, by its name."""

    def order(self, peer: Any, request_id: int, operate: Operate) -> None:
        """Take a request that follows a charge, or answer it at once."""

    def on_event(self, event: LinkEvent) -> None:
        """Take an event about a message that is no charge."""

    def spare(self, network: str) -> Spare:
        """An attempt id and numbers for a message; raises NumbersExhaustedError."""

    def tell(
        self,
        intent_id: bytes,
        attempt_id: bytes,
        network: str,
        finding: Finding,
        actor: str,
        concluded: Callable[[Conclusion | Lost], None],
        *,
        second: bool = False,
    ) -> None:
        """Have decided what a finding about an attempt does.

        `second`: there was an answer before this one; nothing is decided, and the answer is
        `Lost("no_result_yet")`, while that has not been recorded.
        """

    def try_again(
        self,
        intent_id: bytes,
        attempt_id: bytes,
        mti: str,
        finding: Finding,
        spare: Spare,
        decided: Callable[[Again | Lost], None],
    ) -> None:
        """Have an attempt that moved nothing replaced by another one."""
